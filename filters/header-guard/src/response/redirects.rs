//! Where a response sends its client (`location`, RFC 9110 section 10.2.2), read as browsers read it.

use portcullis_core::ConfigError;
use portcullis_core::headers::Headers;
use portcullis_core::path::Authority;
use portcullis_core::verdict::Mode;

use crate::bytes;
use crate::config::RedirectConfig;
use crate::policy::Edit;

/// Schemes that run code in the page that follows them; nobody redirects to these.
const SCRIPTS: [&[u8]; 3] = [b"javascript", b"data", b"vbscript"];

/// Schemes whose slashes browsers don't insist on: `https:evil.test` goes to `evil.test` (URL Standard, "special" schemes).
const SPECIAL: [&[u8]; 5] = [b"http", b"https", b"ws", b"wss", b"ftp"];

/// Most hosts in the list: it is searched from the front.
const MAX_HOSTS: usize = 256;

/// What is noted of a redirect.
const DUPLICATE: &str = "location.duplicate";
const INVALID: &str = "location.invalid";
const FOREIGN: &str = "location.foreign";

/// Where responses may send clients.
#[derive(Debug)]
pub struct Redirects {
    mode: Mode,
    /// Hosts, and schemes with their final `:`; empty: anywhere.
    allowed: Vec<Vec<u8>>,
}

