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

/// Looks at every byte of a field name once; a leading `:` of a pseudo-header is not looked at.
#[must_use]
pub fn name_form(name: &[u8]) -> NameForm {
    let name = name.strip_prefix(b":").unwrap_or(name);
    let found = name.iter().fold(0, |found, byte| found | FORMS.get(usize::from(*byte)).unwrap_or(&INVALID));
    match found {
        _ if name.is_empty() => NameForm::Invalid,
        0 => NameForm::Plain,
        UNDERSCORE => NameForm::Underscore,
        _ => NameForm::Invalid,
    }
}

const UNDERSCORE: u8 = 1;
const INVALID: u8 = 2;

/// What each byte makes of a name.
static FORMS: [u8; 256] = {
    let mut forms = [INVALID; 256];
    let (mut rest, mut byte): (&mut [u8], u8) = (&mut forms, 0);
    while let Some((form, tail)) = rest.split_first_mut() {
        if is_token_byte(byte) && !byte.is_ascii_uppercase() {
            *form = if byte == b'_' { UNDERSCORE } else { 0 };
        }
        (rest, byte) = (tail, byte.wrapping_add(1));
    }
    forms
};

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
    }
}
