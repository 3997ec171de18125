//! What the operator writes about proof of possession, and its bounds.

use portcullis_core::config::{ConfigError, SecretRef, TimeSpan};
use portcullis_core::dns_pattern::DnsPattern;
use portcullis_core::spiffe::{self, SpiffePattern};
use portcullis_jose::Algorithm;
use portcullis_jose::dpop::ProofPolicy;
use portcullis_jose::target_uri::Origin;
use serde::Deserialize;

use super::certificate::ClientCertificates;
use super::proof::DpopPolicy;
use super::replay::{ReplayMemory, WAYS};

/// Longest `max_age`, in seconds.
pub const MAX_AGE: u64 = 300;

/// Largest `leeway`, in seconds.
pub const MAX_LEEWAY: u64 = 60;

/// Sender-constrained tokens.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BindingConfig {
    /// Whether `cnf` of a token sent as `Bearer` is honored. `false` accepts a stolen token from anybody: only for a
    /// proxy behind another one that has checked the proof.
    #[serde(default = "yes")]
    pub honor_cnf: bool,
    /// DPoP. Without it tokens that are bound to a key are refused.
    #[serde(default)]
    pub dpop: Option<DpopConfig>,
}

/// A missing configuration is the strict one.
impl Default for BindingConfig {
    fn default() -> Self {
        Self { honor_cnf: true, dpop: None }
    }
}

/// DPoP (RFC 9449).
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DpopConfig {
    /// Algorithms of proofs. Default: ES256 and RS256, which clients have.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Longest time since `iat`: whole seconds, 1 s to 300 s. Default 60 s: a proof is made for one request, and each
    /// second of it takes room in the replay memory.
    #[serde(default = "max_age")]
    pub max_age: TimeSpan,
    /// How far `iat` may be in the future: whole seconds, at most 60 s. Default 5 s: clocks of clients are set by NTP.
    #[serde(default = "leeway")]
    pub leeway: TimeSpan,
    /// Scheme and authority that clients see, as in `https://api.example`, where they are not what the proxy sees: TLS
    /// ends before it, or the authority is rewritten. The one whose authority is the request's is taken, or else the
    /// only one. Default: `:scheme` and `:authority`.
    #[serde(default)]
    pub external_origins: Vec<String>,
    /// How many proofs are remembered at once: 1,024 to 1,048,576, a multiple of 32; 16 bytes each. Default 65,536,
    /// which is 1 MiB: with the default `max_age`, fewer than one in 10^9 finds no place at 250 proofs a second, and 3
    /// in 10,000 at 530.
    #[serde(default = "replay_slots")]
    pub replay_slots: u32,
    /// Nonces of this filter in proofs. Default: none, since they cost clients a second request now and then.
    #[serde(default)]
    pub nonce: Option<NonceConfig>,
}

/// Nonces that this filter demands in proofs (RFC 9449 section 9).
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NonceConfig {
    /// A nonce is accepted for one to two of these: whole seconds, 10 s to 1 hour. Default 5 min.
    #[serde(default = "nonce_lifetime")]
    pub lifetime: TimeSpan,
    /// A secret of at least 32 bytes, for proxies that take each other's nonces. Default: random, of this process.
    #[serde(default)]
    pub secret: Option<SecretRef>,
}

/// Client certificates as credentials.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientCertificatesConfig {
    /// For logs and metrics, and the issuer of DNS names: up to 64 of `a-z0-9-_`.
    pub name: String,
    /// Says that the listener verifies the chain of every client certificate: a `validation_context` with `trusted_ca`
    /// and without `ACCEPT_UNTRUSTED`. The proxy does not tell filters, so the operator must: `true`, or certificates
    /// are no credential.
    #[serde(default)]
    pub listener_verifies_chain: bool,
    /// SPIFFE trust domains, compared byte for byte.
    #[serde(default)]
    pub trust_domains: Vec<String>,
    /// SPIFFE IDs of these trust domains, where `*` stands for one segment of the path. Default: all IDs of them.
    #[serde(default)]
    pub spiffe_ids: Vec<String>,
    /// DNS names, where `*` as the first label stands for one label.
    #[serde(default)]
    pub dns_names: Vec<String>,
}

const fn yes() -> bool {
    true
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Es256, Algorithm::Rs256]
}

const fn max_age() -> TimeSpan {
    TimeSpan::from_secs(60)
}

const fn leeway() -> TimeSpan {
    TimeSpan::from_secs(5)
}

const fn replay_slots() -> u32 {
    65_536
}

const fn nonce_lifetime() -> TimeSpan {
    TimeSpan::from_secs(300)
}

