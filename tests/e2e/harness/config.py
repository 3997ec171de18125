"""Makes an Envoy bootstrap from a short description of the filters (tests/e2e/configs/*.yaml)."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

import yaml

from . import idp, project, rate_limit_service

MACRO = re.compile(r"\$\{(jwks?):([\w,=-]+)\}")
TYPE = "type.googleapis.com/"
# What the access log of the tests prints: one JSON object a request.
LOG_FIELDS = {
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "path": "%REQ(:PATH)%",
    "audit": "%FILTER_STATE(wasm.portcullis.audit:PLAIN)%",
    "operation": "%FILTER_STATE(wasm.portcullis.operation:PLAIN)%",
    **{f"identity.{name}": f"%FILTER_STATE(wasm.portcullis.identity.{name}:PLAIN)%"
       for name in ("sub", "iss", "client_id", "scope", "roles")},
    **{f"verdict.{name}": f"%FILTER_STATE(wasm.portcullis.verdict.{name}:PLAIN)%"
       for name in ("header-guard", "jwt-auth", "rate-limit", "schema-guard", "audit")},
}
# As the examples recommend: ambiguous requests never reach a filter.
HARDENED = {
    "use_remote_address": True,
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
}
# What a cluster whose server speaks gRPC needs.
HTTP2 = {
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        },
    },
}
PROXY_PROTOCOL = {
    "name": "proxy_protocol",
    "typed_config": {
        "@type": TYPE + "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        "allow_requests_without_proxy_protocol": True,
    },
}


class ConfigMistake(Exception):
    """A file in configs/ says something that this module does not know."""


@dataclass
class Setup:
    """One file of tests/e2e/configs.

    filters           in order: {module, config} for one of our modules (and what else `wasm_filter` takes),
                      {envoy: {...}} for any HTTP filter in Envoy's own words
    connection_manager `hardened` (default, as in the examples) or `bare`: Envoy's defaults, so that the filters see
                      requests that a hardened Envoy refuses
    options           further fields of the connection manager
    routes            Envoy routes; default: everything to the cluster `upstream`
    cluster           further fields of the cluster `upstream`
    limits            starts a rate-limit service with these, the cluster `rate-limit-service`: `rate_limit_service.Limit`
    upstream_filters  in order, as `filters`: of the cluster `upstream`, behind the router
    grpc_cluster      name of a cluster with a gRPC server (`Stack.grpc`); default: there is none
    proxy_protocol    whether a case may choose its address, with `peer` in the request
    vm_id             default `portcullis`
    environment       environment variables that the modules may read, besides INTROSPECTION_SECRET
    transport_socket  of the listener, for TLS: `certificates.listener`
    """

    filters: list[dict[str, Any]]
    connection_manager: str = "hardened"
    options: dict[str, Any] = field(default_factory=dict)
    routes: list[dict[str, Any]] = field(default_factory=list)
    cluster: dict[str, Any] = field(default_factory=dict)
    limits: list[dict[str, Any]] = field(default_factory=list)
    upstream_filters: list[dict[str, Any]] = field(default_factory=list)
    grpc_cluster: str = ""
    proxy_protocol: bool = False
    vm_id: str = "portcullis"
    environment: dict[str, str] = field(default_factory=dict)
    transport_socket: dict[str, Any] = field(default_factory=dict)


def load(name: str) -> Setup:
    """Reads configs/<name>.yaml."""
    path = project.E2E / "configs" / f"{name}.yaml"
    try:
        return Setup(**yaml.safe_load(path.read_text()))
    except TypeError as error:
        raise ConfigMistake(f"{path.relative_to(project.ROOT)}: {error}") from error


def bootstrap(setup: Setup, ports: Mapping[str, int], access_log: str) -> dict[str, Any]:
    """The Envoy configuration. `ports` are those of the clusters (`upstream`, `idp`, `introspection`, and maybe
    `rate-limit-service`), on the loopback address."""
    of_clusters = {"upstream": _more(setup), rate_limit_service.CLUSTER: HTTP2, setup.grpc_cluster: HTTP2}
    manager: dict[str, Any] = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "access_log": [_file_log(access_log)],
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": setup.routes or [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "3s"}}],
        }]},
        "http_filters": [
            *(_filter(entry, setup) for entry in setup.filters),
            {"name": "router", "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}},
        ],
        **(HARDENED if setup.connection_manager == "hardened" else {}),
        **setup.options,
    }
    return {
        "static_resources": {
            "listeners": [{
                "name": "ingress",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                # Connections alternate between the workers, so that each test meets both.
                "connection_balance_config": {"exact_balance": {}},
                "listener_filters": [PROXY_PROTOCOL] if setup.proxy_protocol else [],
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}],
                                   **({"transport_socket": setup.transport_socket} if setup.transport_socket else {})}],
            }],
            "clusters": [_cluster(name, port, of_clusters.get(name, {})) for name, port in ports.items()],
        },
    }


def expand(value: Any) -> Any:
    """Replaces "${jwks:r1,e2}" in a filter's configuration by a JWK set of these keys, "${jwk:r1}" by one key, and
    "${jwk:r1,use=enc}" by that key with this member."""
    if isinstance(value, dict):
        return {name: expand(item) for name, item in value.items()}
    if isinstance(value, list):
        return [expand(item) for item in value]
    macro = MACRO.fullmatch(value) if isinstance(value, str) else None
    if macro is None:
        return value
    name, *others = macro[2].split(",")
    if macro[1] == "jwks":
        return idp.key_set(name, *others)
    return idp.public_jwk(name, **dict(member.split("=") for member in others))


def wasm_filter(module: str, config: Any, *, name: str = "", root_id: str = "", vm_id: str = "portcullis",
                failure_policy: str = "FAIL_RELOAD", environment: Mapping[str, str] = {},
                capabilities: Sequence[str] = (), form: str = "text") -> dict[str, Any]:
    """One of our modules as an HTTP filter, with the settings of the examples.

    `config` none: no configuration. `capabilities`: only these host functions and callbacks are allowed. `form`:
    the configuration is handed over as JSON `text` in a StringValue, or as a `struct`.
    """
    plugin: dict[str, Any] = {
        "name": name or module,
        "root_id": root_id,
        "failure_policy": failure_policy,
        "allow_on_headers_stop_iteration": True,
        "vm_config": {
            "vm_id": vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(project.module_path(module))}},
        },
    }
    if failure_policy == "FAIL_RELOAD":
        plugin["reload_config"] = {"backoff": {"base_interval": "0.1s"}}
    if config is not None:
        kind, value = ("StringValue", json.dumps(expand(config))) if form == "text" else ("Struct", expand(config))
        plugin["configuration"] = {"@type": TYPE + "google.protobuf." + kind, "value": value}
    if environment:
        plugin["vm_config"]["environment_variables"] = {"key_values": dict(environment)}
    if capabilities:
        plugin["capability_restriction_config"] = {"allowed_capabilities": {name: {} for name in capabilities}}
    return {
        "name": name or module,
        "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin},
    }


def _filter(entry: dict[str, Any], setup: Setup) -> dict[str, Any]:
    if "envoy" in entry:
        return entry["envoy"]
    environment = {"INTROSPECTION_SECRET": idp.CLIENT_SECRET, **setup.environment}
    return wasm_filter(**{"vm_id": setup.vm_id, "environment": environment, "config": None, **entry})


def _more(setup: Setup) -> dict[str, Any]:
    if not setup.upstream_filters:
        return setup.cluster
    upstream = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    codec = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
    options = {
        "@type": TYPE + upstream,
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": [
            *(_filter(entry, setup) for entry in setup.upstream_filters),
            {"name": "codec", "typed_config": {"@type": TYPE + codec}},
        ],
    }
    return {**setup.cluster, "typed_extension_protocol_options": {upstream: options}}


def _cluster(name: str, port: int, more: Mapping[str, Any]) -> dict[str, Any]:
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        **more,
    }


def _file_log(path: str) -> dict[str, Any]:
    return {
        "name": "file",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": LOG_FIELDS},
        },
    }
