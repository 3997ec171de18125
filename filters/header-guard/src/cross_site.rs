//! Refuses what pages of other sites do in a user's name: the resource isolation policy of W3C Fetch Metadata, and
//! `Origin` where a browser sends no `Sec-Fetch-Site`.
//!
//! A browser sends these fields, and no page can change them; any other client can write what it likes, but has no
//! cookies of a victim.

use portcullis_core::headers::Headers;
use portcullis_core::verdict::Mode;
use portcullis_core::{ConfigError, Denial, Request};

use crate::bytes::{self, list};
use crate::config::CrossSiteConfig;
use crate::denials;
use crate::origin::{Origin, OriginList};

/// Names of cookies; each cookie of a request is compared with all of them.
const MAX_COOKIES: usize = 16;

/// A policy, ready to run.
#[derive(Debug)]
pub struct CrossSite {
    mode: Mode,
    cookies: Vec<String>,
    allow_origins: OriginList,
    allow_navigation: bool,
    allow_same_site: bool,
}

impl CrossSite {
    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for what is no cookie name or origin, for too many of them, and for an `allow_origins` that
    /// anybody can be in: `*` or `null`.
    pub fn new(config: &CrossSiteConfig) -> Result<Self, ConfigError> {
        if config.cookies.len() > MAX_COOKIES {
            let problem = format!("expected at most {MAX_COOKIES} names, found {}", config.cookies.len());
            return Err(ConfigError::new("cookies", problem));
        }
        if let Some(index) = config.cookies.iter().position(|name| !bytes::is_token(name.as_bytes())) {
            return Err(ConfigError::new(format!("cookies[{index}]"), "expected the name of a cookie"));
        }
        let allow_origins =
            OriginList::parse(&config.allow_origins).map_err(|error| error.under("allow_origins"))?;
        if allow_origins.is_open() {
            let problem = "expected origins other than `*` and `null`, which everybody can be";
            return Err(ConfigError::new("allow_origins", problem));
        }
        Ok(Self {
            mode: config.mode,
            cookies: config.cookies.clone(),
            allow_origins,
            allow_navigation: config.allow_navigation,
            allow_same_site: config.allow_same_site,
        })
    }

    /// Whether refusals refuse.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Why to refuse a request, 403 `header.cross_site`, if the mode is not `off`. `secure` says whether the client came
    /// over TLS, which makes the request's own origin (see [`crate::policy::is_secure`]).
    ///
    /// A WebSocket handshake must come from this origin or a listed one, with or without cookies: no CORS guards
    /// what comes after it, and browsers always send its `Origin`. Another request is judged if it has one of the
    /// cookies: by `Sec-Fetch-Site`, else by `Origin`, else, if its method is not safe, by `Referer`; an unsafe one
    /// with none of the three is refused. Linear in the size of the fields; no allocation for what browsers send.
    #[must_use]
    pub fn judge(&self, request: &Request, secure: bool) -> Option<Denial> {
        let passes = if is_websocket_handshake(request) {
            self.has_known_origin(request, secure)
        } else {
            !self.has_cookie(request.headers()) || self.is_isolated(request, secure)
        };
        (!passes).then(denials::cross_site)
    }

    fn is_isolated(&self, request: &Request, secure: bool) -> bool {
        let headers = request.headers();
        match headers.single(b"sec-fetch-site") {
            Ok(Some(b"same-origin" | b"none")) => true,
            Ok(Some(b"same-site")) if self.allow_same_site => true,
            Ok(Some(b"same-site" | b"cross-site")) => {
                (self.allow_navigation && is_navigation(request)) || self.has_known_origin(request, secure)
            }
            // A value of a future standard may mean anything, and two fields are no browser's.
            Ok(Some(_)) | Err(_) => false,
            // An old browser, or no TLS; or no browser.
            Ok(None) if headers.contains(b"origin") => self.has_known_origin(request, secure),
            Ok(None) => is_safe(request) || self.has_known_referer(request, secure),
        }
    }

    fn has_known_origin(&self, request: &Request, secure: bool) -> bool {
        let origin = request.headers().single(b"origin").ok().flatten().and_then(Origin::parse);
        origin.is_some_and(|origin| self.knows(&origin, request, secure))
    }

    fn has_known_referer(&self, request: &Request, secure: bool) -> bool {
        let origin = request.headers().single(b"referer").ok().flatten().and_then(Origin::of_url);
        origin.is_some_and(|origin| self.knows(&origin, request, secure))
    }

    fn knows(&self, origin: &Origin<'_>, request: &Request, secure: bool) -> bool {
        Origin::of_target(request, secure).as_ref() == Some(origin) || self.allow_origins.contains(origin)
    }

    /// Whether there is a cookie that counts. A quote has no meaning here: a server that thinks otherwise finds fewer
    /// cookies, never more.
    fn has_cookie(&self, headers: &Headers) -> bool {
        if self.cookies.is_empty() {
            return headers.contains(b"cookie");
        }
        let cookies = headers.all(b"cookie").flat_map(|value| value.split(|byte| *byte == b';'));
        let mut names = cookies.filter_map(|cookie| cookie.split(|byte| *byte == b'=').next());
        names.any(|name| self.cookies.iter().any(|cookie| cookie.as_bytes() == name.trim_ascii()))
    }
}

/// HTTP/1.1 (RFC 6455 section 4.1), which is also how Envoy shows the other one to filters; or HTTP/2 and 3 (RFC 8441).
fn is_websocket_handshake(request: &Request) -> bool {
    let headers = request.headers();
    let is_websocket = |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"websocket");
    headers.all(b"upgrade").flat_map(list).any(is_websocket) || headers.all(b":protocol").any(is_websocket)
}

/// A link to here that opens in a window or tab. Frames and plug-ins are left out: they show our page inside of another.
fn is_navigation(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == b"GET"
        && headers.single(b"sec-fetch-mode") == Ok(Some(b"navigate"))
        && headers.single(b"sec-fetch-dest") == Ok(Some(b"document"))
}

/// RFC 9110 section 9.2.1; TRACE is refused anyway.
fn is_safe(request: &Request) -> bool {
    matches!(request.method(), b"GET" | b"HEAD" | b"OPTIONS")
}

#[cfg(test)]
mod tests;
