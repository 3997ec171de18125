//! The client certificate of a connection, from the proxy's own properties: header fields are a client's words.

use crate::host::{Host, HostError};

/// A property of the certificate whose key the client has proved to have, as in `uri_san_peer_certificate`; empty where the
/// certificate has none such. None for a connection without a certificate.
///
/// It proves nothing about the names in the certificate where the proxy lets any authority vouch for them.
///
/// # Errors
/// When the proxy can't say.
pub fn peer_certificate(host: &dyn Host, name: &str) -> Result<Option<Vec<u8>>, HostError> {
    if host.property(&["connection", "mtls"])?.as_deref() != Some(&[1]) {
        return Ok(None);
    }
    Ok(Some(host.property(&["connection", name])?.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    #[test]
    fn a_certificate_counts_only_with_its_key() {
        for (mtls, uri, expected) in [
            (Some(1), Some("spiffe://a.test/x"), Some("spiffe://a.test/x")),
            (Some(1), Some(""), Some("")),
            (Some(1), None, Some("")),
            (Some(0), Some("spiffe://a.test/x"), None),
            (None, Some("spiffe://a.test/x"), None),
        ] {
            let host = FakeHost::at(1);
            if let Some(flag) = mtls {
                host.set("connection.mtls", [flag]);
            }
            if let Some(uri) = uri {
                host.set("connection.uri_san_peer_certificate", uri);
            }
            let found = peer_certificate(&host, "uri_san_peer_certificate");
            assert_eq!(found, Ok(expected.map(|uri| uri.as_bytes().to_vec())), "{mtls:?} {uri:?}");
        }
        let host = FakeHost::at(1);
        host.fail("proxy_get_property", 10);
        assert!(peer_certificate(&host, "uri_san_peer_certificate").is_err());
    }
}
