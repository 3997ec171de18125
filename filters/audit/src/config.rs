//! What the operator writes. `{}` is a full configuration.

use portcullis_core::client::ClientAddressConfig;
use portcullis_core::verdict::OnError;
use serde::Deserialize;

use crate::defaults;

/// The filter's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Members besides the usual ones. Each costs the proxy up to two look-ups a request. Default: none.
    pub fields: Vec<Field>,
    /// Request header fields whose values are part of the event, at most 16. Values of names that stand for secrets
    /// are never written. Default: none.
    pub headers: Vec<String>,
    /// How much of the client's address is written. Default: `full`.
    pub source: Source,
    /// Which address is the client's: `trusted_hops`, as in `rate-limit`.
    pub client_address: ClientAddressConfig,
    /// Filters in other VMs whose published verdicts are read, at most 16 names. Default: all of Portcullis, and
    /// only if no filter of the same chain has a verdict.
    pub filters: Option<Vec<String>>,
    /// What happens to a request whose header fields the proxy does not hand out. Default: `allow`.
    pub on_error: OnError,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            headers: Vec::new(),
            source: defaults::SOURCE,
            client_address: ClientAddressConfig::default(),
            filters: None,
            on_error: defaults::ON_ERROR,
        }
    }
}

/// Further members of the event.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// `bytes_in`, `bytes_out`: sizes of the bodies.
    Bytes,
    /// `flags`: Envoy's response flags. Without this only for answers that are not the upstream's.
    Flags,
    /// `path` also where `operation` is known; secrets and personal data masked as far as they can be recognized.
    Path,
    /// `protocol`, as in `HTTP/2`.
    Protocol,
    /// `tls`, as in `TLSv1.3`.
    Tls,
    /// `upstream`, `cluster`: the address and the cluster that the request went to.
    Upstream,
}

/// How much of the client's address is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The address.
    Full,
    /// Its network: the first 24 bits of an IPv4 address, 48 of an IPv6 address.
    Truncate,
    /// Nothing.
    Off,
}
