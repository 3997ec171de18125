"""The security fields that header-guard sets on every answer, each exactly once; docs/header-guard.md lists them."""

from typing import Any, Mapping, Optional, Sequence

from .client import Response

# Name and value; no value where the upstream's own stays, or is too long to repeat.
API: dict[str, Optional[str]] = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": None,
    "x-dns-prefetch-control": "off",
    "x-permitted-cross-domain-policies": "none",
}
WEB = {**API, "content-security-policy": None, "cross-origin-embedder-policy": "require-corp", "permissions-policy": None}
PROFILES = {"api-2026": API, "api": API, "web-2026": WEB, "web": WEB}
# Only clients that came over TLS are told this, and none of the cases does, but for what a proxy of ours says.
HSTS = "strict-transport-security"


def configured(filters: Sequence[Mapping[str, Any]]) -> str:
    """The profile of header-guard among the filters of a configuration; `none` where it is not among them."""
    for entry in filters:
        name, config = entry.get("module") or entry.get("filter"), entry.get("config") or {}
        if name == "suite":
            return configured(config["filters"])
        if name == "header-guard":
            return config.get("response", {}).get("profile", "api-2026")
    return "none"


def compare(wanted: Any, answer: Response) -> list[str]:
    """How the answer differs from a profile. `wanted` is the profile's name, or `{name, but}` with the names of fields that
    are otherwise; `none` allows everything; `absent` means that not one of the fields is there."""
    name, but = (wanted["name"], wanted["but"]) if isinstance(wanted, Mapping) else (wanted, [])
    if name == "none":
        return []
    if name == "absent" or answer.status == 101:  # a switch of protocols is no page
        wrong = [field for field in (*WEB, HSTS) if answer.values(field)]
    else:
        wrong = [field for field, value in PROFILES[name].items()
                 if field not in but and not _is_once(value, answer.values(field))]
        wrong += [HSTS] if HSTS not in but and answer.values(HSTS) else []
    found = {field: answer.values(field) for field in wrong}
    return [f"profile {name}: found {found} on an answer with status {answer.status}"] if wrong else []


def _is_once(value: Optional[str], found: list[str]) -> bool:
    return found == [value] if value is not None else len(found) == 1
