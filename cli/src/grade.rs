//! The grade: a hundred points, less what each finding costs. docs/cli.md has the table.

use portcullis_core::Response;
use portcullis_header_guard::data::{DEPRECATED, LEAKING};
use portcullis_header_guard::names::Pattern;
use serde::Serialize;

use crate::cookies;
use crate::profile;

const FULL: u32 = 100;
/// The body is open to everybody on the way.
const PLAINTEXT: u32 = 20;
/// Somebody meant to let every site read what is for one user.
const OPEN_TO_ALL_SITES: u32 = 20;
/// Without credentials `null` opens as much as `*`, but is never what the operator meant.
const NULL_ORIGIN: u32 = 10;
/// A cache hands one user's session to the next.
const CACHEABLE_COOKIE: u32 = 10;
/// Each field that tells about the software, up to the second number for all of them.
const LEAK: (u32, u32) = (3, 15);
/// Each deprecated field, up to the second number for all of them.
const OUTDATED: (u32, u32) = (2, 6);
/// All cookies together.
const COOKIES: u32 = 30;

/// Statuses that a cache may store without being told so (RFC 9110 section 15.1).
const HEURISTICALLY_CACHEABLE: [u16; 12] = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];

/// From the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Grade {
    /// Below 30 points.
    F,
    /// 30 points.
    E,
    /// 45 points.
    D,
    /// 60 points.
    C,
    /// 75 points.
    B,
    /// 90 points.
    A,
    /// All 100 points: nothing to do.
    #[serde(rename = "A+")]
    APlus,
}

impl Grade {
    /// Each grade with its name and the points that it takes.
    const ALL: [(Self, &str, u32); 7] = [
        (Self::APlus, "A+", FULL),
        (Self::A, "A", 90),
        (Self::B, "B", 75),
        (Self::C, "C", 60),
        (Self::D, "D", 45),
        (Self::E, "E", 30),
        (Self::F, "F", 0),
    ];

    /// Reads a name, `A+` or `a+`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(grade, ..)| *grade).ok_or_else(|| {
            let names = Self::ALL.map(|(_, name, _)| name).join(", ");
            format!("expected a grade, one of {names}, found `{text}`")
        })
    }

    /// Its name, as in `A+`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(grade, ..)| *grade == self).map_or("F", |(_, name, _)| name)
    }

    fn of(score: u32) -> Self {
        Self::ALL.iter().find(|(.., least)| score >= *least).map_or(Self::F, |(grade, ..)| *grade)
    }
}

/// What is the matter with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As strict as the profile.
    Good,
    /// It protects, but less than it could.
    Weak,
    /// It protects nobody.
    Bad,
    /// It is not there.
    Missing,
    /// It tells about the software.
    Leaks,
    /// Its own specification has given it up.
    Deprecated,
}

impl Verdict {
    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Weak => "weak",
            Self::Bad => "bad",
            Self::Missing => "missing",
            Self::Leaks => "leaks",
            Self::Deprecated => "deprecated",
        }
    }
}

/// One row of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A field name, or `(transport)`.
    pub field: String,
    /// Printable ASCII: the value, several with commas between them; of a cookie its name alone.
    pub found: Option<String>,
    /// What is the matter.
    pub verdict: Verdict,
    /// What it costs.
    pub points: u32,
    /// What to do; empty for what is good.
    pub advice: String,
}

/// What there is to say about a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The status code of the response.
    pub status: u16,
    /// The grade of the score.
    pub grade: Grade,
    /// 100 less the points of all findings, at least 0.
    pub score: u32,
    /// The profile's fields in its order, then what should not be there.
    pub findings: Vec<Finding>,
}

/// Grades a response that came over TLS (`secure`) or not. Field names must be lower-case.
pub fn grade(response: &Response, secure: bool) -> Report {
    let mut findings = profile::judge(response, secure);
    if !secure && !leads_to_tls(response) {
        findings.push(Finding {
            field: "(transport)".to_owned(),
            found: Some("http".to_owned()),
            verdict: Verdict::Bad,
            points: PLAINTEXT,
            advice: "answer http with a redirect to https, or not at all".to_owned(),
        });
    }
    findings.extend(unwanted(response));
    findings.extend(capped(cookies::judge(response), COOKIES));
    findings.extend(sharing(response));
    findings.extend(caching(response));
    let cost = findings.iter().map(|finding| finding.points).fold(0, u32::saturating_add);
    let score = FULL.saturating_sub(cost);
    Report { status: response.status().unwrap_or(0), grade: Grade::of(score), score, findings }
}

