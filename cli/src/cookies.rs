//! Judges cookies by their attributes (RFC 6265bis). Their values are nobody's business.

use portcullis_core::Response;

use crate::grade::{Finding, Verdict, printable};

const NO_SECURE: u32 = 10;
const NO_HTTP_ONLY: u32 = 5;
const NO_SAME_SITE: u32 = 5;

/// One finding for each cookie.
pub fn judge(response: &Response) -> Vec<Finding> {
    response.headers().all(b"set-cookie").map(finding).collect()
}

fn finding(cookie: &[u8]) -> Finding {
    let mut parts = cookie.split(|byte| *byte == b';');
    let pair = parts.next().unwrap_or_default();
    // Without `=` all of it is the value.
    let name = pair.iter().position(|byte| *byte == b'=').and_then(|end| pair.get(..end)).unwrap_or_default();
    let name = if name.trim_ascii().is_empty() { b"(no name)" } else { name.trim_ascii() };
    let (mut secure, mut http_only, mut same_site) = (false, false, false);
    for attribute in parts {
        let mut halves = attribute.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        let name = halves.next().unwrap_or_default().to_ascii_lowercase();
        let value = halves.next().unwrap_or_default().to_ascii_lowercase();
        match name.as_slice() {
            b"secure" => secure = true,
            b"httponly" => http_only = true,
            // Of several the last one counts.
            b"samesite" => same_site = matches!(value.as_slice(), b"strict" | b"lax"),
            _ => {}
        }
    }
    let lacking: Vec<(u32, &str)> = [
        (secure, NO_SECURE, "Secure"),
        (http_only, NO_HTTP_ONLY, "HttpOnly"),
        (same_site, NO_SAME_SITE, "SameSite=Lax or Strict"),
    ]
    .into_iter()
    .filter_map(|(present, points, name)| (!present).then_some((points, name)))
    .collect();
    let names: Vec<&str> = lacking.iter().map(|(_, name)| *name).collect();
    Finding {
        field: "set-cookie".to_owned(),
        found: Some(printable(name)),
        verdict: match lacking.len() {
            0 => Verdict::Good,
            _ if secure => Verdict::Weak,
            _ => Verdict::Bad,
        },
        points: lacking.iter().map(|(points, _)| *points).fold(0, u32::saturating_add),
        advice: if names.is_empty() { String::new() } else { format!("add {}", names.join(", ")) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        for (cookie, found, verdict, points, advice) in [
            ("sid=s3cret; Secure; HttpOnly; SameSite=Lax", "sid", Verdict::Good, 0, ""),
            ("sid=s3cret;secure ; HTTPONLY;samesite = STRICT", "sid", Verdict::Good, 0, ""),
            ("sid=s3cret; HttpOnly; SameSite=Lax", "sid", Verdict::Bad, 10, "add Secure"),
            ("sid=s3cret; Secure; SameSite=Lax", "sid", Verdict::Weak, 5, "add HttpOnly"),
            ("sid=s3cret; Secure; HttpOnly", "sid", Verdict::Weak, 5, "add SameSite=Lax or Strict"),
            (
                "sid=s3cret; Secure; HttpOnly; SameSite=None",
                "sid",
                Verdict::Weak,
                5,
                "add SameSite=Lax or Strict",
            ),
            (
                "sid=s3cret; SameSite=Lax; SameSite=None; Secure; HttpOnly",
                "sid",
                Verdict::Weak,
                5,
                "add SameSite=Lax or Strict",
            ),
            (
                "sid=secure; Path=/; Domain=a.test",
                "sid",
                Verdict::Bad,
                20,
                "add Secure, HttpOnly, SameSite=Lax or Strict",
            ),
            ("s3cret", "(no name)", Verdict::Bad, 20, "add Secure, HttpOnly, SameSite=Lax or Strict"),
            ("=s3cret; Secure; HttpOnly; SameSite=Lax", "(no name)", Verdict::Good, 0, ""),
        ] {
            let response = Response::new([("set-cookie", cookie)].into_iter().collect(), true);
            let expected = Finding {
                field: "set-cookie".to_owned(),
                found: Some(found.to_owned()),
                verdict,
                points,
                advice: advice.to_owned(),
            };
            assert_eq!(judge(&response), [expected], "{cookie}");
        }
    }
}
