//! Where a request carries its credentials (RFC 6750 section 2): fields, cookies, the query; how one is found, and
//! how it is taken out before the request goes on.

use portcullis_core::{ConfigError, Headers, Request};
use portcullis_host::Ctx;

use crate::config::LocationConfig;

mod cookie;
mod query;

/// A place that one kind of credential is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `authorization` with one of these schemes (RFC 9110 section 11.6.2).
    Authorization,
    /// A request field of its own, by its lower-case name; the whole value is the credential.
    Header(String),
    /// A cookie (RFC 6265), by its name.
    Cookie(String),
    /// A parameter of the query (RFC 6750 section 2.3), by its name.
    Query(String),
}

/// How a token was presented; one from a cookie or another field counts as `Bearer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Bearer`, and every other place: whoever has the token may use it.
    Bearer,
    /// `DPoP` (RFC 9449 section 7.1): the request must prove the possession of a key.
    Dpop,
}

/// One credential of a request. Its bytes are a secret: never for a log or an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The token or key.
    pub value: &'a [u8],
    /// How it was presented.
    pub scheme: Scheme,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// More than one credential: which of them counts can't be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Several;

impl Location {
    /// The credential at this place; none where nothing is there, or another scheme.
    ///
    /// # Errors
    /// [`Several`] for two fields, cookies or parameters of the name, whatever is in them: never pick one.
    pub fn find<'a>(&self, request: &'a Request) -> Result<Option<Credential<'a>>, Several> {
        let bearer =
            |value: Option<&'a [u8]>| value.map(|value| Credential { value, scheme: Scheme::Bearer });
        match self {
            Self::Authorization => Ok(single(request.headers(), b"authorization")?.and_then(authorization)),
            Self::Header(name) => single(request.headers(), name.as_bytes()).map(bearer),
            Self::Cookie(name) => cookie::find(request.headers(), name.as_bytes()).map(bearer),
            Self::Query(name) => {
                request.query().map_or(Ok(None), |query| query::find(query, name.as_bytes())).map(bearer)
            }
        }
    }

    /// Takes the credential out of the request that goes on; the rest stays as it is, byte for byte.
    pub fn remove(&self, request: &Request, ctx: &mut Ctx<'_>) {
        match self {
            Self::Authorization => ctx.remove_header("authorization"),
            Self::Header(name) => ctx.remove_header(name.as_bytes()),
            Self::Cookie(name) => match cookie::without(request.headers(), name.as_bytes()) {
                Some(rest) if rest.is_empty() => ctx.remove_header("cookie"),
                Some(rest) => ctx.set_header("cookie", rest),
                None => {}
            },
            Self::Query(name) => {
                if let Some(target) = query::without(request.target(), name.as_bytes()) {
                    ctx.set_header(":path", target);
                }
            }
        }
    }
}

fn single<'a>(headers: &'a Headers, name: &[u8]) -> Result<Option<&'a [u8]>, Several> {
    headers.single(name).map_err(|_| Several)
}

/// The scheme in any case (RFC 9110 section 11.1), exactly one space, the token. A second space is taken as part of the
/// token, which refuses it: nobody then reads another token than this filter.
fn authorization(value: &[u8]) -> Option<Credential<'_>> {
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end)?;
    let scheme = match scheme {
        scheme if scheme.eq_ignore_ascii_case(b"bearer") => Scheme::Bearer,
        scheme if scheme.eq_ignore_ascii_case(b"dpop") => Scheme::Dpop,
        _ => return None,
    };
    Some(Credential { value: rest.strip_prefix(b" ").unwrap_or_default(), scheme })
}

/// Fields that are no place for a credential: they mean something else to the proxy or the upstream.
const RESERVED: [&str; 8] =
    ["connection", "content-length", "content-type", "cookie", "dpop", "host", "te", "transfer-encoding"];

impl TryFrom<LocationConfig> for Location {
    type Error = ConfigError;

