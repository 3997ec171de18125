//! What bytes a name or a value may be made of (RFC 9110 sections 5.1 and 5.5).

pub use portcullis_core::control::has_control_but_tab as has_control;

/// How often a byte is in a text; without an early end and in parts that a byte can count, so that the compiler compares
/// sixteen at a time.
#[must_use]
pub fn count(text: &[u8], byte: u8) -> usize {
    let counted = text
        .chunks(240)
        .map(|part| part.iter().fold(0_u8, |count, other| count.wrapping_add(u8::from(*other == byte))));
    counted.map(usize::from).fold(0, usize::saturating_add)
}

/// A text up to a byte, and what is behind the byte if there is one.
#[must_use]
pub fn split_once(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    // Eight bytes at a time, up to those that have it.
    let words = text.as_chunks::<8>().0.iter();
    let without = words.take_while(|word| !has_byte(**word, separator)).count().saturating_mul(8);
    let tail = text.get(without..).unwrap_or_default();
    let place = tail.iter().position(|byte| *byte == separator);
    let Some(place) = place.map(|place| without.saturating_add(place)) else {
        return (text, None);
    };
    (text.get(..place).unwrap_or_default(), text.get(place.saturating_add(1)..))
}

/// Whether a byte is in a text, of whose bytes it looks at all, so that the compiler compares sixteen at a time.
#[must_use]
#[inline(never)]
pub fn has(text: &[u8], byte: u8) -> bool {
    let is_in = |part: &[u8]| part.iter().fold(false, |found, other| found | (*other == byte));
    let (parts, rest) = text.as_chunks::<128>();
    parts.iter().fold(is_in(rest), |found, part| found | is_in(part))
}

/// Whether one of eight bytes is this one.
const fn has_byte(bytes: [u8; 8], byte: u8) -> bool {
    let others = u64::from_le_bytes(bytes) ^ of_eight(byte);
    others.wrapping_sub(of_eight(1)) & !others & of_eight(0x80) != 0
}

/// Whether `byte` may stand in a token (RFC 9110 section 5.6.2).
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether `text` is a token: at least one byte, no other kind of byte.
#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// What the bytes of a field name say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// A lower-case token.
    Plain,
    /// A lower-case token with `_`, which CGI and WSGI servers read as `-`.
    Underscore,
    /// Anything else; names in the proxy's map are always lower-case.
    Invalid,
}

/// The form of a field name; a leading `:` of a pseudo-header is not looked at.
#[must_use]
pub fn name_form(name: &[u8]) -> NameForm {
    // Nearly every name.
    if is_letters_and_dashes(name) {
        return NameForm::Plain;
    }
    let name = name.strip_prefix(b":").unwrap_or(name);
    let mut form = if name.is_empty() { NameForm::Invalid } else { NameForm::Plain };
    for byte in name {
        match byte {
            b'_' => form = NameForm::Underscore,
            b'A'..=b'Z' => return NameForm::Invalid,
            byte if is_token_byte(*byte) => {}
            _ => return NameForm::Invalid,
        }
    }
    form
}

/// Whether a name of at least four bytes is of nothing but `a` to `z` and `-`: eight at a time.
fn is_letters_and_dashes(name: &[u8]) -> bool {
    // The last eight bytes come after the whole words, so that some are looked at twice.
    if let Some(last) = name.last_chunk::<8>() {
        name.as_chunks::<8>().0.iter().all(|word| are_letters_and_dashes(*word))
            && are_letters_and_dashes(*last)
    } else if let (Some([a, b, c, d]), Some([e, f, g, h])) = (name.first_chunk(), name.last_chunk()) {
        are_letters_and_dashes([*a, *b, *c, *d, *e, *f, *g, *h])
    } else {
        false
    }
}

fn are_letters_and_dashes(bytes: [u8; 8]) -> bool {
    /// The upper bit of each byte.
    const UPPER: u64 = of_eight(0x80);
    let word = u64::from_le_bytes(bytes);
    // Of ASCII no byte of a sum or a difference reaches into the next one; what else there is, is left out at last.
    let from_a = word.wrapping_add(of_eight(0x80 - b'a'));
    let behind_z = word.wrapping_add(of_eight(0x7f - b'z'));
    let dash = UPPER.wrapping_sub(word ^ of_eight(b'-'));
    (from_a & !behind_z | dash) & !word & UPPER == UPPER
}

/// Eight times this byte.
const fn of_eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1), trimmed, empty ones left out.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_lower_case_tokens() {
        for (name, form) in [
            (&b"accept"[..], NameForm::Plain),
            (b":path", NameForm::Plain),
            (b"$wsep", NameForm::Plain),
            (b"x_user", NameForm::Underscore),
            (b"_", NameForm::Underscore),
            (b"", NameForm::Invalid),
            (b":", NameForm::Invalid),
            (b"x y", NameForm::Invalid),
            (b"x:y", NameForm::Invalid),
            (b"::path", NameForm::Invalid),
            (b"x\0", NameForm::Invalid),
            (b"x\xff", NameForm::Invalid),
            (b"Accept", NameForm::Invalid),
            (b"x_\x7f", NameForm::Invalid),
        ] {
            assert_eq!(name_form(name), form, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn lists_have_no_empty_members() {
        assert_eq!(list(b" a ,, b\t,").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(list(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn any_control_character_but_tab_is_found(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let expected = value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127));
            prop_assert_eq!(has_control(&value), expected);
        }

        #[test]
        fn one_control_byte_is_found_at_any_place(
            mut value in proptest::collection::vec(0x20_u8..0x7f, 1..40),
            at in any::<proptest::sample::Index>(),
            control in proptest::sample::select((0_u8..9).chain(10..0x20).chain([0x7f]).collect::<Vec<_>>()),
        ) {
            prop_assert!(!has_control(&value));
            let at = at.index(value.len());
            value[at] = control;
            prop_assert!(has_control(&value));
        }

        #[test]
        fn a_byte_is_found_at_any_place(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b';'), Just(b':')], 0..300),
        ) {
            let mut parts = text.splitn(2, |byte| *byte == b';');
            prop_assert_eq!(split_once(&text, b';'), (parts.next().unwrap(), parts.next()));
            prop_assert_eq!(has(&text, b';'), text.contains(&b';'));
        }

        #[test]
        fn one_other_byte_in_a_name_is_found_at_any_place(
            name in "[a-z-]{4,40}",
            at in any::<proptest::sample::Index>(),
            other in any::<u8>(),
        ) {
            let mut name = name.into_bytes();
            prop_assert!(is_letters_and_dashes(&name));
            let at = at.index(name.len());
            name[at] = other;
            prop_assert_eq!(is_letters_and_dashes(&name), other.is_ascii_lowercase() || other == b'-');
        }
    }
}
