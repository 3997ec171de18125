//! Header fields as the proxy has them: ordered, with duplicates, names and values as bytes.

use std::fmt;
use std::rc::Rc;
use std::slice;

use crate::control::count_unprintable;

/// An ordered list of header fields over one buffer.
///
/// Names come lower-case from Envoy's codecs and are compared byte for byte; names given to these methods must be
/// lower-case. Values need not be UTF-8. Pseudo-headers (`:path`) are ordinary entries.
#[derive(Clone, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// Where in `bytes` names and values begin, and how many NUL stand between them.
    text: usize,
    separators: usize,
}

/// Offsets into `Headers::bytes`; 32 bits as in the proxy-wasm pairs format.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Field {
    name: u32,
    name_len: u32,
    value: u32,
    value_len: u32,
}

/// A pairs buffer that does not hold what its own lengths say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header pairs buffer is truncated")]
pub struct TruncatedPairs;

/// More than one field of a name that must be single.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than one field of this name")]
pub struct Duplicate;

impl Headers {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), fields: Vec::new(), text: 0, separators: 0 }
    }

    /// Reads proxy-wasm's header map serialization and keeps the buffer, so values are slices of it.
    ///
    /// Layout (proxy-wasm ABI 0.2.1, `proxy_get_header_map_pairs`; little endian): `u32` count, then per pair
    /// `u32` name length and `u32` value length, then per pair name, NUL, value, NUL. One allocation.
    ///
    /// # Errors
    /// [`TruncatedPairs`] when a length points outside of the buffer. An empty buffer is an empty list.
    pub fn from_pairs(bytes: Vec<u8>) -> Result<Self, TruncatedPairs> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let size = to_u32(bytes.len())?;
        let count = bytes.first_chunk().map(|count| u32::from_le_bytes(*count)).ok_or(TruncatedPairs)?;
        let mut offset =
            count.checked_mul(8).and_then(|lengths| lengths.checked_add(4)).ok_or(TruncatedPairs)?;
        // Of a type that holds the sum of any lengths, which the offsets may not be.
        let mut total = u64::from(offset);
        // Also bounds the allocation below by the size of the buffer.
        let lengths = usize::try_from(offset).ok().and_then(|end| bytes.get(4..end)).ok_or(TruncatedPairs)?;
        let pairs = lengths.as_chunks::<4>().0.as_chunks::<2>().0;
        let fields = pairs.iter().map(|[name_len, value_len]| {
            let (name_len, value_len) = (u32::from_le_bytes(*name_len), u32::from_le_bytes(*value_len));
            let name = offset;
            let value = behind(name, name_len);
            offset = behind(value, value_len);
            total =
                total.wrapping_add(u64::from(name_len)).wrapping_add(u64::from(value_len)).wrapping_add(2);
            Field { name, name_len, value, value_len }
        });
        let fields: Vec<_> = fields.collect();
        // What all of it takes tells of each offset.
        if total > u64::from(size) {
            return Err(TruncatedPairs);
        }
        let text = lengths.len().saturating_add(4);
        Ok(Self { separators: fields.len().saturating_mul(2), bytes, fields, text })
    }

    /// Writes the list in the layout that [`Headers::from_pairs`] reads.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<u8> {
        // A count, two lengths and two NUL for each field.
        let size = self.byte_len().saturating_add(self.fields.len().saturating_mul(10)).saturating_add(4);
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(&u32::try_from(self.fields.len()).unwrap_or(0).to_le_bytes());
        for field in &self.fields {
            out.extend_from_slice(
                &(u64::from(field.value_len) << 32 | u64::from(field.name_len)).to_le_bytes(),
            );
        }
        for (name, value) in self.iter() {
            out.extend_from_slice(name);
            out.push(0);
            out.extend_from_slice(value);
            out.push(0);
        }
        out
    }

    /// All fields in order, as `(name, value)`.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().filter_map(|field| self.pair(*field))
    }

    /// All names in order, as often as there are fields.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().map(|field| slice(&self.bytes, field.name, field.name_len))
    }

    /// The values of all fields called `name`, in order.
    pub fn all<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = self.fields.iter().filter(move |field| self.is_called(**field, name));
        fields.map(|field| slice(&self.bytes, field.value, field.value_len))
    }

    /// The first field called `name`. Only for fields whose duplicates cannot change a decision; else
    /// [`Headers::single`].
    #[must_use]
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.next(&mut self.fields.iter(), name)
    }

    /// The value of a field that may occur once at most.
    ///
    /// # Errors
    /// [`Duplicate`] when there are two or more: two readers could pick different ones (RFC 9110 section 5.3).
    pub fn single(&self, name: &[u8]) -> Result<Option<&[u8]>, Duplicate> {
        let mut rest = self.fields.iter();
        let value = self.next(&mut rest, name);
        if value.is_some() && self.next(&mut rest, name).is_some() { Err(Duplicate) } else { Ok(value) }
    }

    /// Whether a field called `name` is present.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }

    /// Number of fields, duplicates counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The lengths of each name and its value, in bytes, in order.
    pub fn lengths(&self) -> impl Iterator<Item = (usize, usize)> {
        let size = |len: u32| usize::try_from(len).unwrap_or(usize::MAX);
        self.fields.iter().map(move |field| (size(field.name_len), size(field.value_len)))
    }

    /// Sum of the lengths of all names and values, in bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.lengths().map(|(name, value)| name.saturating_add(value)).fold(0, usize::saturating_add)
    }

    /// At least the sum of the lengths of all names and values, in bytes; found without a look at them.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.bytes.len().saturating_sub(self.text)
    }

    /// Whether all names and values are printable ASCII: one look at all of them, which tells the many requests that are
    /// from those that have to be looked at more closely. Also false for some that are, after edits.
    #[must_use]
    pub fn is_printable(&self) -> bool {
        count_unprintable(self.bytes.get(self.text..).unwrap_or_default()) == self.separators
    }

    /// Adds a field at the end, beside others of the same name.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let Ok(field) = self.store(name, value) else {
            return;
        };
        self.fields.push(field);
    }

    /// Makes `value` the only value of `name`: at the place of its first copy, else at the end.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let Ok(field) = self.store(name, value) else {
            return;
        };
        let mut placed = false;
        let bytes = &self.bytes;
        self.fields.retain_mut(|old| {
            if slice(bytes, old.name, old.name_len) != name {
                return true;
            }
            let first = !placed;
            if first {
                *old = field;
                placed = true;
            }
            first
        });
        if !placed {
            self.fields.push(field);
        }
    }

    /// Removes every field called `name`; how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        self.remove_where(|found, _| found == name)
    }

    /// Removes every field that `unwanted(name, value)` names; how many there were.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&[u8], &[u8]) -> bool) -> usize {
        let before = self.fields.len();
        let bytes = &self.bytes;
        self.fields.retain(|field| {
            !unwanted(slice(bytes, field.name, field.name_len), slice(bytes, field.value, field.value_len))
        });
        before.saturating_sub(self.fields.len())
    }

    /// The value of the next field called `name`. One copy of the search, as each is fetched into the processor anew for
    /// every request.
    #[inline(never)]
    fn next<'a>(&'a self, rest: &mut slice::Iter<'a, Field>, name: &[u8]) -> Option<&'a [u8]> {
        let field = rest.find(|field| self.is_called(**field, name))?;
        Some(slice(&self.bytes, field.value, field.value_len))
    }

    /// Most names differ in length already.
    #[inline]
    fn is_called(&self, field: Field, name: &[u8]) -> bool {
        usize::try_from(field.name_len) == Ok(name.len())
            && slice(&self.bytes, field.name, field.name_len) == name
    }

    #[inline]
    fn pair(&self, field: Field) -> Option<(&[u8], &[u8])> {
        // INVARIANT: both are there; whoever makes a `Field` looks first.
        Some((
            part(&self.bytes, field.name, field.name_len)?,
            part(&self.bytes, field.value, field.value_len)?,
        ))
    }

    fn store(&mut self, name: &[u8], value: &[u8]) -> Result<Field, TruncatedPairs> {
        let name_at = to_u32(self.bytes.len())?;
        let value_at = to_u32(self.bytes.len().saturating_add(name.len()))?;
        let field = Field {
            name: name_at,
            name_len: to_u32(name.len())?,
            value: value_at,
            value_len: to_u32(value.len())?,
        };
        self.bytes.reserve(name.len().saturating_add(value.len()));
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        Ok(field)
    }
}

