//! What a client sends before anything is decided: header list, path, routes, X-Forwarded-For.

use portcullis_core::Request;
use portcullis_core::client::{ClientAddressConfig, client_address as find_address, network, parse_peer};
use portcullis_core::headers::Headers;
use portcullis_core::path::{CanonicalPath, decode_segment};
use portcullis_core::routes::{RouteTable, Selector};

use super::split_line;

/// A canonical path is its own canonical path, has one spelling for its segments and no ambiguous byte.
pub(super) fn path(data: &[u8]) {
    let Ok(path) = CanonicalPath::parse(data) else {
        return;
    };
    let again = CanonicalPath::parse(path.as_str().as_bytes());
    assert_eq!(again.as_ref(), Ok(&path));
    if path.is_asterisk() {
        return;
    }
    let text = path.as_str();
    assert!(text.starts_with('/') && text.is_ascii() && !text.contains("//"), "{text}");
    assert!(!text.contains([';', '\\', '?', '#', ' ', '\0']), "{text}");
    for segment in path.segments() {
        let decoded = decode_segment(segment);
        assert!(!matches!(&*decoded, "." | "..") && !decoded.contains(['/', '\\', ';']), "{text}");
        // What a server decodes must be spelled as it was judged.
        let spelled: String = decoded.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let respelled = CanonicalPath::parse(format!("/{spelled}").as_bytes());
        assert_eq!(respelled.map(|path| path.as_str().to_owned()), Ok(format!("/{segment}")));
    }
    assert_eq!(CanonicalPath::parse([text.as_bytes(), b"?a=/../%2f"].concat().as_slice()), Ok(path));
}

/// A list that is read is written as it was; edits touch nothing but the fields they name.
pub(super) fn headers(data: &[u8]) {
    let Ok(headers) = Headers::from_pairs(data.to_vec()) else {
        return;
    };
    let written = headers.to_pairs();
    assert_eq!(Headers::from_pairs(written.clone()).as_ref(), Ok(&headers));
    let mut edited = headers.clone();
    let removed = edited.remove(b"a");
    assert_eq!(removed, headers.all(b"a").count());
    assert!(edited.iter().eq(headers.iter().filter(|(name, _)| *name != b"a")));
    edited.set(b"a", b"1");
    assert_eq!(edited.single(b"a"), Ok(Some(&b"1"[..])));
    let mut set = headers.clone();
    set.set(b"a", b"1");
    assert_eq!(set.all(b"a").collect::<Vec<_>>(), [b"1"]);
    assert!(
        set.iter().filter(|(name, _)| *name != b"a").eq(headers.iter().filter(|(name, _)| *name != b"a"))
    );
}

/// The first line is a template, the second a request target. A template that fits is found for every spelling of the
/// path, with or without a slash at its end, and a closed rule for everything is never left.
pub(super) fn routes(data: &[u8]) {
    let (template, target) = split_line(data);
    let Ok(template) = std::str::from_utf8(template) else {
        return;
    };
    let on = |path: &str| Selector { path: Some(path.to_owned()), ..Selector::default() };
    let table = match RouteTable::build(vec![(on(template), true), (on("/**"), false)]) {
        Ok(table) => table,
        // The problem quotes the template; what is printed is one line.
        Err(error) => return super::assert_one_line(&error.to_string()),
    };
    let request = |target: &[u8]| {
        let fields: [(&[u8], &[u8]); 2] = [(b":method", b"GET"), (b":path", target)];
        Request::new(fields.into_iter().collect(), true)
    };
    let select = |target: &[u8]| {
        let request = request(target);
        table
            .select(&request)
            .map(|found| found.map(|found| (*found.value, format!("{:?}", found.variables))))
    };
    let Ok(path) = CanonicalPath::parse(target) else {
        assert!(select(target).is_err(), "a path without one reading is refused, not unmatched");
        return;
    };
    if path.is_asterisk() {
        return;
    }
    let found = select(target);
    assert!(matches!(found, Ok(Some(_))), "`/**` fits every path");
    assert_eq!(select(path.as_str().as_bytes()), found);
    assert_eq!(select(format!("{}/", path.as_str().trim_end_matches('/')).as_bytes()), found);
    let escaped: String = path
        .segments()
        .map(|segment| decode_segment(segment).bytes().map(|byte| format!("%{byte:02X}")).collect::<String>())
        .map(|segment| format!("/{segment}"))
        .collect();
    if !escaped.is_empty() && escaped.len() <= portcullis_core::path::MAX_LENGTH {
        assert_eq!(select(escaped.as_bytes()), found, "{escaped}");
    }
}

/// The first line is the peer, all others are fields of X-Forwarded-For. What a client writes left of the trusted
/// proxies' entries changes nothing, and nobody is trusted by default.
pub(super) fn client_address(data: &[u8]) {
    let (peer, mut rest) = split_line(data);
    let peer = parse_peer(peer);
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (field, tail) = split_line(rest);
        fields.push((b"x-forwarded-for".as_slice(), field));
        rest = tail;
    }
    let headers: Headers = fields.iter().copied().collect();
    let nobody = ClientAddressConfig::default();
    assert_eq!(find_address(peer, &headers, &nobody), peer);
    for trusted_hops in [1, 2, 31] {
        let config = ClientAddressConfig { trusted_hops, ..nobody };
        let found = find_address(peer, &headers, &config);
        assert!(found.is_some() || peer.is_none());
        if found != peer {
            let forged = (b"x-forwarded-for".as_slice(), b"203.0.113.77, 198.51.100.1".as_slice());
            let headers: Headers = std::iter::once(forged).chain(fields.iter().copied()).collect();
            assert_eq!(find_address(peer, &headers, &config), found, "entries of the client count");
        }
        if let Some(address) = found {
            assert_eq!(address, address.to_canonical(), "one name for an address");
            assert_eq!(network(network(address, &config), &config), network(address, &config));
        }
    }
}
