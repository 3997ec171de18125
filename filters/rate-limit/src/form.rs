//! Pairs of names and values as forms and queries have them (`application/x-www-form-urlencoded`, URL Standard section 5).

/// The decoded values of all pairs of this name, in any letter case, as several languages' libraries read it.
pub fn values<'a>(form: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let pairs = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs.filter_map(move |pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (found, value) = pair.split_at_checked(end)?;
        let lower = |byte: u8| byte.to_ascii_lowercase();
        let is_called = decoded(found).map(lower).eq(name.iter().copied().map(lower));
        is_called.then(|| decoded(value.get(1..).unwrap_or_default()).collect())
    })
}

/// Percent escapes and `+` as what they stand for; what is no escape stands for itself.
fn decoded(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        rest = tail;
        match (first, tail) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => {
                let Some(byte) = hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4) | low) else {
                    return Some(first);
                };
                rest = after;
                Some(byte)
            }
            _ => Some(first),
        }
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        for (form, expected) in [
            ("user=alice&password=x", &["alice"][..]),
            ("%75ser=al%69ce", &["alice"]),
            ("us%65r=a+b", &["a b"]),
            ("user=a&USER=b", &["a", "b"]),
            ("user", &[""]),
            ("user=", &[""]),
            ("user=a=b", &["a=b"]),
            ("user=%", &["%"]),
            ("user=%4", &["%4"]),
            ("user=%zz", &["%zz"]),
            ("&&x=user&", &[]),
            ("", &[]),
        ] {
            let found: Vec<_> =
                values(form.as_bytes(), b"user").map(|value| String::from_utf8(value).unwrap()).collect();
            assert_eq!(found, expected, "{form}");
        }
    }
}
