//! A credential in a cookie (RFC 6265 section 4.2), over all `cookie` fields of a request.

use portcullis_core::Headers;

use super::Several;

/// The value of the only cookie of this name, as it is: quotes belong to it.
///
/// # Errors
/// [`Several`] for two of them: servers differ in which one they take.
pub fn find<'a>(headers: &'a Headers, name: &[u8]) -> Result<Option<&'a [u8]>, Several> {
    let mut values = pairs(headers).filter(|pair| pair.name() == name).map(|pair| pair.value());
    let first = values.next();
    if values.next().is_some() { Err(Several) } else { Ok(first) }
}

/// All cookies but those of this name, as one field; none when there is none of the name.
pub fn without(headers: &Headers, name: &[u8]) -> Option<Vec<u8>> {
    let is_named = |pair: &Pair<'_>| pair.name() == name;
    pairs(headers).any(|pair| is_named(&pair)).then(|| {
        let rest: Vec<_> = pairs(headers).filter(|pair| !is_named(pair)).map(|pair| pair.0).collect();
        rest.join(&b"; "[..])
    })
}

/// One `name=value`, without white space around it. Text without `=` is a cookie without name to browsers, and all of
/// it a name to some servers; here it is a name, so that no spelling of a credential stays behind.
#[derive(Clone, Copy)]
struct Pair<'a>(&'a [u8]);

impl<'a> Pair<'a> {
    fn equals(self) -> usize {
        self.0.iter().position(|byte| *byte == b'=').unwrap_or(self.0.len())
    }

    fn name(self) -> &'a [u8] {
        self.0.get(..self.equals()).unwrap_or_default().trim_ascii()
    }

    fn value(self) -> &'a [u8] {
        self.0.get(self.equals().saturating_add(1)..).unwrap_or_default().trim_ascii()
    }
}

fn pairs(headers: &Headers) -> impl Iterator<Item = Pair<'_>> {
    let parts = headers.all(b"cookie").flat_map(|field| field.split(|byte| *byte == b';'));
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()).map(Pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-LOC-05
    #[test]
    fn one_cookie_of_the_name() {
        for (name, fields, value, rest) in [
            ("alone", &["t=a.b.c"][..], Ok(Some("a.b.c")), Some("")),
            ("among others", &["x=1; t=a; y=2"], Ok(Some("a")), Some("x=1; y=2")),
            ("in a field of its own", &["x=1", "t=a"], Ok(Some("a")), Some("x=1")),
            ("without spaces", &["x=1;t=a;y=2"], Ok(Some("a")), Some("x=1; y=2")),
            ("with quotes", &["t=\"a\""], Ok(Some("\"a\"")), Some("")),
            ("with equals signs", &["t=a==; x=1"], Ok(Some("a==")), Some("x=1")),
            ("twice", &["t=bad; t=good"], Err(Several), Some("")),
            ("twice, one empty", &["t=; t=good"], Err(Several), Some("")),
            ("twice, in two fields", &["t=bad", "t=good; x=1"], Err(Several), Some("x=1")),
            ("name alone", &["t; x=1"], Ok(Some("")), Some("x=1")),
            ("twice, one without value", &["t; t=good"], Err(Several), Some("")),
            ("space before the equals sign", &["t =a"], Ok(Some("a")), Some("")),
            ("other case", &["T=a"], Ok(None), None),
            ("longer name", &["tt=a; xt=b"], Ok(None), None),
            ("only separators", &["; ;;"], Ok(None), None),
            ("none", &[], Ok(None), None),
        ] {
            let headers: Headers = fields.iter().map(|field| ("cookie", *field)).collect();
            assert_eq!(find(&headers, b"t"), value.map(|found| found.map(str::as_bytes)), "{name}");
            assert_eq!(without(&headers, b"t").as_deref(), rest.map(str::as_bytes), "{name}");
        }
    }
}
