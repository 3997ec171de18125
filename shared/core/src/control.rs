//! Control characters: no name of anybody or anything has one, and logs, fields and C programs read them as more.

/// Whether a text holds a control character (Unicode category Cc: U+0000 to U+001F and U+007F to U+009F). By its bytes
/// where it is ASCII, as nearly all are: several times as fast as by its characters.
#[must_use]
pub fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.contains(char::is_control)
    }
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
