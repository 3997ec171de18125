//! One `Set-Cookie` value: what a browser makes of it (RFC 6265bis section 5.6), and what it should say.

mod date;

use std::time::Duration;

use portcullis_core::config::{ByteSize, TimeSpan};
use portcullis_core::verdict::Mode;
use portcullis_core::{ConfigError, Reason, UnixTime, dns_pattern};

use crate::bytes;
use crate::config::set_cookie::{SameSite, SetCookieConfig};

/// Entries of each list.
const MAX_ENTRIES: usize = 256;

const MIN_LIFETIME: TimeSpan = TimeSpan::from_secs(1);
const MAX_LIFETIME: TimeSpan = TimeSpan::from_secs(400 * 86_400);

const MIN_SIZE: ByteSize = ByteSize::new(256);
const MAX_SIZE: ByteSize = ByteSize::new(64 * 1024);

/// A browser ignores an attribute with a longer value (RFC 6265bis section 5.6).
const MAX_ATTRIBUTE_VALUE: usize = 1024;

/// What becomes of a `Set-Cookie` field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Hardened {
    /// It stays as it is.
    Keep,
    /// This is its value now.
    Replace(Vec<u8>),
    /// The field is removed: no browser should take it.
    Drop,
}

/// What was wrong with a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Finding {
    /// A control character; the cookie is dropped.
    ControlCharacter = 1,
    /// Neither name nor value; the cookie is dropped.
    Empty = 1 << 1,
    /// `__Host-` or `__Secure-` without what it promises. Dropped if the cookie has no name, and so only looks as if
    /// it had the prefix once it comes back; else mended.
    Prefix = 1 << 2,
    /// A `Domain` that is not allowed.
    Domain = 1 << 3,
    /// Name and value are longer than allowed.
    TooLarge = 1 << 4,
    /// `Secure`, `HttpOnly` or `SameSite` was missing.
    MissingAttribute = 1 << 5,
    /// It would live longer than allowed.
    Lifetime = 1 << 6,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Self; 7] = [
        Self::ControlCharacter,
        Self::Empty,
        Self::Prefix,
        Self::Domain,
        Self::TooLarge,
        Self::MissingAttribute,
        Self::Lifetime,
    ];

    /// The stable code, for audit and metrics.
    #[must_use]
    pub const fn reason(self) -> Reason {
        Reason(match self {
            Self::ControlCharacter => "cookie.control_character",
            Self::Empty => "cookie.empty",
            Self::Prefix => "cookie.prefix",
            Self::Domain => "cookie.domain",
            Self::TooLarge => "cookie.too_large",
            Self::MissingAttribute => "cookie.missing_attribute",
            Self::Lifetime => "cookie.lifetime",
        })
    }
}

/// A set of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings(u8);

impl Findings {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `finding` is one of them.
    #[must_use]
    pub const fn contains(self, finding: Finding) -> bool {
        self.0 & finding as u8 != 0
    }

    /// All of both, for the cookies of one response.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Each of them once, in the order of [`Finding::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Finding> {
        Finding::ALL.into_iter().filter(move |finding| self.contains(*finding))
    }

    const fn insert(&mut self, finding: Finding) {
        self.0 |= finding as u8;
    }

    const fn insert_if(&mut self, found: bool, finding: Finding) {
        if found {
            self.insert(finding);
        }
    }
}

/// The rules for `Set-Cookie`.
#[derive(Debug)]
pub struct SetCookieRules {
    mode: Mode,
    secure: bool,
    secure_on_plaintext: bool,
    http_only: bool,
    script_readable: Vec<CookieName>,
    same_site: SameSite,
    max_lifetime: Option<u64>,
    max_size: usize,
    /// Lower case.
    allowed_domains: Vec<Vec<u8>>,
}

