//! One parameter: where it is, how it is written, and what its value must be.

mod input;

use portcullis_core::denial::FieldError;
use portcullis_core::redact::truncate;
use portcullis_core::{ConfigError, json};
use serde_json::Value;

use super::style::{self, Style};
use super::{TooComplex, violations};
use crate::document::Located;
use crate::schema::{Compiler, NodeId, Schemas, Shape};
use input::Input;

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
        FieldError {
            location: self.name(),
            pointer: truncate(pointer, MAX_POINTER).into(),
            rule: rule.into(),
        }
    }
}

impl Parameter {
    /// Reads a parameter; none for the header fields that OpenAPI says to ignore.
    pub(super) fn read<'d>(
        at: &Located<'d>,
        compiler: &mut Compiler<'d>,
    ) -> Result<Option<Self>, ConfigError> {
        at.only(PARAMETER)?;
        let member = |name: &str| {
            at.member(name).ok_or_else(|| at.error(format!("expected a field `{name}`, found none")))
        };
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
        Ok(Some(Self {
            location,
            name,
            required,
            allow_empty,
            style,
            explode,
            schema,
            shape,
            items,
            is_json,
        }))
    }

    fn json_schema<'d>(content: &Located<'d>, compiler: &mut Compiler<'d>) -> Result<NodeId, ConfigError> {
        let mut entries = content.members()?;
        let (Some((media_type, entry)), None) = (entries.next(), entries.next()) else {
            return Err(content.error("expected one media type"));
        };
        if !super::content::is_json(media_type) {
            return Err(content.error(format!("expected a JSON media type, found `{media_type}`")));
        }
        let schema =
            entry.member("schema").ok_or_else(|| entry.error("expected a field `schema`, found none"))?;
        compiler.schema(&schema)
    }

    fn style(at: &Located<'_>, location: Location) -> Result<Style, ConfigError> {
        let style = Style::named(at.text()?);
        let fits = match location {
            Location::Path => matches!(style, Some(Style::Simple | Style::Label)),
            Location::Header => style == Some(Style::Simple),
            Location::Cookie => style == Some(Style::Form),
            Location::Query => {
                matches!(
                    style,
                    Some(Style::Form | Style::SpaceDelimited | Style::PipeDelimited | Style::DeepObject)
                )
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
        !self.is_json
            && self.shape.admits_object()
            && !self.shape.admits_array()
            && !self.shape.admits_scalar()
    }

    fn is_array(&self) -> bool {
        !self.is_json && self.shape.admits_array()
    }

    /// Adds what is wrong with the input to `errors`.
    pub(super) fn check(
        &self,
        input: Input,
        schemas: &Schemas,
        errors: &mut Vec<FieldError>,
    ) -> Result<(), TooComplex> {
        if matches!(input, Input::Absent) && !self.required {
            return Ok(());
        }
        let len = input.len();
        let values = match self.readings(input, schemas) {
            Ok(values) => values,
            Err(Unread::Broken(rule)) => {
                errors.push(self.location.error(&self.name, rule));
                return Ok(());
            }
            Err(Unread::TooComplex) => return Err(TooComplex),
        };
        // One valid reading is enough; else the first one's mistakes are reported.
        let mut first = None;
        for value in &values {
            let violations = violations(schemas, self.schema, value, len)?;
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

    /// The values that the input may stand for.
    fn readings(&self, input: Input, schemas: &Schemas) -> Result<Vec<Value>, Unread> {
        match input {
            Input::Absent => Err(Unread::Broken("required")),
            Input::Broken(rule) => Err(Unread::Broken(rule)),
            Input::Empty => Ok(Vec::new()),
            Input::Text(text) if self.is_json => {
                match json::parse(text.as_bytes(), json::Limits::default()) {
                    Ok(value) => Ok(vec![value]),
                    Err(_) => Err(Unread::Broken("json")),
                }
            }
            Input::Text(text) => Ok(style::scalar(&text, self.shape)),
            Input::Pieces(pieces) => {
                let mut values = vec![style::array(&pieces, self.items, schemas)?];
                if let ([one], true) = (pieces.as_slice(), self.shape.admits_scalar()) {
                    values.extend(style::scalar(one, self.shape));
                }
                Ok(values)
            }
            Input::Members(members) => match style::object(&members, self.schema, schemas)? {
                Some(object) => Ok(vec![object]),
                None => Err(Unread::Broken("duplicate")),
            },
        }
    }
}

/// Why an input has no value.
enum Unread {
    /// The rule that it breaks.
    Broken(&'static str),
    TooComplex,
}

impl From<TooComplex> for Unread {
    fn from(_: TooComplex) -> Self {
        Self::TooComplex
    }
}

#[cfg(test)]
mod tests;
