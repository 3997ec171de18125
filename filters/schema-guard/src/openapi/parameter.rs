//! One parameter: where it is, how it is written, and what its value must be.

use portcullis_core::denial::FieldError;
use portcullis_core::redact::truncate;
use portcullis_core::{ConfigError, Request, json};
use serde_json::Value;

use super::query::{Pair, Query};
use super::style::{self, Style};
use super::{TooComplex, violations};
use crate::document::Located;
use crate::schema::{Compiler, NodeId, Schemas, Shape};

/// Members of a parameter (OpenAPI 3.1.1 section 4.8.12).
const PARAMETER: &[&str] = &[
    "name",
    "in",
    "description",
    "required",
    "deprecated",
    "allowEmptyValue",
    "style",
    "explode",
    "allowReserved",
    "schema",
    "example",
    "examples",
    "content",
];

/// Longest text of a client that an error repeats, in bytes.
const MAX_POINTER: usize = 200;

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Path,
    Query,
    Header,
    Cookie,
}

/// A documented parameter.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    location: Location,
    name: String,
    required: bool,
    allow_empty: bool,
    style: Style,
    explode: bool,
    schema: NodeId,
    shape: Shape,
    items: Option<NodeId>,
    /// `content: application/json`: the text is JSON.
    is_json: bool,
}

/// What a request has for a parameter, still text.
pub(super) enum Input {
    Absent,
    /// One value.
    Text(String),
    /// The pieces of one value, or repeated values.
    Pieces(Vec<String>),
    /// The members of an object.
    Members(Vec<(String, String)>),
    /// It can't be read: the rule that it breaks.
    Broken(&'static str),
}

impl Location {
    const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }

    /// An error about something here. `pointer` may be a client's text, so its length is bounded.
    pub(super) fn error(self, pointer: &str, rule: impl Into<String>) -> FieldError {
        FieldError { location: self.name(), pointer: truncate(pointer, MAX_POINTER).into(), rule: rule.into() }
    }
}

