//! What the `Cookie` fields of a request say together (RFC 6265 section 4.2.1). HTTP/2 clients send it in pieces,
//! which Envoy joins with `; `; a client that sends several fields means one list too.
//!
//! A `;` ends a cookie, between quotes as well (RFC 6265bis section 5.6.3): whoever reads quotes as protection sees
//! fewer cookies than are judged here, never other ones.

use portcullis_core::{ConfigError, Denial};

use crate::bytes;
use crate::config::RequestConfig;
use crate::denials;
use crate::limits::within;
use crate::names::Pattern;

/// Beginnings of names that browsers give only to cookies which their server has set over TLS, in lower case
/// (RFC 6265bis section 4.1.3); `__Host-Http-` is one of the first.
const PROTECTED: [&[u8]; 3] = [b"__host-", b"__secure-", b"__http-"];

/// Attributes in a request (RFC 2965 section 3.3.4): servers that know them begin to read quotes and commas in another
/// way, so that cookies get lost in others.
const ATTRIBUTES: [&[u8]; 4] = [b"$version", b"$path", b"$domain", b"$port"];

/// Cookies of sessions in one request; each is compared with those before it.
const MAX_SESSION_COOKIES: usize = 32;

/// Names in `session_cookies`; each cookie is compared with all.
const MAX_NAMES: usize = 64;

/// Rules for the cookies of a request.
#[derive(Debug)]
pub(super) struct CookieRules {
    most: usize,
    /// Lower-case.
    sessions: Vec<Pattern>,
    /// Whether a cookie that begins with this byte may have one of those names, or one that means something without
    /// being listed. Nearly all begin with another one, so that their names need not be found.
    is_telling: [bool; 256],
}

/// Beginnings of the names of [`PROTECTED`] and [`ATTRIBUTES`], as sent and as some servers decode them, and of a cookie
/// without a name.
const TELLING: &[u8] = b"_$%.[=";

impl CookieRules {
    /// Checks the options `max_cookies` and `session_cookies`.
    ///
    /// # Errors
    /// [`ConfigError`] for a limit out of its bounds, too many names, and for what is no name.
    pub(super) fn new(config: &RequestConfig) -> Result<Self, ConfigError> {
        let most = within("max_cookies", config.max_cookies, 0, 1000)?;
        let list = "session_cookies";
        let found = config.session_cookies.len();
        if found > MAX_NAMES {
            let problem = format!("expected at most {MAX_NAMES} names, found {found}");
            return Err(ConfigError::new(list, problem));
        }
        let sessions = config.session_cookies.iter().enumerate().map(|(index, text)| {
            Pattern::parse(text).map_err(|_| {
                let problem =
                    format!("expected a cookie's name, or a prefix as in `app-session-*`, found `{text}`");
                ConfigError::new(format!("{list}[{index}]"), problem)
            })
        });
        let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
        let mut is_telling = [false; 256];
        let beginnings =
            sessions.iter().filter_map(|(Pattern::Exact(name) | Pattern::Prefix(name))| name.first());
        for byte in beginnings.chain(TELLING) {
            for case in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                if let Some(is_telling) = is_telling.get_mut(usize::from(case)) {
                    *is_telling = true;
                }
            }
        }
        Ok(Self { most, sessions, is_telling })
    }

    /// Judges the values of all `Cookie` fields. Linear in their length; no allocation but for the cookies of sessions.
    ///
    /// # Errors
    /// 431 for too many cookies; 400 for a second cookie of a session, and for names that mean something else to some
    /// servers.
    pub(super) fn check<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Denial> {
        let mut seen = Seen { left: self.most, sessions: Vec::new() };
        values.into_iter().try_for_each(|value| self.check_value(value, &mut seen))
    }

    #[inline(never)]
    fn check_value<'a>(&self, value: &'a [u8], seen: &mut Seen<'a>) -> Result<(), Denial> {
        let mut rest = Some(value);
        while let Some(cookies) = rest {
            let cookie;
            (cookie, rest) = bytes::split_once(cookies, b';');
            let cookie = cookie.trim_ascii();
            let Some(first) = cookie.first() else {
                continue;
            };
            seen.left = seen.left.checked_sub(1).ok_or_else(denials::too_many_cookies)?;
            if self.is_telling.get(usize::from(*first)) != Some(&true) {
                continue;
            }
            let (name, is_named) = name_of(cookie);
            match self.meaning(name) {
                Meaning::None => {}
                Meaning::Session if is_named => seen.add(name)?,
                // Browsers store `=__Host-x` as a value without a name and send it like the cookie `__Host-x`.
                Meaning::Session | Meaning::Other => return Err(denials::invalid_value("cookie")),
            }
        }
        Ok(())
    }

    fn meaning(&self, name: &[u8]) -> Meaning {
        if PROTECTED.iter().any(|prefix| begins_with(name, prefix)) {
            return Meaning::Session;
        }
        if PROTECTED.iter().any(|prefix| prefix.iter().copied().eq(as_decoded(name).take(prefix.len())))
            || ATTRIBUTES.iter().any(|attribute| attribute.iter().copied().eq(as_decoded(name)))
        {
            return Meaning::Other;
        }
        let is_session = self.sessions.iter().any(|pattern| match pattern {
            Pattern::Exact(session) => name.eq_ignore_ascii_case(session),
            Pattern::Prefix(prefix) => begins_with(name, prefix),
        });
        if is_session { Meaning::Session } else { Meaning::None }
    }
}

