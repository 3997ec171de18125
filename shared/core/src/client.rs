//! Which address a client has: the peer's, or what trusted proxies in front of Envoy wrote down.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected};

use crate::Headers;

/// X-Forwarded-For entries that are looked at, from the right; a client may send 10,000.
const MAX_ENTRIES: usize = 32;

/// The most hops that a configuration may trust: with Envoy's own entry all of them are within [`MAX_ENTRIES`].
const MAX_HOPS: usize = 31;

/// How to find the client's address. `{}` trusts nobody: the client is the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClientAddressConfig {
    /// Proxies between the client and Envoy that append their peer to X-Forwarded-For, 0 to 31. Default: 0.
    ///
    /// Only where no client reaches Envoy around those proxies: who does writes the entries itself.
    ///
    /// Needs `use_remote_address: true` and no `xff_num_trusted_hops` in Envoy's connection manager. With either
    /// one set otherwise Envoy itself makes an entry of X-Forwarded-For the peer (`source.address`): leave this
    /// at 0 then.
    #[serde(deserialize_with = "hops")]
    #[cfg_attr(feature = "schema", schemars(range(max = 31)))]
    pub trusted_hops: usize,
    /// Bits of an IPv4 address that make one client, 0 to 32. Default: 32.
    #[serde(deserialize_with = "prefix::<_, 32>")]
    #[cfg_attr(feature = "schema", schemars(range(max = 32)))]
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that make one client, 0 to 128. Default: 64, as one subscriber has that many
    /// addresses to rotate through at least (RFC 6177).
    #[serde(deserialize_with = "prefix::<_, 128>")]
    #[cfg_attr(feature = "schema", schemars(range(max = 128)))]
    pub ipv6_prefix: u8,
}

impl Default for ClientAddressConfig {
    fn default() -> Self {
        Self { trusted_hops: 0, ipv4_prefix: 32, ipv6_prefix: 64 }
    }
}

fn hops<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    within(deserializer, MAX_HOPS)
}

fn prefix<'de, D: Deserializer<'de>, const MAX: u8>(deserializer: D) -> Result<u8, D::Error> {
    within(deserializer, MAX)
}

fn within<'de, D, N>(deserializer: D, max: N) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64> + PartialOrd + Display,
{
    let found = u64::deserialize(deserializer)?;
    let number = N::try_from(found).ok().filter(|number| *number <= max);
    number
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Unsigned(found), &format!("0 to {max}").as_str()))
}

/// The client's address: with `trusted_hops` = n the n-th entry of X-Forwarded-For from the right, which the
/// outermost trusted proxy wrote. What stands left of it came from the client and is never read.
///
/// Several fields are one list in their order (RFC 9110 section 5.3). With `use_remote_address` Envoy has already
/// appended its own peer when a filter runs: a right-most entry that equals `peer` is that entry and is not
/// counted. If an entry on the way is not an address (`unknown`, empty, with a zone id), or there are too few, the
/// answer is `peer`: a request without the trusted proxies' entries did not come through them. At most 32 entries
/// are read, whatever the client sends. None only if `peer` is none and nothing trusted says more.
#[must_use]
pub fn client_address(
    peer: Option<IpAddr>,
    headers: &Headers,
    config: &ClientAddressConfig,
) -> Option<IpAddr> {
    let peer = peer.map(|address| address.to_canonical());
    if config.trusted_hops == 0 {
        return peer;
    }
    forwarded_for(peer, headers, config.trusted_hops).or(peer)
}

fn forwarded_for(peer: Option<IpAddr>, headers: &Headers, hops: usize) -> Option<IpAddr> {
    // Only the fields are collected, which Envoy bounds; their entries are read from the right and lazily.
    let fields: Vec<&[u8]> = headers.all(b"x-forwarded-for").collect();
    let entries = fields.iter().rev().flat_map(|field| field.rsplit(|byte| *byte == b','));
    let mut remaining = hops;
    for (position, entry) in entries.take(MAX_ENTRIES).enumerate() {
        let address = parse_entry(entry)?;
        if position == 0 && Some(address) == peer {
            continue;
        }
        remaining = remaining.saturating_sub(1);
        if remaining == 0 {
            return Some(address);
        }
    }
    None
}

/// Reads Envoy's property `source.address`: `127.0.0.1:39806` or `[::1]:80`, or an address alone; none for a Unix domain
/// socket.
#[must_use]
pub fn parse_peer(property: &[u8]) -> Option<IpAddr> {
    ipv4_entry(property).map(IpAddr::from).or_else(|| parse_entry(property))
}

/// `192.0.2.1` and `192.0.2.1:4711`, as nearly every peer is written: a third of the time that the standard library takes for
/// it. None for all else, a port of more than five digits for one.
fn ipv4_entry(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut octet, mut digits, mut octets) = (0_u32, 0_u32, 0_u32, 0_u32);
    let mut bytes = text.iter();
    loop {
        match bytes.next() {
            Some(digit @ b'0'..=b'9') if digits < 3 && (digits == 0 || octet != 0) => {
                octet = octet.wrapping_mul(10).wrapping_add(digit.wrapping_sub(b'0').into());
                digits = digits.wrapping_add(1);
            }
            end @ (Some(b'.' | b':') | None)
                if digits > 0 && octet < 256 && (end == Some(&b'.')) == (octets < 3) =>
            {
                address = address << 8 | octet;
                octets = octets.wrapping_add(1);
                if octets == 4 {
                    let is_valid = end.is_none() || is_port_of_five(bytes.as_slice());
                    return is_valid.then(|| Ipv4Addr::from_bits(address));
                }
                (octet, digits) = (0, 0);
            }
            _ => return None,
        }
    }
}

fn is_port_of_five(port: &[u8]) -> bool {
    let is_short = (1..=4).contains(&port.len()) || port.len() == 5 && port <= &b"65535"[..];
    is_short && port.iter().all(u8::is_ascii_digit)
}

/// An IP address with an optional port, IPv6 with or without brackets. An IPv4-mapped IPv6 address is the IPv4
/// address: a dual-stack listener must not give one client two names.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        address.parse::<Ipv6Addr>().ok().filter(|_| port_is_valid)?.into()
    } else {
        match text.split_once(':') {
            Some((address, port)) if is_port(port) && address.contains('.') => {
                address.parse::<Ipv4Addr>().ok()?.into()
            }
            _ => text.parse::<IpAddr>().ok()?,
        }
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The address with all bits behind the configured prefix set to 0: what one client can't leave by rotation.
#[must_use]
pub fn network(address: IpAddr, config: &ClientAddressConfig) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let unused = 32_u32.saturating_sub(config.ipv4_prefix.into());
            let mask = u32::MAX.checked_shl(unused).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let unused = 128_u32.saturating_sub(config.ipv6_prefix.into());
            let mask = u128::MAX.checked_shl(unused).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// The bytes of [`network`] as a key: 4 for IPv4, 16 for IPv6, so the families never meet.
#[must_use]
pub fn client_key_bytes(address: IpAddr, config: &ClientAddressConfig) -> Vec<u8> {
    match network(address, config) {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests;
