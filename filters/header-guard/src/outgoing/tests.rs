use portcullis_core::redact::is_sensitive_name;
use proptest::prelude::*;

use super::*;

const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
const ENCRYPTED: &str = "eyJhbGciOiJkaXIifQ..aXY.dGV4dA.dGFn";

fn outgoing(config: &str) -> Result<Outgoing, String> {
    Outgoing::new(&serde_json::from_str(config).unwrap()).map_err(|error| error.to_string())
}

/// The names that are removed, and whether a credential is reported.
fn checked(outgoing: &Outgoing, fields: &[(&str, &str)]) -> (Vec<String>, bool) {
    let headers: Headers = fields.iter().copied().collect();
    let mut removed = Vec::new();
    let reported = outgoing.check(&headers, &mut |edit| match edit {
        Edit::Remove(name) => removed.push(String::from_utf8(name.to_vec()).unwrap()),
        edit => panic!("{edit:?}"),
    });
    (removed, reported.is_some())
}

// covers: HG-OUT-01
#[test]
fn a_credential_is_known_by_its_name_whatever_it_looks_like() {
    let outgoing =
        outgoing(r#"{"headers": ["X-Partner", "x-ours-*"], "keep": ["x-csrf-token", "x-ours-id"]}"#).unwrap();
    for (name, leaves) in [
        ("authorization", false),
        ("proxy-authorization", false),
        ("x-original-authorization", false),
        ("cookie", false),
        ("x-api-key", false),
        ("api-key", false),
        ("apikey", false),
        ("x-goog-api-key", false),
        ("x-auth-token", false),
        ("x-access-token", false),
        ("x-amz-security-token", false),
        ("x-vault-token", false),
        ("private-token", false),
        ("x-session-id", false),
        ("dpop", false),
        ("x-client-secret", false),
        ("x-forwarded-client-cert", false),
        ("x-jwt-assertion", false),
        ("x-partner", false),
        ("x-ours-anything", false),
        ("x-ours-id", true),
        ("x-csrf-token", true),
        ("x-partner-id", true),
        ("accept", true),
        ("content-type", true),
        ("idempotency-key", true),
        ("sec-websocket-key", true),
        ("traceparent", true),
        ("user-agent", true),
        ("x-request-id", true),
    ] {
        assert_eq!(checked(&outgoing, &[(name, "1")]).0.is_empty(), leaves, "{name}");
    }
    for (name, _) in CREDENTIALS {
        assert_eq!(checked(&outgoing, &[(name, "1")]).0, [*name]);
        assert!(!is_sensitive_name(name), "{name} tells so itself");
    }
}

// covers: HG-OUT-01
#[test]
fn a_credential_is_known_by_its_value_whatever_its_name_is() {
    let outgoing = outgoing("{}").unwrap();
    for (value, leaves) in [
        ("Bearer abc", false),
        ("bearer\u{20}", true),
        (" BEARER  abc", false),
        ("DPoP abc", false),
        ("Basic YTpi", false),
        ("bearers of news", true),
        ("Bearer", true),
        ("a Bearer abc", true),
        (JWT, false),
        (&format!("token={JWT}; a=b"), false),
        (&format!("https://a.test/#{JWT}"), false),
        (&format!("x-{JWT}"), false),
        (&format!("1.2.{JWT}"), false),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", false),
        (ENCRYPTED, false),
        // Detached: a signature of the body, for whoever gets it.
        ("eyJhbGciOiJSUzI1NiJ9..c2lnbmF0dXJl", true),
        ("eyJhbGciOiJSUzI1NiJ9", true),
        ("eyJ.a", true),
        ("www.eyjafjallajokull.is", true),
        ("a.b.c", true),
        ("", true),
    ] {
        assert_eq!(checked(&outgoing, &[("x-note", value)]).0.is_empty(), leaves, "{value}");
    }
    // What frames and routes a request stays.
    for name in [":path", ":authority", "host"] {
        assert_eq!(checked(&outgoing, &[(name, JWT)]), (vec![], false), "{name}");
    }
    assert_eq!(
        checked(&outgoing, &[("cookie", "a=1"), ("accept", "*/*"), ("x-note", JWT)]).0,
        ["cookie", "x-note"]
    );
}

#[test]
fn a_mode_decides_whether_it_leaves() {
    let fields = [("authorization", "Bearer a"), ("cookie", "a=1")];
    for (mode, removed, reported) in [("enforce", 2, false), ("report", 0, true), ("off", 0, false)] {
        let (names, is_reported) = checked(&outgoing(&format!(r#"{{"mode": "{mode}"}}"#)).unwrap(), &fields);
        assert_eq!((names.len(), is_reported), (removed, reported), "{mode}");
    }
    assert_eq!(checked(&outgoing(r#"{"mode": "report"}"#).unwrap(), &[("accept", "*/*")]), (vec![], false));
}

#[test]
fn mistakes_are_named_by_their_path() {
    for (config, expected) in [
        (r#"{"headers": ["a b"]}"#, "headers[0]: expected a header name"),
        (r#"{"keep": ["a", "*"]}"#, "keep[1]: expected a header name"),
        (
            r#"{"headers": ["a", "x-b"], "keep": ["X-B"]}"#,
            "headers[1]: expected a name that is not in `keep` too",
        ),
        (r#"{"headers": ["content-*"]}"#, "headers[0]: expected a field that a request can do without"),
    ] {
        let error = outgoing(config).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

proptest! {
    /// Wherever in a value a token stands, and whatever stands around it.
    #[test]
    fn a_token_is_found_anywhere(before in "[ -~]{0,20}", after in "[ -~]{0,20}", encrypted: bool) {
        let value = format!("{before} {} {after}", if encrypted { ENCRYPTED } else { JWT });
        prop_assert!(has_jwt(value.as_bytes()));
    }

    /// Nothing but whole fields go, and those that stay are none.
    #[test]
    fn what_is_left_holds_no_credential(
        fields in proptest::collection::vec(("(x-)?(token|cookie|accept|a|eyJ)", "(Bearer |eyJ|[.]|[a-z]){0,8}"), 0..6),
    ) {
        let outgoing = outgoing("{}").unwrap();
        let mut headers: Headers = fields.into_iter().collect();
        let before = headers.clone();
        let mut edits = Vec::new();
        outgoing.check(&headers, &mut |edit| if let Edit::Remove(name) = edit { edits.push(name.to_vec()) });
        for name in &edits {
            headers.remove(name);
        }
        let mut again = false;
        outgoing.check(&headers, &mut |_| again = true);
        prop_assert!(!again);
        let stayed = before.iter().filter(|(name, _)| !edits.iter().any(|edit| edit == name));
        prop_assert!(stayed.eq(headers.iter()));
    }
}
