//! Writes one JSON object on one line, never longer than [`LIMIT`], whatever bytes go into it.

/// Longest line in bytes, the closing brace included: writes of this size to a pipe or file don't interleave.
pub const LIMIT: usize = 4096;

/// What stays free for the list of truncated members at the end.
const RESERVE: usize = 640;

/// The least that is worth writing of a text.
const MIN_TEXT: usize = 8;

/// What stands for the rest of a text.
const ELLIPSIS: &str = "…";

/// A JSON object in the making. Members are named by constants; a value that has no room is left out, and its name
/// noted.
pub struct Line {
    text: String,
    truncated: Vec<(&'static str, usize)>,
}

impl Line {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        let mut text = String::with_capacity(1024);
        text.push('{');
        Self { text, truncated: Vec::new() }
    }

    /// Adds a text of at most `max` bytes, as it is written, escapes counted.
    ///
    /// A text that is cut ends in `…`; its original length in bytes is noted under its name.
    pub fn text(&mut self, name: &'static str, value: &[u8], max: usize) {
        self.named_text(name, name, value, value.len(), max);
    }

    /// The same for what is left of a text of `len` bytes.
    pub fn redacted_text(&mut self, name: &'static str, value: &[u8], len: usize, max: usize) {
        self.named_text(name, name, value, len, max);
    }

    /// The same for a member whose name is not a constant, in the object `note_under`.
    pub fn named_text(&mut self, note_under: &'static str, name: &str, value: &[u8], len: usize, max: usize) {
        let room = self.room().saturating_sub(name.len()).min(max);
        if room < MIN_TEXT.min(max) {
            return self.note(note_under, len);
        }
        self.name(name);
        self.text.push('"');
        if !push_escaped(&mut self.text, value, room) {
            self.note(note_under, len);
        }
        self.text.push('"');
    }

    /// Adds a text if there is one.
    pub fn optional_text(&mut self, name: &'static str, value: Option<impl AsRef<[u8]>>, max: usize) {
        if let Some(value) = value {
            self.text(name, value.as_ref(), max);
        }
    }

    /// Adds a number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        if self.room() < MAX_NUMBER.saturating_add(name.len()) {
            return self.note(name, 0);
        }
        self.name(name);
        self.text.push_str(&value.to_string());
    }

    /// Adds an object; `fill` writes its members.
    pub fn object(&mut self, name: &'static str, fill: impl FnOnce(&mut Self)) {
        if self.room() < name.len() {
            return self.note(name, 0);
        }
        self.name(name);
        self.text.push('{');
        fill(self);
        self.text.push('}');
    }

    /// Adds a list of objects; `fill` writes the members of each.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        fill: impl Fn(&mut Self, T),
    ) {
        if self.room() < name.len() {
            return self.note(name, 0);
        }
        self.name(name);
        self.text.push('[');
        let mut left_out = 0_usize;
        for item in items {
            if left_out > 0 || self.room() < MIN_ITEM {
                left_out = left_out.saturating_add(1);
                continue;
            }
            self.comma();
            self.text.push('{');
            fill(self, item);
            self.text.push('}');
        }
        self.text.push(']');
        if left_out > 0 {
            self.note(name, left_out);
        }
    }

    /// The finished line.
    #[must_use]
    pub fn finish(mut self) -> String {
        let truncated = std::mem::take(&mut self.truncated);
        if !truncated.is_empty() {
            self.name("truncated");
            self.text.push('{');
            for (name, len) in truncated {
                self.name(name);
                self.text.push_str(&len.to_string());
            }
            self.text.push('}');
        }
        self.text.push('}');
        self.text
    }

    /// Bytes that a value may take; the quotes, brackets and commas around it are paid from the reserve.
    fn room(&self) -> usize {
        LIMIT.saturating_sub(RESERVE).saturating_sub(self.text.len())
    }

    fn note(&mut self, name: &'static str, len: usize) {
        match self.truncated.iter_mut().find(|(noted, _)| *noted == name) {
            Some((_, total)) => *total = total.saturating_add(len),
            None => self.truncated.push((name, len)),
        }
    }

    fn comma(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.text.push('"');
        // Names are constants, or header names from the configuration, which are tokens.
        self.text.push_str(name);
        self.text.push_str("\":");
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

/// Digits of the largest number.
const MAX_NUMBER: usize = 20;

/// Room that an item of a list needs at least to be worth beginning.
const MIN_ITEM: usize = 256;

/// Adds `value` as the inside of a JSON string of at most `max` bytes; whether all of it found room.
///
/// Bytes that are not UTF-8 become the text `\xff`; quotes, backslashes, control characters, and characters that
/// end a line or change the direction or visibility of what follows become JSON escapes (CVE-2021-42574).
fn push_escaped(out: &mut String, value: &[u8], max: usize) -> bool {
    if let Ok(plain) = std::str::from_utf8(value)
        && plain.len() <= max
        && plain.bytes().all(is_plain)
    {
        out.push_str(plain);
        return true;
    }
    let start = out.len();
    let mut fits_with_ellipsis = start;
    let pieces = value
        .utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars().map(Ok).chain(chunk.invalid().iter().copied().map(Err)));
    for piece in pieces {
        if out.len().saturating_sub(start).saturating_add(ELLIPSIS.len()) <= max {
            fits_with_ellipsis = out.len();
        }
        match piece {
            Ok(c) => push_char(out, c),
            Err(byte) => push_byte(out, byte),
        }
        if out.len().saturating_sub(start) > max {
            // Not `truncate`, which may panic. It is a few characters at most.
            while out.len() > fits_with_ellipsis && out.pop().is_some() {}
            out.push_str(ELLIPSIS);
            return false;
        }
    }
    true
}

