//! Asks a server for a response head.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::Response;
use portcullis_core::headers::Headers;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// From the look-up of the name to the last byte of the head.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The certificate authorities of the operating system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn authorities() -> Result<RootCerts, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reason = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(format!("no certificate authorities on this machine{reason}"));
    }
    let certificates = found.certs.iter().map(|it| Certificate::from_der(it).to_owned());
    Ok(RootCerts::from(certificates))
}

/// Sends one GET without credentials and reads the head of the answer, whatever its status. Its body stays unread.
///
/// # Errors
/// What went wrong on the way, one line.
pub fn fetch(url: &str) -> Result<Response, String> {
    let authorities = match authorities() {
        Err(problem) if url.starts_with("https://") => return Err(problem),
        // A proxy may still speak TLS, and is not trusted then.
        found => found.unwrap_or_else(|_| RootCerts::new_with_certs(&[])),
    };
    let tls = TlsConfig::builder()
        .root_certs(authorities)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .new_agent();
    let answer = agent.get(url).call().map_err(|error| error.to_string())?;
    let mut headers = Headers::default();
    headers.append(b":status", answer.status().as_str().as_bytes());
    for (name, value) in answer.headers() {
        headers.append(name.as_str().as_bytes(), value.as_bytes());
    }
    Ok(Response::new(headers, false))
}
