//! The CORS protocol (Fetch standard): who may read responses from a page of another origin.
//!
//! It protects nothing from a request being made; see [`crate::cross_site`] for that.

use std::borrow::Cow;
use std::collections::BTreeSet;

use portcullis_core::config::TimeSpan;
use portcullis_core::headers::Headers;
use portcullis_core::verdict::Mode;
use portcullis_core::{Answer, ConfigError, Denial, Reason, Request, Response};

use crate::bytes::{self, list};
use crate::config::CorsConfig;
use crate::denials;
use crate::origin::{Origin, OriginList};
use crate::policy::Edit;

/// Longest time that an answer may be remembered; no browser heeds a longer one.
const MAX_AGE: TimeSpan = TimeSpan::from_secs(86_400);

/// Entries in each list of methods or fields.
const MAX_NAMES: usize = 100;

/// Methods that no script can send (Fetch standard, "forbidden method"), so listing one is a mistake.
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// What the proxy reports of a preflight that was answered here.
const PREFLIGHT: Reason = Reason("cors.preflight");

/// Every field by which a response says something about CORS begins so, those of future standards too.
const PREFIX: &[u8] = b"access-control-";

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const ALLOW_PRIVATE_NETWORK: &str = "access-control-allow-private-network";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const REMEMBER: &str = "access-control-max-age";

/// The fields that this policy can write.
const FIELDS: [&str; 7] = [
    ALLOW_ORIGIN,
    ALLOW_CREDENTIALS,
    ALLOW_METHODS,
    ALLOW_HEADERS,
    ALLOW_PRIVATE_NETWORK,
    EXPOSE_HEADERS,
    REMEMBER,
];

/// A policy, ready to run.
#[derive(Debug)]
pub struct Cors {
    mode: Mode,
    origins: OriginList,
    credentials: bool,
    private_network: bool,
    methods: Vec<String>,
    /// Lower case, sorted.
    request_headers: Vec<String>,
    /// Values of response fields, made at load; empty for a field that is not sent.
    allow_methods: String,
    allow_headers: String,
    expose_headers: String,
    max_age: String,
}

/// What a request is to the CORS protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum CorsVerdict {
    /// There is no `Origin`, or the policy is off: nothing to decide.
    NotCors,
    /// Not a preflight: it goes on, and the response says whether the page may read it. Also a preflight that the
    /// upstream is to answer, in mode `report`.
    Actual {
        /// Whether the origin is on the list. A page of this very origin need not be.
        allowed: bool,
    },
    /// An allowed preflight: the proxy answers.
    Preflight(Answer),
    /// A preflight that is not allowed (403 `cors.*`), or an `Origin` that is none or is there twice (400
    /// `header.invalid_origin`).
    Refuse(Denial),
}

