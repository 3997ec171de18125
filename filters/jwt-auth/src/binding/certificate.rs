//! A client certificate as a credential of its own.

use portcullis_core::Identity;
use portcullis_core::dns_pattern::DnsPattern;
use portcullis_core::spiffe::{SpiffeId, SpiffePattern};
use portcullis_host::Host;
use serde_json::Value;

use super::BindingRefusal;
use super::connection;
use super::subject_alt_names::SubjectAltNames;

/// Whose certificates are an identity. Made from
/// [`ClientCertificatesConfig`](super::config::ClientCertificatesConfig).
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    pub(super) name: String,
    pub(super) trust_domains: Vec<String>,
    pub(super) spiffe_ids: Vec<SpiffePattern>,
    pub(super) dns_names: Vec<DnsPattern>,
}

impl ClientCertificates {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identity of the connection's certificate. For a SPIFFE ID the issuer is the ID of its trust domain
    /// (`spiffe://prod`) and the subject the whole ID; for a DNS name they are `certificate:<name>` and the name in
    /// lower case.
    ///
    /// # Errors
    /// [`BindingRefusal::CertificateMissing`], [`BindingRefusal::CertificateInvalid`] for a certificate whose names
    /// can't be read or that has several URIs ("An X.509 SVID MUST contain exactly one URI SAN"),
    /// [`BindingRefusal::CertificateUnknown`], or [`BindingRefusal::Unavailable`].
    pub fn identify(&self, host: &dyn Host) -> Result<Identity, BindingRefusal> {
        let certificate = connection::certificate(host)?;
        let names = SubjectAltNames::of(&certificate).ok_or(BindingRefusal::CertificateInvalid)?;
        if names.uris.len() > 1 {
            return Err(BindingRefusal::CertificateInvalid);
        }
        let of_uri = names.uris.first().and_then(|uri| self.by_spiffe_id(uri));
        let identity = of_uri.or_else(|| names.dns_names.iter().find_map(|name| self.by_dns_name(name)));
        identity.ok_or(BindingRefusal::CertificateUnknown)
    }

    fn by_spiffe_id(&self, uri: &str) -> Option<Identity> {
        let id = SpiffeId::parse(uri)?;
        let is_trusted = self.trust_domains.iter().any(|domain| domain == id.trust_domain());
        let is_named =
            self.spiffe_ids.is_empty() || self.spiffe_ids.iter().any(|pattern| pattern.matches(&id));
        (is_trusted && is_named).then(|| identity(format!("spiffe://{}", id.trust_domain()), uri.to_owned()))
    }

    fn by_dns_name(&self, name: &str) -> Option<Identity> {
        let is_named = self.dns_names.iter().any(|pattern| pattern.matches(name));
        is_named.then(|| identity(format!("certificate:{}", self.name), name.to_ascii_lowercase()))
    }
}

