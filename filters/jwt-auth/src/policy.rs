//! The checked configuration, and what it says about a request and a token.

use std::collections::BTreeSet;
use std::rc::Rc;

use portcullis_core::config::TimeSpan;
use portcullis_core::routes::RouteTable;
use portcullis_core::verdict::{Mode, OnError};
use portcullis_core::{ConfigError, Denial, Identity, Request};
use portcullis_jose::{KeySet, Rejection, TokenPolicy, Validity, VerifiedToken};

use crate::config::{Config, JwksConfig, ProviderConfig, RemoteConfig, Requirement};
use crate::output::Output;
use crate::refusal::{Challenges, Refusal};
use crate::schedule::Timing;
use crate::{defaults, identity};

/// A configuration that can run.
#[derive(Debug)]
pub struct Policy {
    providers: Vec<Provider>,
    rules: RouteTable<Rule>,
    has_rules: bool,
    outputs: Vec<String>,
    challenges: Challenges,
    on_error: OnError,
}

/// A checked issuer.
#[derive(Debug)]
pub struct Provider {
    /// For logs and metrics.
    pub name: String,
    /// What its tokens must look like.
    pub tokens: TokenPolicy,
    /// Where its keys are.
    pub keys: Keys,
    /// Whether the upstream gets the token.
    pub forward: bool,
    roles_claim: String,
    outputs: Vec<Output>,
}

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// In the configuration.
    Inline(Rc<KeySet>),
    /// To be fetched.
    Remote(Remote),
}

/// A checked address of a key set.
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

/// A rule as it decides.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `id`; none for the default.
    pub id: Option<String>,
    /// What requests need.
    pub require: Requirement,
    /// Never [`Mode::Off`].
    pub mode: Mode,
}

/// Requests that no rule selects need a token.
static DEFAULT_RULE: Rule = Rule { id: None, require: Requirement::Token, mode: Mode::Enforce };

/// What a verified token comes to; kept for its next use.
#[derive(Debug)]
pub struct Accepted {
    /// Who it is.
    pub identity: Rc<Identity>,
    /// When the token is valid.
    pub validity: Validity,
    /// Index of its provider.
    pub provider: usize,
    /// Fields for the upstream.
    pub fields: Vec<(String, String)>,
}

impl Policy {
    /// The providers, in the operator's order.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The provider of an issuer, with its index.
    #[must_use]
    pub fn provider(&self, issuer: Option<&str>) -> Option<(usize, &Provider)> {
        let issuer = issuer?;
        self.providers.iter().enumerate().find(|(_, provider)| provider.tokens.issuer == issuer)
    }

    /// The names of all fields that any provider makes from claims.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// What happens to a request that can't be judged.
    #[must_use]
    pub const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The rule for a request.
    ///
    /// # Errors
    /// The denial of a path with more than one reading.
    pub fn rule(&self, request: &Request) -> Result<&Rule, Denial> {
        if !self.has_rules {
            return Ok(&DEFAULT_RULE);
        }
        Ok(self.rules.select(request)?.map_or(&DEFAULT_RULE, |matched| matched.value))
    }

    /// What a verified token comes to.
    ///
    /// # Errors
    /// [`Rejection::ClaimsInvalid`] when a claim can't be a role or a field.
    pub fn accept(&self, provider: usize, token: VerifiedToken) -> Result<Accepted, Rejection> {
        let rules = self.providers.get(provider).ok_or(Rejection::UnknownIssuer)?;
        let validity = token.validity();
        let mut fields = Vec::new();
        for output in &rules.outputs {
            if let Some(value) = output.value(token.claims())? {
                fields.push((output.header().to_owned(), value));
            }
        }
        let identity = Rc::new(identity::from_claims(token.into_claims(), &rules.roles_claim)?);
        Ok(Accepted { identity, validity, provider, fields })
    }

    /// The refusal as the client gets it.
    #[must_use]
    pub fn denial(&self, refusal: Refusal, rule: &Rule) -> Denial {
        let denial = refusal.denial(&self.challenges);
        match &rule.id {
            Some(id) => denial.by_rule(id),
            None => denial,
        }
    }
}

impl TryFrom<Config> for Policy {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        if config.providers.is_empty() {
            return Err(ConfigError::new("providers", "expected at least one provider, found none"));
        }
        let quotable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
        if config.realm.is_empty() || !config.realm.bytes().all(quotable) {
            let problem = "expected visible ASCII characters without quotes and backslashes";
            return Err(ConfigError::new("realm", problem));
        }
        let (mut names, mut issuers) = (BTreeSet::new(), BTreeSet::new());
        let mut providers = Vec::new();
        for (i, provider) in config.providers.into_iter().enumerate() {
            let path = format!("providers[{i}]");
            unique(&mut names, "name", &provider.name).map_err(|error| error.under(&path))?;
            unique(&mut issuers, "issuer", &provider.issuer).map_err(|error| error.under(&path))?;
            providers.push(Provider::try_from(provider).map_err(|error| error.under(&path))?);
        }
        let mut ids = BTreeSet::new();
        let mut rules = Vec::new();
        for (i, rule) in config.rules.into_iter().enumerate() {
            let path = format!("rules[{i}]");
            unique(&mut ids, "id", &rule.id).map_err(|error| error.under(&path))?;
            rules.push((rule.selector, Rule { id: Some(rule.id), require: rule.require, mode: rule.mode }));
        }
        // Checked all together, so that a mistake in a rule that is off is found, and its place is right.
        RouteTable::build(rules.clone()).map_err(|error| error.under("rules"))?;
        rules.retain(|(_, rule)| rule.mode != Mode::Off);
        let outputs: BTreeSet<_> = providers
            .iter()
            .flat_map(|provider| &provider.outputs)
            .map(|output| output.header().to_owned())
            .collect();
        Ok(Self {
            has_rules: !rules.is_empty(),
            rules: RouteTable::build(rules).map_err(|error| error.under("rules"))?,
            providers,
            outputs: outputs.into_iter().collect(),
            challenges: Challenges::new(&config.realm),
            on_error: config.on_error,
        })
    }
}

