use proptest::prelude::*;

use super::*;

fn canonical(target: &[u8]) -> Result<String, PathError> {
    CanonicalPath::parse(target).map(|path| path.as_str().to_owned())
}

// covers: ENV-PATH-05, ENV-PATH-09, ENV-PATH-12
#[test]
fn a_path_has_one_spelling() {
    for (name, target, expected) in [
        ("root", "/", "/"),
        ("plain", "/orders/7", "/orders/7"),
        ("trailing slash stays", "/orders/", "/orders/"),
        ("encoded letter", "/%61dmin", "/admin"),
        ("encoded capital", "/%41dmin", "/Admin"),
        ("encoded letter in the middle", "/adm%69n", "/admin"),
        ("every unreserved character", "/%2D%2Ea%5f%7e%30", "/-.a_~0"),
        ("sub-delimiters", "/a!$&'()+=:@,*", "/a!$&'()+=:@,*"),
        ("encoded sub-delimiters", "/a%21%24%26%27%28%29%2b%3D%3a%40%2C%2a", "/a!$&'()+=:@,*"),
        ("lower-case hex", "/caf%c3%a9", "/caf%C3%A9"),
        ("characters that no path has", "/a|b/{id}/\"<>^`", "/a%7Cb/%7Bid%7D/%22%3C%3E%5E%60"),
        ("the same, encoded", "/a%7cb/%7bid%7D", "/a%7Cb/%7Bid%7D"),
        ("star", "/admin/*", "/admin/*"),
        ("tilde", "/~x", "/~x"),
        ("case is kept", "/ADMIN", "/ADMIN"),
        ("query", "/admin?x=/public/", "/admin"),
        ("empty query", "/admin?", "/admin"),
        ("dot segments in the query", "/public?/../admin", "/public"),
        ("anything in the query", "/a?%zz;\\//", "/a"),
        ("encoded question mark", "/admin%3Fx=1", "/admin%3Fx=1"),
        ("encoded number sign", "/a%23b", "/a%23b"),
        ("encoded percent", "/100%25", "/100%25"),
        ("encoded percent before letters", "/100%25zz", "/100%25zz"),
        ("encoded percent before one digit", "/100%250", "/100%250"),
        ("space in the middle", "/a%20b", "/a%20b"),
        ("dots inside", "/a.b/.well-known/..a", "/a.b/.well-known/..a"),
        ("zero width space", "/admin%e2%80%8b", "/admin%E2%80%8B"),
        ("fullwidth slash", "/%ef%bc%8fadmin", "/%EF%BC%8Fadmin"),
        ("asterisk", "*", "*"),
    ] {
        assert_eq!(canonical(target.as_bytes()).as_deref(), Ok(expected), "{name}");
    }
}

// covers: ENV-PATH-01, ENV-PATH-02, ENV-PATH-03, ENV-PATH-04, ENV-PATH-06, ENV-PATH-07, ENV-PATH-08
// covers: ENV-PATH-11, ENV-PATH-15, ENV-PATH-16, ENV-PATH-17, ENV-PATH-18
#[test]
fn a_path_with_two_readings_is_refused() {
    use PathError::*;
    for (targets, expected) in [
        (
            &[
                "/public/../admin",
                "/public/./../admin",
                "/..//admin",
                "/./admin",
                "/admin/.",
                "/admin/..",
                "/.",
                "/..",
            ][..],
            DotSegment,
        ),
        (&["/public/%2e%2e/admin", "/public/%2E./admin", "/.%2e/", "/%2e"], DotSegment),
        (&["//admin", "///admin", "/public//../admin", "/admin//", "//"], EmptySegment),
        (&["/public%2F..%2Fadmin", "/%2Fadmin", "/%2f"], EncodedSlash),
        (&["/public%5C..%5Cadmin", "/public\\..\\admin", "/%5c"], Backslash),
        (
            &["/%2561dmin", "/%252e%252e/admin", "/%25%32%66", "/%252%66", "/%25%32f", "/%25aF"],
            DoubleEncoding,
        ),
        (
            &["/admin%", "/admin%2", "/admin%zz", "/%u0061dmin", "/%+1", "/%%32%66", "/% 41", "/%2?5"],
            BadPercent,
        ),
        (
            &[
                "/admin%00",
                "/admin%00.json",
                "/admin%0a",
                "/admin%0d%0aX:1",
                "/admin%09",
                "/a%7F",
                "/a%C2%85",
            ],
            Control,
        ),
        (&["/admin\0", "/admin\x7f", "/admin\t", "/admin\r\nX: 1"], Control),
        (&["/admin#x", "/app/admin#foo", "/x#/../admin", "/x?y#z", "#"], Fragment),
        (
            &[
                "/admin;x=y",
                "/admin;/",
                "/;x/admin",
                "/user/..;foo=bar/admin",
                "/user/..;/admin",
                "/admin/.;/",
            ],
            Semicolon,
        ),
        (&["/admin%3Bx=y", "/admin%3b"], Semicolon),
        (
            &[
                "/admin.",
                "/admin%2e",
                "/admin./x",
                "/admin%20",
                "/admin%20/x",
                "/.../x",
                "/admin.%20",
                "/%20",
            ],
            TrailingDotOrSpace,
        ),
        (
            &[
                "/%c0%ae%c0%ae/admin",
                "/%e0%80%af",
                "/%ff",
                "/%80",
                "/%c3",
                "/%c3x",
                "/%e2%82",
                "/%ed%a0%80",
                "/%f5%80%80%80",
            ],
            InvalidUtf8,
        ),
        (&["/caf\u{e9}", "/\u{ff0f}admin"], NonAscii),
        (
            &[
                "http://evil.test/admin",
                "https://x@h/admin",
                "admin",
                "?/admin",
                "**",
                "*?x",
                "%2Fadmin",
                "\\admin",
            ],
            NotAbsolute,
        ),
        (&[""], Missing),
    ] {
        for target in targets {
            assert_eq!(canonical(target.as_bytes()), Err(expected), "{target}");
        }
    }
    assert_eq!(canonical(b"/caf\xe9"), Err(NonAscii));
    assert_eq!(canonical(b"/a b"), Err(Control));
}

