//! The wire format of protocol buffers (the encoding guide), as far as the messages need it that are read and written by
//! hand: each is a handful of fields, which a code generator would turn into more code than all of a filter's own.

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire<'a> {
    /// Integers, booleans, enums.
    Varint(u64),
    /// `fixed64`, `double`.
    Fixed64(u64),
    /// Strings, bytes, messages, packed lists.
    Bytes(&'a [u8]),
    /// `fixed32`, `float`.
    Fixed32(u32),
}

/// Reads the fields of a message one after the other.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads a serialized message.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field with its number; `Some(None)` at the end, none for a truncated or unknown encoding.
    pub fn field(&mut self) -> Option<Option<(u64, Wire<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(*self.take(4)?.first_chunk()?)),
            _ => return None,
        };
        Some(Some((tag >> 3, wire)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// A message with room for this many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a field of bytes, a string or a message.
    #[must_use]
    pub fn bytes(mut self, field: u32, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.put(u64::from(field) << 3 | 2);
        self.put(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds an integer, a boolean or an enum.
    #[must_use]
    pub fn varint(mut self, field: u32, number: u64) -> Self {
        self.put(u64::from(field) << 3);
        self.put(number);
        self
    }

    fn put(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_those_of_the_encoding_guide() {
        // The examples of its first pages: `a: 150`, and `b: "testing"`.
        assert_eq!(Message::default().varint(1, 150).as_ref(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, "testing").as_ref(), b"\x12\x07testing");
        let mut reader = Reader::new(b"\x08\x96\x01\x12\x07testing\x1d\x01\0\0\0");
        assert_eq!(reader.field(), Some(Some((1, Wire::Varint(150)))));
        assert_eq!(reader.field(), Some(Some((2, Wire::Bytes(b"testing")))));
        assert_eq!(reader.field(), Some(Some((3, Wire::Fixed32(1)))));
        assert_eq!(reader.field(), Some(None));
    }

    #[test]
    fn what_is_cut_or_unknown_is_not_read() {
        for message in [
            &b"\x08"[..],
            b"\x08\x96",
            b"\x12\x07test",
            b"\x0b",
            b"\x0e\x01",
            b"\x09\x01",
            b"\x0d\x01",
            &[0xff; 11],
        ] {
            assert_eq!(Reader::new(message).field(), None, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(field in 1_u32..1 << 29, number: u64, bytes: Vec<u8>) {
            let message = Message::default().varint(field, number).bytes(field, &bytes);
            let mut reader = Reader::new(message.as_ref());
            prop_assert_eq!(reader.field(), Some(Some((field.into(), Wire::Varint(number)))));
            prop_assert_eq!(reader.field(), Some(Some((field.into(), Wire::Bytes(&bytes)))));
            prop_assert_eq!(reader.field(), Some(None));
        }
    }
}
