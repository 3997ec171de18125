//! The checked configuration, and what it says about a request.

use std::collections::BTreeSet;

use portcullis_core::config::unique;
use portcullis_core::identity::Property;
use portcullis_core::routes::RouteTable;
use portcullis_core::verdict::{Mode, OnError};
use portcullis_core::{ConfigError, Denial, Request};
use portcullis_host::Host;

use crate::binding::Binding;
use crate::binding::proof::DpopPolicy;
use crate::conditions::Conditions;
use crate::config::{
    ApiKeysConfig, ClientCertificatesConfig, Config, Preflight, ProviderConfig, RequireConfig, RuleConfig,
};
use crate::defaults;
use crate::provider::Provider;
use crate::refusal::{Challenge, Refusal};
use crate::requirement::Requirement;
use crate::source::Source;

/// A configuration that can run.
#[derive(Debug)]
pub struct Policy {
    sources: Vec<Source>,
    binding: Binding,
    rules: RouteTable<Rule>,
    has_rules: bool,
    default_rule: Rule,
    outputs: Vec<String>,
    preflight: Preflight,
    on_error: OnError,
}

/// A rule as it decides.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `id`; none for the default.
    pub id: Option<String>,
    /// Which credentials requests need.
    pub require: Requirement,
    /// What their identity must have.
    pub conditions: Conditions,
    /// Never [`Mode::Off`].
    pub mode: Mode,
    challenge: Challenge,
}

impl Rule {
    /// The refusal as the client gets it.
    #[must_use]
    pub fn denial(&self, refusal: Refusal) -> Denial {
        let denial = refusal.denial(&self.challenge);
        match &self.id {
            Some(id) => denial.by_rule(id),
            None => denial,
        }
    }
}

impl Policy {
    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: Config, seed: [u8; 16], host: &dyn Host) -> Result<Self, ConfigError> {
        check_properties(&config.filter_state)?;
        let certificates = config.client_certificates;
        let sources =
            sources(config.providers, config.api_keys, certificates, &config.filter_state, seed, host)?;
        let binding = Binding::new(config.binding, |name| host.env(name));
        let binding = binding.map_err(|error| error.under("binding"))?;
        let parameters = challenge_parameters(&config.realm, config.resource_metadata.as_deref())?;
        let common = Challenge { parameters, algorithms: algorithms(&binding), ..Challenge::default() };
        let mut ids = BTreeSet::new();
        let mut rules = Vec::new();
        for (i, rule) in config.rules.into_iter().enumerate() {
            let path = format!("rules[{i}]");
            unique(&mut ids, "id", &rule.id).map_err(|error| error.under(&path))?;
            let selector = rule.selector.clone();
            let rule = Rule::new(rule, &sources, &common).map_err(|error| error.under(&path))?;
            rules.push((selector, rule));
        }
        // Checked all together, so that a mistake in a rule that is off is found, and its place is right.
        RouteTable::build(rules.clone()).map_err(|error| error.under("rules"))?;
        rules.retain(|(_, rule)| rule.mode != Mode::Off);
        let mut outputs = BTreeSet::new();
        outputs.extend(
            sources
                .iter()
                .flat_map(|source| &source.outputs.headers)
                .map(|output| output.header().to_owned()),
        );
        Ok(Self {
            has_rules: !rules.is_empty(),
            rules: RouteTable::build(rules).map_err(|error| error.under("rules"))?,
            default_rule: Rule::for_all(&sources, &common)?,
            sources,
            binding,
            outputs: outputs.into_iter().collect(),
            preflight: config.cors_preflight,
            on_error: config.on_error,
        })
    }

    /// The sources: providers, then API keys, in the operator's order.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// How tokens are judged that are bound to a key or a certificate.
    #[must_use]
    pub const fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The source of this index, if it is an issuer.
    #[must_use]
    pub fn provider(&self, source: usize) -> Option<&Provider> {
        self.sources.get(source).and_then(Source::provider)
    }

    /// The issuer with this name in `iss`, by the index of its source.
    #[must_use]
    pub fn issuer(&self, issuer: Option<&str>) -> Option<(usize, &Source, &Provider)> {
        let issuer = issuer?;
        self.sources.iter().enumerate().find_map(|(index, source)| {
            let provider = source.provider().filter(|provider| provider.tokens.issuer == issuer)?;
            Some((index, source, provider))
        })
    }

    /// The names of all fields that any source makes from claims.
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
            return Ok(&self.default_rule);
        }
        Ok(self.rules.select(request)?.map_or(&self.default_rule, |matched| matched.value))
    }

    /// Whether it is a preflight request that needs no credential (Fetch section 3.3.2: OPTIONS with one origin and
    /// the method that is asked for).
    #[must_use]
    pub fn passes_preflight(&self, request: &Request) -> bool {
        let is_single =
            |name: &[u8]| matches!(request.headers().single(name), Ok(Some(value)) if !value.is_empty());
        self.preflight == Preflight::Pass
            && request.method() == b"OPTIONS"
            && is_single(b"origin")
            && is_single(b"access-control-request-method")
    }
}

