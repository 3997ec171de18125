"""Every file in envoy-config/ starts in real Envoy and answers a request."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import client, project
from harness.envoy import Envoy
from harness.idp import IdentityProvider
from harness.upstream import Upstream

FILES = sorted((project.ROOT / "envoy-config").glob("*.yaml"))
# Fixed ports in the files: listener, API and identity provider.
LISTENER, UPSTREAM, IDP = 10000, 8080, 8081


def relocate(value: Any, ports: dict[int, int], directory: Path) -> Any:
    """The same configuration on free loopback ports, with files of logs in `directory`, and modules that are there."""
    if isinstance(value, list):
        return [relocate(item, ports, directory) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("port_value") in ports:
        return {**value, "address": "127.0.0.1", "port_value": ports[value["port_value"]]}
    if str(value.get("@type", "")).endswith(".FileAccessLog") and not value["path"].startswith("/dev/"):
        value = {**value, "path": str(directory / Path(value["path"]).name)}
    if str(value.get("filename", "")).startswith("dist/"):
        value = {**value, "filename": str(project.module_path(Path(value["filename"]).stem))}
    return {name: relocate(item, ports, directory) for name, item in value.items()}


def test_there_are_files() -> None:
    assert {path.stem for path in FILES} >= {"jwt-auth", "schema-guard", "rate-limit", "header-guard", "audit", "suite", "chain"}


# covers: HOST-TRAP-04, FIRST-FORTY-37
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_it_starts_and_answers(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    assert "FAIL_OPEN" not in text, "a filter that failed must not be a hole"
    with Upstream() as upstream, IdentityProvider() as idp:
        ports = {LISTENER: 0, UPSTREAM: upstream.port, IDP: idp.port}
        with Envoy(relocate(yaml.safe_load(text), ports, tmp_path)) as envoy:
            [answer] = client.exchange1(envoy.port("api"), client.http1("GET", b"/health", []))
            assert answer.status == 200, answer
            assert len(upstream.requests) == 1
            [answer] = client.exchange1(envoy.port("api"), client.http1("GET", b"/undocumented", []))
            # By the filters of the file: passed on, no token, or no such operation; never a failure.
            assert answer.status in (200, 401, 404), answer
            assert not envoy.traps()
