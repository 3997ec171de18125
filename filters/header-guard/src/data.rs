//! The lists: which request fields only a proxy may write, which fields must be single, which response fields tell
//! too much, and what every response says. Data, with a version; the docs page shows the same lists.

use crate::syntax::Syntax;

/// Version of all lists here; changes whenever one of them does.
pub const VERSION: &str = "2026-12";

/// Why a client may not send a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// How the request came here (RFC 7239, de-facto `x-forwarded-*`). A trusted proxy may say it.
    Forwarding,
    /// Debugging and sampling by trace systems, baggage. A trusted proxy may send it.
    Tracing,
    /// The client's address, as one CDN or balancer among many writes it.
    Cdn,
    /// Who the user is, as a platform or an authenticating proxy in front of an application writes it.
    Identity,
    /// The client's certificate, as a TLS terminator writes it (RFC 9440).
    Certificate,
    /// Envoy's own: time-outs, retries, forced traces, "this request is internal".
    Envoy,
    /// Between the parts of a web framework.
    Framework,
    /// Another path or method than the one that was judged. Nobody may send it.
    Override,
    /// Meant for the next hop only (RFC 9110 section 7.6.1). Nobody's is forwarded.
    HopByHop,
}

impl Group {
    /// Whether a peer on the list of trusted proxies may send the fields of this group without their being named.
    #[must_use]
    pub const fn is_a_trusted_proxys(self) -> bool {
        matches!(self, Self::Forwarding | Self::Tracing)
    }
}

