//! A credential in the query (RFC 6750 section 2.3), for clients that can't set fields.

use super::Several;

/// The value of the only parameter of this name, as it is: a token has no character that needs an escape, so an
/// escaped one is another text and refused.
///
/// # Errors
/// [`Several`] for two parameters, in whatever spelling of the name.
pub fn find<'a>(query: &'a [u8], name: &[u8]) -> Result<Option<&'a [u8]>, Several> {
    let mut values = parameters(query).filter(|parameter| is_called(parameter, name)).map(value);
    let first = values.next();
    if values.next().is_some() { Err(Several) } else { Ok(first) }
}

/// The target without the parameters of this name; none when there is none.
pub fn without(target: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mark = target.iter().position(|byte| *byte == b'?')?;
    let (path, query) = (target.get(..mark)?, target.get(mark.saturating_add(1)..)?);
    if !parameters(query).any(|parameter| is_called(parameter, name)) {
        return None;
    }
    let rest: Vec<_> = parameters(query).filter(|parameter| !is_called(parameter, name)).collect();
    if rest.is_empty() {
        return Some(path.to_vec());
    }
    Some([path, b"?", &rest.join(&b'&')].concat())
}

fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

fn split(parameter: &[u8]) -> (&[u8], &[u8]) {
    let end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
    let (name, rest) = parameter.split_at_checked(end).unwrap_or_default();
    (name, rest.strip_prefix(b"=").unwrap_or_default())
}

fn value(parameter: &[u8]) -> &[u8] {
    split(parameter).1
}

/// Whether the upstream would read this name: percent escapes count as what they stand for.
fn is_called(parameter: &[u8], name: &[u8]) -> bool {
    let mut rest = split(parameter).0;
    let decoded = std::iter::from_fn(|| {
        let (&first, tail) = rest.split_first()?;
        rest = tail;
        let escape = tail.split_first_chunk().filter(|_| first == b'%');
        let Some((&[high, low], after)) = escape else { return Some(first) };
        let (Some(high), Some(low)) = (hex(high), hex(low)) else { return Some(first) };
        rest = after;
        Some((high << 4) | low)
    });
    decoded.eq(name.iter().copied())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-LOC-04
    #[test]
    fn one_parameter_of_the_name() {
        for (name, target, found, rest) in [
            ("alone", "/a?t=x.y.z", Ok(Some("x.y.z")), Some("/a")),
            ("among others", "/a?p=1&t=x&q=2", Ok(Some("x")), Some("/a?p=1&q=2")),
            ("escaped value", "/a?t=x%2Ey", Ok(Some("x%2Ey")), Some("/a")),
            ("escaped name", "/a?%74=x", Ok(Some("x")), Some("/a")),
            ("twice", "/a?t=x&t=x", Err(Several), Some("/a")),
            ("twice, one with an escaped name", "/a?t=x&%74=y&p", Err(Several), Some("/a?p")),
            ("twice, one without value", "/a?t&t=y", Err(Several), Some("/a")),
            ("other spelling of the rest stays", "/a?p=%2f&&t=x&", Ok(Some("x")), Some("/a?p=%2f&&")),
            ("broken escape", "/a?%7=x&%zz=1&t=y", Ok(Some("y")), Some("/a?%7=x&%zz=1")),
            ("other case", "/a?T=x", Ok(None), None),
            ("longer name", "/a?tt=x", Ok(None), None),
            ("in a value", "/a?p=t=x", Ok(None), None),
            ("empty query", "/a?", Ok(None), None),
        ] {
            let query = target.split_once('?').unwrap().1;
            let found = found.map(|found: Option<&str>| found.map(str::as_bytes));
            assert_eq!(find(query.as_bytes(), b"t"), found, "{name}");
            assert_eq!(without(target.as_bytes(), b"t").as_deref(), rest.map(str::as_bytes), "{name}");
        }
        assert_eq!(without(b"/a", b"t"), None);
    }
}