impl DpopConfig {
    /// The checked form; `env` looks up an environment variable.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn check(self, env: impl Fn(&str) -> Option<String>) -> Result<DpopPolicy, ConfigError> {
        // `jwk` in a proof is a public key, so no symmetric algorithm could ever verify.
        if self.algorithms.is_empty()
            || self.algorithms.iter().any(|algorithm| algorithm.name().starts_with("HS"))
        {
            return Err(ConfigError::new(
                "algorithms",
                "expected at least one algorithm, none of them symmetric",
            ));
        }
        let policy = ProofPolicy {
            algorithms: self.algorithms,
            max_age: seconds("max_age", self.max_age, 1, MAX_AGE)?,
            leeway: seconds("leeway", self.leeway, 0, MAX_LEEWAY)?,
        };
        let mut origins: Vec<Origin> = Vec::new();
        for (index, text) in self.external_origins.iter().enumerate() {
            let origin = Origin::parse(text).filter(|origin| !origins.contains(origin)).ok_or_else(|| {
                let problem =
                    format!("expected another `https://host` or `https://host:port`, found `{text}`");
                ConfigError::new(format!("external_origins[{index}]"), problem)
            })?;
            origins.push(origin);
        }
        if !(1_024..=1_048_576).contains(&self.replay_slots)
            || !u64::from(self.replay_slots).is_multiple_of(WAYS as u64)
        {
            let problem =
                format!("expected a multiple of {WAYS} from 1024 to 1048576, found {}", self.replay_slots);
            return Err(ConfigError::new("replay_slots", problem));
        }
        let nonce_lifetime = match &self.nonce {
            None => None,
            Some(nonce) => {
                Some(seconds("lifetime", nonce.lifetime, 10, 3_600).map_err(|error| error.under("nonce"))?)
            }
        };
        let secret = self.nonce.and_then(|nonce| nonce.secret);
        let nonce_secret = match secret.map(|secret| secret.resolve(env)).transpose() {
            Ok(secret) if secret.as_ref().is_some_and(|secret| secret.expose().len() < 32) => {
                Err(ConfigError::new(
                    "env",
                    "expected the name of a variable with at least 32 bytes, found fewer",
                ))
            }
            outcome => outcome,
        };
        let nonce_secret = nonce_secret.map_err(|error| error.under("nonce.secret"))?;
        Ok(DpopPolicy::new(
            policy,
            origins,
            ReplayMemory::new(self.replay_slots),
            nonce_lifetime,
            nonce_secret,
        ))
    }
}

impl TryFrom<ClientCertificatesConfig> for ClientCertificates {
    type Error = ConfigError;

    fn try_from(config: ClientCertificatesConfig) -> Result<Self, ConfigError> {
        let is_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if !(1..=64).contains(&config.name.len()) || !config.name.bytes().all(is_name) {
            let problem = format!("expected 1 to 64 of `a-z0-9-_`, found `{}`", config.name);
            return Err(ConfigError::new("name", problem));
        }
        if !config.listener_verifies_chain {
            let problem =
                "expected `true`, which says that the listener refuses certificates of unknown authorities";
            return Err(ConfigError::new("listener_verifies_chain", problem));
        }
        if config.trust_domains.is_empty() && config.dns_names.is_empty() {
            return Err(ConfigError::new("", "expected `trust_domains` or `dns_names`, found neither"));
        }
        let trust_domains = each("trust_domains", &config.trust_domains, "a trust domain", |domain| {
            spiffe::is_trust_domain(domain).then(|| domain.to_owned())
        })?;
        let spiffe_ids = each(
            "spiffe_ids",
            &config.spiffe_ids,
            "a SPIFFE ID of one of the trust domains, with `*` for segments",
            |id| {
                let domain = id.strip_prefix("spiffe://")?.split('/').next()?;
                trust_domains.iter().any(|own| own == domain).then(|| SpiffePattern::parse(id)).flatten()
            },
        )?;
        let dns_names = each(
            "dns_names",
            &config.dns_names,
            "a DNS name, or `*.` and a name of two labels or more",
            DnsPattern::parse,
        )?;
        Ok(Self { name: config.name, trust_domains, spiffe_ids, dns_names })
    }
}