impl SetCookieRules {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for a limit out of its bounds, a list that is too long, and an entry that is no cookie name
    /// or no domain.
    pub fn new(config: &SetCookieConfig) -> Result<Self, ConfigError> {
        let max_lifetime = match config.max_lifetime {
            Some(span) if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&span) => {
                let problem = format!("expected {MIN_LIFETIME} to {MAX_LIFETIME}, found {span}");
                return Err(ConfigError::new("max_lifetime", problem));
            }
            span => span.map(|span| span.get().as_secs()),
        };
        if !(MIN_SIZE..=MAX_SIZE).contains(&config.max_size) {
            let problem = format!("expected {MIN_SIZE} to {MAX_SIZE}, found {}", config.max_size);
            return Err(ConfigError::new("max_size", problem));
        }
        Ok(Self {
            mode: config.mode,
            secure: config.secure,
            secure_on_plaintext: config.secure_on_plaintext,
            http_only: config.http_only,
            script_readable: entries("script_readable", &config.script_readable, CookieName::parse)?,
            same_site: config.same_site,
            max_lifetime,
            max_size: config.max_size.get(),
            allowed_domains: entries("allowed_domains", &config.allowed_domains, domain)?,
        })
    }

    /// Hardens the value of one `Set-Cookie` field; several cookies are several fields, never one.
    ///
    /// `value` may hold any bytes. `secure_connection` says whether the client came over TLS; `now` is asked only for
    /// a cookie with `Expires` and no `Max-Age` while there is a `max_lifetime`. Name and value stay byte for byte,
    /// and so do attributes that nothing is wrong with, in their order; what is missing comes behind them. Doing it
    /// again to what comes out changes nothing more. Linear; allocates only for [`Hardened::Replace`].
    pub fn harden(
        &self,
        value: &[u8],
        secure_connection: bool,
        now: impl FnOnce() -> UnixTime,
    ) -> (Hardened, Findings) {
        let mut findings = Findings::default();
        if self.mode == Mode::Off {
            return (Hardened::Keep, findings);
        }
        let changes = self.judge(value, secure_connection, now, &mut findings);
        let hardened = match (self.mode, changes) {
            (Mode::Report | Mode::Off, _) => Hardened::Keep,
            (Mode::Enforce, None) => Hardened::Drop,
            (Mode::Enforce, Some(changes)) if changes == Changes::default() => Hardened::Keep,
            (Mode::Enforce, Some(changes)) => Hardened::Replace(changes.apply(value)),
        };
        (hardened, findings)
    }

    /// None for a cookie that is to be dropped.
    fn judge(
        &self,
        value: &[u8],
        secure_connection: bool,
        now: impl FnOnce() -> UnixTime,
        findings: &mut Findings,
    ) -> Option<Changes> {
        if bytes::has_control(value) {
            findings.insert(Finding::ControlCharacter);
            return None;
        }
        let mut segments = value.split(is_semicolon);
        let (name, content) = match split_pair(segments.next().unwrap_or_default()) {
            (name, Some(content)) => (name, content),
            (content, None) => (&[][..], content),
        };
        if name.is_empty() && content.is_empty() {
            findings.insert(Finding::Empty);
            return None;
        }
        // It comes back as its bare value: `=__Host-a=b` would be the cookie `__Host-a` to the server.
        if name.is_empty() && Prefix::of(content).is_some() {
            findings.insert(Finding::Prefix);
            return None;
        }
        findings.insert_if(name.len().saturating_add(content.len()) > self.max_size, Finding::TooLarge);

        let seen = Seen::new(segments, self.max_lifetime.is_some());
        let mut changes = Changes::default();
        let prefix = Prefix::of(name);
        if prefix == Some(Prefix::Host) {
            changes.host_only = seen.has_domain;
            changes.root_path = seen.path != Some(b"/");
        }
        let promised = prefix.is_none() || (seen.secure && !changes.host_only && !changes.root_path);
        findings.insert_if(!promised, Finding::Prefix);

        let unwanted_domain = seen.domain.is_some_and(|domain| !self.allows(domain));
        changes.host_only |= unwanted_domain;
        findings.insert_if(unwanted_domain, Finding::Domain);

        changes.max_age = self.max_lifetime.filter(|limit| seen.outlives(*limit, now));
        findings.insert_if(changes.max_age.is_some(), Finding::Lifetime);

        let added = if seen.same_site.is_none() { self.same_site } else { SameSite::Keep };
        let crosses_sites =
            matches!((seen.same_site, added), (Some(SameSite::None), _) | (_, SameSite::None));
        let wants_secure = self.secure && (secure_connection || self.secure_on_plaintext);
        changes.same_site = added;
        changes.secure = !seen.secure && (wants_secure || crosses_sites || prefix.is_some());
        changes.http_only =
            self.http_only && !seen.http_only && !self.script_readable.iter().any(|it| it.matches(name));
        let missing = changes.secure || changes.http_only || changes.same_site != SameSite::Keep;
        findings.insert_if(missing, Finding::MissingAttribute);
        Some(changes)
    }

    fn allows(&self, domain: &[u8]) -> bool {
        if self.allowed_domains.is_empty() {
            // Dots around it: `com.` is `com` to some.
            let name = domain.split(|byte| *byte == b'.').filter(|label| !label.is_empty());
            return name.count() > 1;
        }
        // One dot in front means nothing (RFC 6265bis section 5.6.3).
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        self.allowed_domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain))
    }
}