/// Where a `location` leads.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    /// To the host that was asked.
    Relative,
    /// To this host, as it is written.
    Host(&'a [u8]),
    /// To an application that knows this scheme.
    Scheme(&'a [u8]),
    /// Readers differ, or it would run as a script.
    Invalid,
}

impl Redirects {
    /// Reads the configured list.
    ///
    /// # Errors
    /// [`ConfigError`] for what is neither a host nor a scheme.
    pub fn new(config: &RedirectConfig) -> Result<Self, ConfigError> {
        if config.hosts.len() > MAX_HOSTS {
            let problem = format!("expected at most {MAX_HOSTS} hosts, found {}", config.hosts.len());
            return Err(ConfigError::new("hosts", problem));
        }
        let mut allowed = Vec::with_capacity(config.hosts.len());
        for (index, text) in config.hosts.iter().enumerate() {
            let lower = text.to_ascii_lowercase().into_bytes();
            let is_scheme = lower.strip_suffix(b":").is_some_and(|scheme| {
                is_scheme(scheme) && !SPECIAL.contains(&scheme) && !SCRIPTS.contains(&scheme)
            });
            let is_host = Authority::parse(&lower).is_ok_and(|authority| authority.port().is_none());
            if !is_scheme && (!is_host || lower.ends_with(b":")) {
                let problem = format!(
                    "expected a host as in `login.example.com`, or a scheme as in `myapp:`, found `{text}`"
                );
                return Err(ConfigError::new(format!("hosts[{index}]"), problem));
            }
            allowed.push(lower);
        }
        Ok(Self { mode: config.mode, allowed })
    }

    /// Removes a `location` that leads where it must not. `own` is the authority that was asked for: it may always be
    /// named.
    pub fn check(&self, response: &Headers, own: Option<&[u8]>, edit: &mut dyn FnMut(Edit<'_>)) {
        let found = match (self.mode, response.single(b"location")) {
            (Mode::Off, _) | (_, Ok(None)) => return,
            (_, Err(_)) => DUPLICATE,
            (_, Ok(Some(value))) => match target(value) {
                Target::Relative => return,
                Target::Invalid => INVALID,
                Target::Host(host) if self.allows_host(host, own) => return,
                Target::Scheme(scheme) if self.allows_scheme(scheme) => return,
                Target::Host(_) | Target::Scheme(_) => FOREIGN,
            },
        };
        edit(Edit::Found(found));
        if self.mode == Mode::Enforce && !(found == FOREIGN && self.allowed.is_empty()) {
            edit(Edit::Remove(b"location"));
        }
    }

    fn allows_host(&self, host: &[u8], own: Option<&[u8]>) -> bool {
        let is_own = own.is_some_and(|own| without_port(own).eq_ignore_ascii_case(host));
        is_own || self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn allows_scheme(&self, scheme: &[u8]) -> bool {
        let names =
            |allowed: &Vec<u8>| allowed.strip_suffix(b":").is_some_and(|it| it.eq_ignore_ascii_case(scheme));
        self.allowed.iter().any(names)
    }
}

/// Reads a `location`. Browsers allow any number of slashes, including none, behind a scheme of the web.
fn target(value: &[u8]) -> Target<'_> {
    let path = value.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    // Browsers take `\` for `/`, and others for a part of the host's user (RFC 3986 section 3.2.1).
    let is_ambiguous = path.contains(&b'\\') || value.contains(&b'\t');
    if is_ambiguous || !value.is_ascii() || bytes::has_control(value) {
        return Target::Invalid;
    }
    let value = value.trim_ascii();
    if let Some(rest) = value.strip_prefix(b"//") {
        return host(rest);
    }
    let end = value.iter().position(|byte| matches!(byte, b':' | b'/' | b'?' | b'#'));
    let Some((scheme, [b':', rest @ ..])) = end.and_then(|end| value.split_at_checked(end)) else {
        return Target::Relative;
    };
    if !is_scheme(scheme) {
        return Target::Relative;
    }
    if SCRIPTS.iter().any(|script| script.eq_ignore_ascii_case(scheme)) {
        return Target::Invalid;
    }
    if SPECIAL.iter().any(|special| special.eq_ignore_ascii_case(scheme)) {
        return host(rest);
    }
    Target::Scheme(scheme)
}

/// The host behind any number of slashes.
fn host(rest: &[u8]) -> Target<'_> {
    let start = rest.iter().position(|byte| *byte != b'/').unwrap_or(rest.len());
    let rest = rest.get(start..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    // What stands before an `@` is for the eye of a victim.
    if authority.is_empty() || authority.contains(&b'@') || authority.contains(&b'%') {
        return Target::Invalid;
    }
    Target::Host(without_port(authority))
}

fn without_port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    match colon.and_then(|colon| authority.split_at_checked(colon)) {
        Some((host, [_, port @ ..])) if port.iter().all(u8::is_ascii_digit) => host,
        _ => authority,
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redirects(hosts: &[&str]) -> Redirects {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Redirects::new(&RedirectConfig { mode: Mode::Enforce, hosts }).unwrap()
    }

    /// What is noted, and whether the field is still there.
    fn check(redirects: &Redirects, locations: &[&str]) -> (Option<&'static str>, bool) {
        let before: Headers = locations.iter().map(|value| ("location", *value)).collect();
        let (mut after, mut found) = (before.clone(), None);
        redirects.check(&before, Some(b"api.test:8443"), &mut |edit| match edit {
            Edit::Found(code) => found = Some(code),
            edit => edit.apply(&mut after),
        });
        (found, after == before)
    }

    // covers: HG-RSP-07
    #[test]
    fn a_redirect_leads_to_a_host_of_the_list() {
        let listed = redirects(&["Login.test", "myapp:", "[::1]"]);
        let anywhere = redirects(&[]);
        let (foreign, invalid) = (Some(FOREIGN), Some(INVALID));
        for (location, found, stays, stays_without_list) in [
            ("/orders/7", None, true, true),
            ("orders/7?next=https://evil.test/", None, true, true),
            ("?a:b", None, true, true),
            ("", None, true, true),
            ("https://api.test/x", None, true, true),
            ("https://API.test:443/x", None, true, true),
            ("https://login.test/x", None, true, true),
            ("https://[::1]:8443/", None, true, true),
            ("myapp://callback?code=1", None, true, true),
            ("https://evil.test/", foreign, false, true),
            ("//evil.test", foreign, false, true),
            ("\\/\\/evil.test", invalid, false, false),
            ("/\\evil.test", invalid, false, false),
            ("https:evil.test", foreign, false, true),
            ("https:/evil.test", foreign, false, true),
            ("HTTPS:\\\\evil.test\\@login.test", invalid, false, false),
            (" https://evil.test", foreign, false, true),
            ("https://login.test.evil.test/", foreign, false, true),
            ("https://xlogin.test/", foreign, false, true),
            ("otherapp://x", foreign, false, true),
            ("https://login.test@evil.test/", invalid, false, false),
            ("https://login.test%2eevil.test/", invalid, false, false),
            ("javascript:alert(1)", invalid, false, false),
            ("JavaScript://login.test/%0aalert(1)", invalid, false, false),
            ("data:text/html,x", invalid, false, false),
            ("https://login.test:\\@evil.test", invalid, false, false),
            ("/search?q=a\\b", None, true, true),
            ("java\tscript:alert(1)", invalid, false, false),
            ("https://", invalid, false, false),
            ("/\u{e9}", invalid, false, false),
        ] {
            assert_eq!(check(&listed, &[location]), (found, stays), "{location}");
            assert_eq!(check(&anywhere, &[location]).1, stays_without_list, "{location} without a list");
        }
        assert_eq!(check(&anywhere, &["/a", "/a"]), (Some(DUPLICATE), false));
        assert_eq!(check(&anywhere, &[]), (None, true));
    }

    #[test]
    fn a_mode_says_what_follows() {
        let with = |mode| Redirects::new(&RedirectConfig { mode, hosts: vec!["login.test".into()] }).unwrap();
        assert_eq!(check(&with(Mode::Report), &["//evil.test"]), (Some(FOREIGN), true));
        assert_eq!(check(&with(Mode::Off), &["//evil.test"]), (None, true));
    }

    #[test]
    fn a_list_is_of_hosts_and_schemes() {
        for text in ["", "https://x.test", "x.test/", "x.test:443", "https:", "javascript:", "a b", ":"] {
            let config =
                RedirectConfig { hosts: vec!["x.test".into(), text.into()], ..RedirectConfig::default() };
            assert_eq!(Redirects::new(&config).unwrap_err().path, "hosts[1]", "{text}");
        }
        let many = RedirectConfig { hosts: vec!["x.test".into(); 257], ..RedirectConfig::default() };
        assert_eq!(Redirects::new(&many).unwrap_err().path, "hosts");
    }

    proptest! {
        #[test]
        fn whatever_stays_leads_to_the_list(value in "[a-z:/\\\\@.%?# \t]{0,24}") {
            let redirects = redirects(&["login.test"]);
            if check(&redirects, &[&value]).1 {
                let own = [Target::Relative, Target::Host(b"login.test"), Target::Host(b"api.test")];
                prop_assert!(own.contains(&target(value.as_bytes())), "{value}");
            }
        }
    }
}