#[test]
fn long_paths_are_refused_by_length() {
    let segments = |count: usize| "/a".repeat(count);
    for (name, target, expected) in [
        ("the longest segment", format!("/{}", "a".repeat(MAX_LENGTH - 1)), None),
        ("one byte more", format!("/{}", "a".repeat(MAX_LENGTH)), Some(PathError::TooLong)),
        ("a long query is not the path's", format!("/a?{}", "a".repeat(60_000)), None),
        ("the most segments", segments(MAX_SEGMENTS), None),
        ("the most segments and a slash", segments(MAX_SEGMENTS) + "/", None),
        ("one segment more", segments(MAX_SEGMENTS + 1), Some(PathError::TooManySegments)),
        ("4,000 segments", segments(4_000), Some(PathError::TooManySegments)),
        ("4,000 dot segments", format!("/{}", "../".repeat(4_000)), Some(PathError::TooLong)),
    ] {
        assert_eq!(canonical(target.as_bytes()).err(), expected, "{name}");
    }
}

#[test]
fn a_refusal_tells_little() {
    for (error, status, reason) in [
        (PathError::TooLong, 414, "path.too_long"),
        (PathError::TooManySegments, 414, "path.too_long"),
        (PathError::Missing, 400, "path.missing"),
        (PathError::Semicolon, 400, "path.ambiguous"),
    ] {
        let denial = error.denial();
        assert_eq!((denial.status, denial.reason.as_str()), (status, reason));
    }
}

#[test]
fn segments_are_never_empty_and_decode() {
    for (target, expected) in [
        ("/", &[][..]),
        ("*", &[]),
        ("/a/", &["a"]),
        ("/a%20b/caf%C3%A9/100%25/x%3Fy/z", &["a b", "caf\u{e9}", "100%", "x?y", "z"]),
    ] {
        let path = CanonicalPath::parse(target.as_bytes()).unwrap();
        let decoded: Vec<_> = path.segments().map(decode_segment).collect();
        assert_eq!(decoded, expected, "{target}");
    }
}

/// Decodes without judgement, as a simple server would.
fn decode_loosely(path: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        (rest, _) = match unescape_byte(rest) {
            Some((byte, tail)) => (tail, decoded.push(byte)),
            None => (tail, decoded.push(*byte)),
        };
    }
    decoded
}

/// Paths made of what matters: separators, dots, escapes and their fragments.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[/a-c.%;\\\\?#*~ 0-9A-F]",
        Just("/".to_owned()),
        Just("admin".to_owned()),
        any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        any::<char>().prop_map(|c| c.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn canonical_is_a_fixed_point(target in hostile()) {
        if let Ok(path) = canonical(target.as_bytes()) {
            prop_assert_eq!(canonical(path.as_bytes()), Ok(path));
        }
    }

    #[test]
    fn canonical_means_what_the_client_wrote(target in hostile()) {
        if let Ok(path) = canonical(target.as_bytes()) {
            let written = target.split('?').next().unwrap_or_default();
            prop_assert_eq!(decode_loosely(&path), decode_loosely(written));
            // Equal after decoding is equal in canonical form, so no spelling is left to hide in.
            let decoded: String = path.split('/').map(decode_segment).collect::<Vec<_>>().join("/");
            prop_assert_eq!(decoded.as_bytes(), decode_loosely(written));
        }
    }

    #[test]
    fn escaping_any_character_changes_nothing(path in "/[a-z0-9!$&'()*+,=:@~_-]{1,12}", at in 1_usize..12) {
        let escaped: String = path.char_indices()
            .map(|(i, c)| if i == at { format!("%{:02x}", u32::from(c)) } else { c.to_string() })
            .collect();
        prop_assert_eq!(canonical(escaped.as_bytes()), canonical(path.as_bytes()));
    }

    #[test]
    fn any_bytes_are_survived(target in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = canonical(&target);
    }
}