/// What the attributes of a cookie say together.
#[derive(Default)]
struct Seen<'v> {
    secure: bool,
    http_only: bool,
    /// None also for a value that no browser knows: the default applies then too.
    same_site: Option<SameSite>,
    has_domain: bool,
    /// The last that isn't empty: by RFC 6265 an empty one is ignored, by its successor it is harmless.
    domain: Option<&'v [u8]>,
    path: Option<&'v [u8]>,
    max_age: Option<u64>,
    expires: Option<UnixTime>,
}

impl<'v> Seen<'v> {
    fn new(segments: impl Iterator<Item = &'v [u8]>, with_dates: bool) -> Self {
        let mut seen = Self::default();
        for segment in segments {
            // The last of a kind counts.
            match Attribute::parse(segment) {
                Attribute::Secure => seen.secure = true,
                Attribute::HttpOnly => seen.http_only = true,
                Attribute::SameSite(same_site) => seen.same_site = same_site,
                Attribute::Domain(domain) => {
                    seen.has_domain = true;
                    if !domain.is_empty() {
                        seen.domain = Some(domain);
                    }
                }
                Attribute::Path(path) => seen.path = Some(path),
                Attribute::MaxAge(seconds) => seen.max_age = Some(seconds),
                Attribute::Expires(text) if with_dates => seen.expires = date::parse(text).or(seen.expires),
                Attribute::Expires(_) | Attribute::Other | Attribute::Blank => {}
            }
        }
        seen
    }

    /// Whether the browser would keep it for longer than `limit` seconds. A date in the past stays: `Max-Age` would
    /// bring the deleted cookie back.
    fn outlives(&self, limit: u64, now: impl FnOnce() -> UnixTime) -> bool {
        match (self.max_age, self.expires) {
            (Some(seconds), _) => seconds > limit,
            (None, Some(expires)) => expires.since(now()) > Duration::from_secs(limit),
            (None, None) => false,
        }
    }
}

/// One attribute, read as a browser does: no quotes, no case, no matter what is behind a flag.
enum Attribute<'v> {
    Secure,
    HttpOnly,
    SameSite(Option<SameSite>),
    Domain(&'v [u8]),
    Path(&'v [u8]),
    /// Seconds; 0 also for what is negative, the largest number for what is larger.
    MaxAge(u64),
    Expires(&'v [u8]),
    /// Unknown, or ignored for its value.
    Other,
    /// Nothing between two semicolons.
    Blank,
}

impl<'v> Attribute<'v> {
    fn parse(segment: &'v [u8]) -> Self {
        let (name, value) = split_pair(segment);
        if name.is_empty() && value.is_none() {
            return Self::Blank;
        }
        let value = value.unwrap_or_default();
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if value.len() > MAX_ATTRIBUTE_VALUE {
            Self::Other
        } else if is(b"secure") {
            Self::Secure
        } else if is(b"httponly") {
            Self::HttpOnly
        } else if is(b"samesite") {
            Self::SameSite(same_site(value))
        } else if is(b"domain") {
            Self::Domain(value)
        } else if is(b"path") {
            Self::Path(value)
        } else if is(b"max-age") {
            max_age(value).map_or(Self::Other, Self::MaxAge)
        } else if is(b"expires") {
            Self::Expires(value)
        } else {
            Self::Other
        }
    }
}

fn same_site(value: &[u8]) -> Option<SameSite> {
    let known = [(&b"lax"[..], SameSite::Lax), (b"strict", SameSite::Strict), (b"none", SameSite::None)];
    known.into_iter().find(|(name, _)| value.eq_ignore_ascii_case(name)).map(|(_, same_site)| same_site)
}

fn max_age(value: &[u8]) -> Option<u64> {
    let (digits, is_negative) = value.strip_prefix(b"-").map_or((value, false), |digits| (digits, true));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit.saturating_sub(b'0')))
    });
    Some(if is_negative { 0 } else { seconds })
}

