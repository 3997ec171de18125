//! Query strings and cookies as lists of pairs, read in one documented way.

use std::borrow::Cow;
use std::cell::Cell;

use portcullis_core::Headers;
use portcullis_core::denial::FieldError;

use super::parameter::Location;

/// Pairs in one query. Each documented parameter looks at all of them.
const MAX_PAIRS: usize = 256;

/// The pairs of a query, `&` between them. `;` separates nothing, as in the URL standard.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    pairs: Vec<Pair<'a>>,
}

/// One `name=value`.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    /// Decoded.
    pub(super) name: String,
    /// As it came, so that an encoded delimiter does not separate.
    raw: &'a str,
    used: Cell<bool>,
}

impl<'a> Query<'a> {
    /// Splits and decodes a query without its `?`.
    ///
    /// # Errors
    /// Bytes or escapes that are not UTF-8, malformed escapes (`%zz`), too many pairs: two readers could differ.
    pub(super) fn parse(query: &'a [u8]) -> Result<Self, FieldError> {
        let malformed = |name: &str| Location::Query.error(name, "encoding");
        let text = std::str::from_utf8(query).map_err(|_| malformed(""))?;
        let mut pairs = Vec::new();
        // `a=1&` and `&&` are what browsers and libraries send for nothing.
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, raw) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name).ok_or_else(|| malformed(""))?.into_owned();
            decode(raw).ok_or_else(|| malformed(&name))?;
            if pairs.len() >= MAX_PAIRS {
                return Err(Location::Query.error("", "maxItems"));
            }
            pairs.push(Pair { name, raw, used: Cell::new(false) });
        }
        Ok(Self { pairs })
    }

    /// The pairs that nobody has taken and whose name fits; they are taken now.
    pub(super) fn take(&self, mut wanted: impl FnMut(&str) -> bool) -> Vec<&Pair<'a>> {
        let fits = |pair: &&Pair<'a>| !pair.used.get() && wanted(&pair.name);
        let taken: Vec<&Pair<'a>> = self.pairs.iter().filter(fits).collect();
        for pair in &taken {
            pair.used.set(true);
        }
        taken
    }

    /// The names of pairs that nobody has taken.
    pub(super) fn unused(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(|pair| !pair.used.get()).map(|pair| pair.name.as_str())
    }
}

impl Pair<'_> {
    /// The decoded value.
    pub(super) fn value(&self) -> String {
        decode(self.raw).unwrap_or_default().into_owned()
    }

    /// The value in pieces between commas that were sent as commas, each decoded.
    pub(super) fn between_commas(&self) -> Vec<String> {
        self.raw.split(',').map(|piece| decode(piece).unwrap_or_default().into_owned()).collect()
    }
}

/// Decodes percent-escapes, and `+` as a space (the URL standard, application/x-www-form-urlencoded).
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, tail) = tail.split_at_checked(2)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = tail;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The pairs of all `cookie` fields (RFC 6265 section 4.2.1). Values are not decoded: cookies have no escapes. None for a
/// value that servers read differently: with white space at the `=`, or not UTF-8.
pub(super) fn cookies(headers: &Headers) -> Vec<(&str, Option<&str>)> {
    let pairs = headers.all(b"cookie").flat_map(|field| field.split(|byte| *byte == b';'));
    pairs.filter_map(|pair| cookie(pair.trim_ascii())).collect()
}

fn cookie(pair: &[u8]) -> Option<(&str, Option<&str>)> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at_checked(at)?;
    let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value.get(1..)?).ok());
    let plain = name.trim_end() == name;
    Some((name.trim_end(), value.filter(|value| plain && value.trim_start() == *value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // covers: ENV-BODY-16
    #[test]
    fn a_query_has_one_reading() {
        for (query, expected) in [
            ("", Ok(vec![])),
            ("a=1&b=2", Ok(vec![("a", "1"), ("b", "2")])),
            ("a", Ok(vec![("a", "")])),
            ("&a=1&&", Ok(vec![("a", "1")])),
            ("a=b=c", Ok(vec![("a", "b=c")])),
            ("a=1;b=2", Ok(vec![("a", "1;b=2")])),
            ("a=x+y%2Bz", Ok(vec![("a", "x y+z")])),
            ("%61=%C3%A9", Ok(vec![("a", "é")])),
            ("a=%zz", Err("a")),
            ("a=%4", Err("a")),
            ("a=%+1", Err("a")),
            ("a=%ff", Err("a")),
            ("%ff=1", Err("")),
        ] {
            let found = Query::parse(query.as_bytes());
            let found = found
                .as_ref()
                .map(|query| query.pairs.iter().map(|pair| (pair.name.clone(), pair.value())).collect());
            let expected = expected
                .map(|pairs| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>());
            assert_eq!(found.map_err(|error| error.pointer.as_str()), expected, "{query}");
        }
        assert!(Query::parse(b"a=\xff").is_err());
        assert!(Query::parse("a&".repeat(257).as_bytes()).is_err());
    }

    #[test]
    fn encoded_commas_do_not_separate() {
        let query = Query::parse(b"a=x%2Cy,z").unwrap();
        assert_eq!(query.take(|name| name == "a")[0].between_commas(), ["x,y", "z"]);
        assert_eq!(query.unused().count(), 0);
    }

    #[test]
    fn cookies_come_from_all_fields() {
        let headers = [("cookie", "a=1; b=2"), ("cookie", "a=3; flag")].into_iter().collect();
        assert_eq!(cookies(&headers), [("a", Some("1")), ("b", Some("2")), ("a", Some("3"))]);
    }

    #[test]
    fn a_cookie_that_servers_read_differently_has_no_value() {
        for (field, expected) in [
            (&b" a=1 "[..], vec![("a", Some("1"))]),
            (b"a =1", vec![("a", None)]),
            (b"a= 1; b=\xff", vec![("a", None), ("b", None)]),
            (b"\xff=1; a=1", vec![("a", Some("1"))]),
            (b"a=", vec![("a", Some(""))]),
        ] {
            let headers = [(&b"cookie"[..], field)].into_iter().collect();
            assert_eq!(cookies(&headers), expected, "{field:?}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(query) = Query::parse(&query) {
                for pair in query.take(|_| true) {
                    pair.between_commas();
                }
            }
        }
    }
}
