use portcullis_core::headers::Headers;
use portcullis_core::verdict::Outcome;
use portcullis_host::fake::{Ended, FakeHost, FakeProxy};

use super::*;

fn start(config: &str) -> FakeProxy {
    let host = FakeHost::at(1_700_000_000);
    let plugin = configure(config.as_bytes(), &host).unwrap();
    FakeProxy::start(host, plugin)
}

fn sent(fields: &[(&str, &str)]) -> Headers {
    let base = [(":method", "GET"), (":scheme", "https"), (":authority", "api.test"), (":path", "/orders")];
    base.iter().chain(fields).copied().collect()
}

fn get(proxy: &FakeProxy, fields: &[(&str, &str)]) -> Ended {
    proxy.request(sent(fields), b"")
}

// covers: HG-REQ-04
#[test]
fn the_upstream_sees_no_spoofed_field() {
    let Ended::Passed(headers) =
        get(&start("{}"), &[("x-user-id", "admin"), ("x_user_id", "admin"), ("accept", "*/*")])
    else {
        panic!("refused");
    };
    assert!(headers.iter().eq(sent(&[("accept", "*/*")]).iter()), "{headers:?}");
}

// covers: HG-SYN-06
#[test]
fn a_refusal_has_a_status_a_reason_and_a_verdict() {
    for (fields, status, reason) in [
        (&[("content-type", "a/b"), ("content-type", "a/b")][..], 400, "header.duplicate"),
        (&[("content-length", "x")], 400, "header.framing"),
        (&[("expect", "a")], 417, "header.expectation"),
    ] {
        let proxy = start("{}");
        let ended = get(&proxy, fields);
        assert_eq!((ended.status(), ended.reason().as_str()), (status, reason));
        assert_eq!(proxy.verdicts()[0].reason.unwrap().as_str(), reason);
    }
}

#[test]
fn report_mode_lets_it_pass_but_not_the_spoofed_field() {
    let proxy = start(r#"{"request": {"mode": "report"}}"#);
    let Ended::Passed(headers) = get(&proxy, &[("expect", "a"), ("x-user-id", "admin")]) else {
        panic!("refused");
    };
    assert!(headers.iter().eq(sent(&[("expect", "a")]).iter()), "{headers:?}");
    assert_eq!(proxy.verdicts()[0].outcome, Outcome::Report);
}

// covers: ENV-HDR-08
#[test]
fn a_trusted_proxy_is_known_by_the_connection() {
    let proxy = start(r#"{"zone": {"trusted_proxy": {"addresses": ["10.1.2.0/24"]}}}"#);
    for (peer, stays) in [("10.1.2.3:4711", true), ("10.9.9.9:4711", false), ("", false)] {
        proxy.host.set("source.address", peer);
        let Ended::Passed(headers) = get(&proxy, &[("x-forwarded-host", "shop.test")]) else {
            panic!("refused");
        };
        assert_eq!(headers.contains(b"x-forwarded-host"), stays, "{peer}");
    }
    // A proxy that doesn't say who the peer is makes it a stranger.
    proxy.host.set("source.address", "10.1.2.3:4711");
    proxy.host.fail("proxy_get_property", 10);
    let Ended::Passed(headers) = get(&proxy, &[("x-forwarded-host", "shop.test")]) else {
        panic!("refused");
    };
    assert!(!headers.contains(b"x-forwarded-host"));
}

// covers: HG-RSP-01, HG-RSP-03
#[test]
fn responses_and_own_local_replies_are_hardened() {
    let proxy = start("{}");
    let upstream = || [(":status", "200"), ("server", "x")].into_iter().collect::<Headers>();
    for (fields, status) in [(&[][..], &b"200"[..]), (&[("expect", "x")], b"417")] {
        let headers = proxy.exchange(sent(fields), upstream());
        assert_eq!(headers.first(b":status"), Some(status));
        for (name, value, _) in crate::data::API_PROFILE {
            assert_eq!(headers.single(name.as_bytes()), Ok(Some(value.as_bytes())), "{name}");
        }
        assert!(!headers.contains(b"server"));
    }
    let plaintext: Headers =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")].into_iter().collect();
    assert!(!proxy.exchange(plaintext, upstream()).contains(b"strict-transport-security"));
}

// covers: ENV-LIFE-08
#[test]
fn a_response_without_a_request_is_hardened_by_what_the_connection_says() {
    for (tls, expected) in [(None, false), (Some("TLSv1.3"), true)] {
        let host = FakeHost::at(0);
        if let Some(version) = tls {
            host.set("connection.tls_version", version);
        }
        let plugin = configure(b"", &host).unwrap();
        let mut filter = plugin.filter();
        let (mut exchange, mut edits) = Default::default();
        let mut ctx = Ctx::new(&host, "header-guard", &mut exchange, &mut edits);
        let response = Response::new([(":status", "503")].into_iter().collect(), true);
        filter.on_response_headers(None, &response, &mut ctx);
        let mut headers = response.headers().clone();
        edits.iter().for_each(|edit| edit.apply(&mut headers));
        assert!(headers.contains(b"x-content-type-options"));
        assert_eq!(headers.contains(b"strict-transport-security"), expected, "{tls:?}");
    }
}

#[test]
fn a_host_that_hides_the_request_is_answered_by_the_mode() {
    for (config, status) in [("{}", 503), (r#"{"on_error": "allow"}"#, 200)] {
        let proxy = start(config);
        proxy.host.fail("proxy_get_header_map_pairs", 10);
        assert_eq!(get(&proxy, &[]).status(), status, "{config}");
    }
}
