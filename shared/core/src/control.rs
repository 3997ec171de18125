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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_judged_as_unicode_does() {
        for character in '\0'..=char::MAX {
            let expected = character.is_control();
            assert_eq!(has_control(&format!("a{character}b")), expected, "{character:?}");
        }
        assert!(!has_control("") && has_control("\u{e9}\n") && !has_control("\u{e9}"));
    }
}
