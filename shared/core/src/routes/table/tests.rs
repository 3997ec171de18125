use proptest::prelude::*;

use super::*;
use crate::Headers;
use crate::routes::HeaderSelector;

fn at(path: &str) -> Selector {
    Selector { path: Some(path.to_owned()), ..Selector::default() }
}

/// A table whose values are the positions in the list.
fn table(selectors: Vec<Selector>) -> RouteTable<usize> {
    RouteTable::build(selectors.into_iter().enumerate().map(|(i, selector)| (selector, i)).collect()).unwrap()
}

fn templates(paths: &[&str]) -> RouteTable<usize> {
    table(paths.iter().map(|path| at(path)).collect())
}

fn request(pairs: &[(&str, &str)]) -> Request {
    let mut headers: Headers =
        [(":method", "GET"), (":scheme", "https"), (":authority", "api.test"), (":path", "/")]
            .into_iter()
            .collect();
    for (name, value) in pairs {
        if name.starts_with(':') {
            headers.set(name.as_bytes(), value.as_bytes());
        } else {
            headers.append(name.as_bytes(), value.as_bytes());
        }
    }
    Request::new(headers, true)
}

fn get(path: &str) -> Request {
    request(&[(":path", path)])
}

fn selected(table: &RouteTable<usize>, request: &Request) -> Option<usize> {
    table.select(request).unwrap().map(|matched| *matched.value)
}

const PATHS: &[&str] = &[
    "/**",                // 0
    "/orders/{id}",       // 1
    "/orders/mine",       // 2
    "/orders/{id}/items", // 3
    "/admin/**",          // 4
    "/files/{name}.json", // 5
    "/files/{name}",      // 6
    "/files/a{name}",     // 7
    "/{any}/items",       // 8
    "/v/{x}:cancel",      // 9
    "/v/{x}:a-cancel",    // 10
    "/deep/a/{x}/c",      // 11
    "/deep/{y}/b/d",      // 12
    "/",                  // 13
];

// covers: ENV-PATH-12, ENV-PATH-15
#[test]
fn the_most_specific_template_wins() {
    let table = templates(PATHS);
    for (path, expected) in [
        ("/orders/mine", 2),
        ("/orders/mine/", 2),
        ("/orders/7", 1),
        ("/orders/a!$&'()*+,=:@~%7C", 1),
        ("/orders/Mine", 1),
        ("/orders/7/items", 3),
        ("/orders/items", 1),
        ("/orders", 0),
        ("/admin", 4),
        ("/admin/", 4),
        ("/admin/a/b/c", 4),
        ("/admin/items", 4),
        ("/ADMIN", 0),
        ("/administrator", 0),
        ("/files/x.json", 5),
        ("/files/a.json", 5),
        ("/files/abc", 7),
        ("/files/a", 6),
        ("/files/.json", 6),
        ("/x/items", 8),
        ("/v/7:cancel", 9),
        ("/v/7%3Acancel", 9),
        ("/v/7:a-cancel", 10),
        ("/deep/a/b/c", 11),
        ("/deep/a/b/d", 12),
        ("/deep/a/b/e", 0),
        ("/", 13),
        ("/?x=/admin", 13),
        ("/nothing", 0),
    ] {
        assert_eq!(selected(&table, &get(path)), Some(expected), "{path}");
    }
}

#[test]
fn the_order_of_the_list_decides_between_equal_templates_only() {
    let reversed: Vec<&str> = PATHS.iter().rev().copied().collect();
    for path in
        ["/orders/mine", "/orders/7", "/files/a.json", "/files/abc", "/v/7:a-cancel", "/deep/a/b/c", "/x"]
    {
        let forward = templates(PATHS);
        let backward = templates(&reversed);
        let (forward, backward) = (forward.select(&get(path)).unwrap(), backward.select(&get(path)).unwrap());
        assert_eq!(forward.unwrap().template, backward.unwrap().template, "{path}");
    }
    let table = templates(&["/a/{x}", "/a/{y}", "/a/%62", "/a/b/", "/a/**", "/a/**"]);
    assert_eq!(selected(&table, &get("/a/c")), Some(0));
    assert_eq!(selected(&table, &get("/a/b")), Some(2));
    assert_eq!(selected(&table, &get("/a")), Some(4));
}

