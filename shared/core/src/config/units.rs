//! Values with a unit, and secrets by reference.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use super::ConfigError;

/// A length of time, written with its unit: `"100ms"`, `"30s"`, `"5m"`, `"1h"`, `"1d"`. Whole numbers only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// From a duration, for defaults.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// From whole seconds, for defaults.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.checked_mul(milliseconds).map(|total| Self(Duration::from_millis(total)))
    }
}

/// As an operator would write it, in the largest unit that fits.
impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.iter().find(|(size, _)| total >= *size && total.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", total.checked_div(*size).unwrap_or_default()),
            None if total == 0 => f.write_str("0s"),
            None => write!(f, "{total}ms"),
        }
    }
}

/// A number of bytes, written with its unit: `"512B"`, `"64KiB"`, `"1MiB"`, `"1GiB"`. Whole numbers only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(usize);

impl ByteSize {
    /// From a number of bytes, for defaults.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let size: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(size).and_then(|total| usize::try_from(total).ok()).map(Self)
    }
}

/// As an operator would write it, in the largest unit that fits.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_usize << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(size, _)| self.0 >= *size && self.0.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", self.0.checked_div(*size).unwrap_or_default()),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// For JSON Schema: the form, and defaults as an operator would write them.
#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use serde::{Serialize, Serializer};

    use super::{ByteSize, TimeSpan};

    impl JsonSchema for TimeSpan {
        fn schema_name() -> Cow<'static, str> {
            "TimeSpan".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "type": "string",
                "pattern": "^[0-9]+(ms|s|m|h|d)$",
                "description": "A length of time with its unit: ms, s, m, h or d.",
            })
        }
    }

    impl Serialize for TimeSpan {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl JsonSchema for ByteSize {
        fn schema_name() -> Cow<'static, str> {
            "ByteSize".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "type": "string",
                "pattern": "^[0-9]+(B|KiB|MiB|GiB)$",
                "description": "A number of bytes with its unit: B, KiB, MiB or GiB.",
            })
        }
    }

    impl Serialize for ByteSize {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }
}

/// Digits, then the unit. No sign, fraction, space or empty number.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// Reads a unit type from a string; a plain number has no unit and is refused.
struct WithUnit<T> {
    parse: fn(&str) -> Option<T>,
    expected: &'static str,
}

impl<T> Visitor<'_> for WithUnit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration with its unit (ms, s, m, h, d) such as `30s`";
        deserializer.deserialize_str(WithUnit { parse: Self::parse, expected })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a size with its unit (B, KiB, MiB, GiB) such as `64KiB`";
        deserializer.deserialize_str(WithUnit { parse: Self::parse, expected })
    }
}

/// A secret by reference, `{"env": "NAME"}`: the value comes from the VM's environment and never stands in a
/// configuration file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Name of the environment variable.
    pub env: String,
}

impl SecretRef {
    /// Fetches the secret by `env`, which looks up an environment variable.
    ///
    /// # Errors
    /// [`ConfigError`] at `env` when the variable is not set or empty: an empty key must not pass as a key.
    pub fn resolve(&self, env: impl Fn(&str) -> Option<String>) -> Result<Secret, ConfigError> {
        match env(&self.env) {
            Some(value) if !value.is_empty() => Ok(Secret(value)),
            Some(_) => Err(self.error("is empty")),
            None => Err(self.error("is not set")),
        }
    }

    fn error(&self, problem: &str) -> ConfigError {
        let name = &self.env;
        ConfigError::new(
            "env",
            format!("expected the name of a variable with a secret, but `{name}` {problem}"),
        )
    }
}

/// A secret that shows itself only when asked. Compare with [`crate::constant_time::equal`].
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret itself: for keys and comparisons, never for a log or an answer.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: HOST-TRAP-08
    #[test]
    fn a_duration_needs_a_unit() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("100ms", Some(100)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("30", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1S", None),
            ("1h30m", None),
            ("18446744073709551s", Some(18_446_744_073_709_551_000)),
            ("18446744073709552s", None),
            ("18446744073709551615ms", Some(u64::MAX)),
            ("18446744073709551616ms", None),
            ("213503982334d", Some(213_503_982_334 * 86_400_000)),
            ("213503982335d", None),
            ("99999999999999999999s", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(
                TimeSpan::parse(text),
                expected.map(|ms| TimeSpan(Duration::from_millis(ms))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_size_needs_a_unit() {
        for (text, expected) in [
            ("0B", Some(0)),
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("1GiB", Some(1 << 30)),
            ("64", None),
            ("64KB", None),
            ("64kib", None),
            ("1.5MiB", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(ByteSize::parse(text), expected.map(ByteSize), "{text}");
        }
    }

    #[test]
    fn units_are_written_as_they_are_read() {
        for text in ["0s", "100ms", "1500ms", "30s", "90s", "5m", "1h", "1d"] {
            assert_eq!(TimeSpan::parse(text).unwrap().to_string(), text);
        }
        for text in ["0B", "512B", "1025B", "64KiB", "1MiB", "1536KiB", "1GiB"] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_secret_comes_from_the_environment_and_stays_hidden() {
        let resolve = |name: &str| {
            SecretRef { env: name.to_owned() }.resolve(|name| match name {
                "KEY" => Some("s3cret".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            })
        };
        let secret = resolve("KEY").unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("s3cret", "Secret(***)"));
        for (name, problem) in [("EMPTY", "`EMPTY` is empty"), ("NONE", "`NONE` is not set")] {
            let expected = format!("env: expected the name of a variable with a secret, but {problem}");
            assert_eq!(resolve(name).unwrap_err().to_string(), expected);
        }
    }
}