/// What a cookie's name means to those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing but what the application makes of it.
    None,
    /// Who the user is; there must be one.
    Session,
    /// Another name to some servers than to others.
    Other,
}

/// What there is of cookies so far.
struct Seen<'a> {
    /// How many more there may be.
    left: usize,
    /// Names of the sessions' cookies.
    sessions: Vec<&'a [u8]>,
}

impl<'a> Seen<'a> {
    fn add(&mut self, name: &'a [u8]) -> Result<(), Denial> {
        if self.sessions.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(denials::duplicate("cookie"));
        }
        if self.sessions.len() >= MAX_SESSION_COOKIES {
            return Err(denials::too_many_cookies());
        }
        self.sessions.push(name);
        Ok(())
    }
}

/// The name that a server may take a cookie for, and whether it is one: that of a cookie without `=` or with nothing
/// before it is made up of its value.
fn name_of(cookie: &[u8]) -> (&[u8], bool) {
    let until_equals = |text: &'_ [u8]| text.iter().position(|byte| *byte == b'=');
    let (name, has_equals) = match until_equals(cookie).and_then(|at| cookie.get(..at)) {
        Some(name) => (name.trim_ascii_end(), true),
        None => (cookie, false),
    };
    if !name.is_empty() {
        return (name, has_equals);
    }
    let start = cookie.iter().position(|byte| !matches!(byte, b'=' | b' ' | b'\t'));
    let value = start.and_then(|start| cookie.get(start..)).unwrap_or_default();
    let end = until_equals(value).unwrap_or(value.len());
    (value.get(..end).unwrap_or_default().trim_ascii_end(), false)
}

/// Case makes no difference: it makes none to some servers, nor to browsers where prefixes are concerned.
fn begins_with(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A name in lower case, as servers read it that decode it: `%5F` is `_` to some (CVE-2020-8184), and so are `.`, `[`
/// and a space to PHP (CVE-2022-31629), which leaves out those in front.
fn as_decoded(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = name;
    let decoded = std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        rest = tail;
        if let (b'%', Some(([high, low], tail))) = (first, tail.split_first_chunk())
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            rest = tail;
            return u8::try_from(high << 4 | low).ok();
        }
        Some(*first)
    });
    decoded.skip_while(|byte| *byte == b' ').map(|byte| match byte {
        b'.' | b'[' | b' ' => b'_',
        byte => byte.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests;