/// Request fields that are removed; a final `*` stands for every name that begins so.
pub const STRIPPED: &[(&str, Group)] = &[
    ("x-envoy-*", Group::Envoy),
    // RFC 7239 and its ancestors. `x-forwarded-for` and `x-forwarded-proto` have rules of their own in `request.rs`.
    ("forwarded", Group::Forwarding),
    ("via", Group::Forwarding),
    ("x-forwarded-*", Group::Forwarding),
    ("x-forwarded-access-token", Group::Identity),
    ("x-forwarded-client-cert", Group::Certificate),
    ("x-forwarded-email", Group::Identity),
    ("x-forwarded-groups", Group::Identity),
    ("x-forwarded-preferred-username", Group::Identity),
    ("x-forwarded-uri", Group::Override),
    ("x-forwarded-user", Group::Identity),
    // CDNs and balancers.
    ("akamai-origin-hop", Group::Cdn),
    ("cf-access-*", Group::Identity),
    ("cf-connecting-ip", Group::Cdn),
    ("cf-connecting-ipv6", Group::Cdn),
    ("cf-ipcountry", Group::Cdn),
    ("cf-ray", Group::Cdn),
    ("cf-visitor", Group::Cdn),
    ("cf-worker", Group::Cdn),
    ("client-ip", Group::Cdn),
    ("do-connecting-ip", Group::Cdn),
    ("fastly-client-ip", Group::Cdn),
    ("fastly-ssl", Group::Cdn),
    ("fly-client-ip", Group::Cdn),
    ("forwarded-for", Group::Cdn),
    ("incap-client-ip", Group::Cdn),
    ("true-client-ip", Group::Cdn),
    ("x-akamai-*", Group::Cdn),
    ("x-appengine-*", Group::Cdn),
    ("x-azure-clientip", Group::Cdn),
    ("x-azure-fdid", Group::Cdn),
    ("x-azure-socketip", Group::Cdn),
    ("x-client-ip", Group::Cdn),
    ("x-cluster-client-ip", Group::Cdn),
    ("x-forwarded", Group::Cdn),
    ("x-host", Group::Cdn),
    ("x-nf-client-connection-ip", Group::Cdn),
    ("x-originating-ip", Group::Cdn),
    ("x-real-ip", Group::Cdn),
    ("x-remote-addr", Group::Cdn),
    ("x-remote-ip", Group::Cdn),
    ("x-vercel-*", Group::Cdn),
    // Cloud platforms, Kubernetes, meshes, authenticating proxies, and what applications behind them trust.
    ("impersonate-extra-*", Group::Identity),
    ("impersonate-group", Group::Identity),
    ("impersonate-uid", Group::Identity),
    ("impersonate-user", Group::Identity),
    ("l5d-*", Group::Identity),
    ("remote-user", Group::Identity),
    ("x-access-token", Group::Identity),
    ("x-amz-cf-id", Group::Identity),
    ("x-amzn-mtls-*", Group::Certificate),
    ("x-amzn-oidc-*", Group::Identity),
    ("x-amzn-trace-id", Group::Tracing),
    ("x-anonymous-consumer", Group::Identity),
    ("x-auth-request-*", Group::Identity),
    ("x-authenticated-*", Group::Identity),
    ("x-consumer-*", Group::Identity),
    ("x-credential-identifier", Group::Identity),
    ("x-dapr-*", Group::Identity),
    ("x-goog-authenticated-user-*", Group::Identity),
    ("x-goog-iap-jwt-assertion", Group::Identity),
    ("x-id-token", Group::Identity),
    ("x-ms-client-principal*", Group::Identity),
    ("x-ms-token-aad-*", Group::Identity),
    ("x-remote-extra-*", Group::Identity),
    ("x-remote-group", Group::Identity),
    ("x-remote-user", Group::Identity),
    ("x-roles", Group::Identity),
    ("x-scopes", Group::Identity),
    ("x-tenant-id", Group::Identity),
    ("x-user", Group::Identity),
    ("x-user-id", Group::Identity),
    ("x-userinfo", Group::Identity),
    ("x-webauth-user", Group::Identity),
    // TLS terminators.
    ("client-cert", Group::Certificate),
    ("client-cert-chain", Group::Certificate),
    ("ssl-client-*", Group::Certificate),
    ("x-arr-clientcert", Group::Certificate),
    ("x-client-cert*", Group::Certificate),
    ("x-client-dn", Group::Certificate),
    ("x-client-verify", Group::Certificate),
    ("x-ssl-client-*", Group::Certificate),
    // Another path, host or method than the one that the filters judged (class of CVE-2018-14773), and httpoxy
    // (CVE-2016-5385).
    ("base-url", Group::Override),
    ("proxy", Group::Override),
    ("request-uri", Group::Override),
    ("x-custom-ip-authorization", Group::Override),
    ("x-http-destinationurl", Group::Override),
    ("x-http-method", Group::Override),
    ("x-http-method-override", Group::Override),
    ("x-http-path-override", Group::Override),
    ("x-method-override", Group::Override),
    ("x-original-host", Group::Override),
    ("x-original-uri", Group::Override),
    ("x-original-url", Group::Override),
    ("x-override-url", Group::Override),
    ("x-proxy-url", Group::Override),
    ("x-rewrite-url", Group::Override),
    // Frameworks: CVE-2025-29927 (`x-middleware-subrequest`) and its neighbours.
    ("next-router-*", Group::Framework),
    ("rsc", Group::Framework),
    ("x-invoke-path", Group::Framework),
    ("x-matched-path", Group::Framework),
    ("x-middleware-*", Group::Framework),
    ("x-nextjs-data", Group::Framework),
    ("x-now-route-matches", Group::Framework),
    // A client that can force traces and sampling chooses what the operator stores and pays for. The whole fields and
    // families go, not only those with a flag set: each vendor writes its flag in another way, some percent-encoded,
    // and a trace that a stranger continues is none. `traceparent` and `tracestate` have rules in `trace_context.rs`.
    ("b3", Group::Tracing),
    ("baggage", Group::Tracing),
    ("jaeger-baggage", Group::Tracing),
    ("jaeger-debug-id", Group::Tracing),
    ("sentry-trace", Group::Tracing),
    ("uber-trace-id", Group::Tracing),
    ("uberctx-*", Group::Tracing),
    ("x-b3-*", Group::Tracing),
    ("x-client-trace-id", Group::Tracing),
    ("x-cloud-trace-context", Group::Tracing),
    ("x-datadog-*", Group::Tracing),
    // `connection`, `te` and `upgrade` have rules of their own in `request.rs`; `transfer-encoding` is the proxy's.
    ("http2-settings", Group::HopByHop),
    ("keep-alive", Group::HopByHop),
    ("proxy-authenticate", Group::HopByHop),
    ("proxy-authorization", Group::HopByHop),
    ("proxy-connection", Group::HopByHop),
    ("trailer", Group::HopByHop),
];

/// Request fields whose values are credentials although their names have none of the words that tell so
/// (`portcullis_core::redact::is_sensitive_name`: `authorization`, `cookie`, `token`, `apikey` ...), and whose they are.
pub const CREDENTIALS: &[(&str, &str)] = &[
    ("dd-application-key", "Datadog"),
    ("ocp-apim-subscription-key", "Azure API Management"),
    ("x-appwrite-key", "Appwrite"),
    ("x-auth", "services of one's own"),
    ("x-auth-key", "Cloudflare"),
    ("x-functions-key", "Azure Functions"),
    ("x-jwt", "services of one's own"),
    ("x-master-key", "MeiliSearch, JSONBin"),
    ("x-parse-master-key", "Parse"),
    ("x-subscription-key", "services behind Azure API Management"),
];

/// How many fields of a name a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// One; a second one is refused, since two servers could pick different ones (RFC 9110 section 5.3).
    One,
    /// Several: a list.
    Many,
}

