//! The JWS Compact Serialization (RFC 7515 section 7.1), split without decoding anything.

use crate::Rejection;

/// Longest token, in bytes. A larger one does not fit into the header limits of common servers either.
pub const MAX_TOKEN: usize = 8 * 1024;

/// A token's three parts, none of them empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact<'a> {
    /// The header, still base64url text.
    pub header: &'a [u8],
    /// The payload, still base64url text.
    pub payload: &'a [u8],
    /// The signature, still base64url text.
    pub signature: &'a [u8],
    /// What is signed: header, full stop, payload (RFC 7515 section 5.2 step 8).
    pub signing_input: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Whether a token has the form of neither a JWS nor a JWE, three or five parts (RFC 7516 section 9).
    #[must_use]
    pub fn is_opaque(token: &[u8]) -> bool {
        !matches!(memchr::memchr_iter(b'.', token).count(), 2 | 4)
    }

    /// Splits a token in one pass without allocation. The alphabet is judged by decoding the parts.
    ///
    /// # Errors
    /// [`Rejection::Encrypted`] for five parts (RFC 7516 section 9); [`Rejection::Malformed`] for any other number
    /// of parts, an empty part, or more than [`MAX_TOKEN`] bytes, which is judged before anything else.
    pub fn split(token: &'a [u8]) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN {
            return Err(Rejection::Malformed);
        }
        let mut stops = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second)) = (stops.next(), stops.next()) else {
            return Err(Rejection::Malformed);
        };
        let third = stops.next();
        let part = |from: usize, to| token.get(from..to).filter(|part| !part.is_empty());
        let (Some(header), Some(payload), Some(signature)) = (
            part(0, first),
            part(first.saturating_add(1), second),
            part(second.saturating_add(1), third.unwrap_or(token.len())),
        ) else {
            return Err(Rejection::Malformed);
        };
        match (third, stops.count()) {
            (None, _) => {}
            (Some(_), 1) if token.iter().all(|byte| is_token_byte(*byte)) => {
                return Err(Rejection::Encrypted);
            }
            (Some(_), _) => return Err(Rejection::Malformed),
        }
        let signing_input = token.get(..second).ok_or(Rejection::Malformed)?;
        Ok(Self { header, payload, signature, signing_input })
    }
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exactly_three_parts_none_of_them_empty() {
        let longest = format!("{}.b.c", "a".repeat(MAX_TOKEN - 4));
        let too_long = format!("a{longest}");
        for (name, token, expected) in [
            ("three parts", "aA0.-_.z", Ok(())),
            ("longest", &longest, Ok(())),
            ("one byte too long", &too_long, Err(Rejection::Malformed)),
            ("empty", "", Err(Rejection::Malformed)),
            ("one part", "a", Err(Rejection::Malformed)),
            ("two parts", "a.b", Err(Rejection::Malformed)),
            ("four parts", "a.b.c.d", Err(Rejection::Malformed)),
            ("five parts", "a.b.c.d.e", Err(Rejection::Encrypted)),
            ("two tokens joined", "a.b.c, a.b.c", Err(Rejection::Malformed)),
            ("six parts", "a.b.c.d.e.f", Err(Rejection::Malformed)),
            ("leading dot", ".a.b.c", Err(Rejection::Malformed)),
            ("trailing dot", "a.b.c.", Err(Rejection::Malformed)),
            ("no header", ".b.c", Err(Rejection::Malformed)),
            ("no payload", "a..c", Err(Rejection::Malformed)),
            ("no signature", "a.b.", Err(Rejection::Malformed)),
            ("only dots", "..", Err(Rejection::Malformed)),
            (
                "JSON serialization",
                r#"{"payload":"a","protected":"b","signature":"c"}"#,
                Err(Rejection::Malformed),
            ),
        ] {
            assert_eq!(Compact::split(token.as_bytes()).map(|_| ()), expected, "{name}");
        }
    }

    #[test]
    fn what_is_signed_is_header_and_payload() {
        let token = Compact::split(b"aa.bb.cc").unwrap();
        assert_eq!((token.header, token.payload, token.signature), (&b"aa"[..], &b"bb"[..], &b"cc"[..]));
        assert_eq!(token.signing_input, b"aa.bb");
    }

    proptest! {
        #[test]
        fn any_bytes_split_or_are_refused(token in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(parts) = Compact::split(&token) {
                let whole = [parts.header, parts.payload, parts.signature].join(&b'.');
                prop_assert_eq!(whole, token);
            }
        }
    }
}
