//! Where a document is fetched, and when: the checked form of what the operator wrote.

use portcullis_core::ConfigError;
use portcullis_core::config::TimeSpan;

use crate::config::RemoteConfig;
use crate::schedule::Timing;
use crate::{defaults, range};

/// A checked address of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Envoy cluster.
    pub cluster: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host, with a port where there is one.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// When to fetch.
    pub timing: Timing,
}

impl TryFrom<RemoteConfig> for Remote {
    type Error = ConfigError;

    fn try_from(config: RemoteConfig) -> Result<Self, ConfigError> {
        if config.cluster.is_empty() {
            return Err(ConfigError::new("cluster", "expected the name of a cluster, found nothing"));
        }
        let second = TimeSpan::from_secs(1);
        let least = TimeSpan::new(std::time::Duration::from_millis(10));
        let timing = Timing {
            timeout: range::span("timeout", config.timeout, least, defaults::MAX_TIMEOUT)?,
            refresh: range::span("refresh", config.refresh, second, defaults::MAX_REFRESH)?,
            min_refetch: range::span("min_refetch", config.min_refetch, second, defaults::MAX_REFRESH)?,
            max_stale: range::span("max_stale", config.max_stale, config.refresh, defaults::MAX_MAX_STALE)?,
        };
        let (scheme, authority, path) = split_url(&config.url).ok_or_else(|| {
            let problem = format!("expected an http or https URL with a host, found `{}`", config.url);
            ConfigError::new("url", problem)
        })?;
        Ok(Self { cluster: config.cluster, scheme, authority, path, timing })
    }
}

/// Scheme, authority and target of an address. None with user information, a fragment, or anything but visible ASCII.
fn split_url(url: &str) -> Option<(&'static str, String, String)> {
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
