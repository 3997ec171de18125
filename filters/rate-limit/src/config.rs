//! What an operator writes.

mod limit;
mod matches;
mod service;

use std::fmt;

use portcullis_core::client::ClientAddressConfig;
use portcullis_core::config::ByteSize;
use portcullis_core::verdict::OnError;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

pub use self::limit::{Cost, FailuresConfig, KeyPart, LimitConfig, Missing};
pub use self::matches::{ClaimCondition, ExemptionConfig, Matches};
pub use self::service::{GlobalConfig, OnFailure, ServiceConfig};
use crate::defaults;

/// The whole configuration. Example: `envoy-config/rate-limit.yaml`.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What happens to a request that can't be counted because the proxy fails.
    #[serde(default)]
    pub on_error: OnError,
    /// The limits; all that match a request apply to it. 1 to 64.
    pub limits: Vec<LimitConfig>,
    /// The service that counts limits which several Envoys share.
    pub rate_limit_service: Option<ServiceConfig>,
    /// Requests that no limit applies to, at most 64 descriptions.
    #[serde(default)]
    pub exempt: Vec<ExemptionConfig>,
    /// How `client_address` is found: the peer's address, IPv6 folded to /64, unless said otherwise.
    #[serde(default)]
    pub client_address: ClientAddressConfig,
    /// Keys that each limit counts at once, a multiple of 8 from 64 to 1048576.
    #[serde(default = "defaults::slots")]
    pub slots: Count,
    /// The longest body that is read for a key, at most 1 MiB; a longer one is refused.
    #[serde(default = "defaults::max_body")]
    pub max_body: ByteSize,
    /// The status of a refusal, 400 to 599.
    #[serde(default = "defaults::status")]
    pub status: Count,
    /// Which responses carry the `RateLimit` fields.
    #[serde(default)]
    pub headers: Fields,
    /// Whether they carry `X-RateLimit-Limit`, `-Remaining` and `-Reset` as well, for clients that know nothing else.
    #[serde(default)]
    pub legacy_headers: bool,
}

/// Which responses carry `RateLimit` and `RateLimit-Policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// A whole number from 0 to 1000000000. A Protobuf `Struct` has no integers, so `100.0` is one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Count(#[cfg_attr(feature = "schema", schemars(range(max = 1_000_000_000)))] pub u32);

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
    use portcullis_core::{Mode, config};

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
        assert_eq!((limit.key.as_deref(), limit.missing), (None, Missing::LimitTogether));
        assert_eq!((limit.matches.is_empty(), limit.burst, limit.mode), (true, None, Mode::Enforce));
        assert_eq!((limit.cost.clone(), limit.concurrent, limit.failures.is_none()), (None, None, true));
    }

    #[test]
    fn keys_are_read() {
        let config = limit(
            r#""requests": 5, "per": "1m", "key": ["client_address", {"claim": "sub"}, {"header": "X-Key"}, "method",
               {"property": ["connection", "requested_server_name"]}]"#,
        );
        let expected = [
            KeyPart::ClientAddress,
            KeyPart::Claim("sub".to_owned()),
            KeyPart::Header("X-Key".to_owned()),
            KeyPart::Method,
            KeyPart::Property(vec!["connection".to_owned(), "requested_server_name".to_owned()]),
        ];
        assert_eq!(config.unwrap().limits[0].key.as_deref(), Some(&expected[..]));
    }

    // covers: ENV-RL-10
    #[test]
    fn mistakes_are_named() {
        for (name, fields, expected) in [
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
