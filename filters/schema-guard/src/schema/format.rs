//! `format` as an assertion. Formats that are not listed here are annotations, as JSON Schema has it.

mod time;
mod uri;

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// A format that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Int32,
    Int64,
    DateTime,
    Date,
    Time,
    Duration,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Uri,
    UriReference,
    Iri,
    IriReference,
    JsonPointer,
    Uuid,
    Byte,
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "date-time" => Self::DateTime,
            "date" => Self::Date,
            "time" => Self::Time,
            "duration" => Self::Duration,
            "email" => Self::Email,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "uri" => Self::Uri,
            "uri-reference" => Self::UriReference,
            "iri" => Self::Iri,
            "iri-reference" => Self::IriReference,
            "json-pointer" => Self::JsonPointer,
            "uuid" => Self::Uuid,
            "byte" => Self::Byte,
            _ => return None,
        })
    }

    pub(super) const fn is_for_numbers(self) -> bool {
        matches!(self, Self::Int32 | Self::Int64)
    }

    /// Whether a number fits. Only integers are judged; a fraction is the business of `type`.
    pub(super) fn accepts_number(self, value: &Value) -> bool {
        let within = |low: f64, above: f64| value.as_f64().is_some_and(|float| low <= float && float < above);
        match self {
            Self::Int32 => within(-2_147_483_648.0, 2_147_483_648.0),
            // 2^63 is a double, 2^63 - 1 is not.
            Self::Int64 => {
                value.is_i64()
                    || (value.is_f64() && within(-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0))
            }
            _ => true,
        }
    }

    /// Whether a text has the format. Linear time.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Int32 | Self::Int64 => true,
            Self::DateTime => time::date_time(text),
            Self::Date => time::date(text),
            Self::Time => time::time(text),
            Self::Duration => time::duration(text),
            Self::Email => email(text),
            Self::Hostname => hostname(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Uri => text.is_ascii() && uri::iri(text),
            Self::UriReference => text.is_ascii() && uri::iri_reference(text),
            Self::Iri => uri::iri(text),
            Self::IriReference => uri::iri_reference(text),
            Self::JsonPointer => json_pointer(text),
            Self::Uuid => uuid(text),
            Self::Byte => base64(text),
        }
    }
}

/// RFC 5321 section 4.1.2 `Mailbox`: dot-atom or quoted string, at a host name or an address literal.
fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    let quoted = || {
        let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner.is_some_and(|inner| {
            let mut bytes = inner.bytes();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'\\' if bytes.next().is_some_and(|next| (32..127).contains(&next)) => {}
                    b'"' | b'\\' => return false,
                    32..127 => {}
                    _ => return false,
                }
            }
            true
        })
    };
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let domain_fits = match literal {
        Some(literal) => match literal.strip_prefix("IPv6:") {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<Ipv4Addr>().is_ok(),
        },
        None => hostname(domain),
    };
    local.len() <= 64 && domain_fits && (local.split('.').all(atom) || quoted())
}

/// RFC 1123 section 2.1. `xn--` labels are not decoded.
fn hostname(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                // RFC 5891 section 4.2.3.1: the third and fourth place are for the prefixes of IDNA.
                && (label.get(2..4) != Some("--") || label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("xn--")))
        })
}

