//! Where a document is fetched, and when: the checked form of what the operator wrote.

use portcullis_core::ConfigError;
use portcullis_core::config::TimeSpan;

use crate::config::{DiscoveryConfig, RemoteConfig, TimingConfig};
use crate::discovery::Discovery;
use crate::schedule::Timing;
use crate::{defaults, range};

/// Where one call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Envoy cluster.
    pub cluster: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host, with a port where there is one.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// A checked document to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Of the document, or of the metadata that say where it is.
    pub address: Address,
    /// How the metadata are read, where the address is theirs.
    pub discovery: Option<Discovery>,
    /// When to fetch.
    pub timing: Timing,
}

impl Remote {
    /// A name that all workers with the same configuration have for it.
    #[must_use]
    pub fn name(&self, variant: &str) -> String {
        let Address { cluster, scheme, authority, path } = &self.address;
        let issuer = self.discovery.as_ref().map(|discovery| discovery.issuer.as_str()).unwrap_or_default();
        format!("{cluster} {scheme}://{authority}{path} {issuer} {variant}")
    }

    /// By an issuer's metadata.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn discovered(config: DiscoveryConfig, issuer: &str) -> Result<Self, ConfigError> {
        let url = config.url.unwrap_or_else(|| {
            // "If the Issuer value contains a path component, any terminating / MUST be removed" (section 4.1).
            format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
        });
        let address = Address::new(config.cluster, &url)?;
        let cluster = config.jwks_cluster.unwrap_or_else(|| address.cluster.clone());
        if cluster.is_empty() {
            return Err(ConfigError::new("jwks_cluster", "expected the name of a cluster, found nothing"));
        }
        if let Some(i) = config.jwks_hosts.iter().position(|host| host.is_empty() || host.contains('/')) {
            return Err(ConfigError::new(format!("jwks_hosts[{i}]"), "expected a host, or host and port"));
        }
        let hosts =
            if config.jwks_hosts.is_empty() { vec![address.authority.clone()] } else { config.jwks_hosts };
        let allows_http = address.scheme == "http";
        let discovery = Discovery { issuer: issuer.to_owned(), hosts, cluster, allows_http };
        Ok(Self { address, discovery: Some(discovery), timing: timing(config.timing, 2)? })
    }
}

impl TryFrom<RemoteConfig> for Remote {
    type Error = ConfigError;

    fn try_from(config: RemoteConfig) -> Result<Self, ConfigError> {
        let RemoteConfig { url, cluster, timeout, refresh, min_refetch, max_stale } = config;
        let address = Address::new(cluster, &url)?;
        let config = TimingConfig { timeout, refresh, min_refetch, max_stale };
        Ok(Self { address, discovery: None, timing: timing(config, 1)? })
    }
}

impl Address {
    /// Checks what the operator wrote.
    ///
    /// # Errors
    /// [`ConfigError`] at `cluster` or `url`.
    pub fn new(cluster: String, url: &str) -> Result<Self, ConfigError> {
        if cluster.is_empty() {
            return Err(ConfigError::new("cluster", "expected the name of a cluster, found nothing"));
        }
        let (scheme, authority, path) = split_url(url).ok_or_else(|| {
            let problem = format!("expected an http or https URL with a host, found `{url}`");
            ConfigError::new("url", problem)
        })?;
        Ok(Self { cluster, scheme, authority, path })
    }
}

fn timing(config: TimingConfig, steps: u32) -> Result<Timing, ConfigError> {
    let second = TimeSpan::from_secs(1);
    let least = TimeSpan::new(std::time::Duration::from_millis(10));
    Ok(Timing {
        timeout: range::span("timeout", config.timeout, least, defaults::MAX_TIMEOUT)?,
        steps,
        refresh: range::span("refresh", config.refresh, second, defaults::MAX_REFRESH)?,
        min_refetch: range::span("min_refetch", config.min_refetch, second, defaults::MAX_REFRESH)?,
        max_stale: range::span("max_stale", config.max_stale, config.refresh, defaults::MAX_MAX_STALE)?,
    })
}

/// Scheme, authority and target of an address. None with user information, a fragment, or anything but visible ASCII.
#[must_use]
pub fn split_url(url: &str) -> Option<(&'static str, String, String)> {
    let (scheme, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => ("https", rest),
        (_, Some(rest)) => ("http", rest),
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end)?;
    if authority.is_empty()
        || authority.contains('@')
        || !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return None;
    }
    let slash = if target.starts_with('/') { "" } else { "/" };
    Some((scheme, authority.to_owned(), format!("{slash}{target}")))
}
