use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(peer: &str, forwarded: &[&[u8]], trusted_hops: usize) -> IpAddr {
    let headers: Headers = forwarded.iter().map(|value| ("x-forwarded-for", value)).collect();
    let config = ClientAddressConfig { trusted_hops, ..ClientAddressConfig::default() };
    client_address(Some(ip(peer)), &headers, &config).unwrap()
}

// covers: ENV-HDR-09
#[test]
fn the_client_is_what_the_outermost_trusted_proxy_saw() {
    for (name, forwarded, hops, expected) in [
        ("nobody is trusted", &[&b"1.2.3.4"[..]][..], 0, "10.0.0.1"),
        ("one hop", &[b"9.9.9.9, 1.2.3.4"], 1, "1.2.3.4"),
        ("one hop behind Envoy's own entry", &[b"9.9.9.9, 1.2.3.4,10.0.0.1"], 1, "1.2.3.4"),
        ("only one entry of the peer is Envoy's", &[b"1.2.3.4,10.0.0.1,10.0.0.1"], 1, "10.0.0.1"),
        ("two hops", &[b"9.9.9.9, 1.2.3.4, 10.0.0.2,10.0.0.1"], 2, "1.2.3.4"),
        ("fewer entries than hops", &[b"1.2.3.4"], 2, "10.0.0.1"),
        ("Envoy's entry alone", &[b"10.0.0.1"], 1, "10.0.0.1"),
        ("no entry", &[], 1, "10.0.0.1"),
        ("several fields are one list", &[b"9.9.9.9", b"1.2.3.4, 10.0.0.2", b"10.0.0.1"], 2, "1.2.3.4"),
    ] {
        assert_eq!(address("10.0.0.1", forwarded, hops), ip(expected), "{name}");
    }
}

// covers: ENV-HDR-10
#[test]
fn rotating_the_entries_of_a_client_changes_nothing() {
    for i in 0..10_000_u32 {
        let forwarded = format!("{}, 192.0.2.7,10.0.0.1", Ipv4Addr::from_bits(i));
        assert_eq!(address("10.0.0.1", &[forwarded.as_bytes()], 1), ip("192.0.2.7"));
    }
}

// covers: ENV-HDR-11, ENV-HDR-12
#[test]
fn an_entry_is_an_address_with_an_optional_port() {
    for (entry, expected) in [
        (&b"1.2.3.4"[..], Some("1.2.3.4")),
        (b" \t1.2.3.4 ", Some("1.2.3.4")),
        (b"1.2.3.4:80", Some("1.2.3.4")),
        (b"[::1]:80", Some("::1")),
        (b"[::1]", Some("::1")),
        (b"2001:DB8::1", Some("2001:db8::1")),
        (b"::ffff:1.2.3.4", Some("1.2.3.4")),
        (b"[::ffff:1.2.3.4]:80", Some("1.2.3.4")),
        (b"unknown", None),
        (b"_hidden", None),
        (b"1.2.3", None),
        (b"0x7f.1", None),
        (b"127.1", None),
        (b"1.2.3.04", None),
        (b"1.2.3.4:", None),
        (b"1.2.3.4:+80", None),
        (b"1.2.3.4:65536", None),
        (b"[1.2.3.4]", None),
        (b"[::1", None),
        (b"[::1]80", None),
        (b"::1]", None),
        (b"\"1.2.3.4\"", None),
        (b"", None),
        (b"1.2.3.4 5.6.7.8", None),
        (b"\xff", None),
        ("１.2.3.4".as_bytes(), None),
        (b"fe80::1%eth0", None),
        (b"[fe80::1%25eth0]:80", None),
    ] {
        let expected_address = expected.map_or(ip("10.0.0.1"), ip);
        assert_eq!(address("10.0.0.1", &[entry], 1), expected_address, "{}", entry.escape_ascii());
    }
}

