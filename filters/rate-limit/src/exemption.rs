//! Requests that no limit applies to.

use portcullis_core::networks::Networks;
use portcullis_core::routes::RouteTable;
use portcullis_core::{ConfigError, Denial};

use crate::config::{ClaimCondition, ExemptionConfig};
use crate::key::Facts;

/// All descriptions of exempt requests.
#[derive(Debug, Default)]
pub struct Exemptions {
    list: Vec<Exemption>,
    /// Places in `list`; none when no description goes by the request itself, whose path then does not matter.
    routes: Option<RouteTable<usize>>,
}

#[derive(Debug)]
struct Exemption {
    networks: Option<Networks>,
    claim: Option<ClaimCondition>,
}

/// The most descriptions.
const MAX: usize = 64;

impl Exemptions {
    /// Checks the descriptions.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake; one without any condition would switch off every limit.
    pub fn new(config: Vec<ExemptionConfig>) -> Result<Self, ConfigError> {
        if config.len() > MAX {
            return Err(ConfigError::new(
                "",
                format!("expected at most {MAX} descriptions, found {}", config.len()),
            ));
        }
        let mut exemptions = Self::default();
        let has_selector = config.iter().any(|exemption| exemption.selector.is_some());
        let mut rules = Vec::with_capacity(config.len());
        for (i, config) in config.into_iter().enumerate() {
            let at = format!("[{i}]");
            let is_empty =
                config.selector.is_none() && config.client_address.is_empty() && config.claim.is_none();
            if is_empty {
                return Err(ConfigError::new(
                    at,
                    "expected `match`, `client_address` or `claim`, found none",
                ));
            }
            let networks =
                (!config.client_address.is_empty()).then(|| Networks::parse(&config.client_address));
            let networks = networks.transpose().map_err(|error| error.under("client_address").under(&at))?;
            if config.claim.as_ref().is_some_and(|claim| claim.values.is_empty()) {
                return Err(
                    ConfigError::new("claim.values", "expected at least one value, found none").under(&at)
                );
            }
            rules.push((config.selector.unwrap_or_default(), i));
            exemptions.list.push(Exemption { networks, claim: config.claim });
        }
        if has_selector {
            exemptions.routes = Some(RouteTable::build(rules)?);
        }
        Ok(exemptions)
    }

    /// Whether the request itself matters.
    #[must_use]
    pub const fn go_by_request(&self) -> bool {
        self.routes.is_some()
    }

    /// Whether the client's address matters.
    #[must_use]
    pub fn need_address(&self) -> bool {
        self.list.iter().any(|exemption| exemption.networks.is_some())
    }

    /// Whether the verified identity matters.
    #[must_use]
    pub fn need_identity(&self) -> bool {
        self.list.iter().any(|exemption| exemption.claim.is_some())
    }

    /// Whether a request is exempt.
    ///
    /// # Errors
    /// When it goes by the path and that has more than one reading.
    pub fn apply(&self, facts: &Facts<'_>) -> Result<bool, Denial> {
        match &self.routes {
            None => Ok(self.list.iter().any(|exemption| exemption.holds(facts))),
            Some(routes) => {
                let matches = routes.all(facts.request)?;
                let mut met = matches.iter().filter_map(|found| self.list.get(*found.value));
                Ok(met.any(|exemption| exemption.holds(facts)))
            }
        }
    }
}

impl Exemption {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        let is_near = |networks: &Networks| facts.address.is_some_and(|address| networks.contain(address));
        let is_somebody = |condition: &ClaimCondition| {
            let identity = facts.identity.filter(|identity| identity.issuer == condition.issuer);
            let value = identity.and_then(|identity| identity.claim(&condition.name));
            value.is_some_and(|value| condition.values.contains(&value))
        };
        self.networks.as_ref().is_none_or(is_near) && self.claim.as_ref().is_none_or(is_somebody)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_core::{Identity, Request, config};
    use serde_json::json;

    use super::*;

    fn exemptions(document: &str) -> Result<Exemptions, String> {
        #[derive(serde::Deserialize)]
        struct Document {
            exempt: Vec<ExemptionConfig>,
        }
        let document: Document =
            config::load(document.as_bytes()).map_err(|error: ConfigError| error.to_string())?;
        Exemptions::new(document.exempt).map_err(|error| error.under("exempt").to_string())
    }

    fn is_exempt(exemptions: &Exemptions, path: &str, address: &str, tenant: &str) -> bool {
        let fields = [(":method", "GET"), (":path", path), (":authority", "api.test")];
        let request = Request::new(fields.into_iter().collect(), true);
        let claims = json!({"tenant": tenant}).as_object().unwrap().clone();
        let identity = Identity { issuer: "idp".to_owned(), claims, ..Identity::default() };
        let facts = Facts {
            request: &request,
            address: address.parse().ok(),
            identity: Some(&identity),
            body: None,
            properties: &[],
        };
        exemptions.apply(&facts).unwrap()
    }

    #[test]
    fn every_condition_of_one_description_must_be_met() {
        let exemptions = exemptions(
            r#"{"exempt": [{"match": {"path": "/health"}},
                           {"client_address": ["10.0.0.0/8"], "claim": {"issuer": "idp", "name": "tenant", "values": ["ops"]}}]}"#,
        )
        .unwrap();
        for (path, address, tenant, expected) in [
            ("/health", "192.0.2.1", "a", true),
            ("/health/x", "192.0.2.1", "a", false),
            ("/", "10.1.2.3", "ops", true),
            ("/", "192.0.2.1", "ops", false),
            ("/", "10.1.2.3", "a", false),
        ] {
            assert_eq!(is_exempt(&exemptions, path, address, tenant), expected, "{path} {address} {tenant}");
        }
    }

    #[test]
    fn a_claim_of_another_issuer_is_another_claim() {
        let exemptions = exemptions(
            r#"{"exempt": [{"claim": {"issuer": "other", "name": "tenant", "values": ["ops"]}}]}"#,
        );
        assert!(!is_exempt(&exemptions.unwrap(), "/", "192.0.2.1", "ops"));
    }

    #[test]
    fn mistakes_are_named() {
        for (document, expected) in [
            (r#"{"exempt": [{}]}"#, "exempt[0]: expected `match`, `client_address` or `claim`, found none"),
            (
                r#"{"exempt": [{"client_address": ["10.0.0.1/8"]}]}"#,
                "exempt[0].client_address[0]: expected a network as in `10.1.2.0/24` or an address, found `10.0.0.1/8`",
            ),
            (
                r#"{"exempt": [{"claim": {"issuer": "i", "name": "n", "values": []}}]}"#,
                "exempt[0].claim.values: expected at least one value, found none",
            ),
            (r#"{"exempt": [{"match": {"path": "x"}}]}"#, "exempt[0].match.path: expected"),
        ] {
            let error = exemptions(document).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
