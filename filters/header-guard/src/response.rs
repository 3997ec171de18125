//! What clients get: each check in its order, and the note of what was found.

pub mod caching;
pub mod profile;
pub mod redirects;

use portcullis_core::verdict::Mode;
use portcullis_core::{ConfigError, Request, Response};

use crate::config::ResponseConfig;
use crate::policy::Edit;

use profile::{Hardening, SWITCHING_PROTOCOLS};
use redirects::Redirects;

/// What is noted of a body of which nobody says what it is (ASVS 4.1.1); `nosniff` keeps browsers from guessing.
const NO_CONTENT_TYPE: &str = "response.no_content_type";

/// The rules for responses.
#[derive(Debug)]
pub struct Responses {
    hardening: Hardening,
    redirects: Redirects,
    caching: Mode,
}

impl Responses {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: &ResponseConfig) -> Result<Self, ConfigError> {
        let hardening = Hardening::new(config)?;
        Ok(Self {
            redirects: Redirects::new(&config.redirects).map_err(|error| error.under("redirects"))?,
            caching: config.caching,
            hardening,
        })
    }

    /// Hardens one response; `secure` says whether the client came over TLS. Interim responses stay as they are: the final
    /// one follows. Doing it again to what comes out of it changes nothing more.
    pub fn apply(
        &self,
        request: Option<&Request>,
        response: &Response,
        secure: bool,
        edit: &mut dyn FnMut(Edit<'_>),
    ) {
        let switching = response.status() == Some(SWITCHING_PROTOCOLS);
        if response.is_interim() && !switching {
            return;
        }
        self.hardening.apply(response, secure, edit);
        if switching {
            return;
        }
        let headers = response.headers();
        self.redirects.check(headers, request.map(Request::authority), edit);
        // With a profile that adds `no-store` nothing is left to say for a response that is silent.
        let request = request.map(Request::headers).filter(|_| !self.hardening.adds(b"cache-control"));
        caching::check(self.caching, request, headers, edit);
        if !response.end_of_stream() && has_content(response.status()) && !headers.contains(b"content-type") {
            edit(Edit::Found(NO_CONTENT_TYPE));
        }
    }
}

/// Whether a response of this status has a body of its own (RFC 9110 sections 15.3.5 and 15.4.5).
const fn has_content(status: Option<u16>) -> bool {
    !matches!(status, Some(204 | 304))
}

#[cfg(test)]
mod tests;
