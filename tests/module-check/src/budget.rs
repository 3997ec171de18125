//! The committed file of panic sites: how many there are at a place, and why each of them is no danger.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::Result;
use crate::site::{Kind, Site};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    entry: Vec<Entry>,
}

/// Sites with one reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Crates, folders or files (`serde_json`, `core/num`); `*` for all. The longest that fits a site has it.
    places: Vec<String>,
    kinds: Vec<Kind>,
    /// By module; one that is not named has none.
    sites: BTreeMap<String, usize>,
    /// Why no request, peer or configuration gets there, or what happens then.
    reason: String,
}

impl Budget {
    /// Reads the file.
    /// # Errors
    /// Its mistakes, and an entry without a reason.
    pub fn parse(text: &str) -> Result<Self> {
        let budget: Self = toml::from_str(text)?;
        match budget.entry.iter().find(|entry| entry.reason.trim().is_empty()) {
            Some(entry) => Err(format!("{}: no reason", entry.title()).into()),
            None => Ok(budget),
        }
    }

    /// How many sites a module may have.
    pub fn allowed(&self, module: &str) -> usize {
        self.entry
            .iter()
            .filter_map(|entry| entry.sites.get(module))
            .fold(0, |sum, sites| sum.saturating_add(*sites))
    }

    /// What differs between the file and the sites of all modules, a line each; empty when they agree.
    pub fn differences(&self, modules: &BTreeMap<String, Vec<Site>>) -> Vec<String> {
        let (found, unknown) = self.assign(modules);
        let mut differences = unknown;
        let mut used = BTreeSet::new();
        for sites in modules.values() {
            for site in sites {
                if let Some((entry, place)) = self.entry_of(site) {
                    used.insert((entry, place.to_owned()));
                    used.insert((entry, site.kind.to_string()));
                }
            }
        }
        for (index, entry) in self.entry.iter().enumerate() {
            let kinds = entry.kinds.iter().map(Kind::to_string);
            for gone in entry.places.iter().cloned().chain(kinds) {
                if !used.contains(&(index, gone.clone())) {
                    differences.push(format!("{}: `{gone}` has no site any more: remove it", entry.title()));
                }
            }
            let found = found.get(index);
            for module in modules.keys() {
                let allowed = entry.sites.get(module).copied().unwrap_or_default();
                let found = found.and_then(|found| found.get(module)).copied().unwrap_or_default();
                if allowed != found {
                    differences
                        .push(format!("{}: {module} has {found}, the budget says {allowed}", entry.title()));
                }
            }
        }
        differences
    }

    /// The file with the numbers of the modules; reasons, places and kinds stay as they are.
    pub fn with_numbers(&self, text: &str, modules: &BTreeMap<String, Vec<Site>>) -> String {
        let mut entries = self.assign(modules).0.into_iter();
        let mut updated = String::new();
        for line in text.lines() {
            if line.starts_with("sites = ") {
                let sites = entries.next().unwrap_or_default();
                let numbers: Vec<String> =
                    sites.iter().map(|(module, number)| format!("{module} = {number}")).collect();
                updated.push_str(&format!("sites = {{ {} }}", numbers.join(", ")));
            } else {
                updated.push_str(line);
            }
            updated.push('\n');
        }
        updated
    }

    /// The number of sites by entry and module, and a line for each that no entry has.
    fn assign(&self, modules: &BTreeMap<String, Vec<Site>>) -> (Vec<BTreeMap<String, usize>>, Vec<String>) {
        let mut numbers = vec![BTreeMap::new(); self.entry.len()];
        let mut unknown = Vec::new();
        for (module, sites) in modules {
            for site in sites {
                match self.entry_of(site).and_then(|(entry, _)| numbers.get_mut(entry)) {
                    Some(numbers) => {
                        let number: &mut usize = numbers.entry(module.clone()).or_default();
                        *number = number.saturating_add(1);
                    }
                    None => unknown.push(format!("{module}: new panic site: {site}")),
                }
            }
        }
        (numbers, unknown)
    }

    /// The entry that has a site, by index, and its place that fits best.
    fn entry_of(&self, site: &Site) -> Option<(usize, &str)> {
        let entries = self.entry.iter().enumerate().filter(|(_, entry)| entry.kinds.contains(&site.kind));
        entries
            .flat_map(|(index, entry)| entry.places.iter().map(move |place| (index, place.as_str())))
            .filter(|(_, place)| fits(place, site))
            .max_by_key(|(_, place)| if *place == "*" { 0 } else { place.len() })
    }
}

