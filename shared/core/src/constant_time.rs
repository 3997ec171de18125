//! Comparison of secrets without a time that tells how much of a guess was right.

use subtle::ConstantTimeEq;

/// Whether two byte strings are equal, in a time that depends on their lengths only.
///
/// The lengths may leak: strings of different lengths are unequal at once. Compare hashes of equal length where
/// the length of the secret is a secret itself.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_that_of_bytes() {
        for (name, a, b, expected) in [
            ("equal", &b"s3cret"[..], &b"s3cret"[..], true),
            ("one bit differs at the start", b"s3cret", b"r3cret", false),
            ("one bit differs at the end", b"s3cret", b"s3creu", false),
            ("a prefix", b"s3cret", b"s3cre", false),
            ("both empty", b"", b"", true),
            ("one empty", b"", b"x", false),
        ] {
            assert_eq!(equal(a, b), expected, "{name}");
        }
    }
}
