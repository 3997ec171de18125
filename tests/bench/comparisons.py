"""The list of comparisons: what stands against what, under which requests, and what exactly that means."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A listener (listeners.py) under a kind of requests (traffic.py)."""

    listener: str
    requests: str = "one token"

    def __str__(self) -> str:
        return self.listener if self.requests == "one token" else f"{self.listener}, {self.requests}"


@dataclass(frozen=True)
class Comparison:
    """`subject` is ours, `against` is what a user would run instead."""

    name: str
    subject: Case
    against: Case
    note: str


def _get(name: str, subject: str, against: str, note: str) -> Comparison:
    return Comparison(name, Case(subject), Case(against), note)


def _tokens(name: str, kind: str, note: str) -> Comparison:
    return Comparison(name, Case("jwt-auth", kind), Case("jwt_authn", kind), note)


COMPARISONS = [
    _get("noop", "noop", "no filters", "an empty wasm filter against none: what Envoy's calls into wasm cost"),
    _get("header-guard-vs-noop", "header-guard", "noop", "default configuration, a request of 20 fields; 9 security fields on the answer"),
    _get("header-guard-vs-header-mutation", "header-guard", "header_mutation",
         "header_mutation sets the same 9 answer fields and removes 21 request and 4 answer names; header-guard knows more "
         "than 120 and 90 names and patterns, and refuses duplicates and malformed values, which header_mutation can't"),
    _get("rate-limit-vs-noop", "rate-limit", "noop", "a bucket for each client address, one limit"),
    _get("rate-limit-vs-local-ratelimit", "rate-limit", "local_ratelimit",
         "the same against local_ratelimit with a descriptor for each remote address"),
    _tokens("jwt-rs256-unique", "RS256 tokens", "20,000 different tokens in turn, so that every signature is verified; 2048-bit key"),
    _tokens("jwt-es256-unique", "ES256 tokens", "the same with P-256 keys"),
    _get("jwt-rs256-repeated", "jwt-auth", "jwt_authn with cache", "one token again and again; jwt_authn with jwt_cache_config"),
    _get("audit-vs-access-log", "audit", "JSON access log",
         "audit and a file access logger that prints its event, against Envoy's JSON format with 19 fields"),
    Comparison("schema-guard-vs-noop-body", Case("schema-guard", "orders"), Case("noop for bodies", "orders"),
               "POST of 1.1 KiB JSON, validated, against a noop filter that gets the same body; Envoy's buffer filter before both"),
    _get("suite-vs-native", "suite", "Envoy's filters",
         "header-guard, audit, rate-limit, jwt-auth and schema-guard in one module, against header_mutation, local_ratelimit, "
         "jwt_authn with cache, rbac and a JSON access log, each as in the lines above. schema-guard finds the operation "
         "and validates its parameters; rbac finds the operation (method and path) and asks for a role"),
    _get("suite-vs-separate", "suite", "five modules", "the same five configurations in one VM, against five VMs"),
]