impl TryFrom<ProviderConfig> for Provider {
    type Error = ConfigError;

    fn try_from(config: ProviderConfig) -> Result<Self, ConfigError> {
        let is_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if config.name.len() > 64 || !config.name.bytes().all(is_name) {
            let problem = format!("expected up to 64 of `a-z0-9-_`, found `{}`", config.name);
            return Err(ConfigError::new("name", problem));
        }
        // A token for somebody else must not work here (RFC 8725 section 3.9).
        if config.audiences.is_empty() || config.audiences.iter().any(String::is_empty) {
            return Err(ConfigError::new("audiences", "expected at least one audience, none of them empty"));
        }
        if config.algorithms.is_empty() {
            return Err(ConfigError::new("algorithms", "expected at least one algorithm, found none"));
        }
        let zero = TimeSpan::from_secs(0);
        let leeway = seconds("leeway", config.leeway, zero, defaults::MAX_LEEWAY)?;
        let (minute, longest) = (TimeSpan::from_secs(1), defaults::MAX_MAX_LIFETIME);
        let max_lifetime = seconds("max_lifetime", config.max_lifetime, minute, longest)?;
        let keys = match config.jwks {
            JwksConfig::Inline(set) => KeySet::from_value(&set, &config.algorithms)
                .map(|keys| Keys::Inline(Rc::new(keys)))
                .map_err(|error| ConfigError::new("jwks.inline", error.to_string()))?,
            JwksConfig::Remote(remote) => {
                Keys::Remote(Remote::try_from(remote).map_err(|error| error.under("jwks.remote"))?)
            }
        };
        let mut headers = BTreeSet::new();
        let mut outputs = Vec::new();
        for (i, output) in config.claims_to_headers.into_iter().enumerate() {
            let path = format!("claims_to_headers[{i}]");
            let output = Output::new(output).map_err(|error| error.under(&path))?;
            unique(&mut headers, "header", output.header()).map_err(|error| error.under(&path))?;
            outputs.push(output);
        }
        Ok(Self {
            name: config.name,
            tokens: TokenPolicy {
                issuer: config.issuer,
                audiences: config.audiences,
                algorithms: config.algorithms,
                leeway,
                max_lifetime,
            },
            keys,
            forward: config.forward,
            roles_claim: config.roles_claim,
            outputs,
        })
    }
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
            timeout: span("timeout", config.timeout, least, defaults::MAX_TIMEOUT)?,
            refresh: span("refresh", config.refresh, second, defaults::MAX_REFRESH)?,
            min_refetch: span("min_refetch", config.min_refetch, second, defaults::MAX_REFRESH)?,
            max_stale: span("max_stale", config.max_stale, config.refresh, defaults::MAX_MAX_STALE)?,
        };
        let (scheme, authority, path) = split_url(&config.url).ok_or_else(|| {
            ConfigError::new(
                "url",
                format!("expected an http or https URL with a host, found `{}`", config.url),
            )
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

fn unique(seen: &mut BTreeSet<String>, member: &str, value: &str) -> Result<(), ConfigError> {
    if value.is_empty() {
        return Err(ConfigError::new(member, "expected a text, found nothing"));
    }
    if !seen.insert(value.to_owned()) {
        return Err(ConfigError::new(
            member,
            format!("expected a value of its own, found `{value}` a second time"),
        ));
    }
    Ok(())
}

fn span(
    member: &str,
    value: TimeSpan,
    min: TimeSpan,
    max: TimeSpan,
) -> Result<std::time::Duration, ConfigError> {
    if value < min || value > max {
        return Err(ConfigError::new(member, format!("expected {min} to {max}, found {value}")));
    }
    Ok(value.get())
}

/// NumericDates have whole seconds here, and so do their tolerances.
fn seconds(member: &str, value: TimeSpan, min: TimeSpan, max: TimeSpan) -> Result<u64, ConfigError> {
    let duration = span(member, value, min, max)?;
    if duration.subsec_nanos() != 0 {
        return Err(ConfigError::new(member, format!("expected whole seconds, found {value}")));
    }
    Ok(duration.as_secs())
}

#[cfg(test)]
mod tests;
