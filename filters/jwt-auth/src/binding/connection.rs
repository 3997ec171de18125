//! The client certificate of a connection, from the proxy's own properties: header fields are a client's words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_host::Host;
use portcullis_host::certificate::peer_certificate;

use super::BindingRefusal;

/// SHA-256 of the certificate in DER. It proves that the client has the certificate's key, which the TLS handshake
/// demands; not that an authority vouches for its names.
///
/// # Errors
/// [`BindingRefusal::CertificateMissing`] without a certificate, [`BindingRefusal::Unavailable`] if the proxy can't
/// say.
pub fn certificate_digest(host: &dyn Host) -> Result<[u8; 32], BindingRefusal> {
    let text = read(host, "sha256_peer_certificate_digest")?;
    let (pairs, rest) = text.as_chunks::<2>();
    let digest: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?)).collect();
    let digest = digest.filter(|_| rest.is_empty()).and_then(|digest| digest.try_into().ok());
    digest.ok_or(BindingRefusal::Unavailable)
}

/// The certificate in DER.
///
/// # Errors
/// As [`certificate_digest`].
pub fn certificate(host: &dyn Host) -> Result<Vec<u8>, BindingRefusal> {
    der(&read(host, "peer_certificate")?).ok_or(BindingRefusal::Unavailable)
}

fn read(host: &dyn Host, name: &str) -> Result<Vec<u8>, BindingRefusal> {
    let value = peer_certificate(host, name).map_err(|_| BindingRefusal::Unavailable)?;
    let value = value.ok_or(BindingRefusal::CertificateMissing)?;
    if value.is_empty() { Err(BindingRefusal::Unavailable) } else { Ok(value) }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// Exactly one certificate in PEM (RFC 7468 section 5.1).
fn der(pem: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(pem).ok()?.trim();
    let body = text.strip_prefix("-----BEGIN CERTIFICATE-----")?.strip_suffix("-----END CERTIFICATE-----")?;
    let body: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use portcullis_host::fake::FakeHost;

    use super::*;

    // covers: JWT-POP-01
    #[test]
    fn the_digest_is_the_proxys_word_for_word() {
        let good = "0a".repeat(32);
        for (name, mtls, digest, expected) in [
            ("a certificate", Some(1), Some(good.as_str()), Ok([10; 32])),
            ("TLS without a certificate", Some(0), Some(&good), Err(BindingRefusal::CertificateMissing)),
            ("nothing known", None, Some(&good), Err(BindingRefusal::CertificateMissing)),
            ("no digest", Some(1), None, Err(BindingRefusal::Unavailable)),
            ("an empty digest", Some(1), Some(""), Err(BindingRefusal::Unavailable)),
            ("a short digest", Some(1), Some("0a0a"), Err(BindingRefusal::Unavailable)),
            ("half a byte more", Some(1), Some(&format!("{good}0")), Err(BindingRefusal::Unavailable)),
            ("not hexadecimal", Some(1), Some(&good.replace('a', "g")), Err(BindingRefusal::Unavailable)),
        ] {
            let host = FakeHost::at(1);
            if let Some(flag) = mtls {
                host.set("connection.mtls", [flag]);
            }
            if let Some(digest) = digest {
                host.set("connection.sha256_peer_certificate_digest", digest);
            }
            assert_eq!(certificate_digest(&host), expected, "{name}");
        }
        let host = FakeHost::at(1);
        host.fail("proxy_get_property", 10);
        assert_eq!(certificate_digest(&host), Err(BindingRefusal::Unavailable));
    }

    #[test]
    fn there_is_one_certificate_in_pem() {
        let one = "-----BEGIN CERTIFICATE-----\nMAMC\nAQc=\n-----END CERTIFICATE-----\n";
        for (name, pem, expected) in [
            ("one", one.to_owned(), Some(vec![0x30, 3, 2, 1, 7])),
            ("two", format!("{one}{one}"), None),
            ("something else", one.replace("CERTIFICATE", "PRIVATE KEY"), None),
            ("not base64", one.replace("MAMC", "MA*C"), None),
            ("empty", String::new(), None),
        ] {
            assert_eq!(der(pem.as_bytes()), expected, "{name}");
        }
    }
}