/// Every text of a list in its checked form.
fn each<T>(
    member: &str,
    texts: &[String],
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ConfigError> {
    let check = |(index, text): (usize, &String)| {
        parse(text).ok_or_else(|| {
            ConfigError::new(format!("{member}[{index}]"), format!("expected {expected}, found `{text}`"))
        })
    };
    texts.iter().enumerate().map(check).collect()
}

/// Whole seconds in a range.
fn seconds(member: &str, span: TimeSpan, min: u64, max: u64) -> Result<u64, ConfigError> {
    let (least, most) = (TimeSpan::from_secs(min), TimeSpan::from_secs(max));
    if span < least || span > most || span.get().subsec_nanos() != 0 {
        return Err(ConfigError::new(
            member,
            format!("expected whole seconds, {least} to {most}, found {span}"),
        ));
    }
    Ok(span.get().as_secs())
}

#[cfg(test)]
mod tests {
    use portcullis_core::config::load;

    use super::*;

    fn dpop(document: &str) -> Result<(), String> {
        let env = |name: &str| match name {
            "LONG" => Some("k".repeat(32)),
            "SHORT" => Some("k".repeat(31)),
            _ => None,
        };
        let checked = load::<DpopConfig>(document.as_bytes()).and_then(|config| config.check(env));
        checked.map(|_| ()).map_err(|error| error.to_string())
    }

    // covers: JWT-POP-10
    #[test]
    fn mistakes_about_proofs_are_named_with_their_place() {
        for (document, expected) in [
            ("{}", None),
            (r#"{"max_age": "300s", "leeway": "60s", "replay_slots": 1024}"#, None),
            (r#"{"external_origins": ["https://api.test"], "nonce": {"secret": {"env": "LONG"}}}"#, None),
            (r#"{"max_age": "301s"}"#, Some("max_age: expected whole seconds, 1s to 5m, found 301s")),
            (r#"{"max_age": "0s"}"#, Some("max_age: expected whole seconds, 1s to 5m, found 0s")),
            (r#"{"max_age": "1500ms"}"#, Some("max_age: expected whole seconds, 1s to 5m, found 1500ms")),
            (r#"{"leeway": "61s"}"#, Some("leeway: expected whole seconds, 0s to 1m, found 61s")),
            (
                r#"{"algorithms": []}"#,
                Some("algorithms: expected at least one algorithm, none of them symmetric"),
            ),
            (
                r#"{"external_origins": ["https://a.test", "https://A.test:443"]}"#,
                Some(
                    "external_origins[1]: expected another `https://host` or `https://host:port`, found `https://A.test:443`",
                ),
            ),
            (
                r#"{"external_origins": ["https://a.test/"]}"#,
                Some(
                    "external_origins[0]: expected another `https://host` or `https://host:port`, found `https://a.test/`",
                ),
            ),
            (
                r#"{"replay_slots": 1025}"#,
                Some("replay_slots: expected a multiple of 32 from 1024 to 1048576, found 1025"),
            ),
            (
                r#"{"nonce": {"lifetime": "9s"}}"#,
                Some("nonce.lifetime: expected whole seconds, 10s to 1h, found 9s"),
            ),
            (
                r#"{"nonce": {"secret": {"env": "SHORT"}}}"#,
                Some("nonce.secret.env: expected the name of a variable with at least 32 bytes, found fewer"),
            ),
            (
                r#"{"nonce": {"secret": {"env": "NONE"}}}"#,
                Some(
                    "nonce.secret.env: expected the name of a variable with a secret, but `NONE` is not set",
                ),
            ),
        ] {
            assert_eq!(dpop(document).err().as_deref(), expected, "{document}");
        }
        assert!(dpop(r#"{"max_aeg": "1s"}"#).is_err());
        assert!(load::<BindingConfig>(b"{}").unwrap().honor_cnf && BindingConfig::default().honor_cnf);
    }

    // covers: JWT-POP-04
    #[test]
    fn certificates_need_a_listener_that_verifies_them_and_names() {
        let with = |members: &str| format!(r#"{{"name": "mesh", "listener_verifies_chain": true{members}}}"#);
        for (document, expected) in [
            (with(r#", "trust_domains": ["prod"], "spiffe_ids": ["spiffe://prod/ns/*"]"#), None),
            (with(r#", "dns_names": ["*.corp.test"]"#), None),
            (
                r#"{"name": "mesh", "trust_domains": ["prod"]}"#.to_owned(),
                Some(
                    "listener_verifies_chain: expected `true`, which says that the listener refuses certificates of unknown authorities",
                ),
            ),
            (with(""), Some("configuration: expected `trust_domains` or `dns_names`, found neither")),
            (
                with(r#", "trust_domains": ["PROD"]"#),
                Some("trust_domains[0]: expected a trust domain, found `PROD`"),
            ),
            (
                with(r#", "trust_domains": ["prod"], "spiffe_ids": ["spiffe://dev/*"]"#),
                Some(
                    "spiffe_ids[0]: expected a SPIFFE ID of one of the trust domains, with `*` for segments, found `spiffe://dev/*`",
                ),
            ),
            (
                with(r#", "dns_names": ["a.test", "*.test"]"#),
                Some(
                    "dns_names[1]: expected a DNS name, or `*.` and a name of two labels or more, found `*.test`",
                ),
            ),
        ] {
            let config: ClientCertificatesConfig = load(document.as_bytes()).unwrap();
            let error = ClientCertificates::try_from(config).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected, "{document}");
        }
    }
}