/// RFC 6901: each token behind a `/`, `~` only as `~0` or `~1`.
fn json_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// RFC 4122: groups of 8, 4, 4, 4 and 12 hex digits.
fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// RFC 4648 section 4, with padding.
fn base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len().saturating_sub(body.len()) <= 2
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    // covers: HOST-ALGO-08
    #[test]
    fn texts_are_checked_by_their_standard() {
        for (format, accepted, refused) in [
            (
                "date-time",
                &[
                    "2024-02-29T12:00:00Z",
                    "1985-04-12t23:20:50.52z",
                    "2016-12-31T23:59:60Z",
                    "2016-12-31T15:59:60-08:00",
                ][..],
                &[
                    "2023-02-29T12:00:00Z",
                    "9999-99-99T99:99:99Z",
                    "2024-01-01T12:00:60Z",
                    "2024-01-01T12:00:00",
                    "2024-01-01 12:00:00Z",
                    "2024-01-01T12:00:00.Z",
                    "２024-01-01T12:00:00Z",
                ][..],
            ),
            (
                "date",
                &["0000-01-01", "2000-02-29"],
                &["1900-02-29", "2024-1-01", "2024-13-01", "2024-01-01-"],
            ),
            (
                "time",
                &["12:00:00Z", "12:00:00+01:00"],
                &["12:00Z", "24:00:00Z", "12:00:00+24:00", "12:00:00"],
            ),
            (
                "duration",
                &["P1Y2M3D", "PT1H", "P4W", "P1DT12H"],
                &["P", "PT", "1D", "P1", "P1D2H", "P1YT", "P2D1Y", "P1Y2W"],
            ),
            (
                "email",
                &["a.b+c@example.com", "\"a b\"@x.test", "a@[127.0.0.1]"],
                &["a@", "@b", "a b@c.test", ".a@b.test", "a..b@c.test", "a@b@c.test"],
            ),
            (
                "hostname",
                &["a", "a-b.example", "xn--4gbwdl.xn--wgbh1c"],
                &["", "-a", "a-", "a_b", "a..b", "ab--cd.test"],
            ),
            ("ipv4", &["127.0.0.1"], &["127.0.0.01", "256.0.0.1", "1.2.3", "0x7f.0.0.1"]),
            ("ipv6", &["::1", "::ffff:1.2.3.4"], &["::1%eth0", "12345::", "1:2"]),
            (
                "uri",
                &["https://u@h.test:80/p;a?q#f", "urn:a:b", "http://[::1]/"],
                &["//h/p", "/p", "http://a b", "http://a/%zz", "http://[::1", "http://h:x/", "a\\b:c"],
            ),
            ("uri-reference", &["/a?b", "a/b:c", "#f", ""], &["a b", "%4", "\\a", "1:b"]),
            ("iri", &["http://ƒøø.ßår/?∂éœ=πîx"], &["http://a b.ø", "ƒøø", "http://2001:0db8::7334"]),
            ("json-pointer", &["", "/a~0b/~1"], &["a", "/~", "/~2", "#/a"]),
            (
                "uuid",
                &["2EB8AA08-aa98-11ea-b4aa-73b441d16380"],
                &["2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4ga-73b441d16380"],
            ),
            ("byte", &["", "YQ==", "YWJj"], &["YQ", "YQ=", "Y-_j", "===="]),
        ] {
            let checked = Format::named(format).unwrap();
            for text in accepted {
                assert!(checked.accepts(text), "{format} {text}");
            }
            for text in refused {
                assert!(!checked.accepts(text), "{format} {text}");
            }
        }
        assert_eq!(Format::named("phone-number"), None);
    }

    // covers: ENV-BODY-13
    #[test]
    fn integers_have_their_width() {
        for (format, value, expected) in [
            ("int32", json!(2_147_483_647), true),
            ("int32", json!(2_147_483_648_u64), false),
            ("int32", json!(-2_147_483_648_i64), true),
            ("int32", json!(1e10), false),
            ("int64", json!(i64::MAX), true),
            ("int64", json!(u64::MAX), false),
            ("int64", json!(1e300), false),
        ] {
            assert_eq!(Format::named(format).unwrap().accepts_number(&value), expected, "{format} {value}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "[-0-9:.TZPWDHMSY+/@%\\[\\]a-f]{0,40}") {
            for name in ["date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uri-reference", "uuid", "byte"] {
                let format = Format::named(name).unwrap();
                format.accepts(&text);
                format.accepts(&near);
            }
        }
    }
}