/// Request fields with a known form.
pub const KNOWN: &[(&str, Copies, Syntax)] = &[
    (":authority", Copies::One, Syntax::Host),
    (":method", Copies::One, Syntax::Token),
    (":path", Copies::One, Syntax::Ascii),
    (":protocol", Copies::One, Syntax::Ascii),
    (":scheme", Copies::One, Syntax::Scheme),
    ("accept", Copies::Many, Syntax::Ascii),
    ("accept-charset", Copies::Many, Syntax::Ascii),
    ("accept-encoding", Copies::Many, Syntax::Ascii),
    ("accept-language", Copies::Many, Syntax::Ascii),
    ("access-control-request-headers", Copies::Many, Syntax::Ascii),
    ("access-control-request-method", Copies::One, Syntax::NoComma),
    ("authorization", Copies::One, Syntax::Credentials),
    ("baggage", Copies::Many, Syntax::Free),
    ("cache-control", Copies::Many, Syntax::Ascii),
    ("connection", Copies::Many, Syntax::Ascii),
    ("content-encoding", Copies::One, Syntax::Ascii),
    ("content-length", Copies::One, Syntax::Length),
    ("content-location", Copies::One, Syntax::Ascii),
    ("content-type", Copies::One, Syntax::MediaType),
    ("cookie", Copies::Many, Syntax::Ascii),
    ("date", Copies::One, Syntax::Date),
    ("dpop", Copies::One, Syntax::NoComma),
    ("expect", Copies::One, Syntax::Expect),
    ("from", Copies::One, Syntax::Free),
    ("grpc-timeout", Copies::One, Syntax::GrpcTimeout),
    ("host", Copies::One, Syntax::Host),
    ("idempotency-key", Copies::One, Syntax::Ascii),
    ("if-match", Copies::Many, Syntax::Ascii),
    ("if-modified-since", Copies::One, Syntax::Date),
    ("if-none-match", Copies::Many, Syntax::Ascii),
    ("if-range", Copies::One, Syntax::Ascii),
    ("if-unmodified-since", Copies::One, Syntax::Date),
    ("max-forwards", Copies::One, Syntax::Digits),
    ("origin", Copies::One, Syntax::NoComma),
    ("proxy-authorization", Copies::One, Syntax::Credentials),
    ("range", Copies::One, Syntax::Ascii),
    ("referer", Copies::One, Syntax::Free),
    ("sec-websocket-key", Copies::One, Syntax::NoComma),
    ("sec-websocket-version", Copies::One, Syntax::Digits),
    ("te", Copies::Many, Syntax::Ascii),
    ("traceparent", Copies::Many, Syntax::Free),
    ("tracestate", Copies::Many, Syntax::Free),
    ("transfer-encoding", Copies::One, Syntax::Chunked),
    ("upgrade", Copies::Many, Syntax::Ascii),
    ("upgrade-insecure-requests", Copies::One, Syntax::NoComma),
    ("user-agent", Copies::One, Syntax::Free),
    ("x-request-id", Copies::Many, Syntax::Free),
];

/// Response fields that are removed. Up to the blank line the list of the OWASP Secure Headers Project of
/// 2026-07-19 (`ci/headers_remove.json`); below it what we add.
pub const LEAKING: &[&str] = &[
    "$wsep",
    "host-header",
    "k-proxy-request",
    "liferay-portal",
    "oraclecommercecloud-version",
    "pega-host",
    "powered-by",
    "product",
    "server",
    "sourcemap",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-atmosphere-error",
    "x-atmosphere-first-request",
    "x-atmosphere-tracking-id",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-backside-transport",
    "x-beserver",
    "x-calculatedbetarget",
    "x-cf-powered-by",
    "x-cms",
    "x-cocoon-version",
    "x-content-encoded-by",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-datadog-trace-id",
    "x-diaginfo",
    "x-dtagentid",
    "x-dthealthcheck",
    "x-dtinjectedservlet",
    "x-envoy-attempt-count",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-dst-host",
    "x-envoy-upstream-service-time",
    "x-feserver",
    "x-framework",
    "x-generated-by",
    "x-generator",
    "x-gitlab-meta",
    "x-jitsi-release",
    "x-joomla-version",
    "x-kong-admin-latency",
    "x-kong-client-latency",
    "x-kong-proxy-latency",
    "x-kong-request-id",
    "x-kong-response-latency",
    "x-kong-third-party-latency",
    "x-kong-total-latency",
    "x-kong-upstream-latency",
    "x-kong-upstream-status",
    "x-kubernetes-pf-flowschema-ui",
    "x-kubernetes-pf-prioritylevel-uid",
    "x-litespeed-cache",
    "x-litespeed-cache-control",
    "x-litespeed-purge",
    "x-litespeed-tag",
    "x-litespeed-vary",
    "x-mod-pagespeed",
    "x-nextjs-cache",
    "x-nextjs-matched-path",
    "x-nextjs-page",
    "x-nextjs-redirect",
    "x-old-content-length",
    "x-oneagent-js-injection",
    "x-owa-version",
    "x-page-speed",
    "x-php-version",
    "x-powered-by",
    "x-powered-by-plesk",
    "x-powered-cms",
    "x-redirect-by",
    "x-ruxit-js-agent",
    "x-server-powered-by",
    "x-sourcefiles",
    "x-sourcemap",
    "x-turbo-charged-by",
    "x-tyk-trace-id",
    "x-umbraco-version",
    "x-varnish-backend",
    "x-varnish-server",
    "x-woodpecker-version",
    // Whole families of which OWASP lists a part, and what debuggers and caches add.
    "via",
    "x-b3-*",
    "x-datadog-*",
    "x-debug-*",
    "x-drupal-*",
    "x-envoy-*",
    "x-kong-*",
    "x-runtime",
];

