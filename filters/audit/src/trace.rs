//! The trace that a request belongs to.

use portcullis_core::headers::Headers;

/// The trace id of a valid, single `traceparent` (W3C Trace Context section 3.2): 32 lower-case hex digits, not all
/// zero. A field that is not exactly as specified is ignored, as the specification demands.
#[must_use]
pub fn trace_id(headers: &Headers) -> Option<&str> {
    let value = std::str::from_utf8(headers.single(b"traceparent").ok()??).ok()?;
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A later version may append members; version 00 has none, and ff is forbidden.
    let ends = version != "00" || parts.next().is_none();
    let valid = ends
        && version != "ff"
        && is_hex(version, 2)
        && is_hex(flags, 2)
        && is_id(trace, 32)
        && is_id(parent, 16);
    valid.then_some(trace)
}

fn is_id(text: &str, len: usize) -> bool {
    is_hex(text, len) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: AUD-FLD-09
    #[test]
    fn a_trace_id_comes_from_a_valid_field_only() {
        const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
        for (name, value, expected) in [
            ("valid", format!("00-{TRACE}-b7ad6b7169203331-01"), true),
            ("later version", format!("cc-{TRACE}-b7ad6b7169203331-01-what-ever"), true),
            ("version ff", format!("ff-{TRACE}-b7ad6b7169203331-01"), false),
            ("more behind version 00", format!("00-{TRACE}-b7ad6b7169203331-01-x"), false),
            ("zero trace", format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
            ("zero parent", format!("00-{TRACE}-{}-01", "0".repeat(16)), false),
            ("upper case", format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()), false),
            ("short", "00-abc-b7ad6b7169203331-01".to_owned(), false),
            ("no flags", format!("00-{TRACE}-b7ad6b7169203331"), false),
            ("joined", format!("00-{TRACE}-b7ad6b7169203331-01,00-{TRACE}-b7ad6b7169203331-01"), false),
            ("empty", String::new(), false),
        ] {
            let headers: Headers = [("traceparent", &value)].into_iter().collect();
            assert_eq!(trace_id(&headers), expected.then_some(TRACE), "{name}");
        }
        let value = format!("00-{TRACE}-b7ad6b7169203331-01");
        let two: Headers = [("traceparent", &value), ("traceparent", &value)].into_iter().collect();
        assert_eq!(trace_id(&two), None);
        assert_eq!(trace_id(&Headers::default()), None);
    }
}
