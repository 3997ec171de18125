//! What an operator writes.

use std::fmt;

use portcullis_core::client::ClientAddressConfig;
use portcullis_core::config::TimeSpan;
use portcullis_core::routes::Selector;
use portcullis_core::verdict::{Mode, OnError};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use crate::defaults;

/// The whole configuration. Example: `envoy-config/rate-limit.yaml`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What happens to a request that can't be counted because the proxy fails. Default: deny.
    #[serde(default)]
    pub on_error: OnError,
    /// The limits; all that match a request apply to it. At least one, at most [`defaults::MAX_LIMITS`].
    pub limits: Vec<LimitConfig>,
    /// How `client_address` is found. Default: the peer's address, IPv6 folded to /64.
    #[serde(default)]
    pub client_address: ClientAddressConfig,
    /// Keys that each limit counts at once, [`defaults::MIN_SLOTS`] to [`defaults::MAX_SLOTS`]. Default:
    /// [`defaults::SLOTS`].
    #[serde(default = "default_slots")]
    pub slots: Count,
    /// Which responses carry the `RateLimit` fields. Default: refusals.
    #[serde(default)]
    pub headers: Fields,
}

/// One limit: a token bucket for each key.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Names the limit in events, in the `RateLimit` fields and in the shared state; unique.
    pub id: String,
    /// Which requests it is for. Default: all.
    #[serde(default, rename = "match")]
    pub selector: Option<Selector>,
    /// What has a bucket of its own: all parts together. An empty list is one bucket for all. Default:
    /// [`defaults::key`].
    #[serde(default = "defaults::key")]
    pub key: Vec<KeyPart>,
    /// What happens to a request that lacks a part of the key. Default: limit together.
    #[serde(default)]
    pub missing: Missing,
    /// Tokens that are added in every period, 0 to [`defaults::MAX_COUNT`]. 0 refuses every request.
    pub requests: Count,
    /// The period, whole seconds from `1s` to `365d`.
    pub per: TimeSpan,
    /// Tokens in a full bucket, 1 to [`defaults::MAX_COUNT`]. Default: `requests`.
    pub burst: Option<Count>,
    /// Whether the limit refuses, only reports, or does nothing. Default: enforce.
    #[serde(default)]
    pub mode: Mode,
}

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// The client's address; see [`Config::client_address`].
    ClientAddress,
    /// A claim of the verified identity, by name or by a path joined with `.`; always together with its issuer.
    Claim(String),
    /// The value of a request header field, which a client can choose unless something before this filter checks
    /// it.
    Header(String),
}

/// What happens to a request that lacks a part of a limit's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// All requests that lack the part share a bucket; the other parts still count.
    #[default]
    LimitTogether,
    /// The limit does not apply.
    Skip,
}

/// Which responses carry `RateLimit` and `RateLimit-Policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fields {
    /// Every response to a request that a limit applies to.
    Always,
    /// Refusals only: editing a response costs two calls of the proxy.
    #[default]
    Refused,
    /// None. Refusals still carry `Retry-After`.
    Off,
}

/// A whole number from 0 to [`defaults::MAX_COUNT`]. A Protobuf `Struct` has no integers, so `100.0` is one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u32);

const fn default_slots() -> Count {
    Count(defaults::SLOTS)
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {}", defaults::MAX_COUNT)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
        let count = u32::try_from(number).ok().filter(|count| *count <= defaults::MAX_COUNT);
        count.map(Count).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Count, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_core::config;

    use super::*;

    fn limit(fields: &str) -> Result<Config, String> {
        let document = format!(r#"{{"limits": [{{"id": "a", {fields}}}]}}"#);
        config::load(document.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_short_limit_has_the_safe_defaults() {
        let config = limit(r#""requests": 5, "per": "1m""#).unwrap();
        assert_eq!(
            (config.on_error, config.slots, config.headers),
            (OnError::Deny, Count(16_384), Fields::Refused)
        );
        assert_eq!(config.client_address, ClientAddressConfig::default());
        let limit = &config.limits[0];
        assert_eq!((&limit.key[..], limit.missing), (&[KeyPart::ClientAddress][..], Missing::LimitTogether));
        assert_eq!((limit.selector.as_ref(), limit.burst, limit.mode), (None, None, Mode::Enforce));
    }

    #[test]
    fn keys_are_read() {
        let config = limit(
            r#""requests": 5, "per": "1m", "key": ["client_address", {"claim": "sub"}, {"header": "X-Key"}]"#,
        );
        let expected =
            [KeyPart::ClientAddress, KeyPart::Claim("sub".to_owned()), KeyPart::Header("X-Key".to_owned())];
        assert_eq!(config.unwrap().limits[0].key, expected);
    }

    // covers: ENV-RL-10
    #[test]
    fn mistakes_are_named() {
        for (name, fields, expected) in [
            ("no rate", r#""per": "1m""#, "requests"),
            ("no period", r#""requests": 5"#, "per"),
            ("a period without its unit", r#""requests": 5, "per": 60"#, "limits[0].per: "),
            ("negative", r#""requests": -1, "per": "1m""#, "limits[0].requests: "),
            ("2^32", r#""requests": 4294967296, "per": "1m""#, "limits[0].requests: "),
            ("2^53", r#""requests": 9007199254740992, "per": "1m""#, "limits[0].requests: "),
            ("a fraction", r#""requests": 1.5, "per": "1m""#, "limits[0].requests: "),
            ("a negative burst", r#""requests": 1, "per": "1m", "burst": -3"#, "limits[0].burst: "),
            ("text", r#""requests": "5", "per": "1m""#, "limits[0].requests: "),
            ("a misspelt field", r#""requests": 5, "per": "1m", "bursts": 3"#, "bursts"),
            ("an unknown key", r#""requests": 5, "per": "1m", "key": ["ip"]"#, "limits[0].key[0]"),
            ("an unknown mode", r#""requests": 5, "per": "1m", "mode": "on"#, ""),
        ] {
            let error = limit(fields).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
