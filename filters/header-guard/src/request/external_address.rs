//! `x-envoy-external-address`: the peer's address, as Envoy writes it for its upstreams.

use std::cell::OnceCell;

/// What Envoy writes for a peer on the loopback (`isLoopbackAddress` of its network utilities).
const LOOPBACK: [&[u8]; 2] = [b"127.0.0.1", b"::1"];

/// Envoy's entry of `x-forwarded-for`.
#[derive(Clone, Copy, Debug)]
pub struct ForwardedFor<'a> {
    /// An address: the peer's, or Envoy's own.
    pub entry: &'a [u8],
    /// Whether it is the only entry: then there is nobody between the peer and Envoy.
    pub is_only: bool,
}

/// Tells whether the field is Envoy's own word.
///
/// Envoy writes the same address into `x-forwarded-for`, but for a peer on the loopback: there it writes an address of its
/// own instead. Nearly all requests have the field, and to remove it would make Envoy choose the route again for each.
#[derive(Debug, Default)]
pub struct ExternalAddress {
    /// That address of Envoy's own, once it was seen with a peer on the loopback; the same for as long as Envoy runs. To
    /// ask for the peer each time would cost such a peer a twentieth of its requests.
    own: OnceCell<Vec<u8>>,
}

impl ExternalAddress {
    /// Whether `address` is the peer's. `source` is the peer's address and port.
    pub fn is_peers(
        &self,
        address: &[u8],
        forwarded_for: Option<ForwardedFor<'_>>,
        source: &dyn Fn() -> Option<Vec<u8>>,
    ) -> bool {
        if forwarded_for.is_some_and(|it| it.entry == address) {
            return true;
        }
        // What could vouch for a peer on the loopback.
        let entry = forwarded_for.filter(|it| it.is_only && LOOPBACK.contains(&address)).map(|it| it.entry);
        if entry.is_some() && entry == self.own.get().map(Vec::as_slice) {
            return true;
        }
        let is_peers = source().is_some_and(|source| is_of(&source, address));
        if let Some(entry) = entry.filter(|_| is_peers) {
            // The first one stays.
            let _ = self.own.set(entry.to_vec());
        }
        is_peers
    }
}

/// Whether an address with a port, as Envoy's `source.address` has it, is of this address in the same spelling.
fn is_of(source: &[u8], address: &[u8]) -> bool {
    let bare = source.strip_prefix(b"[").and_then(|source| source.strip_prefix(address)?.strip_prefix(b"]"));
    let port = bare.or_else(|| source.strip_prefix(address)).and_then(|rest| rest.strip_prefix(b":"));
    port.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The field, Envoy's entry of `x-forwarded-for` with whether it is the only one, and the peer.
    type Request = (&'static str, Option<(&'static str, bool)>, &'static str);

    /// Whether each is believed, and how often the proxy was asked for the peer.
    fn judged(requests: &[Request]) -> (Vec<bool>, usize) {
        let (field, asked) = (ExternalAddress::default(), Cell::new(0_usize));
        let believed = requests.iter().map(|(address, forwarded_for, source)| {
            let forwarded_for =
                forwarded_for.map(|(entry, is_only)| ForwardedFor { entry: entry.as_bytes(), is_only });
            field.is_peers(address.as_bytes(), forwarded_for, &|| {
                asked.set(asked.get().saturating_add(1));
                Some(source.as_bytes().to_vec())
            })
        });
        (believed.collect(), asked.get())
    }

    #[test]
    fn envoys_entry_tells_without_a_question() {
        assert_eq!(judged(&[("9.9.9.9", Some(("9.9.9.9", true)), ""); 2]), (vec![true; 2], 0));
        assert_eq!(judged(&[("9.9.9.9", Some(("9.9.9.9", false)), "")]), (vec![true], 0));
    }

    #[test]
    fn a_peer_on_the_loopback_is_asked_for_once() {
        for address in ["127.0.0.1", "::1"] {
            let source = if address == "::1" { "[::1]:5" } else { "127.0.0.1:5" };
            assert_eq!(judged(&[(address, Some(("10.0.0.7", true)), source); 3]), (vec![true; 3], 1));
        }
    }

    #[test]
    fn only_envoys_own_entry_vouches_for_the_loopback() {
        let own = ("127.0.0.1", Some(("10.0.0.7", true)), "127.0.0.1:5");
        for (claim, expected) in [
            // The peer is not on the loopback: another entry, more than one, none.
            (("127.0.0.1", Some(("9.9.9.9", true)), "9.9.9.9:5"), false),
            (("127.0.0.1", Some(("10.0.0.7", false)), "9.9.9.9:5"), false),
            (("127.0.0.1", None, "9.9.9.9:5"), false),
            // Another one than the loopback.
            (("6.6.6.6", Some(("10.0.0.7", true)), "127.0.0.1:5"), false),
            (("::1", Some(("9.9.9.9", true)), "127.0.0.1:5"), false),
            (("127.0.0.1", Some(("10.0.0.8", true)), "127.0.0.1:5"), true),
        ] {
            assert_eq!(judged(&[own, claim]), (vec![true, expected], 2), "{claim:?}");
        }
        // What was not proved is not remembered.
        let false_one = ("127.0.0.1", Some(("9.9.9.9", true)), "9.9.9.9:5");
        assert_eq!(judged(&[false_one, false_one]), (vec![false; 2], 2));
        let not_the_only_one = ("127.0.0.1", Some(("10.0.0.7", false)), "127.0.0.1:5");
        assert_eq!(judged(&[not_the_only_one, own, own]), (vec![true; 3], 2));
    }

    #[test]
    fn an_address_is_the_sources_without_its_port() {
        for (source, address, expected) in [
            ("127.0.0.1:80", "127.0.0.1", true),
            ("[::1]:80", "::1", true),
            ("127.0.0.11:80", "127.0.0.1", false),
            ("127.0.0.1:80", "", false),
            ("127.0.0.1", "127.0.0.1", false),
            ("127.0.0.1:", "127.0.0.1", false),
            ("127.0.0.1:80", "127.0.0.1:80", false),
            ("[::1]:80", "[", false),
            ("[::1]:80", "[:", false),
            ("[::1]:80", "", false),
            ("[::1]:80", "::", false),
            ("/tmp/socket", "/tmp/socket", false),
            ("9.9.9.9:5", "9.9.9.", false),
            ("[::1:5", "::1", false),
        ] {
            assert_eq!(is_of(source.as_bytes(), address.as_bytes()), expected, "{source} {address}");
        }
    }
}
