//! One issuer, checked: what its tokens must look like and where its keys are.

use std::rc::Rc;

use portcullis_core::config::TimeSpan;
use portcullis_core::identity::Property;
use portcullis_core::{ConfigError, Identity};
use portcullis_host::Host;
use portcullis_jose::claims::FOREIGN_CLAIMS;
use portcullis_jose::{Algorithm, KeySet, MediaTypes, Rejection, SharedSecret, TokenPolicy, profile};
use serde_json::{Map, Value};

use crate::config::{IntrospectionConfig, JwksConfig, Profile, ProviderConfig, SharedSecretConfig};
use crate::introspection::IntrospectionPolicy;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::revocation::RevocationPolicy;
use crate::source::{self, Kind, Outputs, Source};
use crate::{defaults, identity, range};

/// A checked issuer.
#[derive(Debug)]
pub struct Provider {
    /// What its tokens must look like.
    pub tokens: TokenPolicy,
    /// Where its keys are.
    pub keys: Keys,
    /// Which of its tokens were taken back.
    pub revocation: Option<RevocationPolicy>,
    /// Whether its tokens must be bound to a key or a certificate.
    pub sender_constrained: bool,
    clients: Vec<String>,
    scope_claims: Vec<String>,
    roles_claim: String,
}

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// In the configuration.
    Inline(Rc<KeySet>),
    /// To be fetched.
    Remote(Remote),
    /// Nowhere: the issuer is asked about its tokens.
    Introspection(IntrospectionPolicy),
}

impl Provider {
    /// The identity in the claims of a verified token.
    ///
    /// # Errors
    /// [`Rejection::ClaimsInvalid`] when a claim can't be a scope or a role.
    pub fn identity(&self, claims: Map<String, Value>) -> Result<Identity, Rejection> {
        identity::from_claims(claims, &self.scope_claims, &self.roles_claim)
    }

    /// Whether the client that got the token may use it here.
    ///
    /// # Errors
    /// [`Refusal::ClientNotAllowed`].
    pub fn check_client(&self, identity: &Identity) -> Result<(), Refusal> {
        if self.clients.is_empty() || self.clients.contains(&identity.client_id) {
            return Ok(());
        }
        Err(Refusal::ClientNotAllowed)
    }
}

impl Source {
    /// An issuer.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn issuer(
        mut config: ProviderConfig,
        properties: &[Property],
        host: &dyn Host,
    ) -> Result<Self, ConfigError> {
        source::check_name(&config.name)?;
        let outputs = Outputs {
            headers: source::headers(std::mem::take(&mut config.claims_to_headers))?,
            claims: source::state_outputs(std::mem::take(&mut config.claims_to_filter_state))?,
            properties: properties.to_vec(),
        };
        Ok(Self {
            name: std::mem::take(&mut config.name),
            from: source::locations(std::mem::take(&mut config.from))?,
            forward: config.forward,
            outputs,
            kind: Kind::Tokens(Box::new(Provider::new(config, host)?)),
        })
    }
}

impl Provider {
    fn new(config: ProviderConfig, host: &dyn Host) -> Result<Self, ConfigError> {
        if config.issuer.is_empty() {
            return Err(ConfigError::new("issuer", "expected a text, found nothing"));
        }
        check_audiences(&config)?;
        let (keys, algorithms) = keys(
            &config.issuer,
            config.jwks,
            config.algorithms,
            config.shared_secrets,
            config.introspection,
            host,
        )?;
        let media_types = media_types(config.profile, config.types)?;
        let mut required_claims = config.required_claims;
        if config.profile == Some(Profile::Rfc9068) {
            required_claims.extend(profile::RFC9068.required_claims.iter().map(|name| (*name).to_owned()));
        }
        let mut forbidden_claims = config.forbidden_claims;
        forbidden_claims.extend(FOREIGN_CLAIMS.iter().map(|name| (*name).to_owned()));
        if let Some(name) = required_claims.iter().find(|name| forbidden_claims.contains(name)) {
            let problem = format!("expected no claim that is forbidden, found `{name}`");
            return Err(ConfigError::new("required_claims", problem));
        }
        let revocation = config.revocation.map(RevocationPolicy::try_from).transpose();
        let (zero, second) = (TimeSpan::from_secs(0), TimeSpan::from_secs(1));
        let tokens = TokenPolicy {
            issuer: config.issuer,
            audiences: config.audiences,
            algorithms,
            leeway: range::seconds("leeway", config.leeway, zero, defaults::MAX_LEEWAY)?,
            max_lifetime: range::seconds(
                "max_lifetime",
                config.max_lifetime,
                second,
                defaults::MAX_MAX_LIFETIME,
            )?,
            requires_expiration: !config.allow_no_exp,
            media_types,
            required_claims,
            forbidden_claims,
            subjects: config.subjects,
            strict_header: config.strict_header,
        };
        Ok(Self {
            tokens,
            keys,
            revocation: revocation.map_err(|error: ConfigError| error.under("revocation"))?,
            sender_constrained: config.sender_constrained,
            clients: config.clients,
            scope_claims: config.scope_claims,
            roles_claim: config.roles_claim,
        })
    }
}