/// Response fields that are removed because their own specifications deprecate them: they protect nobody, and some
/// do harm.
pub const DEPRECATED: &[&str] = &[
    "expect-ct",
    "feature-policy",
    "p3p",
    "public-key-pins",
    "public-key-pins-report-only",
    "x-xss-protection",
];

/// What happens to a field of the profile that the upstream has set already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Ours replaces it.
    Override,
    /// It stays.
    Keep,
}

/// The profile `api-2026`: what every final response of an API says. Values of the OWASP Secure Headers Project of
/// 2026-07-19, stricter where nothing of an API is ever rendered.
pub const API_PROFILE: &[(&str, &str, Existing)] = &[
    ("strict-transport-security", "max-age=63072000; includeSubDomains", Existing::Override),
    ("x-content-type-options", "nosniff", Existing::Override),
    (
        "content-security-policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        Existing::Override,
    ),
    ("x-frame-options", "DENY", Existing::Override),
    ("referrer-policy", "no-referrer", Existing::Override),
    ("cross-origin-opener-policy", "same-origin", Existing::Override),
    ("cross-origin-resource-policy", "same-origin", Existing::Override),
    // Who knows better than we what may be stored is the upstream.
    ("cache-control", "no-store", Existing::Keep),
    ("x-dns-prefetch-control", "off", Existing::Override),
    ("x-permitted-cross-domain-policies", "none", Existing::Override),
];

/// The profile `web-2026`: what every final response of a web application says. The values of the OWASP Secure Headers
/// Project of 2026-07-19; what a page may load is the application's to say, so its own content security policy stays.
pub const WEB_PROFILE: &[(&str, &str, Existing)] = &[
    ("strict-transport-security", "max-age=63072000; includeSubDomains", Existing::Override),
    ("x-content-type-options", "nosniff", Existing::Override),
    (
        "content-security-policy",
        "default-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; \
         upgrade-insecure-requests",
        Existing::Keep,
    ),
    ("x-frame-options", "DENY", Existing::Override),
    ("referrer-policy", "no-referrer", Existing::Override),
    ("permissions-policy", PERMISSIONS, Existing::Override),
    ("cross-origin-opener-policy", "same-origin", Existing::Override),
    ("cross-origin-embedder-policy", "require-corp", Existing::Override),
    ("cross-origin-resource-policy", "same-origin", Existing::Override),
    ("cache-control", "no-store", Existing::Keep),
    ("x-dns-prefetch-control", "off", Existing::Override),
    ("x-permitted-cross-domain-policies", "none", Existing::Override),
];

/// No feature of the browser for anybody (Permissions Policy, W3C).
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), camera=(), cross-origin-isolated=(), display-capture=(), \
                           encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), \
                           magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), \
                           publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(), usb=(), web-share=(), \
                           xr-spatial-tracking=(), clipboard-read=(), clipboard-write=(), gamepad=(), hid=(), \
                           idle-detection=(), serial=(), unload=()";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::names::Pattern;

    #[test]
    fn every_list_is_of_distinct_lower_case_patterns() {
        let removed: Vec<&str> = LEAKING.iter().chain(DEPRECATED).copied().collect();
        let lists: [Vec<&str>; 5] = [
            STRIPPED.iter().map(|(name, _)| *name).collect(),
            KNOWN.iter().map(|(name, ..)| name.strip_prefix(':').unwrap_or(name)).collect(),
            removed,
            API_PROFILE.iter().map(|(name, ..)| *name).collect(),
            WEB_PROFILE.iter().map(|(name, ..)| *name).collect(),
        ];
        for list in lists {
            assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len(), "{list:?}");
            for name in list {
                assert!(Pattern::parse(name).is_ok() && *name == *name.to_ascii_lowercase(), "{name}");
            }
        }
    }

    #[test]
    fn the_owasp_part_of_the_leaking_list_is_complete() {
        // Counted in the source of 2026-07-19, so that a name lost by an edit is noticed.
        assert_eq!(LEAKING.iter().position(|name| *name == "via"), Some(87));
    }
}