fn identity(issuer: String, subject: String) -> Identity {
    let claims = [("iss", &issuer), ("sub", &subject)];
    let claims =
        claims.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value.as_str()))).collect();
    Identity { issuer, subject, claims, ..Identity::default() }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use portcullis_host::fake::FakeHost;

    use super::super::subject_alt_names::tests::certificate;
    use super::*;

    const EMAIL: u8 = 0x81;
    const DNS: u8 = 0x82;
    const URI: u8 = 0x86;

    fn host(names: &[(u8, &str)]) -> FakeHost {
        let der = base64::engine::general_purpose::STANDARD.encode(certificate(names));
        let host = FakeHost::at(1);
        host.set("connection.mtls", [1]);
        host.set(
            "connection.peer_certificate",
            format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n"),
        );
        host
    }

    fn provider() -> ClientCertificates {
        ClientCertificates {
            name: "mesh".into(),
            trust_domains: vec!["prod".into()],
            spiffe_ids: vec![SpiffePattern::parse("spiffe://prod/ns/*").unwrap()],
            dns_names: ["*.corp.test", "admin.test"].map(|name| DnsPattern::parse(name).unwrap()).to_vec(),
        }
    }

    // covers: JWT-POP-05, JWT-POP-06, JWT-POP-07, JWT-POP-08, JWT-POP-09
    #[test]
    fn a_certificate_is_the_one_whom_it_names() {
        let (unknown, invalid) =
            (Err(BindingRefusal::CertificateUnknown), Err(BindingRefusal::CertificateInvalid));
        for (name, names, expected) in [
            ("a workload", &[(URI, "spiffe://prod/ns/a")][..], Ok(("spiffe://prod", "spiffe://prod/ns/a"))),
            ("a host", &[(DNS, "A.corp.test")], Ok(("certificate:mesh", "a.corp.test"))),
            (
                "the second host",
                &[(DNS, "x.test"), (DNS, "a.corp.test")],
                Ok(("certificate:mesh", "a.corp.test")),
            ),
            (
                "both",
                &[(DNS, "a.corp.test"), (URI, "spiffe://prod/ns/a")],
                Ok(("spiffe://prod", "spiffe://prod/ns/a")),
            ),
            ("another trust domain", &[(URI, "spiffe://dev/ns/a")], unknown),
            ("a longer trust domain", &[(URI, "spiffe://production/ns/a")], unknown),
            ("another workload", &[(URI, "spiffe://prod/admin")], unknown),
            ("upper case", &[(URI, "spiffe://PROD/ns/a")], unknown),
            ("a port", &[(URI, "spiffe://prod:443/ns/a")], unknown),
            ("dot segments", &[(URI, "spiffe://prod/ns/../admin")], unknown),
            ("an escape", &[(URI, "spiffe://prod/ns/%61")], unknown),
            ("a URI as DNS name", &[(DNS, "spiffe://prod/ns/a")], unknown),
            ("a URI as e-mail", &[(EMAIL, "spiffe://prod/ns/a")], unknown),
            ("a DNS name as URI", &[(URI, "a.corp.test")], unknown),
            ("a DNS name as e-mail", &[(EMAIL, "a.corp.test")], unknown),
            ("two labels", &[(DNS, "a.b.corp.test")], unknown),
            ("no label", &[(DNS, "corp.test")], unknown),
            ("an empty label", &[(DNS, ".corp.test")], unknown),
            ("no name", &[], unknown),
            ("two URIs", &[(URI, "spiffe://prod/ns/a"), (URI, "spiffe://prod/ns/b")], invalid),
            ("two URIs and a host", &[(URI, "a:1"), (URI, "a:2"), (DNS, "a.corp.test")], invalid),
            ("NUL", &[(DNS, "admin.test\0.evil.test")], invalid),
            (
                "NUL beside a good name",
                &[(URI, "spiffe://prod/ns/a"), (DNS, "admin.test\0.evil.test")],
                invalid,
            ),
        ] {
            let found = provider().identify(&host(names));
            let found = found.as_ref().map(|found| (found.issuer.as_str(), found.subject.as_str()));
            assert_eq!(found.map_err(|refusal| *refusal), expected, "{name}");
        }
    }

    // covers: JWT-POP-04
    #[test]
    fn without_a_certificate_there_is_nobody() {
        let host = host(&[(URI, "spiffe://prod/ns/a")]);
        for flag in [vec![0], vec![], b"true".to_vec()] {
            host.set("connection.mtls", flag);
            assert_eq!(provider().identify(&host).err(), Some(BindingRefusal::CertificateMissing));
        }
        host.set("connection.mtls", [1]);
        host.set("connection.peer_certificate", "");
        assert_eq!(provider().identify(&host).err(), Some(BindingRefusal::Unavailable));
    }

    // covers: JWT-POP-06
    #[test]
    fn a_real_certificate_is_read() {
        // With an e-mail address, a DNS name, a URI and an IP address, made by Python's `cryptography`.
        let pem = include_str!("client_certificate.pem");
        let host = FakeHost::at(1);
        host.set("connection.mtls", [1]);
        host.set("connection.peer_certificate", pem);
        assert_eq!(provider().identify(&host).unwrap().subject, "spiffe://prod/ns/a");
        let hosts = ClientCertificates { trust_domains: vec![], ..provider() };
        assert_eq!(hosts.identify(&host).unwrap().subject, "a.corp.test");
    }
}
