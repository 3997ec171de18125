//! What a shared cache may keep of a response: nothing that was made for one client (RFC 9111 sections 3 and 3.5).

use portcullis_core::headers::Headers;
use portcullis_core::verdict::Mode;

use crate::bytes::{has_control, list};
use crate::policy::Edit;

/// What a response that belongs to one client says at least.
const PRIVATE: &[u8] = b"private, no-store";

/// What is noted of a response that a cache could give to somebody else.
const COOKIE: &str = "cache.cookie";
const CREDENTIALS: &str = "cache.credentials";

/// Makes `cache-control` of a response `private, no-store` where it sets a cookie and doesn't keep shared caches off, or where
/// the request had credentials and the response does not say who may keep it.
pub fn check(mode: Mode, request: Option<&Headers>, response: &Headers, edit: &mut dyn FnMut(Edit<'_>)) {
    let sets_cookie = response.contains(b"set-cookie");
    let has_credentials =
        request.is_some_and(|fields| [&b"authorization"[..], b"cookie"].iter().any(|it| fields.contains(it)));
    if mode == Mode::Off || !(sets_cookie || has_credentials) {
        return;
    }
    let mut says_anything = false;
    let mut keeps_caches_off = false;
    // With a line end in one value all of them are removed.
    let is_broken = response.all(b"cache-control").any(has_control);
    let values = response.all(b"cache-control").filter(|_| !is_broken);
    for directive in values.flat_map(list) {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        says_anything = true;
        // `private="x-field"` is about that field only.
        keeps_caches_off |=
            [&b"private"[..], b"no-store"].iter().any(|it| it.eq_ignore_ascii_case(directive));
        // A directive that contradicts itself is read by each cache in its own way.
        if name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage") {
            keeps_caches_off = false;
            break;
        }
    }
    let found = if sets_cookie && !keeps_caches_off {
        COOKIE
    } else if has_credentials && !says_anything {
        CREDENTIALS
    } else {
        return;
    };
    edit(Edit::Found(found));
    if mode == Mode::Enforce {
        edit(Edit::Set(b"cache-control", PRIVATE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(
        mode: Mode,
        request: &[(&str, &str)],
        response: &[(&str, &str)],
    ) -> (Option<&'static str>, Vec<String>) {
        let request: Headers = request.iter().copied().collect();
        let before: Headers = response.iter().copied().collect();
        let (mut after, mut found) = (before.clone(), None);
        check(mode, Some(&request), &before, &mut |edit| match edit {
            Edit::Found(code) => found = Some(code),
            edit => edit.apply(&mut after),
        });
        (
            found,
            after.all(b"cache-control").map(|value| String::from_utf8_lossy(value).into_owned()).collect(),
        )
    }

    // covers: HG-RSP-09
    #[test]
    fn what_was_made_for_one_client_is_kept_for_nobody() {
        let (token, cookie) = (("authorization", "Bearer x"), ("cookie", "a=b"));
        let (sets, other) = (("set-cookie", "sid=1"), ("content-type", "text/plain"));
        let ours = &["private, no-store"][..];
        for (name, request, response, found, expected) in [
            (
                "public and a cookie",
                other,
                vec![("cache-control", "public, max-age=60"), sets],
                Some(COOKIE),
                ours,
            ),
            ("a cookie alone", other, vec![sets], Some(COOKIE), ours),
            (
                "a shared lifetime",
                other,
                vec![("cache-control", "private"), ("cache-control", "S-MaxAge=9"), sets],
                Some(COOKIE),
                ours,
            ),
            ("for one field only", other, vec![("cache-control", "private=\"x\""), sets], Some(COOKIE), ours),
            (
                "private and a cookie",
                other,
                vec![("cache-control", "max-age=60, Private"), sets],
                None,
                &["max-age=60, Private"],
            ),
            ("not stored", other, vec![("cache-control", "no-store"), sets], None, &["no-store"]),
            ("a token, nothing said", token, vec![other], Some(CREDENTIALS), ours),
            ("a cookie of the client, nothing said", cookie, vec![other], Some(CREDENTIALS), ours),
            ("empty", token, vec![("cache-control", " , ")], Some(CREDENTIALS), ours),
            ("a token, public on purpose", token, vec![("cache-control", "public")], None, &["public"]),
            ("nobody, nothing said", other, vec![other], None, &[]),
        ] {
            assert_eq!(
                checked(Mode::Enforce, &[request], &response),
                (found, expected.iter().map(|it| (*it).to_owned()).collect()),
                "{name}"
            );
        }
        assert_eq!(checked(Mode::Report, &[], &[sets]), (Some(COOKIE), vec![]));
        assert_eq!(checked(Mode::Off, &[], &[sets]), (None, vec![]));
    }

    #[test]
    fn a_second_look_finds_nothing() {
        let sent = [("cache-control", "public"), ("set-cookie", "a=b")];
        let (_, after) = checked(Mode::Enforce, &[], &sent);
        let again = [("cache-control", after[0].as_str()), ("set-cookie", "a=b")];
        assert_eq!(checked(Mode::Enforce, &[], &again), (None, after.clone()));
    }
}
