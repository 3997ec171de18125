"""What is measured: the listeners of one Envoy, each with the filters of one side of a comparison.

All listeners answer by themselves (`direct_response`), so that no upstream takes part. Where a filter of ours stands
against one of Envoy's, both are configured to decide the same; what is left of a difference is said at the filter.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness import config, idp

HTTP = "type.googleapis.com/envoy.extensions.filters.http."
HERE = Path(__file__).parent
OPENAPI: dict[str, Any] = yaml.safe_load((HERE / "orders.openapi.yaml").read_text())
# Higher than any load, so that no request of a run is refused; in the chains the limit of /login shows that it is counted.
UNREACHED = 1_000_000
KEYS = ("r1", "e1")

# The fields that header-guard's profile sets on a connection without TLS, so that header_mutation can set the same.
SECURITY_FIELDS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "x-dns-prefetch-control": "off",
    "x-permitted-cross-domain-policies": "none",
}
# The best known of the more than 120 names and patterns that header-guard removes.
SPOOFED_FIELDS = [
    "forwarded", "via", "true-client-ip", "cf-connecting-ip", "x-real-ip", "x-client-ip", "x-forwarded-user",
    "x-forwarded-email", "x-forwarded-groups", "x-remote-user", "remote-user", "x-user", "x-user-id", "x-roles",
    "x-scopes", "x-tenant-id", "x-original-url", "x-rewrite-url", "x-http-method-override", "proxy", "baggage",
]
LEAKING_FIELDS = ["x-powered-by", "x-aspnet-version", "x-generator", "x-runtime"]

# What audit's event says too, as far as Envoy knows it.
LOG_FIELDS = {
    "time": "%START_TIME%",
    "id": "%REQ(X-REQUEST-ID)%",
    "trace": "%REQ(TRACEPARENT)%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "user_agent": "%REQ(USER-AGENT)%",
    "source": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "route": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "subject": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:verified:sub)%",
    "issuer": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:verified:iss)%",
    "client": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:verified:client_id)%",
}


@dataclass(frozen=True)
class Listener:
    """One side of a comparison.

    `refuses` names requests of checks.py with the status they must get, `hardens` says that good answers must carry
    the security fields, `logs` that each request must leave a line of JSON.
    """

    filters: list[dict[str, Any]]
    refuses: dict[str, int] = field(default_factory=dict)
    hardens: bool = False
    log_format: dict[str, Any] | None = None
    login_limit: dict[str, Any] | None = None


def build(name: str) -> Listener:
    """The listener of that name. Raises `harness.project.NotBuilt` when a module it needs is missing."""
    match name:
        case "no filters":
            return Listener([])
        case "noop":
            return Listener([_ours(name, "test/noop", None)])
        case "header-guard":
            return Listener([_ours(name, "header-guard", {})], {"two credentials": 400}, hardens=True)
        case "header_mutation":
            return Listener([_header_mutation()], hardens=True)
        case "rate-limit":
            return Listener([_ours(name, "rate-limit", {"limits": [_CLIENT_LIMIT]})])
        case "local_ratelimit":
            return Listener([_local_ratelimit(UNREACHED)])
        case "jwt-auth":
            return Listener([_ours(name, "jwt-auth", _jwt_auth())], {"no token": 401, "forged token": 401})
        case "jwt_authn":
            return Listener([_jwt_authn(cache=False)], {"no token": 401, "forged token": 401})
        case "jwt_authn with cache":
            return Listener([_jwt_authn(cache=True)], {"no token": 401, "forged token": 401})
        case "audit":
            return Listener([_ours(name, "audit", {})], log_format=_EVENT)
        case "JSON access log":
            return Listener([], log_format=_FIELDS)
        case "noop for bodies":
            return Listener([_buffer(), _ours(name, "test/noop", None)])
        case "schema-guard":
            guard = _ours(name, "schema-guard", {"document": OPENAPI})
            return Listener([_buffer(), guard], {"wrong type": 400, "undocumented path": 404})
        case "suite":
            entries = [{"filter": module, "config": document} for module, document in _chain().items()]
            return Listener([_ours(name, "suite", {"filters": entries})], _CHAIN_REFUSES, True, _EVENT)
        case "five modules":
            filters = [_ours(f"{name}: {module}", module, document) for module, document in _chain().items()]
            return Listener(filters, _CHAIN_REFUSES, True, _EVENT)
        case "Envoy's filters":
            filters = [_header_mutation(), _local_ratelimit(UNREACHED), _jwt_authn(cache=True), _rbac()]
            refuses = {"second login": 429, "no token": 401, "forged token": 401, "undocumented path": 403}
            return Listener(filters, refuses, True, _FIELDS, _local_ratelimit(1))
        case _:
            raise ValueError(f"unknown listener: {name}")


def bootstrap(listeners: dict[str, Listener], logs: Path) -> dict[str, Any]:
    """One Envoy with all of them; each chooses a free port. Access logs are `log_file(logs, name)`."""
    return {"static_resources": {"listeners": [_listener(name, item, logs) for name, item in listeners.items()]}}


def log_file(logs: Path, name: str) -> Path:
    """Where the listener of that name writes its access log."""
    return logs / f"{re.sub('[^a-z]+', '-', name.lower())}.log"


_CLIENT_LIMIT = {"id": "client", "key": ["client_address"], "requests": UNREACHED, "per": "1s"}
_RATE_LIMIT = {
    "limits": [
        _CLIENT_LIMIT,
        {"id": "login", "match": {"path": "/login"}, "key": ["client_address"], "requests": 1, "per": "1h"},
    ],
}
_EVENT = {"text_format_source": {"inline_string": "%FILTER_STATE(wasm.portcullis.audit:PLAIN)%\n"}}
_FIELDS = {"json_format": LOG_FIELDS}
_CHAIN_REFUSES = {"two credentials": 400, "second login": 429, "no token": 401, "forged token": 401, "undocumented path": 404}


def _chain() -> dict[str, dict[str, Any]]:
    # In the order that docs/suite.md recommends.
    return {
        "header-guard": {},
        "audit": {},
        "rate-limit": _RATE_LIMIT,
        "jwt-auth": _jwt_auth(),
        "schema-guard": {"document": OPENAPI},
    }


def _jwt_auth() -> dict[str, Any]:
    provider = {
        "name": "main",
        "issuer": idp.ISSUER,
        "audiences": [idp.AUDIENCE],
        "jwks": {"inline": idp.key_set(*KEYS)},
        "claims_to_headers": [{"claim": "sub", "header": "x-user-id"}],
    }
    return {"providers": [provider]}


def _jwt_authn(*, cache: bool) -> dict[str, Any]:
    provider = {
        "issuer": idp.ISSUER,
        "audiences": [idp.AUDIENCE],
        "local_jwks": {"inline_string": json.dumps(idp.key_set(*KEYS))},
        "forward": True,
        "claim_to_headers": [{"claim_name": "sub", "header_name": "x-user-id"}],
        # Where rbac and the access log read the claims, as jwt-auth hands them to other filters.
        "payload_in_metadata": "verified",
        **({"jwt_cache_config": {"jwt_cache_size": 1000}} if cache else {}),
    }
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}]
    return _envoys("jwt_authn", "JwtAuthentication", providers={"main": provider}, rules=rules)


def _local_ratelimit(requests: int) -> dict[str, Any]:
    bucket = {"max_tokens": requests, "tokens_per_fill": requests, "fill_interval": "1s" if requests > 1 else "3600s"}
    every = {"default_value": {"numerator": 100}}
    return _envoys(
        "local_ratelimit", "LocalRateLimit",
        stat_prefix="local_ratelimit",
        # The bucket for requests without a descriptor; there are none.
        token_bucket={"max_tokens": UNREACHED, "tokens_per_fill": UNREACHED, "fill_interval": "1s"},
        filter_enabled=every, filter_enforced=every,
        # A bucket for each address: a descriptor without a value.
        rate_limits=[{"actions": [{"remote_address": {}}]}],
        descriptors=[{"entries": [{"key": "remote_address"}], "token_bucket": bucket}],
    )


def _header_mutation() -> dict[str, Any]:
    def field_set(name: str, value: str) -> dict[str, Any]:
        action = "ADD_IF_ABSENT" if name == "cache-control" else "OVERWRITE_IF_EXISTS_OR_ADD"
        return {"append": {"header": {"key": name, "value": value}, "append_action": action}}

    return _envoys("header_mutation", "HeaderMutation", mutations={
        "request_mutations": [{"remove": name} for name in SPOOFED_FIELDS],
        "response_mutations": [
            *(field_set(name, value) for name, value in SECURITY_FIELDS.items()),
            *({"remove": name} for name in LEAKING_FIELDS),
        ],
    })


def _rbac() -> dict[str, Any]:
    """Allows the operations of the API to users, one policy for each."""
    user = {"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "verified"}, {"key": "roles"}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": "user"}}}},
    }}
    policies = {}
    for template, item in OPENAPI["paths"].items():
        path = {"safe_regex": {"regex": re.sub(r"\{\w+\}", "[^/]+", template)}} if "{" in template else {"exact": template}
        for method in item.keys() & {"get", "post", "delete"}:
            operation = [
                {"header": {"name": ":method", "string_match": {"exact": method.upper()}}},
                {"url_path": {"path": path}},
            ]
            policies[item[method]["operationId"]] = {
                "permissions": [{"and_rules": {"rules": operation}}],
                "principals": [user],
            }
    return _envoys("rbac", "RBAC", rules={"action": "ALLOW", "policies": policies})


def _buffer() -> dict[str, Any]:
    # An answer that comes before the body was read would end the connection; so bodies are read first.
    return _envoys("buffer", "Buffer", max_request_bytes=1 << 20)


def _envoys(name: str, message: str, **fields: Any) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{HTTP}{name}.v3.{message}", **fields}}


def _ours(listener: str, module: str, document: Any) -> dict[str, Any]:
    # A vm_id of its own for each listener: no shared VM, no shared counters.
    return config.wasm_filter(module, document, name=listener, vm_id=listener)


def _listener(name: str, listener: Listener, logs: Path) -> dict[str, Any]:
    answer = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    routes = [{"match": {"prefix": "/"}, **answer}]
    if listener.login_limit is not None:
        limit = {listener.login_limit["name"]: listener.login_limit["typed_config"]}
        routes.insert(0, {"match": {"path": "/login"}, **answer, "typed_per_filter_config": limit})
    manager: dict[str, Any] = {
        "@type": config.TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [*listener.filters, _envoys("router", "Router")],
        **config.HARDENED,
    }
    if listener.log_format is not None:
        kind = config.TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
        log = {"@type": kind, "path": str(log_file(logs, name)), "log_format": listener.log_format}
        manager["access_log"] = [{"name": "file", "typed_config": log}]
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
