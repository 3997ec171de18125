//! Verifies each signature of a request's body twice, by the proxy's own function and in wasm, and answers with both
//! results: shows that it makes no difference which of the two `jwt-auth` uses.
//! Never part of a release.
//!
//! The body is an array of `{"alg": .., "jwk": {..}, "message": .., "signature": ..}`, both texts in base64url. The
//! answer's `errors` have one entry for each, in order. Its `rule` is three words, what `jwt-auth`'s native verifier says,
//! what the one in wasm says (`valid` or `invalid`), and whether the proxy `answered` for it, `failed` to, or was `unasked`;
//! or it is `key refused`.

use std::cell::Cell;
use std::rc::Rc;

use portcullis_core::{ConfigError, Denial, Flow, Reason, Request};
use portcullis_host::{Ctx, Filter, Host, Plugin};
use portcullis_jose::{Algorithm, SignatureVerifier, SoftwareVerifier, VerificationKey, base64url};
use portcullis_jwt_auth::native::{FUNCTION, NativeVerifier, Supported};
use serde_json::Value;

/// Longest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;

struct SignatureProbe {
    supported: Supported,
}

const fn in_words(is_valid: bool) -> &'static str {
    if is_valid { "valid" } else { "invalid" }
}

impl SignatureProbe {
    fn judge(&self, vector: &Value, host: &dyn Host) -> Option<String> {
        let text = |name: &str| vector.get(name).and_then(Value::as_str);
        let bytes = |name: &str| base64url::decode(text(name)?.as_bytes());
        let key =
            VerificationKey::from_jwk(vector.get("jwk")?, &[Algorithm::from_name(text("alg")?)?]).ok()?;
        let (message, signature) = (bytes("message")?, bytes("signature")?);
        let proxy = Cell::new("unasked");
        let call = |argument: &[u8]| {
            let answer = host.call_foreign_function(FUNCTION, argument).ok();
            proxy.set(if answer.is_some() { "answered" } else { "failed" });
            answer
        };
        let native = NativeVerifier::new(call, self.supported).is_valid(&key, &message, &signature);
        let software = SoftwareVerifier.is_valid(&key, &message, &signature);
        Some(format!("{} {} {}", in_words(native), in_words(software), proxy.get()))
    }
}

impl Plugin for SignatureProbe {
    fn name(&self) -> &'static str {
        "signature-probe"
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(ProbeFilter(self))
    }
}

struct ProbeFilter(Rc<SignatureProbe>);

impl Filter for ProbeFilter {
    fn on_request_headers(&mut self, _request: &Request, _ctx: &mut Ctx<'_>) -> Flow {
        Flow::NeedBody { limit: MAX_BODY }
    }

    fn on_request_body(&mut self, _request: &Request, body: &[u8], ctx: &mut Ctx<'_>) -> Flow {
        let vectors: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
        let mut answer = Denial::new(422, Reason("probe.judged"), "Judged");
        for (number, vector) in vectors.iter().enumerate() {
            let rule = self.0.judge(vector, ctx.host()).unwrap_or_else(|| "key refused".to_owned());
            answer = answer.with_error("body", format!("/{number}"), rule);
        }
        answer.into()
    }
}

/// Takes any configuration, and finds out what the proxy verifies.
///
/// # Errors
/// Never.
pub fn configure(_configuration: &[u8], host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let call = |argument: &[u8]| host.call_foreign_function(FUNCTION, argument).ok();
    Ok(Rc::new(SignatureProbe { supported: NativeVerifier::probe(call) }))
}

#[cfg(feature = "module")]
portcullis_host::module!(configure);
