//! `format` as an assertion. Formats that are not listed here are annotations, as JSON Schema has it.

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
            Self::Int64 => value.is_i64() || (value.is_f64() && within(-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0)),
            _ => true,
        }
    }

    /// Whether a text has the format. Linear time.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Int32 | Self::Int64 => true,
            Self::DateTime => date_time(text),
            Self::Date => date(text),
            Self::Time => time(text),
            Self::Duration => duration(text),
            Self::Email => email(text),
            Self::Hostname => hostname(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Uri => text.is_ascii() && iri(text),
            Self::UriReference => text.is_ascii() && iri_reference(text),
            Self::Iri => iri(text),
            Self::IriReference => iri_reference(text),
            Self::JsonPointer => json_pointer(text),
            Self::Uuid => uuid(text),
            Self::Byte => base64(text),
        }
    }
}

/// RFC 3339 section 5.6 `date-time`.
fn date_time(text: &str) -> bool {
    text.split_once(['T', 't']).is_some_and(|(day, clock)| date(day) && time(clock))
}

/// RFC 3339 `full-date`.
fn date(text: &str) -> bool {
    let mut parts = text.split('-');
    let [Some(year), Some(month), Some(day), None] = [parts.next(), parts.next(), parts.next(), parts.next()] else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (digits(year, 4), digits(month, 2), digits(day, 2)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=last).contains(&day)
}

/// RFC 3339 `full-time`. Second 60 only at 23:59 UTC, where leap seconds are.
fn time(text: &str) -> bool {
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']).and_then(|at| text.split_at_checked(at)) {
        Some((clock, "Z" | "z")) => (clock, 0),
        Some((clock, offset)) => {
            let Some((hours, minutes)) = offset.get(1..).and_then(|offset| offset.split_once(':')) else {
                return false;
            };
            let (Some(hours @ 0..=23), Some(minutes @ 0..=59)) = (digits(hours, 2), digits(minutes, 2)) else {
                return false;
            };
            let size = i64::from(hours).saturating_mul(60).saturating_add(i64::from(minutes));
            (clock, if offset.starts_with('-') { size.saturating_neg() } else { size })
        }
        None => return false,
    };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    if fraction.is_some_and(|fraction| fraction.is_empty() || !all_digits(fraction)) {
        return false;
    }
    let mut parts = clock.split(':');
    let [Some(hour), Some(minute), Some(second), None] = [parts.next(), parts.next(), parts.next(), parts.next()] else {
        return false;
    };
    match (digits(hour, 2), digits(minute, 2), digits(second, 2)) {
        (Some(0..=23), Some(0..=59), Some(0..=59)) => true,
        (Some(hour @ 0..=23), Some(minute @ 0..=59), Some(60)) => {
            let local = i64::from(hour).saturating_mul(60).saturating_add(i64::from(minute));
            local.saturating_sub(offset).rem_euclid(1440) == 1439
        }
        _ => false,
    }
}

/// RFC 3339 appendix A `duration` (ISO 8601).
fn duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else {
        return false;
    };
    if let Some(weeks) = rest.strip_suffix('W') {
        return !weeks.is_empty() && all_digits(weeks);
    }
    let (day, clock) = rest.split_once('T').map_or((rest, None), |(day, clock)| (day, Some(clock)));
    let clock_fits = clock.is_none_or(|clock| !clock.is_empty() && units(clock, "HMS"));
    clock_fits && units(day, "YMD") && !(day.is_empty() && clock.is_none())
}

/// Numbers with units, in this order and without a gap, as the grammar of RFC 3339 has it.
fn units(text: &str, order: &str) -> bool {
    let mut rest = text;
    let mut last = None;
    while !rest.is_empty() {
        let Some((number, unit)) = rest.find(|c: char| !c.is_ascii_digit()).and_then(|at| rest.split_at_checked(at)) else {
            return false;
        };
        let Some(place) = unit.chars().next().and_then(|unit| order.find(unit)) else {
            return false;
        };
        if number.is_empty() || last.is_some_and(|last: usize| place != last.saturating_add(1)) {
            return false;
        }
        last = Some(place);
        rest = unit.get(1..).unwrap_or_default();
    }
    true
}

/// RFC 5321 section 4.1.2 `Mailbox`: dot-atom or quoted string, at a host name or an address literal.
fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
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

/// RFC 3987 `IRI`, or RFC 3986 `URI` if the text is ASCII: a scheme, and what a reference may have.
fn iri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) && iri_reference(text)
}

