//! The checked configuration, ready to run, and the decision.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use portcullis_core::config::unique;
use portcullis_core::headers::{Headers, PrintableHeaders};
use portcullis_core::networks::Networks;
use portcullis_core::routes::RouteTable;
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Request};

use crate::checks::{Checks, Sections};
use crate::config::{self, Config};
use crate::names::Pattern;
use crate::zone::{Identities, Trusted};

/// As many as `client_address.trusted_hops` of other filters can name.
const MAX_HOPS: usize = 31;

/// A change to header fields.
#[derive(Clone, Copy, Debug)]
pub enum Edit<'a> {
    /// Make this the only field of its name.
    Set(&'a [u8], &'a [u8]),
    /// Add a field; there is none of its name.
    Append(&'a [u8], &'a [u8]),
    /// Add fields; there are none of their names.
    AppendAll(&'a PrintableHeaders),
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
            Self::AppendAll(fields) => {
                fields.headers().iter().for_each(|(name, value)| headers.append(name, value));
            }
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
    /// One of the operator's proxies or workloads.
    TrustedProxy,
    /// One of the operator's proxies, whose clients all come over TLS.
    TlsProxy,
}

/// The filter's rules.
#[derive(Debug)]
pub struct Policy {
    on_error: OnError,
    zone: Zone,
    rules: RouteTable<Rc<Checks>>,
    has_rules: bool,
    /// For requests that no rule selects.
    checks: Rc<Checks>,
}

/// By what a peer is known as one of the operator's.
#[derive(Debug)]
enum Zone {
    Edge,
    /// With what a peer in one of the networks is.
    TrustedProxy(Networks, Peer),
    Mesh(Identities),
}

impl Policy {
    /// Reads a configuration document.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn load(document: &[u8]) -> Result<Self, ConfigError> {
        Self::new(portcullis_core::config::load(document)?)
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let (zone, trusted) = zone(&config.zone)?;
        let mut ids = BTreeSet::new();
        let mut rules = Vec::with_capacity(config.rules.len());
        for (index, rule) in config.rules.into_iter().enumerate() {
            let path = format!("rules[{index}]");
            unique(&mut ids, "id", &rule.id).map_err(|error| error.under(&path))?;
            let sections = Sections {
                request: rule.request.as_ref().unwrap_or(&config.request),
                response: rule.response.as_ref().unwrap_or(&config.response),
                cors: rule.cors.as_ref().or(config.cors.as_ref()),
                cross_site: rule.cross_site.as_ref().unwrap_or(&config.cross_site),
                outgoing: rule.outgoing.as_ref().or(config.outgoing.as_ref()),
            };
            let checks = Checks::new(Some(rule.id), &sections, trusted.as_ref());
            rules.push((rule.selector, Rc::new(checks.map_err(|error| error.under(&path))?)));
        }
        let sections = Sections {
            request: &config.request,
            response: &config.response,
            cors: config.cors.as_ref(),
            cross_site: &config.cross_site,
            outgoing: config.outgoing.as_ref(),
        };
        Ok(Self {
            on_error: config.on_error,
            zone,
            has_rules: !rules.is_empty(),
            rules: RouteTable::build(rules).map_err(|error| error.under("rules"))?,
            checks: Rc::new(Checks::new(None, &sections, trusted.as_ref())?),
        })
    }

    /// What happens to a request that the filter doesn't get to see.
    #[must_use]
    pub const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// Who the peer is. Its address, or the URI in its certificate, is asked for only if that can make a difference; one
    /// that is not known is a stranger's.
    pub fn peer(
        &self,
        address: impl FnOnce() -> Option<IpAddr>,
        identity: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Peer {
        match &self.zone {
            Zone::TrustedProxy(networks, peer) if address().is_some_and(|ip| networks.contain(ip)) => *peer,
            Zone::Mesh(identities) if identity().is_some_and(|uri| identities.contain(&uri)) => {
                Peer::TrustedProxy
            }
            Zone::Edge | Zone::TrustedProxy(..) | Zone::Mesh(_) => Peer::Stranger,
        }
    }

    /// The checks of a request without a rule of its own, and of an answer to no request.
    #[must_use]
    pub const fn checks(&self) -> &Rc<Checks> {
        &self.checks
    }

    /// The checks for a request.
    ///
    /// # Errors
    /// The denial of a path or a host with more than one reading, where there are rules.
    pub fn select(&self, request: &Request) -> Result<&Rc<Checks>, Denial> {
        if !self.has_rules {
            return Ok(&self.checks);
        }
        Ok(self.rules.select(request)?.map_or(&self.checks, |matched| matched.value))
    }
}

/// The zone, and what its peers may send besides.
fn zone(config: &config::Zone) -> Result<(Zone, Option<Trusted>), ConfigError> {
    match config {
        config::Zone::Edge => Ok((Zone::Edge, None)),
        config::Zone::TrustedProxy(proxy) => {
            let in_zone = |error: ConfigError| error.under("zone.trusted_proxy");
            let networks = Networks::parse(&proxy.addresses);
            let networks = networks.map_err(|error| in_zone(error.under("addresses")))?;
            let peer = if proxy.tls { Peer::TlsProxy } else { Peer::TrustedProxy };
            let keep = patterns("keep", &proxy.keep).map_err(in_zone)?;
            if let Some(found) = proxy.hops.filter(|hops| !(1..=MAX_HOPS).contains(hops)) {
                let problem = format!("expected 1 to {MAX_HOPS}, found {found}");
                return Err(in_zone(ConfigError::new("hops", problem)));
            }
            Ok((Zone::TrustedProxy(networks, peer), Some(Trusted { keep, hops: proxy.hops })))
        }
        config::Zone::Mesh(mesh) => {
            let in_zone = |error: ConfigError| error.under("zone.mesh");
            let identities = Identities::parse(&mesh.identities);
            let identities = identities.map_err(|error| in_zone(error.under("identities")))?;
            let keep = patterns("keep", &mesh.keep).map_err(in_zone)?;
            Ok((Zone::Mesh(identities), Some(Trusted { keep, hops: None })))
        }
    }
}

/// Whether the client came over TLS, as far as a judged request tells. A trusted proxy says it in
/// `x-forwarded-proto`, unless the operator says it for all its clients; from a stranger `:scheme` must say the same.
#[must_use]
pub fn is_secure(headers: &Headers, peer: Peer) -> bool {
    let scheme = headers.first(b":scheme") == Some(b"https");
    let forwarded = headers.single(b"x-forwarded-proto").map(|proto| proto.map(|proto| proto == b"https"));
    match (forwarded, peer) {
        (_, Peer::TlsProxy) => true,
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
