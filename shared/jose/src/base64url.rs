//! base64url without padding, as JOSE uses it (RFC 7515 section 2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Decodes base64url text; each byte string has exactly one accepted text.
///
/// None for padding, white space, a character outside of the alphabet of RFC 4648 section 5, an impossible length,
/// and unused trailing bits that are not zero (RFC 4648 section 3.5: they would give one signature many spellings).
/// One allocation of three quarters of the input.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes bytes as base64url without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_text_for_each_byte_string() {
        for (name, text, expected) in [
            ("empty", "", Some(&b""[..])),
            ("one byte", "Zg", Some(b"f")),
            ("two bytes", "Zm8", Some(b"fo")),
            ("both special characters", "-_8", Some(b"\xfb\xff")),
            ("padding", "Zg==", None),
            ("standard alphabet", "+/8", None),
            ("trailing bits of one byte", "Zh", None),
            ("trailing bits of two bytes", "Zm9", None),
            ("a single character", "Z", None),
            ("white space", "Z g", None),
            ("line feed at the end", "Zg\n", None),
            ("byte outside of ASCII", "Z\u{e9}", None),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_encoding_gives(text in "[A-Za-z0-9_-]{0,24}") {
            if let Some(bytes) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn encoding_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }
    }
}