/// RFC 3987 `IRI-reference`: allowed characters, escapes, and an authority that is one.
fn iri_reference(text: &str) -> bool {
    let (text, fragment) = text.split_once('#').map_or((text, ""), |(rest, fragment)| (rest, fragment));
    let (text, query) = text.split_once('?').map_or((text, ""), |(rest, query)| (rest, query));
    let (scheme, rest) = text.split_once(':').map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let rest = match scheme {
        Some(scheme) if scheme.contains('/') => text,
        // A colon in the first segment of a relative path would be a scheme's.
        Some(scheme) if !is_scheme(scheme) => return false,
        Some(_) | None => rest,
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            rest.split_at_checked(end).map_or((Some(rest), ""), |(authority, path)| (Some(authority), path))
        }
        None => (None, rest),
    };
    authority.is_none_or(is_authority)
        && has_only(path, "/:@")
        && has_only(query, "/:@?")
        && has_only(fragment, "/:@?")
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_authority(text: &str) -> bool {
    let (user, place) = text.rsplit_once('@').map_or(("", text), |(user, place)| (user, place));
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<Ipv6Addr>().is_err() && !address.starts_with(['v', 'V']) {
                return false;
            }
            ("", port)
        }
        None => place.find(':').and_then(|at| place.split_at_checked(at)).unwrap_or((place, "")),
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(all_digits);
    has_only(user, ":") && has_only(host, "") && port_fits
}

/// Unreserved characters, sub-delimiters, escapes, all beyond ASCII, and `more`.
fn has_only(text: &str, more: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ if !byte.is_ascii() => true,
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || more.as_bytes().contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// RFC 6901: each token behind a `/`, `~` only as `~0` or `~1`.
fn json_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
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

/// A number of exactly `count` ASCII digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    if text.len() == count && all_digits(text) { text.parse().ok() } else { None }
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
                &["2024-02-29T12:00:00Z", "1985-04-12t23:20:50.52z", "2016-12-31T23:59:60Z", "2016-12-31T15:59:60-08:00"][..],
                &["2023-02-29T12:00:00Z", "9999-99-99T99:99:99Z", "2024-01-01T12:00:60Z", "2024-01-01T12:00:00", "2024-01-01 12:00:00Z", "2024-01-01T12:00:00.Z", "２024-01-01T12:00:00Z"][..],
            ),
            ("date", &["0000-01-01", "2000-02-29"], &["1900-02-29", "2024-1-01", "2024-13-01", "2024-01-01-"]),
            ("time", &["12:00:00Z", "12:00:00+01:00"], &["12:00Z", "24:00:00Z", "12:00:00+24:00", "12:00:00"]),
            ("duration", &["P1Y2M3D", "PT1H", "P4W", "P1DT12H"], &["P", "PT", "1D", "P1", "P1D2H", "P1YT", "P2D1Y", "P1Y2W"]),
            ("email", &["a.b+c@example.com", "\"a b\"@x.test", "a@[127.0.0.1]"], &["a@", "@b", "a b@c.test", ".a@b.test", "a..b@c.test", "a@b@c.test"]),
            ("hostname", &["a", "a-b.example", "xn--4gbwdl.xn--wgbh1c"], &["", "-a", "a-", "a_b", "a..b", "ab--cd.test"]),
            ("ipv4", &["127.0.0.1"], &["127.0.0.01", "256.0.0.1", "1.2.3", "0x7f.0.0.1"]),
            ("ipv6", &["::1", "::ffff:1.2.3.4"], &["::1%eth0", "12345::", "1:2"]),
            ("uri", &["https://u@h.test:80/p;a?q#f", "urn:a:b", "http://[::1]/"], &["//h/p", "/p", "http://a b", "http://a/%zz", "http://[::1", "http://h:x/", "a\\b:c"]),
            ("uri-reference", &["/a?b", "a/b:c", "#f", ""], &["a b", "%4", "\\a", "1:b"]),
            ("iri", &["http://ƒøø.ßår/?∂éœ=πîx"], &["http://a b.ø", "ƒøø", "http://2001:0db8::7334"]),
            ("json-pointer", &["", "/a~0b/~1"], &["a", "/~", "/~2", "#/a"]),
            ("uuid", &["2EB8AA08-aa98-11ea-b4aa-73b441d16380"], &["2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4ga-73b441d16380"]),
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
