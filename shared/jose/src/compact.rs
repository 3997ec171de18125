//! The JWS Compact Serialization (RFC 7515 section 7.1), split without decoding anything.

use crate::Rejection;

/// Longest token, in bytes. A larger one does not fit into the header limits of common servers either.
pub const MAX_TOKEN: usize = 8 * 1024;

/// A token's three parts, each non-empty and within the alphabet.
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
    /// Splits a token. No allocation; the length is judged before anything else.
    ///
    /// # Errors
    /// [`Rejection::Encrypted`] for five parts (RFC 7516 section 9); [`Rejection::Malformed`] for any other number
    /// of parts, an empty part, a byte outside of `[A-Za-z0-9_.-]`, or more than [`MAX_TOKEN`] bytes.
    pub fn split(token: &'a [u8]) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN || !token.iter().all(|byte| is_token_byte(*byte)) {
            return Err(Rejection::Malformed);
        }
        let dots = token.iter().filter(|byte| **byte == b'.').count();
        match dots {
            2 => {}
            4 => return Err(Rejection::Encrypted),
            _ => return Err(Rejection::Malformed),
        }
        let last_dot = token.iter().rposition(|byte| *byte == b'.').ok_or(Rejection::Malformed)?;
        let (signing_input, signature) = part_at(token, last_dot)?;
        let first_dot = signing_input.iter().position(|byte| *byte == b'.').ok_or(Rejection::Malformed)?;
        let (header, payload) = part_at(signing_input, first_dot)?;
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(Rejection::Malformed);
        }
        Ok(Self { header, payload, signature, signing_input })
    }
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// What is before and what is behind the byte at `dot`.
fn part_at(text: &[u8], dot: usize) -> Result<(&[u8], &[u8]), Rejection> {
    let (before, rest) = text.split_at_checked(dot).ok_or(Rejection::Malformed)?;
    let (_, behind) = rest.split_first().ok_or(Rejection::Malformed)?;
    Ok((before, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exactly_three_parts_within_the_alphabet() {
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
            ("six parts", "a.b.c.d.e.f", Err(Rejection::Malformed)),
            ("leading dot", ".a.b.c", Err(Rejection::Malformed)),
            ("trailing dot", "a.b.c.", Err(Rejection::Malformed)),
            ("no header", ".b.c", Err(Rejection::Malformed)),
            ("no payload", "a..c", Err(Rejection::Malformed)),
            ("no signature", "a.b.", Err(Rejection::Malformed)),
            ("only dots", "..", Err(Rejection::Malformed)),
            ("padding", "a=.b.c", Err(Rejection::Malformed)),
            ("standard alphabet", "a+.b/.c", Err(Rejection::Malformed)),
            ("percent-encoded dots", "a%2Eb%2Ec", Err(Rejection::Malformed)),
            ("tab at the end", "a.b.c\t", Err(Rejection::Malformed)),
            ("line feed inside", "a.b\n.c", Err(Rejection::Malformed)),
            ("space in front", " a.b.c", Err(Rejection::Malformed)),
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