/// What a cookie's name promises (RFC 6265bis section 4.1.3). Browsers compare without case, as some servers do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    /// `Secure`.
    Secure,
    /// `Secure`, `Path=/` and no `Domain`.
    Host,
}

impl Prefix {
    fn of(name: &[u8]) -> Option<Self> {
        let begins =
            |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if begins(b"__Host-") {
            Some(Self::Host)
        } else if begins(b"__Secure-") {
            Some(Self::Secure)
        } else {
            None
        }
    }
}

/// What has to be written anew. Where something is added, others of its kind go: they were void, and must not win
/// with a reader that takes the first.
#[derive(PartialEq, Eq)]
struct Changes {
    host_only: bool,
    root_path: bool,
    max_age: Option<u64>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            host_only: false,
            root_path: false,
            max_age: None,
            secure: false,
            http_only: false,
            same_site: SameSite::Keep,
        }
    }
}

impl Changes {
    fn apply(&self, value: &[u8]) -> Vec<u8> {
        let mut segments = value.split(is_semicolon);
        // All that can be added has less than 80 bytes.
        let mut hardened = Vec::with_capacity(value.len().saturating_add(80));
        hardened.extend_from_slice(segments.next().unwrap_or_default());
        for segment in segments.filter(|segment| self.keeps(segment)) {
            hardened.push(b';');
            hardened.extend_from_slice(segment);
        }
        let mut add = |attribute: &str| hardened.extend_from_slice(attribute.as_bytes());
        if self.root_path {
            add("; Path=/");
        }
        if let Some(seconds) = self.max_age {
            add("; Max-Age=");
            add(&seconds.to_string());
        }
        if self.secure {
            add("; Secure");
        }
        if self.http_only {
            add("; HttpOnly");
        }
        match self.same_site {
            SameSite::Lax => add("; SameSite=Lax"),
            SameSite::Strict => add("; SameSite=Strict"),
            SameSite::None => add("; SameSite=None"),
            SameSite::Keep => {}
        }
        hardened
    }

    fn keeps(&self, segment: &[u8]) -> bool {
        match Attribute::parse(segment) {
            Attribute::Domain(_) => !self.host_only,
            Attribute::Path(_) => !self.root_path,
            Attribute::MaxAge(_) => self.max_age.is_none(),
            Attribute::SameSite(_) => self.same_site == SameSite::Keep,
            // `a=b;` with something added would have two semicolons.
            Attribute::Blank => false,
            Attribute::Secure | Attribute::HttpOnly | Attribute::Expires(_) | Attribute::Other => true,
        }
    }
}

/// A cookie name that an operator wrote, or a prefix of some. Case counts, as it does in browsers.
#[derive(Debug)]
enum CookieName {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
}

impl CookieName {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        // `*` is a token byte, but a name that holds one is a mistake for a prefix.
        if !bytes::is_token(name.as_bytes()) || name.contains('*') {
            return Err(format!("expected a cookie name, or a prefix as in `csrf-*`, found `{text}`"));
        }
        let name = name.as_bytes().to_vec();
        Ok(if is_prefix { Self::Prefix(name) } else { Self::Exact(name) })
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Exact(known) => name == known,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

fn domain(text: &str) -> Result<Vec<u8>, String> {
    // Browsers take no cookie for a single label: it is a top-level domain to them.
    if !dns_pattern::is_name(text) || !text.contains('.') {
        return Err(format!("expected a domain of two labels or more as in `example.com`, found `{text}`"));
    }
    Ok(text.to_ascii_lowercase().into_bytes())
}

fn entries<T>(
    list: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ConfigError> {
    if texts.len() > MAX_ENTRIES {
        let problem = format!("expected at most {MAX_ENTRIES} entries, found {}", texts.len());
        return Err(ConfigError::new(list, problem));
    }
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        parse(text).map_err(|problem| ConfigError::new(format!("{list}[{index}]"), problem))
    });
    parsed.collect()
}

const fn is_semicolon(byte: &u8) -> bool {
    *byte == b';'
}

/// What is before and behind the first `=`, without the space around it; nothing behind it where there is none.
fn split_pair(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = text.splitn(2, |byte| *byte == b'=');
    let before = parts.next().unwrap_or_default().trim_ascii();
    (before, parts.next().map(<[u8]>::trim_ascii))
}

#[cfg(test)]
mod tests;
