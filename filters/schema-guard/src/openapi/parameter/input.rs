//! What a request has for a parameter, by its place and style.

use portcullis_core::Request;

use super::super::query::{Pair, Query};
use super::super::style::{self, Style};
use super::{Location, Parameter};
use crate::schema::Schemas;

/// What a request has for a parameter, still text.
pub(in crate::openapi) enum Input {
    Absent,
    /// There without a value, which `allowEmptyValue` permits.
    Empty,
    /// One value.
    Text(String),
    /// The pieces of one value, or repeated values.
    Pieces(Vec<String>),
    /// The members of an object.
    Members(Vec<(String, String)>),
    /// It can't be read: the rule that it breaks.
    Broken(&'static str),
}

impl Input {
    /// Bytes of text.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Absent | Self::Empty | Self::Broken(_) => 0,
            Self::Text(text) => text.len(),
            Self::Pieces(pieces) => pieces.iter().map(String::len).sum(),
            Self::Members(members) => {
                members.iter().map(|(name, text)| name.len().saturating_add(text.len())).sum()
            }
        }
    }
}

impl Parameter {
    /// What `request` has for this parameter.
    pub(in crate::openapi) fn input(
        &self,
        request: &Request,
        variables: &[(&str, String)],
        query: &Query<'_>,
        cookies: &[(&str, Option<&str>)],
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

    fn in_cookies(&self, cookies: &[(&str, Option<&str>)]) -> Input {
        let values: Vec<Option<&str>> =
            cookies.iter().filter(|(name, _)| *name == self.name).map(|(_, value)| *value).collect();
        match values.as_slice() {
            [] => Input::Absent,
            [Some(value)] => self.split_plain(value, ','),
            [None] => Input::Broken("malformed"),
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
                members => {
                    Input::Members(members.iter().map(|pair| (pair.name.clone(), pair.value())).collect())
                }
            };
        }
        let pairs = query.take(|name| name == self.name);
        match pairs.as_slice() {
            [] => Input::Absent,
            many if self.is_array() && self.explode => {
                Input::Pieces(many.iter().map(|pair| pair.value()).collect())
            }
            [pair] => self.split_query(pair),
            _ => Input::Broken("duplicate"),
        }
    }

    fn split_query(&self, pair: &Pair<'_>) -> Input {
        match self.style {
            Style::SpaceDelimited => self.split_plain(&pair.value(), ' '),
            Style::PipeDelimited => self.split_plain(&pair.value(), '|'),
            _ if self.is_array() => Input::Pieces(pair.between_commas()),
            _ if self.is_object() => {
                style::alternating(pair.between_commas()).map_or(Input::Broken("style"), Input::Members)
            }
            _ => match pair.value() {
                text if text.is_empty() && self.allow_empty => Input::Empty,
                text => Input::Text(text),
            },
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
            return style::assignments(style::pieces(text, delimiter))
                .map_or(Input::Broken("style"), Input::Members);
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
}
