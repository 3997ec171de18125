//! Judges content security policies (CSP Level 3).

use crate::grade::printable;
use crate::profile::Judgement;

/// What a policy that protects nobody costs, as much as none.
pub const MOST: u32 = 25;

const SCRIPTS_FROM_ANYWHERE: u32 = 20;
const EVAL: u32 = 10;
const DIRECTIVE: u32 = 5;

/// Directives that `default-src` does not stand for.
const WITHOUT_FALLBACK: [&str; 3] = ["base-uri", "form-action", "frame-ancestors"];

/// One policy: directives with their sources. Of two with one name the first one counts.
#[derive(Debug)]
struct Policy(Vec<(String, Vec<String>)>);

/// Judges the policies of a response together: each of them is enforced, so what one of them forbids is forbidden.
pub fn judge(values: &[&[u8]]) -> Judgement {
    let policies: Vec<Policy> = values
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(Policy::parse)
        .filter(|policy| !policy.0.is_empty())
        .collect();
    let mut whole = Judgement::default();
    let checks: [&dyn Fn(&Policy) -> Judgement; 3] = [&scripts, &default_sources, &objects];
    for check in checks {
        add(&mut whole, best(&policies, check));
    }
    for name in WITHOUT_FALLBACK {
        add(&mut whole, best(&policies, &|policy| narrow(policy.sources(name), name)));
    }
    whole.points = whole.points.min(MOST);
    whole
}

fn best(policies: &[Policy], check: &dyn Fn(&Policy) -> Judgement) -> Judgement {
    let judged = policies.iter().map(check);
    judged.min_by_key(|judgement| judgement.points).unwrap_or_else(|| check(&Policy(Vec::new())))
}

fn add(whole: &mut Judgement, part: Judgement) {
    whole.points = whole.points.saturating_add(part.points);
    whole.advice.extend(part.advice);
}

impl Policy {
    /// Words become lower-case and printable.
    fn parse(text: &[u8]) -> Self {
        let mut directives: Vec<(String, Vec<String>)> = Vec::new();
        for directive in text.split(|byte| *byte == b';') {
            let words = directive.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let mut words = words.map(|word| printable(word).to_ascii_lowercase());
            let Some(name) = words.next() else { continue };
            if !directives.iter().any(|(known, _)| *known == name) {
                directives.push((name, words.collect()));
            }
        }
        Self(directives)
    }

    fn sources(&self, name: &str) -> Option<&[String]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, sources)| &**sources)
    }
}

/// Where scripts may come from.
fn scripts(policy: &Policy) -> Judgement {
    let base = ["script-src", "default-src"].into_iter().find(|name| policy.sources(name).is_some());
    let Some(base) = base else {
        let advice = vec!["add default-src 'none' or a script-src".to_owned()];
        return Judgement { points: SCRIPTS_FROM_ANYWHERE, advice };
    };
    let mut whole = Judgement::default();
    for name in [base, "script-src-elem", "script-src-attr"] {
        let sources = policy.sources(name).unwrap_or_default();
        let is_trusted = |source: &String| {
            ["'nonce-", "'sha256-", "'sha384-", "'sha512-"].iter().any(|prefix| source.starts_with(prefix))
        };
        let propagates = sources.iter().any(|source| source == "'strict-dynamic'");
        let trusts_some = propagates || sources.iter().any(is_trusted);
        for source in sources {
            let points = match source.as_str() {
                // Ignored beside what names the scripts (CSP Level 3, sections 6.7.3.2 and 8.2).
                "'unsafe-inline'" if !trusts_some => SCRIPTS_FROM_ANYWHERE,
                source if is_wide(source) && !propagates => SCRIPTS_FROM_ANYWHERE,
                "'unsafe-eval'" => EVAL,
                _ => continue,
            };
            add(&mut whole, Judgement { points, advice: vec![format!("remove {source} from {name}")] });
        }
    }
    whole.points = whole.points.min(SCRIPTS_FROM_ANYWHERE);
    whole
}

/// What holds for everything that has no directive of its own; a part of [`scripts`] if they have none either.
fn default_sources(policy: &Policy) -> Judgement {
    if policy.sources("script-src").is_none() {
        return Judgement::default();
    }
    let mut judgement = narrow(policy.sources("default-src"), "default-src");
    for source in policy.sources("default-src").unwrap_or_default() {
        if matches!(source.as_str(), "'unsafe-inline'" | "'unsafe-eval'") {
            judgement.points = DIRECTIVE;
            judgement.advice.push(format!("remove {source} from default-src"));
        }
    }
    judgement
}

fn objects(policy: &Policy) -> Judgement {
    // A wide default-src is told once already.
    match (policy.sources("object-src"), policy.sources("default-src")) {
        (None, Some(sources)) if sources.iter().any(|source| is_wide(source)) => {
            Judgement { points: DIRECTIVE, advice: vec!["add object-src 'none'".to_owned()] }
        }
        (None, Some(_)) => Judgement::default(),
        (sources, _) => narrow(sources, "object-src"),
    }
}

