//! Compares a response with the profile that `header-guard` sets, field by field.

use portcullis_core::Response;
use portcullis_header_guard::data::{API_PROFILE, Existing};

use crate::content_security_policy;
use crate::grade::{Finding, Verdict, joined};

const SWITCHING_PROTOCOLS: u16 = 101;

/// A year in seconds: what lists of preloaded sites ask for.
const LEAST_MAX_AGE: u64 = 31_536_000;
const SHORT_MAX_AGE: u32 = 10;
const NO_SUBDOMAINS: u32 = 5;
/// Browsers ignore it there, and whoever set it believes that it protects.
const HSTS_OVER_HTTP: u32 = 2;
/// Readers pick different ones (RFC 9110 section 5.3).
const SENT_TWICE: u32 = 5;

/// What a field of the profile costs when it is missing or protects nobody.
const PRICES: &[(&str, u32)] = &[
    ("strict-transport-security", 20),
    ("x-content-type-options", 10),
    ("content-security-policy", content_security_policy::MOST),
    ("x-frame-options", 5),
    ("referrer-policy", 5),
    ("cross-origin-opener-policy", 5),
    ("cross-origin-resource-policy", 5),
    ("cache-control", 5),
    ("x-dns-prefetch-control", 2),
    ("x-permitted-cross-domain-policies", 3),
];

/// A field of the profile that has no price yet.
const OTHER_PRICE: u32 = 5;

/// How a browser reads the value of a field that is one of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The whole value, in any case of letters.
    AnyCase,
    /// The whole value, byte for byte.
    Exact,
    /// Byte for byte, up to parameters (RFC 9651 section 3.3.3: an item with parameters).
    Item,
    /// Of a list of words the last one that it knows, in any case of letters.
    LastKnown,
}

/// Words with what each costs.
type Words = &'static [(&'static str, u32)];

/// Fields whose values are words, each word with what it costs. Other words cost what a missing field does.
const WORDS: &[(&str, Reading, Words)] = &[
    ("x-content-type-options", Reading::AnyCase, &[("nosniff", 0)]),
    ("x-frame-options", Reading::AnyCase, &[("deny", 0), ("sameorigin", 2)]),
    (
        "referrer-policy",
        Reading::LastKnown,
        &[
            ("no-referrer", 0),
            ("same-origin", 2),
            ("strict-origin", 2),
            ("strict-origin-when-cross-origin", 2),
            ("origin", 5),
            ("origin-when-cross-origin", 5),
            ("no-referrer-when-downgrade", 5),
            ("unsafe-url", 5),
        ],
    ),
    (
        "cross-origin-opener-policy",
        Reading::Item,
        &[("same-origin", 0), ("same-origin-allow-popups", 2), ("noopener-allow-popups", 2)],
    ),
    ("cross-origin-resource-policy", Reading::Exact, &[("same-origin", 0), ("same-site", 2)]),
    ("x-dns-prefetch-control", Reading::AnyCase, &[("off", 0)]),
    ("x-permitted-cross-domain-policies", Reading::AnyCase, &[("none", 0), ("none-this-response", 1)]),
];

/// What a value costs, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// 0 for a value as strict as the profile's.
    pub points: u32,
    /// Each thing to do.
    pub advice: Vec<String>,
}

