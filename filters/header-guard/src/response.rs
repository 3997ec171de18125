//! What clients get: each check in its order, and the note of what was found.

pub mod caching;
pub mod profile;
pub mod redirects;
pub mod set_cookie;

use portcullis_core::headers::Headers;
use portcullis_core::verdict::Mode;
use portcullis_core::{ConfigError, Request, Response, UnixTime};

use crate::config::ResponseConfig;
use crate::policy::Edit;

use profile::{Hardening, SWITCHING_PROTOCOLS};
use redirects::Redirects;
use set_cookie::{Hardened, SetCookieRules};

/// What is noted of a body of which nobody says what it is (ASVS 4.1.1); `nosniff` keeps browsers from guessing.
const NO_CONTENT_TYPE: &str = "response.no_content_type";

const SET_COOKIE: &[u8] = b"set-cookie";

/// The rules for responses.
#[derive(Debug)]
pub struct Responses {
    hardening: Hardening,
    /// None where the operator removes or keeps the field as it is.
    cookies: Option<SetCookieRules>,
    redirects: Redirects,
    caching: Mode,
}

/// What a response is judged by besides its own head.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The request, as far as it is known.
    pub request: Option<&'a Request>,
    /// Whether the client came over TLS.
    pub secure: bool,
    /// Asked for the time only if that can make a difference.
    pub now: &'a dyn Fn() -> UnixTime,
}

impl Responses {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: &ResponseConfig) -> Result<Self, ConfigError> {
        let hardening = Hardening::new(config)?;
        let cookies = SetCookieRules::new(&config.set_cookie).map_err(|error| error.under("set_cookie"))?;
        Ok(Self {
            cookies: (!hardening.is_settled(SET_COOKIE)).then_some(cookies),
            redirects: Redirects::new(&config.redirects).map_err(|error| error.under("redirects"))?,
            caching: config.caching,
            hardening,
        })
    }

    /// Hardens one response. Interim responses stay as they are: the final one follows. Doing it again to what comes out of it
    /// changes nothing more.
    pub fn apply(&self, context: Context<'_>, response: &Response, edit: &mut dyn FnMut(Edit<'_>)) {
        let Context { request, secure, now } = context;
        let switching = response.status() == Some(SWITCHING_PROTOCOLS);
        if response.is_interim() && !switching {
            return;
        }
        self.hardening.apply(response, secure, edit);
        if switching {
            return;
        }
        let headers = response.headers();
        if let Some(cookies) = &self.cookies
            && headers.contains(SET_COOKIE)
        {
            harden_cookies(cookies, headers, secure, now, edit);
        }
        self.redirects.check(headers, request.map(Request::authority), edit);
        // With a profile that adds `no-store` nothing is left to say for a response that is silent.
        let request = request.map(Request::headers).filter(|_| !self.hardening.adds_cache_control());
        caching::check(self.caching, request, headers, edit);
        if !response.end_of_stream() && has_content(response.status()) && !headers.contains(b"content-type") {
            edit(Edit::Found(NO_CONTENT_TYPE));
        }
    }
}

/// Each cookie is a field of its own, in its order; where one changes or goes, all are written anew.
fn harden_cookies(
    rules: &SetCookieRules,
    headers: &Headers,
    secure: bool,
    now: &dyn Fn() -> UnixTime,
    edit: &mut dyn FnMut(Edit<'_>),
) {
    let hardened: Vec<_> =
        headers.all(SET_COOKIE).map(|cookie| (cookie, rules.harden(cookie, secure, now))).collect();
    for finding in hardened.iter().flat_map(|(_, (_, findings))| findings.iter()) {
        edit(Edit::Found(finding.reason().as_str()));
    }
    if hardened.iter().all(|(_, (hardened, _))| matches!(hardened, Hardened::Keep)) {
        return;
    }
    edit(Edit::Remove(SET_COOKIE));
    for (cookie, (hardened, _)) in &hardened {
        match hardened {
            Hardened::Keep => edit(Edit::Append(SET_COOKIE, cookie)),
            Hardened::Replace(cookie) => edit(Edit::Append(SET_COOKIE, cookie)),
            Hardened::Drop => {}
        }
    }
}

/// Whether a response of this status has a body of its own (RFC 9110 sections 15.3.5 and 15.4.5).
const fn has_content(status: Option<u16>) -> bool {
    !matches!(status, Some(204 | 304))
}

#[cfg(test)]
mod tests;