    fn try_from(config: LocationConfig) -> Result<Self, ConfigError> {
        let is_token = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let checked = |member: &str, name: String| {
            if is_token(&name) {
                return Ok(name);
            }
            let problem = format!("expected a name of letters, digits, `-`, `_` and `.`, found `{name}`");
            Err(ConfigError::new(member, problem))
        };
        match config {
            LocationConfig::Header(name) => {
                let name = checked("header", name)?.to_ascii_lowercase();
                if RESERVED.contains(&name.as_str()) {
                    return Err(ConfigError::new("header", format!("`{name}` can't carry a credential")));
                }
                Ok(if name == "authorization" { Self::Authorization } else { Self::Header(name) })
            }
            LocationConfig::Cookie(name) => checked("cookie", name).map(Self::Cookie),
            LocationConfig::Query(name) => checked("query", name).map(Self::Query),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Request {
        Request::new(fields.iter().copied().collect(), true)
    }

    // covers: JWT-LOC-03, HOST-SDK-14
    #[test]
    fn one_field_one_scheme_one_space() {
        use Scheme::{Bearer, Dpop};
        for (name, values, expected) in [
            ("usual", &["Bearer t"][..], Ok(Some((Bearer, "t")))),
            ("lower case", &["bearer t"], Ok(Some((Bearer, "t")))),
            ("upper case", &["BEARER t"], Ok(Some((Bearer, "t")))),
            ("proof of possession", &["DPoP t"], Ok(Some((Dpop, "t")))),
            ("two spaces", &["Bearer  t"], Ok(Some((Bearer, " t")))),
            ("two tokens", &["Bearer A, Bearer B"], Ok(Some((Bearer, "A, Bearer B")))),
            ("scheme alone", &["Bearer"], Ok(Some((Bearer, "")))),
            ("scheme and space", &["Bearer "], Ok(Some((Bearer, "")))),
            ("tab", &["Bearer\tt"], Ok(None)),
            ("no space", &["Bearert"], Ok(None)),
            ("Token", &["Token t"], Ok(None)),
            ("JWT", &["JWT t"], Ok(None)),
            ("Basic", &["Basic t"], Ok(None)),
            ("empty", &[""], Ok(None)),
            ("none", &[], Ok(None)),
            ("the same twice", &["Bearer t", "Bearer t"], Err(Several)),
            ("with Basic", &["Basic x", "Bearer t"], Err(Several)),
            ("with an empty one", &["Bearer t", ""], Err(Several)),
        ] {
            let request = Request::new(values.iter().map(|value| ("authorization", *value)).collect(), true);
            let expected = expected
                .map(|found| found.map(|(scheme, text)| Credential { value: text.as_bytes(), scheme }));
            assert_eq!(Location::Authorization.find(&request), expected, "{name}");
        }
    }

    #[test]
    fn a_field_of_its_own_is_read_as_a_whole() {
        let location = Location::Header("x-token".into());
        let value = |fields| location.find(&request(fields)).map(|found| found.map(|one| one.value.to_vec()));
        assert_eq!(value(&[("x-token", "Bearer t")]), Ok(Some(b"Bearer t".to_vec())));
        assert_eq!(value(&[("x-other", "t")]), Ok(None));
        assert_eq!(value(&[("x-token", "t"), ("x-token", "t")]), Err(Several));
    }

    #[test]
    fn places_are_checked() {
        let location = |config| Location::try_from(config).map_err(|error: ConfigError| error.path);
        assert_eq!(location(LocationConfig::Header("Authorization".into())), Ok(Location::Authorization));
        assert_eq!(location(LocationConfig::Header("X-Key".into())), Ok(Location::Header("x-key".into())));
        for name in ["", "host", ":path", "Cookie", "x key", "dpop"] {
            assert_eq!(location(LocationConfig::Header(name.into())), Err("header".into()), "{name}");
        }
        assert_eq!(location(LocationConfig::Cookie("a=b".into())), Err("cookie".into()));
        assert_eq!(location(LocationConfig::Query("a&b".into())), Err("query".into()));
    }

    #[test]
    fn a_credential_never_shows_itself() {
        let request = request(&[("authorization", "Bearer s3cret")]);
        let credential = Location::Authorization.find(&request).unwrap().unwrap();
        assert!(!format!("{credential:?}").contains("s3cret"));
    }
}