/// Whether a directive is there and allows less than everything.
fn narrow(sources: Option<&[String]>, name: &str) -> Judgement {
    let advice = match sources {
        None => format!("add {name} 'none'"),
        Some(sources) => match sources.iter().find(|source| is_wide(source)) {
            Some(source) => format!("remove {source} from {name}"),
            None => return Judgement::default(),
        },
    };
    Judgement { points: DIRECTIVE, advice: vec![advice] }
}

/// Whether a lower-case source stands for every host, or for whatever a page writes into a URL.
fn is_wide(source: &str) -> bool {
    if matches!(source, "http:" | "https:" | "data:" | "ws:" | "wss:") {
        return true;
    }
    let host = source.split_once("://").map_or(source, |(_, host)| host);
    host.split([':', '/']).next() == Some("*")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every policy below needs besides its scripts.
    const REST: &str = "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    #[test]
    fn sources_of_scripts() {
        for (policy, points, advice) in [
            ("default-src 'none'", 0, ""),
            ("default-src 'self'", 0, ""),
            ("DEFAULT-SRC 'SELF' https://cdn.test", 0, ""),
            ("default-src 'self' *.a.test", 0, ""),
            ("default-src 'self' 'unsafe-inline'", 20, "remove 'unsafe-inline' from default-src"),
            ("default-src 'self' 'UNSAFE-INLINE'", 20, "remove 'unsafe-inline' from default-src"),
            ("default-src 'self' unsafe-inline", 0, ""),
            ("default-src 'self' 'unsafe-inline' 'nonce-R4nd0m'", 0, ""),
            ("default-src 'self' 'unsafe-inline' 'sha256-abc='", 0, ""),
            ("default-src 'none'; script-src 'unsafe-inline' https: 'strict-dynamic' 'nonce-a'", 0, ""),
            ("default-src 'none'; script-src https: 'nonce-a'", 20, "remove https: from script-src"),
            ("default-src 'self' 'unsafe-eval'", 10, "remove 'unsafe-eval' from default-src"),
            ("default-src 'self' 'wasm-unsafe-eval'", 0, ""),
            ("default-src 'none'; script-src *", 20, "remove * from script-src"),
            ("default-src 'none'; script-src http://*:8080", 20, "remove http://*:8080 from script-src"),
            ("default-src 'none'; script-src data:", 20, "remove data: from script-src"),
            ("default-src 'none'; script-src 'self'; script-src-elem *", 20, "remove * from script-src-elem"),
            ("default-src 'none'; script-src 'self'; script-src *", 0, ""),
            ("default-src *; script-src 'self'; object-src 'none'", 5, "remove * from default-src"),
            ("default-src *", 25, "remove * from default-src; add object-src 'none'"),
            ("script-src 'self'", 10, "add default-src 'none'; add object-src 'none'"),
            ("script-src 'self'; object-src 'none'", 5, "add default-src 'none'"),
            (
                "default-src 'self' 'unsafe-inline'; script-src 'self'",
                5,
                "remove 'unsafe-inline' from default-src",
            ),
            ("default-src 'self'; object-src *", 5, "remove * from object-src"),
            ("img-src 'self'", 25, "add default-src 'none' or a script-src; add object-src 'none'"),
        ] {
            let judged = judge(&[format!("{policy}{REST}").as_bytes()]);
            assert_eq!((judged.points, &*judged.advice.join("; ")), (points, advice), "{policy}");
        }
    }

    #[test]
    fn directives_without_a_fallback() {
        for (policy, points, advice) in [
            ("base-uri 'none'; form-action 'self'; frame-ancestors 'self'", 0, ""),
            ("form-action 'self'; frame-ancestors 'self'", 5, "add base-uri 'none'"),
            ("base-uri 'none'; form-action 'self'; frame-ancestors *", 5, "remove * from frame-ancestors"),
            ("", 15, "add base-uri 'none'; add form-action 'none'; add frame-ancestors 'none'"),
        ] {
            let judged = judge(&[format!("default-src 'none'; {policy}").as_bytes()]);
            assert_eq!((judged.points, &*judged.advice.join("; ")), (points, advice), "{policy}");
        }
    }

    #[test]
    fn of_several_policies_each_one_is_enforced() {
        let (first, second) = ("default-src *; base-uri 'none'", "default-src 'self'; form-action 'none'");
        let third = "frame-ancestors 'none'";
        for values in
            [vec![format!("{first}, {second}, {third}")], vec![first.into(), format!("{second},{third}")]]
        {
            let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
            assert_eq!(judge(&values), Judgement::default());
        }
    }

    #[test]
    fn what_is_no_policy_costs_as_much_as_none() {
        for value in ["", " ; ; ", "*", ",", "\u{e9}"] {
            assert_eq!(judge(&[value.as_bytes()]).points, MOST, "{value}");
        }
        assert_eq!(judge(&[b"\xff\xfe"]).points, MOST);
    }
}
