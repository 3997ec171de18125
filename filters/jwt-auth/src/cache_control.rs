//! How long an answer is fresh (RFC 9111 section 5.2.2), as far as it can shorten what the operator configured.

use std::time::Duration;

use portcullis_core::Headers;

/// Who says less is asked again after this time: a provider can't make every proxy ask all the time.
const SHORTEST: Duration = Duration::from_secs(60);

/// A day is the longest that an operator can configure, too.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What `cache-control` allows, 1 minute to 1 day: the shortest of `max-age`, `no-store` and `no-cache` in all fields.
/// None when it says nothing that can be read; `age` is not looked at, as nothing is known of caches on the way.
#[must_use]
pub fn freshness(headers: &Headers) -> Option<Duration> {
    let directives = headers.all(b"cache-control").flat_map(|field| field.split(|byte| *byte == b','));
    directives.filter_map(age).min().map(|age| age.clamp(SHORTEST, LONGEST))
}

fn age(directive: &[u8]) -> Option<Duration> {
    let directive = std::str::from_utf8(directive).ok()?.trim().to_ascii_lowercase();
    if directive == "no-store" || directive == "no-cache" {
        return Some(Duration::ZERO);
    }
    let digits = directive.strip_prefix("max-age=")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // "If a cache receives a delta-seconds value greater than the greatest integer it can represent ..., the cache MUST
    // consider the value to be 2147483648" (section 1.2.2).
    Some(Duration::from_secs(digits.parse().unwrap_or(1 << 31)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-JWKS-10
    #[test]
    fn the_shortest_counts_within_bounds() {
        for (fields, expected) in [
            (&[][..], None),
            (&["max-age=600"], Some(600)),
            (&["public, max-age=600, must-revalidate"], Some(600)),
            (&["Max-Age=600"], Some(600)),
            (&["max-age=0"], Some(60)),
            (&["no-store"], Some(60)),
            (&["no-cache, max-age=600"], Some(60)),
            (&["max-age=600", "max-age=300"], Some(300)),
            (&["max-age=600", "garbage"], Some(600)),
            (&["max-age=99999999999999999999"], Some(86_400)),
            (&["max-age=18446744073709551615"], Some(86_400)),
            (&["max-age=-1"], None),
            (&["max-age=1.5"], None),
            (&["max-age=\"600\""], None),
            (&["max-age="], None),
            (&["max-age"], None),
            (&["s-maxage=600"], None),
            (&["\u{0}"], None),
        ] {
            let headers: Headers = fields.iter().map(|field| ("cache-control", *field)).collect();
            assert_eq!(freshness(&headers), expected.map(Duration::from_secs), "{fields:?}");
        }
    }
}
