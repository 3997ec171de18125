//! The bearer token of a request (RFC 6750 section 2.1).

use portcullis_core::Headers;

use crate::refusal::Refusal;

/// The token in `authorization`: the scheme in any case (RFC 9110 section 11.1), exactly one space, the token.
///
/// A second space is taken as part of the token, which refuses it: nobody then reads another token than this filter.
///
/// # Errors
/// [`Refusal::Missing`] when there is no field or one of another scheme; [`Refusal::MultipleCredentials`] for two
/// fields, whatever is in them: never pick one (RFC 6750 section 2 allows a single method).
pub fn token(headers: &Headers) -> Result<&[u8], Refusal> {
    let value = headers
        .single(b"authorization")
        .map_err(|_| Refusal::MultipleCredentials)?
        .ok_or(Refusal::Missing)?;
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end).ok_or(Refusal::Missing)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Refusal::Missing);
    }
    Ok(rest.strip_prefix(b" ").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-LOC-03, HOST-SDK-14
    #[test]
    fn one_field_one_scheme_one_space() {
        for (name, values, expected) in [
            ("usual", &["Bearer t"][..], Ok("t")),
            ("lower case", &["bearer t"], Ok("t")),
            ("upper case", &["BEARER t"], Ok("t")),
            ("two spaces", &["Bearer  t"], Ok(" t")),
            ("two tokens", &["Bearer A, Bearer B"], Ok("A, Bearer B")),
            ("scheme alone", &["Bearer"], Ok("")),
            ("scheme and space", &["Bearer "], Ok("")),
            ("tab", &["Bearer\tt"], Err(Refusal::Missing)),
            ("no space", &["Bearert"], Err(Refusal::Missing)),
            ("Token", &["Token t"], Err(Refusal::Missing)),
            ("JWT", &["JWT t"], Err(Refusal::Missing)),
            ("Basic", &["Basic t"], Err(Refusal::Missing)),
            ("empty", &[""], Err(Refusal::Missing)),
            ("none", &[], Err(Refusal::Missing)),
            ("the same twice", &["Bearer t", "Bearer t"], Err(Refusal::MultipleCredentials)),
            ("with Basic", &["Basic x", "Bearer t"], Err(Refusal::MultipleCredentials)),
            ("with an empty one", &["Bearer t", ""], Err(Refusal::MultipleCredentials)),
        ] {
            let headers: Headers = values.iter().map(|value| ("authorization", *value)).collect();
            assert_eq!(token(&headers), expected.map(str::as_bytes), "{name}");
        }
    }
}