// covers: ENV-HDR-11
#[test]
fn a_list_with_a_gap_is_not_trusted() {
    let many = "1.2.3.4,".repeat(10_000);
    for (name, forwarded, hops) in [
        ("a trailing comma", &b"1.2.3.4,"[..], 1),
        ("only commas", b",,,", 1),
        ("a bad entry on the way", b"1.2.3.4, unknown, 10.0.0.2", 3),
        ("10,000 entries", many.as_bytes(), 31),
    ] {
        assert_eq!(address("10.0.0.1", &[forwarded], hops), ip("10.0.0.1"), "{name}");
    }
    let list = vec!["1.2.3.4"; 33].join(",");
    assert_eq!(address("10.0.0.1", &[list.as_bytes()], 32), ip("1.2.3.4"), "the 32nd entry is read");
    assert_eq!(address("10.0.0.1", &[list.as_bytes()], 33), ip("10.0.0.1"), "the 33rd is not");
}

#[test]
fn the_peer_comes_with_its_port() {
    for (property, expected) in [
        (&b"127.0.0.1:39806"[..], Some("127.0.0.1")),
        (b"[::1]:80", Some("::1")),
        (b"[::ffff:192.0.2.1]:80", Some("192.0.2.1")),
        (b"255.255.255.255:65535", Some("255.255.255.255")),
        (b"0.0.0.0:0", Some("0.0.0.0")),
        (b"256.0.0.1:80", None),
        (b"1.2.3:80", None),
        (b"1.2.3.4.5:80", None),
        (b"01.2.3.4:80", None),
        (b"1.2.3.4:65536", None),
        (b"1.2.3.4:", None),
        (b"1.2.3.4:8x", None),
        (b"1:2.3.4:80", None),
        (b"192.0.2.1", Some("192.0.2.1")),
        (b"2001:db8::1", Some("2001:db8::1")),
        (b"1.2.3", None),
        (b"1.2.3.", None),
        (b"1.2.3.256", None),
        (b"/run/envoy.sock", None),
        (b"", None),
    ] {
        assert_eq!(parse_peer(property), expected.map(ip), "{}", property.escape_ascii());
    }
    let config = ClientAddressConfig::default();
    assert_eq!(client_address(None, &Headers::default(), &config), None);
}

proptest! {
    #[test]
    fn the_fast_way_to_read_a_peer_reads_what_the_other_reads(
        address: u32, port: u16, other in "[0-9.:]{0,24}", octets in proptest::collection::vec(0_u16..400, 3..6),
    ) {
        let address = Ipv4Addr::from_bits(address);
        for text in [format!("{address}:{port}"), address.to_string()] {
            prop_assert_eq!(ipv4_entry(text.as_bytes()), Some(address));
        }
        let octets: Vec<String> = octets.iter().map(ToString::to_string).collect();
        for text in [other, format!("{}:{port}", octets.join(".")), octets.join(".")] {
            let slow = parse_entry(text.as_bytes());
            let fast = ipv4_entry(text.as_bytes()).map(IpAddr::from);
            prop_assert!(fast.is_none() || fast == slow, "{}", text);
        }
    }
}

// covers: ENV-HDR-13
#[test]
fn one_network_is_one_client() {
    let config = |ipv4_prefix, ipv6_prefix| ClientAddressConfig { trusted_hops: 0, ipv4_prefix, ipv6_prefix };
    for (address, config, expected) in [
        ("2001:db8:1:2:3:4:5:6", ClientAddressConfig::default(), "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", ClientAddressConfig::default(), "2001:db8:1:2::"),
        ("192.0.2.7", ClientAddressConfig::default(), "192.0.2.7"),
        ("::ffff:192.0.2.7", ClientAddressConfig::default(), "192.0.2.7"),
        ("192.0.2.7", config(24, 64), "192.0.2.0"),
        ("2001:db8:1:2::1", config(32, 48), "2001:db8:1::"),
        ("2001:db8:1:2::1", config(32, 128), "2001:db8:1:2::1"),
        ("2001:db8:1:2::1", config(32, 0), "::"),
        ("192.0.2.7", config(0, 64), "0.0.0.0"),
    ] {
        assert_eq!(network(ip(address), &config), ip(expected), "{address}");
    }
    assert_eq!(client_key_bytes(ip("192.0.2.7"), &ClientAddressConfig::default()), [192, 0, 2, 7]);
    assert_eq!(client_key_bytes(ip("::1"), &config(32, 128)).len(), 16);
}
