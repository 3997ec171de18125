//! Kinds of tokens that a standard defines (RFC 8725 section 3.12): what one of them has and the others don't.

/// What tells a kind of token from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The only `typ`.
    pub media_type: &'static str,
    /// Claims that are always there.
    pub required_claims: &'static [&'static str],
}

/// A JWT access token (RFC 9068 section 2).
pub const RFC9068: Profile = Profile {
    media_type: "at+jwt",
    required_claims: &["iss", "exp", "aud", "sub", "client_id", "iat", "jti"],
};