/// A request's part of the decision; what it borrows is the policy's.
enum Judged<'a> {
    NotCors,
    Actual(Option<Cow<'a, str>>),
    Preflight { origin: Cow<'a, str>, private_network: bool },
    Refuse(Denial),
}

impl Cors {
    /// Checks a configuration. Without origins nobody may read anything from another origin.
    ///
    /// # Errors
    /// [`ConfigError`] for what is no origin, method or field name, for too many of them, for a `max_age` over 24 h,
    /// and for `credentials` with `*` or `null`: every page of the world could read what a user may.
    pub fn new(config: &CorsConfig) -> Result<Self, ConfigError> {
        let origins = OriginList::parse(&config.origins).map_err(|error| error.under("origins"))?;
        if config.credentials && origins.is_open() {
            let problem = "expected `false` with the origin `*` or `null`, found `true`";
            return Err(ConfigError::new("credentials", problem));
        }
        if config.max_age > MAX_AGE {
            let problem = format!("expected 0s to {MAX_AGE}, found {}", config.max_age);
            return Err(ConfigError::new("max_age", problem));
        }
        let methods = tokens("methods", &config.methods)?;
        if let Some(index) = methods.iter().position(|method| FORBIDDEN_METHODS.contains(&method.as_str())) {
            let problem = "expected a method that scripts can send";
            return Err(ConfigError::new(format!("methods[{index}]"), problem));
        }
        // Ordered, and each once.
        let mut request_headers = BTreeSet::new();
        request_headers.extend(lower_case("request_headers", &config.request_headers)?);
        let request_headers: Vec<String> = request_headers.into_iter().collect();
        Ok(Self {
            mode: config.mode,
            origins,
            credentials: config.credentials,
            private_network: config.private_network,
            allow_methods: methods.join(", "),
            methods,
            allow_headers: request_headers.join(", "),
            request_headers,
            expose_headers: lower_case("exposed_headers", &config.exposed_headers)?.join(", "),
            max_age: config.max_age.get().as_secs().to_string(),
        })
    }

    /// Whether refusals refuse.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Judges a request. Allocates only to answer or refuse a preflight, and for an origin that a pattern allows.
    ///
    /// A preflight is OPTIONS with `Origin` and `Access-Control-Request-Method`. It is allowed if its origin, its
    /// method and all its fields are on the lists; the answer then names the whole lists. One that is not allowed is
    /// refused, so that audit knows: to a browser each answer without `Access-Control-Allow-Origin` is the same.
    #[must_use]
    pub fn judge(&self, request: &Request) -> CorsVerdict {
        match self.decide(request) {
            Judged::NotCors => CorsVerdict::NotCors,
            Judged::Actual(origin) => CorsVerdict::Actual { allowed: origin.is_some() },
            Judged::Preflight { .. } if self.mode != Mode::Enforce => CorsVerdict::Actual { allowed: true },
            Judged::Preflight { origin, private_network } => {
                CorsVerdict::Preflight(self.answer(&origin, private_network))
            }
            Judged::Refuse(denial) => CorsVerdict::Refuse(denial),
        }
    }

    /// Makes every `access-control-*` field of a response what the policy says about `request`, whatever the upstream
    /// said, and adds `Origin` to `Vary` if another origin would have got another response. Without a request there
    /// is no origin to allow. Interim responses stay as they are. Doing it again to what comes out changes nothing
    /// more; in the modes `report` and `off` nothing is changed at all.
    pub fn respond(&self, request: Option<&Request>, response: &Response, edit: &mut dyn FnMut(Edit<'_>)) {
        if self.mode != Mode::Enforce || response.is_interim() {
            return;
        }
        let judged = request.map_or(Judged::NotCors, |request| self.decide(request));
        let headers = response.headers();
        for name in headers.names().filter(|name| name.starts_with(PREFIX)) {
            let is_ours = FIELDS.iter().any(|field| field.as_bytes() == name);
            if !is_ours {
                edit(Edit::Remove(name));
            }
        }
        for field in FIELDS {
            let name = field.as_bytes();
            let wanted = self.value(field, &judged).map(str::as_bytes);
            match (wanted, headers.single(name)) {
                (wanted, Ok(found)) if wanted == found => {}
                (Some(value), Ok(None)) => edit(Edit::Append(name, value)),
                (Some(value), _) => edit(Edit::Set(name, value)),
                (None, _) => edit(Edit::Remove(name)),
            }
        }
        if !self.origins.is_any() {
            vary_by_origin(headers, edit);
        }
    }

    fn decide(&self, request: &Request) -> Judged<'_> {
        if self.mode == Mode::Off {
            return Judged::NotCors;
        }
        let headers = request.headers();
        let origin = match headers.single(b"origin") {
            Ok(None) => return Judged::NotCors,
            Ok(Some(origin)) => Origin::parse(origin),
            Err(_) => None,
        };
        let Some(origin) = origin else {
            return Judged::Refuse(denials::invalid_origin());
        };
        let origin = self.origins.find(&origin);
        let is_preflight =
            request.method() == b"OPTIONS" && headers.contains(b"access-control-request-method");
        if !is_preflight {
            return Judged::Actual(origin);
        }
        let Some(origin) = origin else {
            return Judged::Refuse(denials::cors_origin());
        };
        let method = headers.single(b"access-control-request-method").ok().flatten();
        if !self.methods.iter().any(|allowed| Some(allowed.as_bytes()) == method) {
            return Judged::Refuse(denials::cors_method());
        }
        if !headers.all(b"access-control-request-headers").flat_map(list).all(|name| self.allows(name)) {
            return Judged::Refuse(denials::cors_request_header());
        }
        let asks = headers.single(b"access-control-request-private-network") == Ok(Some(b"true"));
        Judged::Preflight { origin, private_network: asks && self.private_network }
    }

    /// Whether a preflight may ask for the field `name`. Browsers send it in lower case.
    fn allows(&self, name: &[u8]) -> bool {
        let found = if name.iter().any(u8::is_ascii_uppercase) {
            let lower = name.to_ascii_lowercase();
            self.request_headers.binary_search_by(|allowed| allowed.as_bytes().cmp(&lower))
        } else {
            self.request_headers.binary_search_by(|allowed| allowed.as_bytes().cmp(name))
        };
        found.is_ok()
    }

    fn answer(&self, origin: &str, private_network: bool) -> Answer {
        let judged = Judged::Preflight { origin: Cow::Borrowed(origin), private_network };
        let fields = FIELDS.iter().filter_map(|field| Some((*field, self.value(field, &judged)?.to_owned())));
        let vary = (!self.origins.is_any()).then(|| ("vary", "Origin".to_owned()));
        Answer { status: 204, reason: PREFLIGHT, headers: fields.chain(vary).collect() }
    }

    /// The value of a response field; none if the response must not have it.
    fn value<'a>(&'a self, field: &str, judged: &'a Judged<'_>) -> Option<&'a str> {
        let (origin, preflight) = match judged {
            Judged::Preflight { origin, private_network } => (Some(&**origin), Some(*private_network)),
            Judged::Actual(origin) => (origin.as_deref(), None),
            Judged::NotCors | Judged::Refuse(_) => (None, None),
        };
        // One answer for everybody is sent to everybody: else a cache that met a request without an origin would keep
        // a response that nobody may read (Fetch standard, "CORS protocol and HTTP caches").
        let everybodys = match judged {
            Judged::NotCors if self.origins.is_any() => Some("*"),
            _ => None,
        };
        let origin = origin.or(everybodys)?;
        let is_preflight = preflight.is_some();
        let value = match field {
            ALLOW_ORIGIN => origin,
            ALLOW_CREDENTIALS if self.credentials => "true",
            ALLOW_METHODS if is_preflight => &self.allow_methods,
            ALLOW_HEADERS if is_preflight => &self.allow_headers,
            ALLOW_PRIVATE_NETWORK if preflight == Some(true) => "true",
            EXPOSE_HEADERS if !is_preflight => &self.expose_headers,
            REMEMBER if is_preflight => &self.max_age,
            _ => "",
        };
        (!value.is_empty()).then_some(value)
    }
}

