#!/usr/bin/env python3
"""Writes the bootstraps of envoy-config/ from the parts in this folder.

Each bootstrap stands alone, ready to run and to copy from; what they have in common is written once here. A line
`@name` in a part stands for other lines, at the same indent.

    render.py            write the files
    render.py --check    exit 1 if a file is not what the parts make
"""

import sys
from pathlib import Path

PARTS = Path(__file__).resolve().parent
TARGET = PARTS.parent
OPENAPI = TARGET.parent / "examples" / "orders-api" / "openapi.yaml"

# Instance, and why it stands where it stands.
CHAIN = {
    "header-guard": "First: it cleans what all others see, and hardens every answer, the others' refusals included.",
    "audit": "Anywhere, as its event is made when a request has ended; here it also sees the answers of those below.",
    "rate-limit": "By address and before jwt-auth: a flood of bad tokens costs no signature checks.",
    "jwt-auth": "From here on the caller is known.",
    "rate-limit-user": "By user, so after jwt-auth.",
    "schema-guard": "Last: it waits for bodies, and only for those of callers who may send one.",
}
MODULES = {"rate-limit-user": "rate-limit", "rate-limit-global": "rate-limit", "jwt-auth-oidc": "jwt-auth"}  # else as the instance

TITLES = {
    "header-guard": "Header hygiene for requests and answers.",
    "audit": "One JSON event a request, on standard output.",
    "rate-limit": "Limits by client address, and lock-outs of who guesses passwords.",
    "rate-limit-global": "Limits that several Envoys share by a rate-limit service; without it each has them for itself.",
    "jwt-auth": "Bearer tokens, checked with the keys that the identity provider publishes.",
    "jwt-auth-oidc": "Bearer tokens of an OpenID provider, whose metadata say where its keys are; the tenant for Envoy's own filters.",
    "schema-guard": "Requests checked against the OpenAPI document of the Orders API.",
    "chain": "The whole chain: a filter of Envoy's for each job.",
    "suite": "The whole chain in one module and one VM: less work a request than chain.yaml, the same answers.",
}

# What differs under Docker Compose: the services are names, whose addresses change when they start again, and Envoy
# listens on all addresses of its container. The Compose files open these ports to the host's loopback only.
DOCKER_PORTS = (10000, 9901)
# Cluster: its port here, and host and port there.
DOCKER_SERVICES = {
    "orders": (8080, "orders", 8080),
    "idp": (8081, "idp", 8081),
    "rate-limit-service": (8083, "rate-limit-service", 8081),
}
# How it is started there.
DOCKER = {
    "chain": "make demo-docker",
    "rate-limit-global": "docker compose -f envoy-config/docker/rate-limit-global-compose.yaml up",
}


def fill(text: str, **blocks: str) -> str:
    """Replaces each line `@name` by the lines of `blocks[name]`, indented as that line is."""
    lines = []
    for line in text.splitlines():
        name = line.strip().removeprefix("@").replace("-", "_")
        if not line.strip().startswith("@"):
            lines.append(line)
        else:
            indent = line[:line.index("@")]
            lines += [(indent + inner).rstrip() for inner in blocks[name].splitlines()]
    return "\n".join(lines) + "\n"


def part(name: str) -> str:
    return (PARTS / f"{name}.yaml").read_text()


def configuration(instance: str) -> str:
    document = OPENAPI.read_text().split("\nopenapi:", 1)[1]  # without the comment at its head
    return fill(part(f"configurations/{instance}"), openapi=f"openapi:{document}")


def comment(text: str) -> str:
    return f"# {text}\n"


def envoy_filter(instance: str, settings: str, explained: bool = True) -> str:
    text = part("filter").replace("NAME", instance).replace("MODULE", MODULES.get(instance, instance))
    if not explained:
        text = "".join(line for line in text.splitlines(True) if not line.strip().startswith("#"))
    return fill(text, configuration=settings)


def bootstrap(name: str) -> str:
    clusters = ""
    module = MODULES.get(name, name)
    if name == "chain":
        filters = "\n".join(
            comment(why) + envoy_filter(instance, configuration(instance), explained=instance == "header-guard")
            for instance, why in CHAIN.items()
        )
    elif name == "suite":
        entry = "- filter: {}\n  config:\n    @configuration\n"
        settings = "filters:\n" + "".join(
            comment(why) + fill(entry.format(MODULES.get(instance, instance)), configuration=configuration(instance))
            for instance, why in CHAIN.items()
        )
        filters = envoy_filter(name, settings)
    else:
        filters = envoy_filter(name, configuration(name))
    if module in ("jwt-auth", "chain", "suite"):
        clusters = part("idp-cluster")
    if name == "rate-limit-global":
        clusters = part("rate-limit-cluster")
    log = part("event-log") if name in ("audit", "chain", "suite") else part("verdict-log").replace("NAME", module)
    head = (
        f"# {TITLES[name]}\n"
        f"# To run from the root of the repository, after `make build`: envoy -c envoy-config/{name}.yaml\n"
        "# Made by envoy-config/parts/render.py: a change belongs into its parts.\n\n"
    )
    return head + fill(part("frame"), access_log=log, filters=filters, clusters=clusters)


def docker(name: str) -> str:
    text = bootstrap(name)
    changes = {f", after `make build`: envoy -c envoy-config/{name}.yaml": f": {DOCKER[name]}"}
    for port in DOCKER_PORTS:
        changes[f"address: 127.0.0.1, port_value: {port}}}"] = f"address: 0.0.0.0, port_value: {port}}}"
    for cluster, (port, host, port_there) in DOCKER_SERVICES.items():
        if f"- name: {cluster}\n" in text:
            changes[f"- name: {cluster}\n    type: STATIC"] = f"- name: {cluster}\n    type: STRICT_DNS"
            changes[f"address: 127.0.0.1, port_value: {port}}}"] = f"address: {host}, port_value: {port_there}}}"
    for local, container in changes.items():
        if text.count(local) != 1:
            raise SystemExit(f"expected once in {name}.yaml: {local!r}")
        text = text.replace(local, container)
    return text


def main() -> int:
    files = {f"{name}.yaml": bootstrap(name) for name in TITLES}
    files |= {f"docker/{name}.yaml": docker(name) for name in DOCKER}
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, text in files.items():
        file = TARGET / name
        if not file.exists() or file.read_text() != text:
            stale.append(name)
            if not check:
                file.write_text(text)
    if check and stale:
        print(f"stale: {', '.join(stale)}; run envoy-config/parts/render.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