/// One finding for each field of the profile that this response should have, or has and should not.
pub fn judge(response: &Response, secure: bool) -> Vec<Finding> {
    let switching = response.status() == Some(SWITCHING_PROTOCOLS);
    let rows = API_PROFILE.iter().filter_map(|(name, expected, existing)| {
        let is_hsts = *name == "strict-transport-security";
        // No page is rendered from it (as header-guard does).
        if switching && !is_hsts {
            return None;
        }
        let values: Vec<&[u8]> = response.headers().all(name.as_bytes()).collect();
        let finding = |verdict, points, advice: String| {
            Some(Finding {
                field: (*name).to_owned(),
                found: joined(response, name),
                verdict,
                points,
                advice,
            })
        };
        if is_hsts && !secure {
            // RFC 6797 section 7.2.
            let advice = "send it over https only; browsers ignore it here".to_owned();
            return if values.is_empty() { None } else { finding(Verdict::Weak, HSTS_OVER_HTTP, advice) };
        }
        let price = price(name);
        if values.is_empty() {
            return finding(Verdict::Missing, price, format!("send `{expected}`"));
        }
        let Judgement { points, advice } = match *existing {
            // The upstream knows better what may be stored.
            Existing::Keep => Judgement::default(),
            Existing::Override => several(name, &values, expected, price),
        };
        let verdict = match points {
            0 => Verdict::Good,
            points if points < price => Verdict::Weak,
            _ => Verdict::Bad,
        };
        finding(verdict, points, advice.join("; "))
    });
    rows.collect()
}

fn price(name: &str) -> u32 {
    PRICES.iter().find(|(known, _)| *known == name).map_or(OTHER_PRICE, |(_, price)| *price)
}

fn several(name: &str, values: &[&[u8]], expected: &str, price: u32) -> Judgement {
    // Each of several policies is enforced (CSP Level 3, section 4.1.2), so they are no duplicates.
    if name == "content-security-policy" {
        return content_security_policy::judge(values);
    }
    let judged = values.iter().map(|value| one(name, value, expected, price));
    let mut worst = judged.max_by_key(|judgement| judgement.points).unwrap_or_default();
    if values.len() > 1 {
        worst.points = worst.points.max(SENT_TWICE.min(price));
        worst.advice.push("send it once".to_owned());
    }
    worst
}

fn one(name: &str, value: &[u8], expected: &str, price: u32) -> Judgement {
    let text = std::str::from_utf8(value).unwrap_or_default();
    if name == "strict-transport-security" {
        return strict_transport_security(text, expected, price);
    }
    let points = match WORDS.iter().find(|(known, ..)| *known == name) {
        Some((_, reading, words)) => word(text, *reading, words).unwrap_or(price),
        None if text == expected => 0,
        None => price,
    };
    let advice = if points == 0 { Vec::new() } else { vec![format!("send `{expected}`")] };
    Judgement { points, advice }
}

fn word(text: &str, reading: Reading, words: Words) -> Option<u32> {
    let find = |text: &str, any_case: bool| {
        let same = |word: &str| if any_case { word.eq_ignore_ascii_case(text) } else { word == text };
        words.iter().find(|(word, _)| same(word)).map(|(_, points)| *points)
    };
    match reading {
        Reading::AnyCase => find(text, true),
        Reading::Exact => find(text, false),
        Reading::Item => find(text.split(';').next()?.trim_ascii(), false),
        Reading::LastKnown => text.split(',').rev().find_map(|word| find(word.trim_ascii(), true)),
    }
}

/// RFC 6797 section 6.1. A value that does not follow it is ignored as a whole.
fn strict_transport_security(text: &str, expected: &str, price: u32) -> Judgement {
    let nothing = Judgement { points: price, advice: vec![format!("send `{expected}`")] };
    let (mut max_age, mut subdomains) = (None, false);
    let mut seen: Vec<String> = Vec::new();
    for directive in text.split(';').map(str::trim_ascii).filter(|directive| !directive.is_empty()) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let (name, value) = (name.trim_ascii().to_ascii_lowercase(), value.trim_ascii());
        if seen.contains(&name) {
            return nothing;
        }
        match name.as_str() {
            "max-age" => max_age = seconds(value),
            "includesubdomains" => subdomains = true,
            _ => {}
        }
        seen.push(name);
    }
    let Some(max_age @ 1..) = max_age else {
        return nothing;
    };
    let mut judgement = Judgement::default();
    if max_age < LEAST_MAX_AGE {
        judgement.points = SHORT_MAX_AGE;
        judgement.advice.push(format!("raise max-age to {LEAST_MAX_AGE} or more"));
    }
    if !subdomains {
        judgement.points = judgement.points.saturating_add(NO_SUBDOMAINS);
        judgement.advice.push("add includeSubDomains".to_owned());
    }
    judgement
}

