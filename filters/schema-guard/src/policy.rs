//! The checked configuration, and the decision about a request: its head first, then its body.

use portcullis_core::denial::FieldError;
use portcullis_core::json::{self, JsonProblem};
use portcullis_core::redact::truncate;
use portcullis_core::routes::RouteTable;
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Mode, Reason, Request};

use crate::config::{Config, UnknownProperties, UnknownQuery};
use crate::defaults;
use crate::document::Document;
use crate::openapi::{Api, Content, MediaType, Operation, Reading, TooComplex};
use crate::schema::{NodeId, Outcome};

/// Longest pointer into a body that an answer repeats, in bytes: its names are the client's.
const MAX_POINTER: usize = 200;

/// A configuration, ready to run.
#[derive(Debug)]
pub struct Policy {
    api: Api,
    mode: Mode,
    rules: RouteTable<Rule>,
    max_body: usize,
    strict_query: bool,
    head_as_get: bool,
    on_error: OnError,
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    id: String,
    mode: Mode,
}

/// What is known about a request from its head.
#[derive(Debug)]
pub struct Head<'a> {
    /// The operation's name, once path and method are known to be documented.
    pub operation: Option<&'a str>,
    /// The mode for this request.
    pub mode: Mode,
    /// The rule that set the mode.
    pub rule: Option<&'a str>,
    /// What comes next, or why the request is refused.
    pub next: Result<Next, Denial>,
}

/// What comes after a head that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The request may pass.
    Pass,
    /// The body, of at most [`Policy::max_body`] bytes, is to be given to [`Policy::check_body`].
    Body(BodyCheck),
}

/// How to check a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCheck {
    /// There must be none.
    Empty,
    /// Any bytes.
    Opaque {
        /// Whether there must be a body.
        required: bool,
    },
    /// JSON, against the schema if the document has one.
    Json {
        /// Whether there must be a body.
        required: bool,
        /// The schema.
        schema: Option<NodeId>,
    },
}

