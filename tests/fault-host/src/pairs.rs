//! Header maps, and the buffer in which the ABI hands them over.

/// Fields in order; names and values are bytes.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Fields from text, for tests.
#[must_use]
pub fn of(fields: &[(&str, &str)]) -> Pairs {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// The ABI's form: a count, then the lengths of each name and value, then the bytes, each with a NUL behind it; all
/// numbers are 32 bits, little endian.
#[must_use]
pub fn encode(pairs: &Pairs) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        out.extend(number(name.len()));
        out.extend(number(value.len()));
    }
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend(part);
        out.push(0);
    }
    out
}

/// The fields in `bytes`; none if it isn't the ABI's form.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Pairs> {
    if bytes.is_empty() {
        return Some(Pairs::new());
    }
    let mut rest = bytes;
    let count = number(&mut rest)?;
    if count > bytes.len() / 8 {
        return None;
    }
    let lengths: Vec<_> =
        (0..count).map(|_| Some((number(&mut rest)?, number(&mut rest)?))).collect::<Option<_>>()?;
    lengths.into_iter().map(|(name, value)| Some((text(&mut rest, name)?, text(&mut rest, value)?))).collect()
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn text(rest: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind.strip_prefix(&[0])?;
    Some(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back_and_nothing_else() {
        let pairs = vec![(b":path".to_vec(), b"/".to_vec()), (b"x-\xff".to_vec(), b"\0\xfe".to_vec())];
        let bytes = encode(&pairs);
        assert_eq!(decode(&bytes), Some(pairs));
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(decode(&[0xff; 64]), None);
    }
}