/// Mends what an upstream says about CORS where no policy is configured; why, for audit. Doing it again to what comes
/// out changes nothing more.
///
/// `*` loses `Access-Control-Allow-Credentials`; `null`, two fields and what is neither `*` nor one origin are removed;
/// one origin without `Vary: Origin` gets it, as a cache would hand the response to pages of other origins. Whether an
/// upstream echoes just any origin can't be seen here: only a policy stops that.
pub fn check_upstream(response: &Response, edit: &mut dyn FnMut(Edit<'_>)) -> Option<Reason> {
    if response.is_interim() {
        return None;
    }
    let headers = response.headers();
    let name = ALLOW_ORIGIN.as_bytes();
    let origin = match headers.single(name) {
        Ok(None) => return None,
        Ok(Some(b"*")) => {
            let credentials = ALLOW_CREDENTIALS.as_bytes();
            if !headers.contains(credentials) {
                return None;
            }
            edit(Edit::Remove(credentials));
            return Some(Reason("cors.any_origin_with_credentials"));
        }
        Ok(Some(value)) => Origin::parse(value),
        Err(_) => None,
    };
    match origin {
        Some(Origin::Tuple(_)) => vary_by_origin(headers, edit).then_some(Reason("cors.missing_vary")),
        Some(Origin::Opaque) => {
            edit(Edit::Remove(name));
            Some(Reason("cors.null_origin"))
        }
        None => {
            edit(Edit::Remove(name));
            Some(Reason("cors.invalid_allow_origin"))
        }
    }
}

/// Adds `Origin` to `Vary`, behind what is there already; whether it was missing.
fn vary_by_origin(headers: &Headers, edit: &mut dyn FnMut(Edit<'_>)) -> bool {
    let name = b"vary";
    let mut members = headers.all(name).flat_map(list);
    if members.any(|member| member == b"*" || member.eq_ignore_ascii_case(b"origin")) {
        return false;
    }
    if headers.contains(name) {
        let members: Vec<&[u8]> = headers.all(name).flat_map(list).chain([&b"Origin"[..]]).collect();
        edit(Edit::Set(name, &members.join(&b", "[..])));
    } else {
        edit(Edit::Append(name, b"Origin"));
    }
    true
}

/// Checks a list of methods or field names. `*` is a token too, but stands for everything.
fn tokens(path: &str, texts: &[String]) -> Result<Vec<String>, ConfigError> {
    if texts.len() > MAX_NAMES {
        return Err(ConfigError::new(path, format!("expected at most {MAX_NAMES}, found {}", texts.len())));
    }
    for (index, text) in texts.iter().enumerate() {
        if !bytes::is_token(text.as_bytes()) || text == "*" {
            let problem = format!("expected a name without `*`, found `{text}`");
            return Err(ConfigError::new(format!("{path}[{index}]"), problem));
        }
    }
    Ok(texts.to_vec())
}

fn lower_case(path: &str, texts: &[String]) -> Result<Vec<String>, ConfigError> {
    Ok(tokens(path, texts)?.iter().map(|name| name.to_ascii_lowercase()).collect())
}

#[cfg(test)]
mod tests;