/// A value as printable ASCII: a terminal must not act on it.
pub fn printable(value: &[u8]) -> String {
    let mut text = String::new();
    for byte in value {
        match byte {
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// The values of a field, with commas between them.
pub fn joined(response: &Response, name: &str) -> Option<String> {
    let values: Vec<String> = response.headers().all(name.as_bytes()).map(printable).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The directives of all `cache-control` fields, lower-case, without their arguments.
fn cache_directives(response: &Response) -> Vec<Vec<u8>> {
    let values = response.headers().all(b"cache-control").flat_map(|value| value.split(|byte| *byte == b','));
    let names = values.filter_map(|directive| directive.split(|byte| *byte == b'=').next());
    names.map(|name| name.trim_ascii().to_ascii_lowercase()).collect()
}

fn leads_to_tls(response: &Response) -> bool {
    let location = response.headers().single(b"location").ok().flatten().unwrap_or_default();
    let to_tls = location.first_chunk::<8>().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https://"));
    matches!(response.status(), Some(301 | 302 | 303 | 307 | 308)) && to_tls
}

/// Fields that should not be there, each name once.
fn unwanted(response: &Response) -> Vec<Finding> {
    let mut names: Vec<&[u8]> = response.headers().names().collect();
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for (list, verdict, (each, most)) in
        [(LEAKING, Verdict::Leaks, LEAK), (DEPRECATED, Verdict::Deprecated, OUTDATED)]
    {
        let patterns: Vec<Pattern> = list.iter().filter_map(|name| Pattern::parse(name).ok()).collect();
        let findings = names.iter().filter_map(|name| {
            let exact = Pattern::Exact(name.to_vec());
            let listed = patterns.iter().any(|pattern| pattern.covers(&exact));
            // Switches off a filter of old browsers that did harm: no better than nothing, and no worse.
            let harmless = *name == b"x-xss-protection" && response.headers().all(name).all(|it| it == b"0");
            (listed && !harmless).then(|| Finding {
                field: printable(name),
                found: joined(response, &printable(name)),
                verdict,
                points: each,
                advice: "remove it".to_owned(),
            })
        });
        all.extend(capped(findings.collect(), most));
    }
    all
}

/// Cross-origin resource sharing (Fetch, section 3.2).
fn sharing(response: &Response) -> Option<Finding> {
    let origins: Vec<&[u8]> = response.headers().all(b"access-control-allow-origin").collect();
    let credentials =
        response.headers().all(b"access-control-allow-credentials").any(|value| value == b"true");
    let (points, advice) = if credentials && origins.contains(&&b"*"[..]) {
        (OPEN_TO_ALL_SITES, "name the origins that may send credentials; browsers refuse `*` with them")
    } else if origins.contains(&&b"null"[..]) {
        let points = if credentials { OPEN_TO_ALL_SITES } else { NULL_ORIGIN };
        (points, "name the origins; every sandboxed page has the origin `null`")
    } else {
        return None;
    };
    let field = "access-control-allow-origin";
    Some(Finding {
        field: field.to_owned(),
        found: joined(response, field),
        verdict: Verdict::Bad,
        points,
        advice: advice.to_owned(),
    })
}

/// A cookie in a response that a shared cache may store (RFC 9111 section 7.3).
fn caching(response: &Response) -> Option<Finding> {
    if !response.headers().contains(b"set-cookie") {
        return None;
    }
    let directives = cache_directives(response);
    let says = |names: &[&[u8]]| directives.iter().any(|directive| names.contains(&&**directive));
    let allowed = says(&[b"public", b"max-age", b"s-maxage"])
        || response.headers().contains(b"expires")
        || response.status().is_some_and(|status| HEURISTICALLY_CACHEABLE.contains(&status));
    if says(&[b"no-store", b"private", b"no-cache"]) || !allowed {
        return None;
    }
    Some(Finding {
        field: "cache-control".to_owned(),
        found: joined(response, "cache-control"),
        verdict: Verdict::Bad,
        points: CACHEABLE_COOKIE,
        advice: "a cache may store this answer with its cookie; send `no-store`".to_owned(),
    })
}

/// Lets the findings cost `most` together: the last ones cost less, or nothing.
fn capped(mut findings: Vec<Finding>, most: u32) -> Vec<Finding> {
    let mut left = most;
    for finding in &mut findings {
        finding.points = finding.points.min(left);
        left = left.saturating_sub(finding.points);
    }
    findings
}

#[cfg(test)]
mod tests;