#[test]
fn a_template_whose_conditions_fail_gives_way() {
    let post = |path: &str| Selector { methods: vec!["POST".to_owned()], ..at(path) };
    let table = table(vec![Selector::default(), post("/a/b"), at("/a/{x}"), post("/c"), at("/c"), at("/c")]);
    for (method, path, expected) in
        [("POST", "/a/b", 1), ("GET", "/a/b", 2), ("POST", "/c", 3), ("GET", "/c", 4), ("GET", "/d", 0)]
    {
        assert_eq!(
            selected(&table, &request(&[(":method", method), (":path", path)])),
            Some(expected),
            "{method} {path}"
        );
    }
    let all = table.all(&request(&[(":method", "POST"), (":path", "/c")])).unwrap();
    assert_eq!(all.iter().map(|matched| *matched.value).collect::<Vec<_>>(), [3, 4, 5, 0]);
}

#[test]
fn variables_are_decoded_once() {
    let table = templates(&["/o/{id}/{name}.json", "/plain", "/o/**"]);
    let request = get("/o/a%20b%3F/caf%c3%a9.x.json");
    let matched = table.select(&request).unwrap().unwrap();
    assert_eq!(matched.template, "/o/{id}/{name}.json");
    assert_eq!(matched.variables, [("id", "a b?".to_owned()), ("name", "caf\u{e9}.x".to_owned())]);
    assert!(table.select(&get("/plain")).unwrap().unwrap().variables.is_empty());
}

// covers: ENV-PATH-10
#[test]
fn the_query_is_never_matched() {
    let table = templates(&["/public/**", "/foo/bar"]);
    for path in ["/admin?x=/public/", "/foo/critical?x=/bar", "/admin?/../public/"] {
        assert_eq!(selected(&table, &get(path)), None, "{path}");
    }
}

#[test]
fn methods_are_compared_exactly() {
    let table =
        table(vec![Selector { methods: vec!["GET".to_owned(), "POST".to_owned()], ..Selector::default() }]);
    for (method, expected) in
        [("GET", true), ("POST", true), ("HEAD", false), ("get", false), ("Get", false), ("", false)]
    {
        assert_eq!(selected(&table, &request(&[(":method", method)])).is_some(), expected, "{method}");
    }
}

// covers: ENV-PATH-21
#[test]
fn a_host_has_many_spellings() {
    let hosts = |hosts: &[&str]| Selector {
        hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        ..Selector::default()
    };
    let table =
        table(vec![hosts(&["API.test."]), hosts(&["other.test:443", "[::1]"]), hosts(&["other.test:8443"])]);
    for (authority, scheme, expected) in [
        ("api.test", "https", Some(0)),
        ("Api.Test.", "https", Some(0)),
        ("api.test:443", "https", Some(0)),
        ("api.test:00443", "https", Some(0)),
        ("api.test:8080", "https", Some(0)),
        ("other.test", "https", Some(1)),
        ("other.test", "HTTPS", Some(1)),
        ("other.test:443", "http", Some(1)),
        ("other.test", "http", None),
        ("other.test:8443", "https", Some(2)),
        ("[0::1]:443", "https", Some(1)),
        ("evil.test", "https", None),
        ("xapi.test", "https", None),
        ("sub.api.test", "https", None),
    ] {
        let request = request(&[(":authority", authority), (":scheme", scheme)]);
        assert_eq!(selected(&table, &request), expected, "{authority} {scheme}");
    }
    for authority in ["user@api.test", "api.test,evil.test", "api.test%00", "api.test\0", "api .test", ""] {
        let denial = table.select(&request(&[(":authority", authority)])).unwrap_err();
        assert_eq!((denial.status, denial.reason.as_str()), (400, "authority.invalid"), "{authority}");
        assert_eq!(
            selected(&templates(&["/"]), &request(&[(":authority", authority)])),
            Some(0),
            "no rule asks"
        );
    }
}

