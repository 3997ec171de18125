//! Keeps credentials of our users, and our own, from servers of somebody else.
//!
//! A field is one by its name, or by a value that is a credential wherever it stands.

use portcullis_core::headers::Headers;
use portcullis_core::redact::is_sensitive_name;
use portcullis_core::verdict::Mode;
use portcullis_core::{ConfigError, Denial};

use crate::config::OutgoingConfig;
use crate::data::CREDENTIALS;
use crate::denials;
use crate::names::Pattern;
use crate::policy::{Edit, patterns};
use crate::request::{INDISPENSABLE, check_removable};

/// Schemes of `Authorization` whose credentials are of use to whoever reads them.
const SCHEMES: [&[u8]; 3] = [b"bearer", b"basic", b"dpop"];

/// A policy, ready to run.
#[derive(Debug)]
pub struct Outgoing {
    mode: Mode,
    headers: Vec<Pattern>,
    keep: Vec<Pattern>,
}

impl Outgoing {
    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for what is no name, for a name that is in both lists, and for one that a request can't do without.
    pub fn new(config: &OutgoingConfig) -> Result<Self, ConfigError> {
        let headers = patterns("headers", &config.headers)?;
        let keep = patterns("keep", &config.keep)?;
        check_removable("headers", &headers, &keep)?;
        Ok(Self { mode: config.mode, headers, keep })
    }

    /// Removes every field that holds a credential; in mode `report` says only that there is one. Linear in the size of
    /// the fields.
    pub fn check(&self, headers: &Headers, edit: &mut dyn FnMut(Edit<'_>)) -> Option<Denial> {
        if self.mode == Mode::Off {
            return None;
        }
        let mut credentials = headers.iter().filter(|(name, value)| self.is_credential(name, value));
        if self.mode == Mode::Report {
            return credentials.next().map(|_| denials::outgoing_credential());
        }
        credentials.for_each(|(name, _)| edit(Edit::Remove(name)));
        None
    }

    fn is_credential(&self, name: &[u8], value: &[u8]) -> bool {
        let stays = name.starts_with(b":")
            || INDISPENSABLE.contains(&name)
            || self.keep.iter().any(|pattern| pattern.matches(name));
        let (false, Ok(text)) = (stays, std::str::from_utf8(name)) else {
            return false;
        };
        is_sensitive_name(text)
            || CREDENTIALS.iter().any(|(known, _)| *known == text)
            || self.headers.iter().any(|pattern| pattern.matches(name))
            || has_scheme(value)
            || has_jwt(value)
    }
}

/// Whether a value is credentials as `Authorization` has them (RFC 9110 section 11.4).
fn has_scheme(value: &[u8]) -> bool {
    let mut words = value.trim_ascii().splitn(2, |byte| *byte == b' ');
    let scheme = words.next().unwrap_or_default();
    SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) && words.next().is_some()
}

/// Whether there is a JWT anywhere in a value: `eyJ` is `{"` in base64url. A detached signature, which has no claims
/// (RFC 7515 appendix F), is none.
fn has_jwt(value: &[u8]) -> bool {
    value
        .split(|byte| !matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
        .any(is_jwt)
}

/// Three parts with claims, or the five of an encrypted one, whose second part may be empty (RFC 7516 section 3.1).
fn is_jwt(word: &[u8]) -> bool {
    let mut parts = word.split(|byte| *byte == b'.');
    while let Some(part) = parts.next() {
        if part.windows(3).any(|letters| letters == b"eyJ") {
            let has_claims = parts.clone().next().is_some_and(|claims| !claims.is_empty());
            let others = parts.clone().take(4).count();
            if others == 4 || (others >= 2 && has_claims) {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests;