/// Whether a byte stands for itself in a JSON string, whatever is around it.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn push_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        c if is_unsafe(c) => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str("\\u");
                let [high, low] = unit.to_be_bytes();
                push_hex(out, high);
                push_hex(out, low);
            }
        }
        c => out.push(c),
    }
}

fn push_byte(out: &mut String, byte: u8) {
    out.push_str("\\\\x");
    push_hex(out, byte);
}

fn push_hex(out: &mut String, byte: u8) {
    out.extend([byte >> 4, byte & 0xf].iter().filter_map(|digit| char::from_digit((*digit).into(), 16)));
}

/// Controls, separators of lines, invisible and bidirectional formatting characters.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn one(value: &[u8], max: usize) -> String {
        let mut line = Line::new();
        line.text("v", value, max);
        line.finish()
    }

    // covers: AUD-INJ-01
    #[test]
    fn a_client_cannot_leave_its_string() {
        for (name, value, expected) in [
            ("plain", &b"curl/8"[..], "curl/8"),
            ("line end", b"a\n{\"fake\":1}", "a\\u000a{\\\"fake\\\":1}"),
            ("end of the object", b"\"}\n{", "\\\"}\\u000a{"),
            ("terminal escape", b"\x1b[2J", "\\u001b[2J"),
            ("NUL and DEL", b"\0\x7f", "\\u0000\\u007f"),
            ("C1", "\u{9b}".as_bytes(), "\\u009b"),
            ("line separator", "\u{2028}".as_bytes(), "\\u2028"),
            ("bidirectional", "\u{202e}x\u{2066}".as_bytes(), "\\u202ex\\u2066"),
            ("tag character", "\u{e0041}".as_bytes(), "\\udb40\\udc41"),
            ("not UTF-8", b"\xff\xfea", "\\\\xff\\\\xfea"),
            ("half a character", b"\xe2\x82", "\\\\xe2\\\\x82"),
            ("backslash", b"\\", "\\\\"),
            ("other readers' syntax", b"=cmd() ${jndi:x} %0a", "=cmd() ${jndi:x} %0a"),
            ("emoji", "😀".as_bytes(), "😀"),
        ] {
            assert_eq!(one(value, 99), format!("{{\"v\":\"{expected}\"}}"), "{name}");
        }
    }

    // covers: AUD-FLD-10
    #[test]
    fn a_cut_text_says_how_long_it_was() {
        for (value, max, expected) in [
            ("abcdefghij", 10, r#"{"v":"abcdefghij"}"#),
            ("abcdefghijk", 10, r#"{"v":"abcdefg…","truncated":{"v":11}}"#),
            ("ééééééé", 10, r#"{"v":"ééé…","truncated":{"v":14}}"#),
            ("\n\n\n", 10, r#"{"v":"\u000a…","truncated":{"v":3}}"#),
        ] {
            assert_eq!(one(value.as_bytes(), max), expected);
        }
    }

    #[test]
    fn members_lists_and_objects() {
        let mut line = Line::new();
        line.number("n", u64::MAX);
        line.optional_text("none", None::<&str>, 9);
        line.object("o", |line| line.number("m", 1));
        line.object("empty", |_| {});
        line.list("l", [1, 2], |line, item| line.number("i", item));
        assert_eq!(
            line.finish(),
            r#"{"n":18446744073709551615,"o":{"m":1},"empty":{},"l":[{"i":1},{"i":2}]}"#
        );
    }

    // covers: AUD-INJ-02
    #[test]
    fn every_byte_at_every_place_and_cut_is_valid() {
        for byte in 0..=255_u8 {
            for len in 0..=40_usize {
                let mut value = vec![b'a'; len];
                value.push(byte);
                for max in [8, 10, 12, len + 1] {
                    let text = one(&value, max);
                    let parsed: Value = serde_json::from_str(&text).unwrap();
                    assert!(parsed["v"].is_string(), "{text}");
                    assert!(!text.bytes().any(|b| b < 0x20 || b == 0x7f), "{text}");
                }
            }
        }
    }

    proptest! {
        // covers: AUD-INJ-02, AUD-FLD-10
        #[test]
        fn any_line_is_valid_short_json(
            values in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..600), 1..600_usize), 0..24),
        ) {
            let mut line = Line::new();
            for (value, max) in &values {
                line.text("text", value, *max);
                line.number("number", u64::MAX);
                line.object("object", |line| line.text("inner", value, *max));
            }
            line.list("list", &values, |line, (value, max)| line.text("item", value, *max));
            let text = line.finish();
            prop_assert!(text.len() <= LIMIT, "{} bytes", text.len());
            prop_assert!(!text.contains('\n'));
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }

        #[test]
        fn text_round_trips(value in "\\PC{0,60}") {
            let parsed: Value = serde_json::from_str(&one(value.as_bytes(), 4000)).unwrap();
            prop_assert_eq!(parsed, json!({ "v": value }));
        }
    }
}
