//! Key sets as documents that are fetched.

use portcullis_host::{Host, Level};
use portcullis_jose::{Algorithm, KeySet};

use crate::fetched::{Document, Fetched};
use crate::meters::Meters;
use crate::provider::Keys;
use crate::source::Source;

/// The keys of one provider on one worker.
pub type KeySource = Fetched<KeySet>;

/// For a source; none for one without keys.
#[must_use]
pub fn of(source: &Source) -> Option<KeySource> {
    let provider = source.provider()?;
    let algorithms = provider.tokens.algorithms.clone();
    match &provider.keys {
        Keys::Inline(keys) => Some(KeySource::inline(&source.name, algorithms, keys.clone())),
        Keys::Remote(remote) => Some(KeySource::remote(&source.name, algorithms, remote.clone())),
        Keys::Introspection(_) => None,
    }
}

impl Document for KeySet {
    type Rules = Vec<Algorithm>;

    const NOUN: &'static str = "key set";
    const METRIC: &'static str = "keys";
    const ACCEPT: &'static str = "application/jwk-set+json, application/json";

    /// No empty set counts (CVE-2026-31837 made keys up).
    fn parse(document: &[u8], algorithms: &Vec<Algorithm>) -> Result<Self, String> {
        Self::parse(document, algorithms).map_err(|error| error.to_string())
    }

    /// Sets for other algorithms have other keys.
    fn variant(algorithms: &Vec<Algorithm>) -> String {
        let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        names.join(",")
    }

    fn size(&self) -> usize {
        self.keys().len()
    }

    fn report(&self, name: &str, meters: &Meters, host: &dyn Host) {
        meters.keys_read(self, host);
        for (index, problem) in self.skipped() {
            host.log(Level::Warn, &format!("provider {name}: keys[{index}] is not used: {problem}"));
        }
        if self.private_keys() > 0 {
            let text = "publishes private keys; they are known to everybody and must be replaced";
            host.log(Level::Error, &format!("provider {name} {text}"));
        }
    }
}
