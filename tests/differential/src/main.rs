//! Reads tokens and answers what `portcullis-jose` says of each: one half of the differential test, see README.md.
//!
//! The first line of standard input is a [`Setup`], each further one a [`Question`]; the answer to each is a line
//! with `Accepted` or the name of the [`Rejection`].

use std::error::Error;
use std::io::{self, BufRead as _, BufWriter, Write as _};

use portcullis_core::UnixTime;
use portcullis_jose::{
    Algorithm, KeySet, MediaTypes, Rejection, SharedSecret, SoftwareVerifier, TokenPolicy, UnverifiedToken,
    VerifiedToken,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// The time at which all tokens are judged, in seconds since the epoch.
    now: u64,
    providers: Vec<ProviderSetup>,
}

/// What is not said here is as in [`TokenPolicy::new`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderSetup {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    /// A JWK set; its `oct` keys, and only they, are secrets of the configuration.
    jwks: Value,
    /// The only media types; none: the usual ones.
    types: Option<Vec<String>>,
    required_claims: Vec<String>,
    strict_header: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Index in [`Setup::providers`].
    provider: usize,
    /// The token's bytes, each as the character of that number.
    token: String,
}

struct Provider {
    policy: TokenPolicy,
    keys: KeySet,
}

impl TryFrom<ProviderSetup> for Provider {
    type Error = Box<dyn Error>;

    fn try_from(setup: ProviderSetup) -> Result<Self, Self::Error> {
        let audiences: Vec<&str> = setup.audiences.iter().map(String::as_str).collect();
        let keys = if setup.algorithms.iter().any(|algorithm| algorithm.is_symmetric()) {
            KeySet::from_secrets(secrets(&setup.jwks)?)?
        } else {
            KeySet::from_value(&setup.jwks, &setup.algorithms)?
        };
        Ok(Self {
            keys,
            policy: TokenPolicy {
                media_types: setup.types.map_or(MediaTypes::Usual, MediaTypes::OneOf),
                required_claims: setup.required_claims,
                strict_header: setup.strict_header,
                ..TokenPolicy::new(&setup.issuer, &audiences, &setup.algorithms)
            },
        })
    }
}

fn secrets(jwks: &Value) -> Result<Vec<SharedSecret>, Box<dyn Error>> {
    let keys = jwks.get("keys").and_then(Value::as_array).ok_or("expected a JWK set")?;
    keys.iter()
        .map(|jwk| {
            let text = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
            let algorithm = Algorithm::from_name(text("alg")).ok_or("expected `alg` in each secret")?;
            Ok(SharedSecret::new(Some(text("kid").to_owned()), algorithm, text("k"))?)
        })
        .collect()
}

fn judge(provider: &Provider, token: &[u8], now: UnixTime) -> Result<VerifiedToken, Rejection> {
    UnverifiedToken::parse(token)?.check(&provider.policy, now)?.verify(&provider.keys, &SoftwareVerifier)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut lines = io::stdin().lock().lines();
    let setup: Setup = serde_json::from_str(&lines.next().ok_or("expected a setup, found nothing")??)?;
    let now = UnixTime::from_secs(setup.now);
    let providers = setup.providers.into_iter().map(Provider::try_from).collect::<Result<Vec<_>, _>>()?;
    let mut answers = BufWriter::new(io::stdout().lock());
    for line in lines {
        let question: Question = serde_json::from_str(&line?)?;
        let provider = providers.get(question.provider).ok_or("expected the index of a provider")?;
        let token = question.token.chars().map(u8::try_from).collect::<Result<Vec<_>, _>>()?;
        match judge(provider, &token, now) {
            Ok(_) => writeln!(answers, "Accepted")?,
            Err(rejection) => writeln!(answers, "{rejection:?}")?,
        }
    }
    Ok(answers.flush()?)
}
