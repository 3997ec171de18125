//! Why a request is refused, each with its stable reason code.

use portcullis_core::{Denial, Reason};

/// The methods that a client may try instead of a refused one (RFC 9110 section 15.5.6 demands the list).
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// More header fields than allowed.
#[must_use]
pub fn too_many() -> Denial {
    Denial::new(431, Reason("header.too_many"), "Request Header Fields Too Large")
}

/// One name, one value or all fields together are longer than allowed; `rule` says which.
#[must_use]
pub fn too_large(rule: &str) -> Denial {
    Denial::new(431, Reason("header.too_large"), "Request Header Fields Too Large")
        .with_error("header", "", rule)
}

/// The value of a field with a bound of its own is longer than that.
#[must_use]
pub fn value_too_large(name: &str) -> Denial {
    Denial::new(431, Reason("header.too_large"), "Request Header Fields Too Large").with_error(
        "header",
        name,
        "max_values",
    )
}

/// More cookies than allowed.
#[must_use]
pub fn too_many_cookies() -> Denial {
    Denial::new(431, Reason("header.too_many_cookies"), "Request Header Fields Too Large").with_error(
        "header",
        "cookie",
        "max_cookies",
    )
}

/// The request target is longer than allowed.
#[must_use]
pub fn target_too_long() -> Denial {
    Denial::new(414, Reason("header.target_too_long"), "URI Too Long")
}

/// The query has more parameters than allowed.
#[must_use]
pub fn too_many_parameters() -> Denial {
    bad_request("header.too_many_parameters")
}

/// A name that is no lower-case token, or a pseudo-header that a request does not have. The name is not repeated.
#[must_use]
pub fn invalid_name() -> Denial {
    bad_request("header.invalid_name")
}

/// A control character in a value. The name may be the client's own invention, and is not repeated.
#[must_use]
pub fn control_character() -> Denial {
    bad_request("header.invalid_value").with_error("header", "", "control_character")
}

/// A known field whose value is none of it.
#[must_use]
pub fn invalid_value(name: &str) -> Denial {
    bad_request("header.invalid_value").with_error("header", name, "syntax")
}

/// A second field of a name that must be single.
#[must_use]
pub fn duplicate(name: &str) -> Denial {
    bad_request("header.duplicate").with_error("header", name, "single")
}

/// A `Host` or `:authority` that has no single reading.
#[must_use]
pub fn invalid_host() -> Denial {
    bad_request("header.invalid_host")
}

/// `Content-Length` and `Transfer-Encoding` that leave open where the body ends.
#[must_use]
pub fn framing(name: &str, rule: &str) -> Denial {
    bad_request("header.framing").with_error("header", name, rule)
}

/// A `Connection` field that would make the next hop drop a field that matters.
#[must_use]
pub fn connection() -> Denial {
    bad_request("header.connection").with_error("header", "connection", "names_a_protected_field")
}

/// An expectation that nobody can meet.
#[must_use]
pub fn expectation() -> Denial {
    Denial::new(417, Reason("header.expectation"), "Expectation Failed")
}

/// TRACE and TRACK show a client what proxies added to its request.
#[must_use]
pub fn method_not_allowed() -> Denial {
    Denial::new(405, Reason("header.method_not_allowed"), "Method Not Allowed").with_header("allow", ALLOW)
}

/// A method that is not on the operator's list, which the client gets.
#[must_use]
pub fn method_not_listed(methods: &[String]) -> Denial {
    Denial::new(405, Reason("header.method_not_allowed"), "Method Not Allowed")
        .with_header("allow", methods.join(", "))
}

/// A host that nobody here answers for (RFC 9110 section 15.5.20).
#[must_use]
pub fn host_not_listed() -> Denial {
    Denial::new(421, Reason("header.host_not_allowed"), "Misdirected Request")
}

const fn bad_request(reason: &'static str) -> Denial {
    Denial::new(400, Reason(reason), "Bad Request")
}

/// A request that another site's page caused, or a WebSocket handshake from a page that may not open one.
#[must_use]
pub const fn cross_site() -> Denial {
    forbidden("header.cross_site")
}

/// An `Origin` that is no serialized origin, or is there twice.
#[must_use]
pub fn invalid_origin() -> Denial {
    bad_request("header.invalid_origin").with_error("header", "origin", "syntax")
}

/// A preflight from an origin that is not on the list.
#[must_use]
pub const fn cors_origin() -> Denial {
    forbidden("cors.origin")
}

/// A preflight for a method that is not on the list.
#[must_use]
pub const fn cors_method() -> Denial {
    forbidden("cors.method")
}

/// A preflight for a header field that is not on the list.
#[must_use]
pub const fn cors_request_header() -> Denial {
    forbidden("cors.request_header")
}

/// A credential in a request to somebody else's server; only ever reported, as it is removed otherwise.
#[must_use]
pub const fn outgoing_credential() -> Denial {
    forbidden("header.outgoing_credential")
}

const fn forbidden(reason: &'static str) -> Denial {
    Denial::new(403, Reason(reason), "Forbidden")
}
