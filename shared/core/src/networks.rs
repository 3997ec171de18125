//! Networks of IP addresses, as operators list them.

use std::net::IpAddr;

use crate::ConfigError;

/// A list of networks.
#[derive(Debug)]
pub struct Networks(Vec<Network>);

/// Most entries in one list: it is searched from the front for each request.
const MAX_ENTRIES: usize = 256;

impl Networks {
    /// Reads a list of networks and addresses.
    ///
    /// # Errors
    /// [`ConfigError`] with the place in the list; an empty list, and one of more than 256.
    pub fn parse(list: &[String]) -> Result<Self, ConfigError> {
        if list.is_empty() || list.len() > MAX_ENTRIES {
            let problem = format!("expected 1 to {MAX_ENTRIES} networks, found {}", list.len());
            return Err(ConfigError::new("", problem));
        }
        let networks = list.iter().enumerate().map(|(index, text)| {
            Network::parse(text).ok_or_else(|| {
                let problem = format!("expected a network as in `10.1.2.0/24` or an address, found `{text}`");
                ConfigError::new(format!("[{index}]"), problem)
            })
        });
        networks.collect::<Result<_, _>>().map(Self)
    }

    /// Whether `address` is in one of the networks. An IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

#[derive(Debug)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// None if it is no network. Bits behind the prefix must be 0: `10.1.2.3/8` is a mistake or a trap.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, width) = bits(address);
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => width,
        };
        (prefix <= width && host_part(bits, width, prefix) == 0).then_some(Self { address, prefix })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let ((network, width), (candidate, candidate_width)) = (bits(self.address), bits(address));
        width == candidate_width && network_part(network ^ candidate, width, self.prefix) == 0
    }
}

/// The address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

fn network_part(bits: u128, width: u32, prefix: u32) -> u128 {
    bits.checked_shr(width.saturating_sub(prefix)).unwrap_or(0)
}

fn host_part(bits: u128, width: u32, prefix: u32) -> u128 {
    bits ^ network_part(bits, width, prefix).checked_shl(width.saturating_sub(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, address, expected) in [
            ("10.1.2.0/24", "10.1.2.255", true),
            ("10.1.2.0/24", "10.1.3.0", false),
            ("10.1.2.0/24", "::ffff:10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::1", "::1", true),
        ] {
            let networks = Networks::parse(&[network.to_owned()]).unwrap();
            assert_eq!(networks.contain(address.parse().unwrap()), expected, "{address} in {network}");
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_place() {
        for text in [
            "10.1.2.3/8",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "fe80::1%eth0",
            "",
        ] {
            let error = Networks::parse(&["10.0.0.0/8".to_owned(), text.to_owned()]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("[1]: expected a network as in `10.1.2.0/24` or an address, found `{text}`")
            );
        }
        assert_eq!(Networks::parse(&[]).unwrap_err().problem, "expected 1 to 256 networks, found 0");
    }
}
