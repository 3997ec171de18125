//! Control characters: no name of anybody or anything has one, and logs, fields and C programs read them as more.

/// Whether a text holds a control character (Unicode category Cc: U+0000 to U+001F and U+007F to U+009F). By its bytes
/// where it is ASCII, as nearly all are: several times as fast as by its characters.
#[must_use]
pub fn has_control(text: &str) -> bool {
    if text.is_ascii() { has_ascii_control(text.as_bytes()) } else { text.contains(char::is_control) }
}

/// Whether one of these bytes is a control character of ASCII (0x00 to 0x1f and 0x7f). It looks at all of them, so that
/// the compiler can compare sixteen at a time.
#[must_use]
pub fn has_ascii_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, byte| found | byte.is_ascii_control())
}

/// Whether a field's value holds a control character other than TAB: CR and LF end a line, NUL ends a C string, and the
/// others have no meaning in any field (RFC 9110 section 5.5).
#[must_use]
pub fn has_control_but_tab(value: &[u8]) -> bool {
    // Nearly every value has none, TAB included.
    has_ascii_control(value) && value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

/// How many of these bytes are not printable ASCII (0x20 to 0x7e).
#[must_use]
pub fn count_unprintable(bytes: &[u8]) -> usize {
    // In parts that a byte can count, so that the compiler counts sixteen at a time, and of a length that it knows, so
    // that no loop is left of it.
    let (parts, rest) = bytes.as_chunks::<128>();
    parts.iter().map(|part| count_few(part)).fold(count_few(rest), usize::saturating_add)
}

fn count_few(bytes: &[u8]) -> usize {
    let is_unprintable = |byte: &u8| !matches!(byte, 0x20..=0x7e);
    usize::from(bytes.iter().fold(0_u8, |count, byte| count.wrapping_add(u8::from(is_unprintable(byte)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_counted_in_any_length() {
        for len in 0..1000 {
            let bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
            let controls = bytes.iter().filter(|byte| byte.is_ascii_control()).count();
            let beyond = bytes.iter().filter(|byte| !byte.is_ascii()).count();
            assert_eq!(count_unprintable(&bytes), controls + beyond, "{len}");
            assert_eq!(has_ascii_control(&bytes), controls > 0, "{len}");
        }
        assert_eq!(count_unprintable(&[0; 1000]), 1000);
    }

    #[test]
    fn every_character_is_judged_as_unicode_does() {
        for character in '\0'..=char::MAX {
            let expected = character.is_control();
            assert_eq!(has_control(&format!("a{character}b")), expected, "{character:?}");
        }
        assert!(!has_control("") && has_control("\u{e9}\n") && !has_control("\u{e9}"));
    }
}