impl Policy {
    /// Checks and compiles a configuration.
    ///
    /// # Errors
    /// [`ConfigError`]: for the document with its JSON pointer (`document#/paths/~1orders/post`), else as
    /// `rules[0].match`.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let max_body = config.max_body.get();
        if max_body == 0 || max_body > defaults::MAX_BODY.get() {
            let problem = format!("expected 1B to {}, found {}", defaults::MAX_BODY, config.max_body);
            return Err(ConfigError::new("max_body", problem));
        }
        let base_path = config.base_path.trim_end_matches('/');
        if !base_path.is_empty() && !base_path.starts_with('/') {
            let problem = format!("expected a path that starts with `/`, found `{base_path}`");
            return Err(ConfigError::new("base_path", problem));
        }
        let rules = config
            .rules
            .into_iter()
            .map(|rule| (rule.selector, Rule { id: rule.id, mode: rule.mode }))
            .collect();
        let rules = RouteTable::build(rules).map_err(|error| error.under("rules"))?;
        let document = Document::new(config.document)?;
        let reading = Reading { base_path, close: config.unknown_properties == UnknownProperties::Deny };
        let (api, warnings) = Api::new(&document, &reading)?;
        Ok(Self {
            api,
            mode: config.mode,
            rules,
            max_body,
            strict_query: config.unknown_query == UnknownQuery::Deny,
            head_as_get: config.head_as_get,
            on_error: config.on_error,
            warnings,
        })
    }

    /// What the operator should know about the document: parts that have no effect, bodies that can't be checked.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What happens to a request that can't be judged.
    #[must_use]
    pub const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The largest body, in bytes.
    #[must_use]
    pub const fn max_body(&self) -> usize {
        self.max_body
    }

    /// Judges the head of a request. Everything that can be refused without the body is refused here.
    #[must_use]
    pub fn check_head<'a>(&'a self, request: &Request) -> Head<'a> {
        let (mode, rule) = match self.rules.select(request) {
            Ok(Some(found)) => (found.value.mode, Some(found.value.id.as_str())),
            Ok(None) => (self.mode, None),
            Err(denial) => return Head { operation: None, mode: self.mode, rule: None, next: Err(denial) },
        };
        let head = |operation: Option<&'a Operation>, next| Head {
            operation: operation.map(Operation::name),
            mode,
            rule,
            next,
        };
        let path = match self.api.find(request) {
            Ok(Some(path)) => path,
            Ok(None) => return head(None, Err(Denial::new(404, Reason("schema.unknown_path"), "Not Found"))),
            Err(denial) => return head(None, Err(denial)),
        };
        let is_head = self.head_as_get && request.is_head();
        let found = path.value.operation(request.method());
        let Some(operation) = found.or_else(|| path.value.operation(b"GET").filter(|_| is_head)) else {
            let mut methods = path.value.methods();
            if self.head_as_get && methods.contains(&"GET") && !methods.contains(&"HEAD") {
                methods.push("HEAD");
            }
            let denial = Denial::new(405, Reason("schema.method_not_allowed"), "Method Not Allowed");
            return head(None, Err(denial.with_header("allow", methods.join(", "))));
        };
        if mode == Mode::Off {
            return head(Some(operation), Ok(Next::Pass));
        }
        let next = self.body_check(operation, request).and_then(|next| {
            let schemas = self.api.schemas();
            match operation.check_parameters(request, &path.variables, self.strict_query, schemas) {
                Ok(errors) if errors.is_empty() => Ok(next),
                Ok(errors) => Err(invalid(errors)),
                Err(TooComplex) => Err(too_complex()),
            }
        });
        head(Some(operation), next)
    }

    /// What is to be done with the body, as far as the head tells.
    fn body_check(&self, operation: &Operation, request: &Request) -> Result<Next, Denial> {
        let headers = request.headers();
        // A length that is no number is not trusted to be small.
        let length = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        let declared = headers.first(b"content-length").map(|text| length(text).unwrap_or(usize::MAX));
        let is_empty = request.end_of_stream() || declared == Some(0);
        if declared.is_some_and(|length| length > self.max_body) {
            return Err(Denial::new(413, Reason("schema.body_too_large"), "Content Too Large"));
        }
        let Some(body) = operation.body() else {
            return match declared {
                _ if request.is_grpc() => Err(unsupported()),
                _ if is_empty => Ok(Next::Pass),
                Some(_) => Err(body_not_allowed()),
                // HTTP/2 and chunked requests may turn out to have none.
                None => Ok(Next::Body(BodyCheck::Empty)),
            };
        };
        if is_empty {
            return if body.is_required() { Err(body_missing()) } else { Ok(Next::Pass) };
        }
        // A filter that can't read a body must not pass it.
        if headers
            .all(b"content-encoding")
            .any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
        {
            return Err(unsupported());
        }
        let Ok(content_type) = headers.single(b"content-type") else {
            return Err(invalid(vec![error("header", "content-type", "duplicate")]));
        };
        let sent = content_type.and_then(MediaType::parse);
        let Some((sent, content)) = sent.and_then(|sent| body.content(&sent).map(|content| (sent, content)))
        else {
            return Err(unsupported());
        };
        let required = body.is_required();
        Ok(Next::Body(match content {
            Content::Schema(schema) => BodyCheck::Json { required, schema: Some(schema) },
            Content::Opaque if sent.is_json() => BodyCheck::Json { required, schema: None },
            Content::Opaque => BodyCheck::Opaque { required },
        }))
    }

    /// Judges a whole body.
    ///
    /// # Errors
    /// The denial: a body where none may be, none where one must be, not JSON, not what the schema asks for.
    pub fn check_body(&self, check: BodyCheck, body: &[u8]) -> Result<(), Denial> {
        let (required, schema) = match check {
            BodyCheck::Empty if body.is_empty() => return Ok(()),
            BodyCheck::Empty => return Err(body_not_allowed()),
            BodyCheck::Opaque { required } => (required, None),
            BodyCheck::Json { required, schema } => (required, schema),
        };
        if body.is_empty() {
            return if required { Err(body_missing()) } else { Ok(()) };
        }
        if matches!(check, BodyCheck::Opaque { .. }) {
            return Ok(());
        }
        let value = json::parse(body, json::Limits::default()).map_err(|failure| {
            denied(Reason("schema.invalid_json"), vec![error("body", "", json_rule(failure.problem))])
        })?;
        let outcome =
            schema.map_or(Outcome::Valid, |schema| self.api.schemas().validate(schema, &value, body.len()));
        match outcome {
            Outcome::Valid => Ok(()),
            Outcome::Invalid(violations) => Err(invalid(
                violations.into_iter().map(|one| error("body", &one.pointer, one.rule)).collect(),
            )),
            Outcome::TooComplex => Err(too_complex()),
        }
    }
}

fn error(location: &'static str, pointer: &str, rule: &str) -> FieldError {
    FieldError { location, pointer: truncate(pointer, MAX_POINTER).into(), rule: rule.to_owned() }
}

/// What is wrong with a text that is not JSON, in words of this filter.
const fn json_rule(problem: JsonProblem) -> &'static str {
    match problem {
        JsonProblem::Syntax | JsonProblem::Truncated => "syntax",
        JsonProblem::NotUtf8 => "encoding",
        JsonProblem::DuplicateName => "duplicate",
        JsonProblem::TooDeep => "depth",
        JsonProblem::TooManyValues => "size",
        JsonProblem::NumberRange => "number",
    }
}

fn denied(reason: Reason, errors: Vec<FieldError>) -> Denial {
    Denial { errors, ..Denial::new(400, reason, "Bad Request") }
}

fn invalid(errors: Vec<FieldError>) -> Denial {
    denied(Reason("schema.invalid"), errors)
}

fn too_complex() -> Denial {
    denied(Reason("schema.too_complex"), Vec::new())
}

fn body_missing() -> Denial {
    denied(Reason("schema.body_missing"), vec![error("body", "", "required")])
}

fn body_not_allowed() -> Denial {
    denied(Reason("schema.body_not_allowed"), Vec::new())
}

fn unsupported() -> Denial {
    Denial::new(415, Reason("schema.unsupported_media_type"), "Unsupported Media Type")
}

#[cfg(test)]
mod tests;
