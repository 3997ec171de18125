//! Who vouches for a credential: an issuer of tokens or a set of API keys, checked.

use std::collections::BTreeSet;
use std::rc::Rc;

use portcullis_core::config::unique;
use portcullis_core::identity::Property;
use portcullis_core::{ConfigError, Identity};
use portcullis_jose::{Rejection, Validity, VerifiedToken};

use crate::api_keys::ApiKeys;
use crate::binding::certificate::ClientCertificates;
use crate::config::{
    ApiKeysConfig, ClaimToFilterState, ClaimToHeader, ClientCertificatesConfig, LocationConfig,
};
use crate::credentials::Location;
use crate::output::{Output, StateOutput};
use crate::provider::Provider;

/// One source of identities.
#[derive(Debug)]
pub struct Source {
    /// For rules, logs and metrics.
    pub name: String,
    /// Where its credentials are; nowhere for certificates, which belong to the connection.
    pub from: Vec<Location>,
    /// Whether the upstream gets the credential.
    pub forward: bool,
    /// What others get of its identities.
    pub outputs: Outputs,
    /// What it vouches for.
    pub kind: Kind,
}

/// What others get of an identity.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Fields for the upstream.
    pub headers: Vec<Output>,
    /// Claims as filter state.
    pub claims: Vec<StateOutput>,
    /// What of the identity is filter state.
    pub properties: Vec<Property>,
}

impl Outputs {
    /// What an identity comes to. `text` is the JSON that its claims were read from, where there is one.
    ///
    /// # Errors
    /// [`Rejection::ClaimsInvalid`] when a claim can't be a field.
    pub fn accept(
        &self,
        source: usize,
        mut identity: Identity,
        text: Option<&[u8]>,
        validity: Option<Validity>,
    ) -> Result<Accepted, Rejection> {
        let mut fields = Vec::with_capacity(self.headers.len());
        for output in &self.headers {
            if let Some(value) = output.value(&identity.claims)? {
                fields.push((output.header().to_owned(), value));
            }
        }
        identity.publish(&self.properties, text);
        for output in &self.claims {
            if let Some(value) = output.value(&identity.claims)? {
                identity.properties.push((output.property().to_owned(), value.into_bytes()));
            }
        }
        Ok(Accepted { identity: Rc::new(identity), validity, source, fields })
    }
}

/// What a source vouches for.
#[derive(Debug)]
pub enum Kind {
    /// Signed tokens of one issuer.
    Tokens(Box<Provider>),
    /// API keys.
    ApiKeys(ApiKeys),
    /// Client certificates.
    Certificates(ClientCertificates),
}

/// What a credential comes to; kept for its next use.
#[derive(Debug)]
pub struct Accepted {
    /// Who it is.
    pub identity: Rc<Identity>,
    /// When the credential is valid; none for one that is judged anew each time.
    pub validity: Option<Validity>,
    /// Index of its source.
    pub source: usize,
    /// Fields for the upstream.
    pub fields: Vec<(String, String)>,
}

impl Source {
    /// The issuer, if it is one.
    #[must_use]
    pub fn provider(&self) -> Option<&Provider> {
        match &self.kind {
            Kind::Tokens(provider) => Some(provider),
            Kind::ApiKeys(_) | Kind::Certificates(_) => None,
        }
    }

    /// What a verified token comes to.
    ///
    /// # Errors
    /// [`Rejection::ClaimsInvalid`] when a claim can't be a scope, a role or a field.
    pub fn accept(
        &self,
        source: usize,
        provider: &Provider,
        token: VerifiedToken,
    ) -> Result<Accepted, Rejection> {
        let validity = Some(token.validity());
        let (claims, text) = token.into_parts();
        self.outputs.accept(source, provider.identity(claims)?, Some(&text), validity)
    }

    /// A set of API keys.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn api_keys(
        mut config: ApiKeysConfig,
        source: usize,
        properties: &[Property],
        seed: [u8; 16],
    ) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let headers = headers(std::mem::take(&mut config.claims_to_headers))?;
        let outputs = Outputs { headers, claims: Vec::new(), properties: properties.to_vec() };
        Ok(Self {
            name: config.name.clone(),
            from: locations(std::mem::take(&mut config.from))?,
            forward: config.forward,
            kind: Kind::ApiKeys(ApiKeys::new(config, seed, |identity| {
                outputs.accept(source, identity, None, None)
            })?),
            outputs,
        })
    }
}

impl Source {
    /// Client certificates.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn certificates(
        config: ClientCertificatesConfig,
        properties: &[Property],
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            name: config.name.clone(),
            from: Vec::new(),
            forward: true,
            outputs: Outputs { properties: properties.to_vec(), ..Outputs::default() },
            kind: Kind::Certificates(ClientCertificates::try_from(config)?),
        })
    }
}

/// The places that an operator lists.
///
/// # Errors
/// [`ConfigError`] for none, the same twice, or one that is no place.
pub fn locations(configs: Vec<LocationConfig>) -> Result<Vec<Location>, ConfigError> {
    let mut from = Vec::new();
    for (i, config) in configs.into_iter().enumerate() {
        let path = format!("from[{i}]");
        let location = Location::try_from(config).map_err(|error| error.under(&path))?;
        if from.contains(&location) {
            return Err(ConfigError::new(path, "expected a place of its own, found it a second time"));
        }
        from.push(location);
    }
    if from.is_empty() {
        return Err(ConfigError::new("from", "expected at least one place, found none"));
    }
    Ok(from)
}

/// The fields that an operator lists.
///
/// # Errors
/// [`ConfigError`] for the same field twice, or one that can't carry a claim.
pub fn headers(configs: Vec<ClaimToHeader>) -> Result<Vec<Output>, ConfigError> {
    let mut headers = BTreeSet::new();
    let mut outputs = Vec::new();
    for (i, config) in configs.into_iter().enumerate() {
        let path = format!("claims_to_headers[{i}]");
        let output = Output::new(config).map_err(|error| error.under(&path))?;
        unique(&mut headers, "header", output.header()).map_err(|error| error.under(&path))?;
        outputs.push(output);
    }
    Ok(outputs)
}

/// The claims that an operator lists for filter state.
///
/// # Errors
/// [`ConfigError`] for the same key twice, or one that is no name.
pub fn state_outputs(configs: Vec<ClaimToFilterState>) -> Result<Vec<StateOutput>, ConfigError> {
    let mut keys = BTreeSet::new();
    let mut outputs = Vec::new();
    for (i, config) in configs.into_iter().enumerate() {
        let path = format!("claims_to_filter_state[{i}]");
        unique(&mut keys, "key", &config.key).map_err(|error| error.under(&path))?;
        outputs.push(StateOutput::new(config).map_err(|error| error.under(&path))?);
    }
    Ok(outputs)
}

/// A name for metrics: a fixed alphabet and length.
///
/// # Errors
/// [`ConfigError`] at `name`.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    let is_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
        return Err(ConfigError::new("name", format!("expected 1 to 64 of `a-z0-9-_`, found `{name}`")));
    }
    Ok(())
}