impl Rule {
    fn new(config: RuleConfig, sources: &[Source], common: &Challenge) -> Result<Self, ConfigError> {
        let require = Requirement::new(&config.require, sources).map_err(|error| error.under("require"))?;
        let conditions = Conditions::new(config.scopes, config.claims, config.authentication)?;
        if require.groups().is_empty() && !conditions.is_empty() {
            let problem =
                "expected a credential for the rule's scopes, claims or authentication, found `none`";
            return Err(ConfigError::new("require", problem));
        }
        let challenge = Challenge {
            scheme: if require.takes_only_api_keys(sources) { "ApiKey" } else { "Bearer" },
            scope: conditions.scope(),
            authentication: conditions.authentication_parameters(),
            ..common.clone()
        };
        Ok(Self { id: Some(config.id), require, conditions, mode: config.mode, challenge })
    }

    /// Requests that no rule selects need a credential.
    fn for_all(sources: &[Source], common: &Challenge) -> Result<Self, ConfigError> {
        let config = RuleConfig {
            id: String::new(),
            selector: portcullis_core::routes::Selector::default(),
            require: RequireConfig::Token,
            scopes: Vec::new(),
            claims: Vec::new(),
            authentication: None,
            mode: Mode::Enforce,
        };
        Ok(Self { id: None, ..Self::new(config, sources, common)? })
    }
}

fn check_properties(properties: &[Property]) -> Result<(), ConfigError> {
    let twice = properties
        .iter()
        .enumerate()
        .find(|(i, property)| properties.iter().take(*i).any(|one| one == *property));
    match twice {
        Some((i, _)) => {
            Err(ConfigError::new(format!("filter_state[{i}]"), "expected each once, found it a second time"))
        }
        None => Ok(()),
    }
}

/// The algorithms of DPoP proofs for challenges, separated by spaces; empty without DPoP.
fn algorithms(binding: &Binding) -> String {
    let algorithms = binding.dpop().map(DpopPolicy::algorithms).unwrap_or_default();
    algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(" ")
}

/// What every challenge has. A challenge must have a parameter (RFC 9110 section 11.6.1), so there is always a realm.
fn challenge_parameters(realm: &str, resource_metadata: Option<&str>) -> Result<String, ConfigError> {
    let quotable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if realm.is_empty() || !realm.bytes().all(quotable) {
        let problem = "expected visible ASCII characters without quotes and backslashes";
        return Err(ConfigError::new("realm", problem));
    }
    let Some(url) = resource_metadata else {
        return Ok(format!(r#"realm="{realm}""#));
    };
    if !url.starts_with("https://") || !url.bytes().all(|byte| quotable(byte) && byte != b' ') {
        return Err(ConfigError::new("resource_metadata", format!("expected an https URL, found `{url}`")));
    }
    Ok(format!(r#"realm="{realm}", resource_metadata="{url}""#))
}

fn sources(
    providers: Vec<ProviderConfig>,
    api_keys: Vec<ApiKeysConfig>,
    certificates: Vec<ClientCertificatesConfig>,
    properties: &[Property],
    seed: [u8; 16],
    host: &dyn Host,
) -> Result<Vec<Source>, ConfigError> {
    let (mut names, mut issuers) = (BTreeSet::new(), BTreeSet::new());
    let mut sources: Vec<Source> = Vec::new();
    for (i, config) in providers.into_iter().enumerate() {
        let path = format!("providers[{i}]");
        let source = unique(&mut names, "name", &config.name)
            .and_then(|()| unique(&mut issuers, "issuer", &config.issuer))
            .and_then(|()| Source::issuer(config, properties, host));
        sources.push(source.map_err(|error| error.under(&path))?);
    }
    for (i, config) in api_keys.into_iter().enumerate() {
        let path = format!("api_keys[{i}]");
        let source = unique(&mut names, "name", &config.name)
            .and_then(|()| Source::api_keys(config, sources.len(), properties, seed));
        let source = source.map_err(|error| error.under(&path))?;
        // What is in a place must say whose judgement it needs.
        if let Some(i) =
            source.from.iter().position(|place| sources.iter().any(|one| one.from.contains(place)))
        {
            let problem = "expected a place of its own, found one that another provider reads";
            return Err(ConfigError::new(format!("{path}.from[{i}]"), problem));
        }
        sources.push(source);
    }
    for (i, config) in certificates.into_iter().enumerate() {
        let source = unique(&mut names, "name", &config.name);
        let source = source.and_then(|()| Source::certificates(config, properties));
        sources.push(source.map_err(|error| error.under(&format!("client_certificates[{i}]")))?);
    }
    if sources.is_empty() || sources.len() > defaults::MAX_SOURCES {
        let problem = format!("expected 1 to {} providers, found {}", defaults::MAX_SOURCES, sources.len());
        return Err(ConfigError::new("providers", problem));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests;
