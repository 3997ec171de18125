//! The checked configuration, ready to run, and the decision.

use std::net::IpAddr;

use portcullis_core::headers::Headers;
use portcullis_core::verdict::{Mode, OnError};
use portcullis_core::{ConfigError, Denial, Request, Response, config};

use crate::config::{Config, Zone};
use crate::limits::Limits;
use crate::names::Pattern;
use crate::request::Rules;
use crate::response::Responses;
use crate::zone::Networks;

/// A change to header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Make this the only field of its name.
    Set(&'a [u8], &'a [u8]),
    /// Add a field; there is none of its name.
    Append(&'a [u8], &'a [u8]),
    /// Remove every field of this name.
    Remove(&'a [u8]),
    /// Nothing: only note, by this code, what was found.
    Found(&'static str),
}

impl Edit<'_> {
    /// Applies the change to a snapshot.
    pub fn apply(self, headers: &mut Headers) {
        match self {
            Self::Set(name, value) => headers.set(name, value),
            Self::Append(name, value) => headers.append(name, value),
            Self::Remove(name) => {
                headers.remove(name);
            }
            Self::Found(_) => {}
        }
    }
}

/// Who the peer of a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// Unknown, or known to be none of ours.
    #[default]
    Stranger,
    /// One of the operator's proxies.
    TrustedProxy,
}

/// The filter's rules.
#[derive(Debug)]
pub struct Policy {
    on_error: OnError,
    mode: Mode,
    limits: Limits,
    strangers: Rules,
    proxies: Option<(Networks, Rules)>,
    responses: Responses,
}

impl Policy {
    /// Reads a configuration document.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn load(document: &[u8]) -> Result<Self, ConfigError> {
        Self::new(&config::load(document)?)
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let in_request = |error: ConfigError| error.under("request");
        let proxies = match &config.zone {
            Zone::Edge => None,
            Zone::TrustedProxy(proxy) => {
                let in_zone = |error: ConfigError| error.under("zone.trusted_proxy");
                let networks =
                    Networks::parse(&proxy.addresses).map_err(|error| in_zone(error.under("addresses")))?;
                let keep = patterns("keep", &proxy.keep).map_err(in_zone)?;
                Some((networks, Rules::new(&config.request, Some(&keep)).map_err(in_request)?))
            }
        };
        Ok(Self {
            on_error: config.on_error,
            mode: config.request.mode,
            limits: Limits::new(&config.request).map_err(in_request)?,
            strangers: Rules::new(&config.request, None).map_err(in_request)?,
            proxies,
            responses: Responses::new(&config.response).map_err(|error| error.under("response"))?,
        })
    }

    /// What happens to a request that the filter doesn't get to see.
    #[must_use]
    pub const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// Who the peer is. `address` is asked for its address only if that can make a difference; one that is not
    /// known is a stranger's.
    pub fn peer(&self, address: impl FnOnce() -> Option<IpAddr>) -> Peer {
        let trusted = self
            .proxies
            .as_ref()
            .is_some_and(|(networks, _)| address().is_some_and(|it| networks.contain(it)));
        if trusted { Peer::TrustedProxy } else { Peer::Stranger }
    }

    /// Judges a request's head: `edit` gets what has to be changed before anybody believes it; the answer is why to
    /// refuse it, and whether to do so or only report it.
    pub fn judge(
        &self,
        request: &Request,
        peer: Peer,
        edit: &mut dyn FnMut(Edit<'_>),
    ) -> Option<(Mode, Denial)> {
        if let Err(denial) = self.limits.check(request) {
            return Some((Mode::Enforce, denial));
        }
        self.rules(peer).inspect(request, edit).map(|denial| (self.mode, denial))
    }

    /// Removes what this peer may not send behind a body.
    pub fn clear_trailers(&self, trailers: &Headers, peer: Peer, edit: &mut dyn FnMut(Edit<'_>)) {
        self.rules(peer).clear_trailers(trailers, edit);
    }

    const fn rules(&self, peer: Peer) -> &Rules {
        match (peer, &self.proxies) {
            (Peer::TrustedProxy, Some((_, rules))) => rules,
            (Peer::Stranger, _) | (Peer::TrustedProxy, None) => &self.strangers,
        }
    }

    /// Hardens the response to a request, as far as that is known, of a client that came over TLS (`secure`) or not.
    pub fn harden(
        &self,
        request: Option<&Request>,
        response: &Response,
        secure: bool,
        edit: &mut dyn FnMut(Edit<'_>),
    ) {
        self.responses.apply(request, response, secure, edit);
    }
}

/// Whether the client came over TLS, as far as a judged request tells. A trusted proxy says it in
/// `x-forwarded-proto`; from a stranger `:scheme` must say the same.
#[must_use]
pub fn is_secure(headers: &Headers, peer: Peer) -> bool {
    let scheme = headers.first(b":scheme") == Some(b"https");
    let forwarded = headers.single(b"x-forwarded-proto").map(|proto| proto.map(|proto| proto == b"https"));
    match (forwarded, peer) {
        (Ok(None), _) => scheme,
        (Ok(Some(forwarded)), Peer::TrustedProxy) => forwarded,
        (Ok(Some(forwarded)), Peer::Stranger) => forwarded && scheme,
        (Err(_), _) => false,
    }
}

/// Reads a list of names and prefixes.
pub(crate) fn patterns(list: &str, texts: &[String]) -> Result<Vec<Pattern>, ConfigError> {
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        Pattern::parse(text).map_err(|problem| ConfigError::new(format!("{list}[{index}]"), problem))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests;