impl Parameter {
    /// Reads a parameter; none for the header fields that OpenAPI says to ignore.
    pub(super) fn read<'d>(at: &Located<'d>, compiler: &mut Compiler<'d>) -> Result<Option<Self>, ConfigError> {
        at.only(PARAMETER)?;
        let member = |name: &str| at.member(name).ok_or_else(|| at.error(format!("expected a field `{name}`, found none")));
        let flag = |name: &str| at.member(name).map(|flag| flag.flag()).transpose();
        let (place, mut name) = (member("in")?, member("name")?.text()?.to_owned());
        let location = match place.text()? {
            "path" => Location::Path,
            "query" => Location::Query,
            "header" => Location::Header,
            "cookie" => Location::Cookie,
            _ => return Err(place.expected("one of `path`, `query`, `header`, `cookie`")),
        };
        if location == Location::Header {
            name.make_ascii_lowercase();
            if matches!(name.as_str(), "accept" | "content-type" | "authorization") {
                return Ok(None);
            }
        }
        let required = flag("required")?.unwrap_or(false);
        if location == Location::Path && !required {
            return Err(at.error("expected `required: true` for a path parameter"));
        }
        let (schema, is_json) = match (at.member("schema"), at.member("content")) {
            (Some(schema), None) => (compiler.schema(&schema)?, false),
            (None, Some(content)) => (Self::json_schema(&content, compiler)?, true),
            _ => return Err(at.error("expected either `schema` or `content`")),
        };
        let style = match at.member("style") {
            Some(style) => Self::style(&style, location)?,
            None if matches!(location, Location::Path | Location::Header) => Style::Simple,
            None => Style::Form,
        };
        let explode = flag("explode")?.unwrap_or(style == Style::Form);
        let (shape, items) = (compiler.schemas().shape(schema), compiler.schemas().items(schema));
        let allow_empty = flag("allowEmptyValue")?.unwrap_or(false);
        Ok(Some(Self { location, name, required, allow_empty, style, explode, schema, shape, items, is_json }))
    }

    fn json_schema<'d>(content: &Located<'d>, compiler: &mut Compiler<'d>) -> Result<NodeId, ConfigError> {
        let mut entries = content.members()?;
        let (Some((media_type, entry)), None) = (entries.next(), entries.next()) else {
            return Err(content.error("expected one media type"));
        };
        if !super::content::is_json(media_type) {
            return Err(content.error(format!("expected a JSON media type, found `{media_type}`")));
        }
        let schema = entry.member("schema").ok_or_else(|| entry.error("expected a field `schema`, found none"))?;
        compiler.schema(&schema)
    }

    fn style(at: &Located<'_>, location: Location) -> Result<Style, ConfigError> {
        let style = Style::named(at.text()?);
        let fits = match location {
            Location::Path => matches!(style, Some(Style::Simple | Style::Label)),
            Location::Header => style == Some(Style::Simple),
            Location::Cookie => style == Some(Style::Form),
            Location::Query => {
                matches!(style, Some(Style::Form | Style::SpaceDelimited | Style::PipeDelimited | Style::DeepObject))
            }
        };
        let expected = match location {
            // `;` in a path is refused as ambiguous: some servers cut matrix parameters off before they route.
            Location::Path => "`simple` or `label` (`matrix` can't be served: `;` is refused in paths)",
            Location::Header => "`simple`",
            Location::Cookie => "`form`",
            Location::Query => "`form`, `spaceDelimited`, `pipeDelimited` or `deepObject`",
        };
        style.filter(|_| fits).ok_or_else(|| at.expected(expected))
    }

    pub(super) const fn location(&self) -> Location {
        self.location
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are the same parameter of an operation.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.location == other.location && self.name == other.name
    }

    /// Whether this takes query parameters by other names than its own.
    pub(super) fn is_greedy(&self) -> bool {
        self.location == Location::Query && self.style == Style::Form && self.explode && self.is_object()
    }

    fn is_object(&self) -> bool {
        !self.is_json && self.shape.admits_object() && !self.shape.admits_array() && !self.shape.admits_scalar()
    }

    fn is_array(&self) -> bool {
        !self.is_json && self.shape.admits_array()
    }

    /// What `request` has for this parameter.
    pub(super) fn input(
        &self,
        request: &Request,
        variables: &[(&str, String)],
        query: &Query<'_>,
        cookies: &[(&str, &str)],
        schemas: &Schemas,
    ) -> Input {
        match self.location {
            Location::Path => match variables.iter().find(|(name, _)| *name == self.name) {
                Some((_, value)) => self.in_path(value),
                None => Input::Absent,
            },
            Location::Query => self.in_query(query, schemas),
            Location::Header => self.in_header(request.headers().all(self.name.as_bytes())),
            Location::Cookie => self.in_cookies(cookies),
        }
    }

    fn in_path(&self, value: &str) -> Input {
        match self.style {
            Style::Label => match value.strip_prefix('.') {
                Some(value) => self.split(value, if self.explode { '.' } else { ',' }),
                None => Input::Broken("style"),
            },
            _ => self.split(value, ','),
        }
    }

    fn in_header<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Input {
        let mut texts = Vec::new();
        for value in values {
            match std::str::from_utf8(value) {
                Ok(text) => texts.push(text.trim()),
                Err(_) => return Input::Broken("encoding"),
            }
        }
        match texts.as_slice() {
            [] => Input::Absent,
            [text] => self.split(text, ','),
            // Several fields are one list (RFC 9110 section 5.3), if it is a list; else two readers could differ.
            many if self.is_array() => self.split(&many.join(","), ','),
            _ => Input::Broken("duplicate"),
        }
    }

    fn in_cookies(&self, cookies: &[(&str, &str)]) -> Input {
        let values: Vec<&str> = cookies.iter().filter(|(name, _)| *name == self.name).map(|(_, value)| *value).collect();
        match values.as_slice() {
            [] => Input::Absent,
            [value] => self.split_plain(value, ','),
            _ => Input::Broken("duplicate"),
        }
    }

    fn in_query(&self, query: &Query<'_>, schemas: &Schemas) -> Input {
        if self.style == Style::DeepObject {
            return self.in_deep_object(query);
        }
        if self.is_greedy() {
            let open = schemas.additional(self.schema).is_some();
            let members = query.take(|name| open || schemas.property(self.schema, name).is_some());
            return match members.as_slice() {
                [] => Input::Absent,
                members => Input::Members(members.iter().map(|pair| (pair.name.clone(), pair.value())).collect()),
            };
        }
        let pairs = query.take(|name| name == self.name);
        match pairs.as_slice() {
            [] => Input::Absent,
            many if self.is_array() && self.explode => Input::Pieces(many.iter().map(|pair| pair.value()).collect()),
            [pair] => self.split_query(pair),
            _ => Input::Broken("duplicate"),
        }
    }

    fn split_query(&self, pair: &Pair<'_>) -> Input {
        match self.style {
            Style::SpaceDelimited => self.split_plain(&pair.value(), ' '),
            Style::PipeDelimited => self.split_plain(&pair.value(), '|'),
            _ if self.is_array() => Input::Pieces(pair.between_commas()),
            _ if self.is_object() => style::alternating(pair.between_commas()).map_or(Input::Broken("style"), Input::Members),
            _ => Input::Text(pair.value()),
        }
    }

    /// `name[member]=value`; a member of a member is not a member.
    fn in_deep_object(&self, query: &Query<'_>) -> Input {
        let member = |name: &str| {
            let inner = name.strip_prefix(self.name.as_str())?.strip_prefix('[')?.strip_suffix(']')?;
            (!inner.contains(['[', ']'])).then(|| inner.to_owned())
        };
        let pairs = query.take(|name| member(name).is_some());
        if pairs.is_empty() {
            return Input::Absent;
        }
        Input::Members(pairs.iter().filter_map(|pair| Some((member(&pair.name)?, pair.value()))).collect())
    }

    /// A text in the form of `simple`: `explode` puts `=` between names and values.
    fn split(&self, text: &str, delimiter: char) -> Input {
        if self.is_object() && self.explode {
            return style::assignments(style::pieces(text, delimiter)).map_or(Input::Broken("style"), Input::Members);
        }
        self.split_plain(text, delimiter)
    }

    fn split_plain(&self, text: &str, delimiter: char) -> Input {
        if self.is_array() {
            Input::Pieces(style::pieces(text, delimiter))
        } else if self.is_object() {
            style::alternating(style::pieces(text, delimiter)).map_or(Input::Broken("style"), Input::Members)
        } else {
            Input::Text(text.to_owned())
        }
    }

    /// Adds what is wrong with the input to `errors`.
    pub(super) fn check(&self, input: Input, schemas: &Schemas, errors: &mut Vec<FieldError>) -> Result<(), TooComplex> {
        let values = match input {
            Input::Absent if self.required => return Ok(self.refuse("required", errors)),
            Input::Absent => return Ok(()),
            Input::Broken(rule) => return Ok(self.refuse(rule, errors)),
            Input::Text(text) if text.is_empty() && self.allow_empty => return Ok(()),
            Input::Text(text) if self.is_json => match json::parse(text.as_bytes(), json::Limits::default()) {
                Ok(value) => vec![value],
                Err(_) => return Ok(self.refuse("json", errors)),
            },
            Input::Text(text) => style::scalar(&text, self.shape),
            Input::Pieces(pieces) => {
                let mut values = vec![style::array(&pieces, self.items, schemas)?];
                if let ([one], true) = (pieces.as_slice(), self.shape.admits_scalar()) {
                    values.extend(style::scalar(one, self.shape));
                }
                values
            }
            Input::Members(members) => match style::object(&members, self.schema, schemas)? {
                Some(object) => vec![object],
                None => return Ok(self.refuse("duplicate", errors)),
            },
        };
        self.check_readings(&values, schemas, errors)
    }

    /// One valid reading is enough; else the first one's mistakes are reported.
    fn check_readings(&self, values: &[Value], schemas: &Schemas, errors: &mut Vec<FieldError>) -> Result<(), TooComplex> {
        let mut first = None;
        for value in values {
            let violations = violations(schemas, self.schema, value)?;
            if violations.is_empty() {
                return Ok(());
            }
            first.get_or_insert(violations);
        }
        for violation in first.into_iter().flatten() {
            errors.push(self.location.error(&format!("{}{}", self.name, violation.pointer), violation.rule));
        }
        Ok(())
    }

    fn refuse(&self, rule: &'static str, errors: &mut Vec<FieldError>) {
        errors.push(self.location.error(&self.name, rule));
    }
}

#[cfg(test)]
mod tests;