// covers: ENV-HDR-01, ENV-HDR-02, ENV-HDR-03
#[test]
fn one_copy_of_a_header_is_enough_and_one_member_of_a_list() {
    let header = |name: &str, value: Option<&str>| HeaderSelector {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let table = table(vec![
        Selector {
            headers: vec![header("X-Role", Some("admin")), header("x-tenant", None)],
            ..Selector::default()
        },
        Selector { headers: vec![header("x-role", Some("admin"))], ..Selector::default() },
        Selector { headers: vec![header("x-tenant", None)], ..Selector::default() },
        Selector { headers: vec![header("x-scope", Some("a,b"))], ..Selector::default() },
    ]);
    for (name, headers, expected) in [
        ("both", &[("x-role", "admin"), ("x-tenant", "a")][..], Some(0)),
        ("value only", &[("x-role", "admin")], Some(1)),
        ("first of three", &[("x-role", "admin"), ("x-role", "x"), ("x-role", "y")], Some(1)),
        ("second of three", &[("x-role", "x"), ("x-role", "admin"), ("x-role", "y")], Some(1)),
        ("last of three", &[("x-role", "x"), ("x-role", "y"), ("x-role", "admin")], Some(1)),
        ("white space around", &[("x-role", " admin\t")], Some(1)),
        ("first of a list", &[("x-role", "admin,x")], Some(1)),
        ("first of a list, spaced", &[("x-role", "admin ,x")], Some(1)),
        ("last of a list", &[("x-role", "x, admin")], Some(1)),
        ("in the list of a second line", &[("x-role", "x"), ("x-role", "y,\tadmin,")], Some(1)),
        ("beside empty members", &[("x-role", ",,admin,")], Some(1)),
        ("part of a member", &[("x-role", "x admin,admin x")], None),
        ("a list that was asked for", &[("x-scope", "a, b")], Some(3)),
        ("the same from two lines", &[("x-scope", "a"), ("x-scope", "b")], Some(3)),
        ("a part of it", &[("x-scope", "a")], None),
        ("in another order", &[("x-scope", "b, a")], None),
        ("other case", &[("x-role", "Admin")], None),
        ("longer value", &[("x-role", "admins")], None),
        ("present and empty", &[("x-tenant", "")], Some(2)),
        ("absent", &[], None),
    ] {
        assert_eq!(selected(&table, &request(headers)), expected, "{name}");
    }
}

// covers: ENV-PATH-18
#[test]
fn the_asterisk_meets_only_selectors_without_a_path() {
    let table = table(vec![at("/**"), at("/%2A"), Selector::default()]);
    assert_eq!(selected(&table, &request(&[(":method", "OPTIONS"), (":path", "*")])), Some(2));
    assert_eq!(selected(&table, &get("/*")), Some(1));
    for (method, path, reason) in [
        ("GET", "*", "path.ambiguous"),
        ("CONNECT", "", "path.missing"),
        ("GET", "http://a/b", "path.ambiguous"),
    ] {
        let denial = table.select(&request(&[(":method", method), (":path", path)])).unwrap_err();
        assert_eq!((denial.status, denial.reason.as_str()), (400, reason), "{method} {path}");
    }
}

#[test]
fn an_ambiguous_path_is_refused_even_without_rules() {
    let table = table(Vec::new());
    assert_eq!(table.select(&get("/a")), Ok(None));
    assert_eq!(table.select(&get("/a;b")).unwrap_err().status, 400);
    assert_eq!(table.all(&get("/a%2Fb")).unwrap_err().status, 400);
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let header = |name: &str| HeaderSelector { name: name.to_owned(), value: None };
    for (selector, expected) in [
        (at("x"), "[1].match.path: expected a path template that starts with `/`, found `x`"),
        (at(""), "[1].match.path: expected a path template that starts with `/`, found ``"),
        (
            Selector { methods: vec!["GET".into(), "get".into()], ..Selector::default() },
            "[1].match.methods[1]: expected an upper-case method such as `GET`, found `get`",
        ),
        (
            Selector { hosts: vec!["*.api.test".into()], ..Selector::default() },
            "[1].match.hosts[0]: expected a host such as `api.test` or `api.test:8443`, found `*.api.test`",
        ),
        (
            Selector { headers: vec![header(":method")], ..Selector::default() },
            "[1].match.headers[0].name: expected a header field name such as `x-tenant`, found `:method`",
        ),
    ] {
        let error = RouteTable::build(vec![(at("/a"), ()), (selector, ())]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_selector_is_read_strictly() {
    let text = br#"{"methods": ["GET"], "path": "/a", "hosts": ["h"], "headers": [{"name": "x"}]}"#;
    let selector: Selector = crate::config::load(text).unwrap();
    assert_eq!(selector.headers, [HeaderSelector { name: "x".to_owned(), value: None }]);
    assert_eq!(crate::config::load::<Selector>(b"{}").unwrap(), Selector::default());
    let error = crate::config::load::<Selector>(br#"{"method": ["GET"]}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "method: expected one of `methods`, `path`, `hosts`, `headers`, found unknown field `method`"
    );
}

#[test]
fn ten_thousand_rules_and_a_hostile_path_stay_cheap() {
    let mut paths: Vec<String> = (0..10_000).map(|i| format!("/service-{i}/orders/{{id}}")).collect();
    // Each level doubles the ways through, if nodes could be reached twice.
    for i in 0..12_usize {
        let segments =
            (0..12).map(|bit| if i >> (bit % 4) & 1 == 0 { "/a".to_owned() } else { format!("/{{v{bit}}}") });
        paths.push(segments.collect::<String>() + "/end");
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let table = templates(&paths);
    assert_eq!(selected(&table, &get("/service-9999/orders/1")), Some(9_999));
    assert_eq!(selected(&table, &get("/service-10000/orders/1")), None);
    let mut steps = vec![Step::Enter(0, "a/a/a/a/a/a/a/a/a/a/a/a/miss")];
    let mut entered = 0;
    while let Some(step) = steps.pop() {
        if let Step::Enter(node, rest) = step {
            entered += 1;
            table.enter(node, rest, &mut steps);
        }
    }
    assert!(entered <= 12 * 12 + 1, "{entered} nodes");
}

/// The specification of the matcher, without a trie: the least of the matching templates in the order of
/// specificity.
fn by_hand(templates: &[String], path: &str) -> Option<usize> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let rank = |template: &str| {
        let mut ranks = Vec::new();
        let mut rest = segments.iter();
        for part in template.split('/').filter(|part| !part.is_empty()) {
            if part == "**" {
                ranks.push(9);
                return Some(ranks);
            }
            let segment = rest.next()?;
            ranks.push(match part {
                "{x}" | "{y}" | "{z}" => 3,
                "{x}b" | "{y}b" | "{z}b" => (segment.len() > 1 && segment.ends_with('b')).then_some(2)?,
                literal => (literal == *segment).then_some(1)?,
            });
        }
        // An end is more specific than `**` that stands for nothing.
        ranks.push(4);
        rest.next().is_none().then_some(ranks)
    };
    let ranked = templates.iter().enumerate().filter_map(|(i, template)| Some((rank(template)?, i)));
    ranked.min().map(|(_, i)| i)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn the_trie_agrees_with_a_plain_search(
        shapes in proptest::collection::vec((proptest::collection::vec(0_u8..5, 0..4), any::<bool>()), 1..12),
        path in proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("ab")], 0..5),
    ) {
        let names = ["x", "y", "z"];
        let templates: Vec<String> = shapes.iter().map(|(parts, rest)| {
            let mut text: String = parts.iter().zip(names).map(|(part, name)| match part {
                0 => "/a".to_owned(),
                1 => "/b".to_owned(),
                2 => "/ab".to_owned(),
                3 => format!("/{{{name}}}"),
                _ => format!("/{{{name}}}b"),
            }).collect();
            text.push_str(if *rest { "/**" } else { "/" });
            text
        }).collect();
        let path = format!("/{}", path.join("/"));
        let table = table(templates.iter().map(|template| at(template)).collect());
        prop_assert_eq!(selected(&table, &get(&path)), by_hand(&templates, &path), "{} in {:?}", path, templates);
    }
}