/// Digits, quoted or not; more than fit are very many.
fn seconds(text: &str) -> Option<u64> {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let digits = quoted.unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_profile_has_a_price_and_nothing_else_has() {
        let profile: Vec<&str> = API_PROFILE.iter().map(|(name, ..)| *name).collect();
        assert_eq!(PRICES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), profile);
        assert!(WORDS.iter().all(|(name, ..)| profile.contains(name)));
    }

    #[test]
    fn the_words_of_the_profile_are_the_best_ones() {
        for (name, _, words) in WORDS {
            let (_, expected, _) = API_PROFILE.iter().find(|(known, ..)| known == name).unwrap();
            assert_eq!(words[0], (&*expected.to_ascii_lowercase(), 0), "{name}");
            assert!(words[1..].iter().all(|(_, points)| (1..=price(name)).contains(points)), "{name}");
        }
    }

    #[test]
    fn what_values_cost() {
        for (name, value, points) in [
            ("strict-transport-security", "max-age=63072000; includeSubDomains", 0),
            ("strict-transport-security", "max-age=31536000 ; INCLUDESUBDOMAINS; preload", 0),
            ("strict-transport-security", "includeSubDomains;;MAX-AGE=\"31536000\";", 0),
            ("strict-transport-security", "max-age=99999999999999999999999; includeSubDomains", 0),
            ("strict-transport-security", "max-age=31535999; includeSubDomains", 10),
            ("strict-transport-security", "max-age=31536000", 5),
            ("strict-transport-security", "max-age=300", 15),
            ("strict-transport-security", "max-age=0; includeSubDomains", 20),
            ("strict-transport-security", "includeSubDomains", 20),
            ("strict-transport-security", "max-age=-1; includeSubDomains", 20),
            ("strict-transport-security", "max-age=63072000, max-age=0", 20),
            ("strict-transport-security", "max-age=63072000; includeSubDomains; max-age=0", 20),
            ("strict-transport-security", "", 20),
            ("x-content-type-options", "NoSniff", 0),
            ("x-content-type-options", "sniff", 10),
            ("x-content-type-options", "", 10),
            ("x-frame-options", "deny", 0),
            ("x-frame-options", "SAMEORIGIN", 2),
            ("x-frame-options", "ALLOW-FROM https://a.test", 5),
            ("x-frame-options", "ALLOWALL", 5),
            ("referrer-policy", "no-referrer", 0),
            ("referrer-policy", "unsafe-url, no-referrer, a-future-word", 0),
            ("referrer-policy", "no-referrer, strict-origin-when-cross-origin", 2),
            ("referrer-policy", "no-referrer, unsafe-url", 5),
            ("referrer-policy", "never", 5),
            ("cross-origin-opener-policy", "same-origin; report-to=\"x\"", 0),
            ("cross-origin-opener-policy", "Same-Origin", 5),
            ("cross-origin-opener-policy", "same-origin-allow-popups", 2),
            ("cross-origin-opener-policy", "unsafe-none", 5),
            ("cross-origin-resource-policy", "same-site", 2),
            ("cross-origin-resource-policy", "cross-origin", 5),
            ("x-dns-prefetch-control", "on", 2),
            ("x-permitted-cross-domain-policies", "none-this-response", 1),
            ("x-permitted-cross-domain-policies", "all", 3),
            ("a-field-of-tomorrow", "expected", 0),
            ("a-field-of-tomorrow", "else", 5),
        ] {
            let judged = one(name, value.as_bytes(), "expected", price(name));
            assert_eq!(judged.points, points, "{name}: {value}");
            assert_eq!(judged.advice.is_empty(), points == 0, "{name}: {value}");
        }
    }
}