impl Entry {
    fn title(&self) -> String {
        let kinds: Vec<String> = self.kinds.iter().map(Kind::to_string).collect();
        format!("{} ({})", self.places.join(", "), kinds.join(", "))
    }
}

/// Whether a site lies in a place. One in our own code only when the place is its very file or function.
fn fits(place: &str, site: &Site) -> bool {
    match site.place.strip_prefix(place) {
        Some("") => true,
        Some(rest) => rest.starts_with('/') && !site.is_own(),
        None => place == "*" && !site.is_own(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: &str = r#"
[[entry]]
places = ["*"]
kinds = ["allocation"]
sites = { audit = 1 }
reason = "no memory"

[[entry]]
places = ["serde_json"]
kinds = ["index", "overflow"]
sites = { audit = 2, suite = 1 }
reason = "behind its own checks"

[[entry]]
places = ["serde_json/de.rs"]
kinds = ["index"]
sites = { audit = 1 }
reason = "another one"

[[entry]]
places = ["portcullis_core/json.rs"]
kinds = ["index"]
sites = { audit = 1 }
reason = "ours"
"#;

    fn site(place: &str, kind: Kind) -> Site {
        Site { place: place.to_owned(), kind, line: 7, function: "f".to_owned() }
    }

    /// What the budget above allows.
    fn as_allowed() -> BTreeMap<String, Vec<Site>> {
        let audit = vec![
            site("portcullis_core/json.rs", Kind::Allocation),
            site("portcullis_core/json.rs", Kind::Index),
            site("serde_json/de.rs", Kind::Index),
            site("serde_json/read.rs", Kind::Index),
            site("serde_json/read.rs", Kind::Overflow),
        ];
        [("audit".to_owned(), audit), ("suite".to_owned(), vec![site("serde_json/read.rs", Kind::Overflow)])]
            .into()
    }

    fn differences(modules: &BTreeMap<String, Vec<Site>>) -> Vec<String> {
        Budget::parse(BUDGET).unwrap().differences(modules)
    }

    // covers: HOST-TRAP-05
    #[test]
    fn only_what_the_budget_says_passes() {
        assert_eq!(differences(&as_allowed()), [""; 0]);
        assert_eq!(Budget::parse(BUDGET).unwrap().allowed("audit"), 5);
        for (name, new, expected) in [
            ("one more", site("serde_json/read.rs", Kind::Index), "audit has 3, the budget says 2"),
            (
                "another kind",
                site("serde_json/read.rs", Kind::Unwrap),
                "audit: new panic site: serde_json/read.rs:7 (unwrap)",
            ),
            (
                "another crate",
                site("serde/read.rs", Kind::Index),
                "audit: new panic site: serde/read.rs:7 (index)",
            ),
            ("a name that begins alike", site("serde_jsons/read.rs", Kind::Index), "new panic site"),
            (
                "a kind that the tool does not know",
                site("serde_json/read.rs", Kind::Unknown("g".into())),
                "call of g",
            ),
            ("another file of ours", site("portcullis_core/path.rs", Kind::Index), "new panic site"),
            ("below a place of ours", site("portcullis_core/json.rs/x", Kind::Index), "new panic site"),
        ] {
            let mut modules = as_allowed();
            modules.entry("audit".to_owned()).or_default().push(new);
            let found = differences(&modules);
            assert!(found.len() == 1 && found[0].contains(expected), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_site_that_is_gone_is_taken_off_the_budget() {
        let mut modules = as_allowed();
        modules.entry("audit".to_owned()).or_default().retain(|site| site.place != "serde_json/de.rs");
        let found = differences(&modules);
        for expected in [
            "`serde_json/de.rs` has no site any more",
            "`index` has no site any more",
            "audit has 0, the budget says 1",
        ] {
            assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn an_update_changes_numbers_only() {
        let mut modules = as_allowed();
        modules.entry("suite".to_owned()).or_default().push(site("serde_json/de.rs", Kind::Index));
        let updated = Budget::parse(BUDGET).unwrap().with_numbers(BUDGET, &modules);
        assert_eq!(Budget::parse(&updated).unwrap().differences(&modules), [""; 0]);
        let without_numbers =
            |text: &str| text.lines().filter(|line| !line.starts_with("sites")).collect::<String>();
        assert_eq!(without_numbers(&updated), without_numbers(BUDGET));
    }

    #[test]
    fn each_entry_has_a_reason() {
        assert!(Budget::parse(&BUDGET.replace("ours", " ")).is_err());
        assert!(Budget::parse(&BUDGET.replace("reason = \"ours\"\n", "")).is_err());
    }
}