/// A token for somebody else must not work here (RFC 8725 section 3.9), unless the operator says that there is nobody else.
fn check_audiences(config: &ProviderConfig) -> Result<(), ConfigError> {
    let problem = match (config.skip_audience_check, config.audiences.as_slice()) {
        (true, []) => return Ok(()),
        (true, _) => "expected none with `skip_audience_check: true`",
        (false, []) => "expected at least one audience, found none",
        (false, audiences) if audiences.iter().any(String::is_empty) => "expected no empty audience",
        (false, _) => return Ok(()),
    };
    Err(ConfigError::new("audiences", problem))
}

fn media_types(profile: Option<Profile>, types: Option<Vec<String>>) -> Result<MediaTypes, ConfigError> {
    match (profile, types) {
        (_, Some(types)) if types.is_empty() || types.iter().any(String::is_empty) => {
            Err(ConfigError::new("types", "expected at least one media type, none of them empty"))
        }
        (_, Some(types)) => Ok(MediaTypes::OneOf(types)),
        (Some(Profile::Rfc9068), None) => Ok(MediaTypes::OneOf(vec![profile::RFC9068.media_type.to_owned()])),
        (None, None) => Ok(MediaTypes::Usual),
    }
}

/// The keys and the algorithms that they are for. Secrets and public keys never meet in one provider: a public key must
/// not be taken for a secret (RFC 8725 section 2.1).
fn keys(
    issuer: &str,
    jwks: Option<JwksConfig>,
    algorithms: Option<Vec<Algorithm>>,
    secrets: Vec<SharedSecretConfig>,
    introspection: Option<IntrospectionConfig>,
    host: &dyn Host,
) -> Result<(Keys, Vec<Algorithm>), ConfigError> {
    let found = usize::from(jwks.is_some())
        .saturating_add(usize::from(!secrets.is_empty()))
        .saturating_add(usize::from(introspection.is_some()));
    if found != 1 {
        let problem = format!("expected one of `jwks`, `shared_secrets` and `introspection`, found {found}");
        return Err(ConfigError::new("jwks", problem));
    }
    if let Some(config) = introspection {
        let policy = IntrospectionPolicy::new(config, host).map_err(|error| error.under("introspection"))?;
        return Ok((Keys::Introspection(policy), Vec::new()));
    }
    let Some(jwks) = jwks else {
        if algorithms.is_some() {
            return Err(ConfigError::new(
                "algorithms",
                "expected none: each of `shared_secrets` has its own",
            ));
        }
        return shared_secrets(secrets, host);
    };
    let algorithms = algorithms.unwrap_or_else(defaults::algorithms);
    if algorithms.is_empty() {
        return Err(ConfigError::new("algorithms", "expected at least one algorithm, found none"));
    }
    if let Some(i) = algorithms.iter().position(|algorithm| algorithm.is_symmetric()) {
        let problem = "expected the algorithm of a public key; secrets go to `shared_secrets`";
        return Err(ConfigError::new(format!("algorithms[{i}]"), problem));
    }
    let keys = match jwks {
        JwksConfig::Inline(set) => KeySet::from_value(&set, &algorithms)
            .map(|keys| Keys::Inline(Rc::new(keys)))
            .map_err(|error| ConfigError::new("jwks.inline", error.to_string()))?,
        JwksConfig::Discovery(config) => {
            Keys::Remote(Remote::discovered(config, issuer).map_err(|error| error.under("jwks.discovery"))?)
        }
        JwksConfig::Remote(remote) => {
            Keys::Remote(Remote::try_from(remote).map_err(|error| error.under("jwks.remote"))?)
        }
    };
    Ok((keys, algorithms))
}

fn shared_secrets(
    configs: Vec<SharedSecretConfig>,
    host: &dyn Host,
) -> Result<(Keys, Vec<Algorithm>), ConfigError> {
    let mut secrets = Vec::new();
    let mut algorithms = Vec::new();
    for (i, config) in configs.into_iter().enumerate() {
        let path = format!("shared_secrets[{i}]");
        let secret = config.secret.resolve(|name| host.env(name));
        let secret = secret.map_err(|error| error.under("secret").under(&path))?;
        let secret = SharedSecret::new(config.kid, config.algorithm, secret.expose())
            .map_err(|error| ConfigError::new(path, error.to_string()))?;
        if !algorithms.contains(&config.algorithm) {
            algorithms.push(config.algorithm);
        }
        secrets.push(secret);
    }
    let keys = KeySet::from_secrets(secrets);
    let keys = keys.map_err(|error| ConfigError::new("shared_secrets", error.to_string()))?;
    Ok((Keys::Inline(Rc::new(keys)), algorithms))
}