/// Fields of printable ASCII, looked at once and shared: for a list that goes out again and again.
#[derive(Clone, Debug, Default)]
pub struct PrintableHeaders(Rc<Headers>);

impl PrintableHeaders {
    /// None if there is anything else in a name or a value.
    #[must_use]
    pub fn new(headers: Headers) -> Option<Self> {
        headers.is_printable().then(|| Self(Rc::new(headers)))
    }

    /// The fields.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.0
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.append(name.as_ref(), value.as_ref());
        }
        headers
    }
}

/// The same fields in the same order, wherever they lie in the buffer.
impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

/// Names only: values may be credentials.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name.escape_ascii().to_string())).finish()
    }
}

/// The offset behind `len` bytes from `start` and their NUL, if there is one.
const fn behind(start: u32, len: u32) -> u32 {
    start.wrapping_add(len).wrapping_add(1)
}

fn to_u32(offset: usize) -> Result<u32, TruncatedPairs> {
    u32::try_from(offset).map_err(|_| TruncatedPairs)
}

#[inline]
fn slice(bytes: &[u8], start: u32, len: u32) -> &[u8] {
    part(bytes, start, len).unwrap_or_default()
}

#[inline]
fn part(bytes: &[u8], start: u32, len: u32) -> Option<&[u8]> {
    let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
    bytes.get(start..start.checked_add(len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect()
    }

    #[test]
    fn an_unprintable_byte_is_noticed_wherever_it_is() {
        let clean = [("a", "1"), ("bc", ""), ("d", "x y~")];
        for headers in [clean.into_iter().collect(), Headers::from_pairs(sample_pairs(&clean)).unwrap()] {
            assert!(headers.is_printable());
            for (name, value) in [("e", "\t"), ("e\n", ""), ("e", "a\0b"), ("e", "\u{7f}"), ("e", "\u{e9}")] {
                let mut more = headers.clone();
                more.append(name.as_bytes(), value.as_bytes());
                assert!(!more.is_printable(), "{name:?} {value:?}");
                assert!(!Headers::from_pairs(more.to_pairs()).unwrap().is_printable(), "{name:?} {value:?}");
            }
        }
        assert!(Headers::default().is_printable());
    }

    fn sample_pairs(fields: &[(&str, &str)]) -> Vec<u8> {
        fields.iter().copied().collect::<Headers>().to_pairs()
    }

    #[test]
    fn pairs_round_trip_with_bytes_that_are_not_utf8() {
        let headers: Headers =
            [(&b"x-\xff"[..], &b"\xfe\x00"[..]), (b"empty", b""), (b"", b"v")].into_iter().collect();
        let read = Headers::from_pairs(headers.to_pairs()).unwrap();
        assert_eq!(read, headers);
        assert!(Headers::from_pairs(Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn every_truncation_of_a_pairs_buffer_is_refused() {
        let pairs = sample().to_pairs();
        for len in 1..pairs.len() {
            assert_eq!(Headers::from_pairs(pairs[..len].to_vec()), Err(TruncatedPairs), "{len} bytes");
        }
        assert_eq!(Headers::from_pairs(vec![0xff; 64]), Err(TruncatedPairs));
    }

    // covers: HOST-TRAP-08
    #[test]
    fn lengths_at_the_end_of_32_bits_are_refused() {
        let largest = u32::MAX;
        for (count, name_len, value_len) in [
            (largest, 0, 0),
            (largest / 8, 0, 0),
            (largest / 8 + 1, 0, 0),
            (1, largest, 0),
            (1, 0, largest),
            (1, largest, largest),
            (1, largest - 12, 12),
            (2, 0, largest - 1),
        ] {
            let mut pairs: Vec<u8> =
                [count, name_len, value_len, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect();
            pairs.extend_from_slice(b"name\0value\0");
            assert_eq!(Headers::from_pairs(pairs), Err(TruncatedPairs), "{count} {name_len} {value_len}");
        }
    }

    #[test]
    fn duplicates_are_visible() {
        let headers = sample();
        assert_eq!(headers.all(b"a").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(headers.single(b"a"), Err(Duplicate));
        assert_eq!(headers.single(b"b"), Ok(Some(&b"2"[..])));
        assert_eq!(headers.single(b"c"), Ok(None));
    }

    #[test]
    fn edits_keep_the_order_of_what_they_do_not_name() {
        let mut headers = sample();
        headers.set(b"a", b"9");
        headers.set(b"c", b"4");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"9"[..]), (b"b", b"2"), (b"c", b"4")]);
        assert_eq!(headers.remove(b"a"), 1);
        assert_eq!(headers.remove(b"a"), 0);
        assert_eq!(headers.len(), 2);
        assert_eq!(Headers::from_pairs(headers.to_pairs()).unwrap().len(), 2);
    }

    #[test]
    fn debug_shows_no_value() {
        let headers: Headers = [("authorization", "Bearer s3cret")].into_iter().collect();
        assert_eq!(format!("{headers:?}"), r#"["authorization"]"#);
    }
}
