"""Every file in envoy-config/ starts in real Envoy and answers a request; those for Docker Compose are valid, and fit together."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import client, examples, project
from harness.envoy import Envoy
from harness.idp import IdentityProvider
from harness.upstream import Upstream


def test_there_are_files() -> None:
    assert {path.stem for path in examples.FILES} >= {
        "jwt-auth", "schema-guard", "rate-limit", "header-guard", "audit", "suite", "chain"}


# covers: HOST-TRAP-04, FIRST-FORTY-37
@pytest.mark.parametrize("path", examples.FILES, ids=[path.stem for path in examples.FILES])
def test_it_starts_and_answers(path: Path, tmp_path: Path) -> None:
    assert "FAIL_OPEN" not in path.read_text(), "a filter that failed must not be a hole"
    with Upstream() as upstream, IdentityProvider() as idp:
        with Envoy(examples.load(path, upstream.port, idp.port, tmp_path)) as envoy:
            [answer] = client.exchange1(envoy.port("api"), client.http1("GET", b"/health", []))
            assert answer.status == 200, answer
            assert len(upstream.requests) == 1
            [answer] = client.exchange1(envoy.port("api"), client.http1("GET", b"/undocumented", []))
            # By the filters of the file: passed on, no token, or no such operation; never a failure.
            assert answer.status in (200, 401, 404), answer
            assert not envoy.traps()


DOCKER = project.ROOT / "envoy-config" / "docker"
COMPOSE = sorted(DOCKER.glob("*compose.yaml"))


def bootstraps(compose: Path) -> dict[str, Any]:
    """The bootstraps that the Envoys of a Compose file are started with, by path."""
    commands = [service.get("command", []) for service in yaml.safe_load(compose.read_text())["services"].values()]
    paths = {command[command.index("-c") + 1] for command in commands if command[:1] == ["envoy"]}
    return {path: yaml.safe_load((project.ROOT / path).read_text()) for path in paths}


@pytest.mark.parametrize("compose", COMPOSE, ids=[path.stem for path in COMPOSE])
def test_a_compose_file_and_its_bootstraps_fit(compose: Path, tmp_path: Path) -> None:
    services = yaml.safe_load(compose.read_text())["services"]
    for volume in (volume for service in services.values() for volume in service.get("volumes", [])):
        source = volume.split(":")[0]
        assert (DOCKER / source).exists() or source.startswith(("../../dist", "../../.run")), source
    assert bootstraps(compose)
    for path, bootstrap in bootstraps(compose).items():
        for cluster in bootstrap["static_resources"]["clusters"]:
            [endpoint] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            assert endpoint["endpoint"]["address"]["socket_address"]["address"] in services, cluster
        # Not started, as its hosts are names that Compose alone knows.
        file = tmp_path / Path(path).name
        file.write_text((project.ROOT / path).read_text().replace("filename: dist/", f"filename: {project.DIST}/"))
        command = [project.envoy_binary(), "--mode", "validate", "--config-path", str(file)]
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stderr


def test_the_rate_limit_service_has_the_limits_of_the_filter() -> None:
    service = yaml.safe_load((DOCKER / "rate-limit-service" / "portcullis.yaml").read_text())
    limits = yaml.safe_load((DOCKER.parent / "parts" / "configurations" / "rate-limit-global.yaml").read_text())["limits"]
    assert service == {"domain": "portcullis", "descriptors": [
        {"key": "generic_key", "value": limit["id"], "descriptors": [
            {"key": "remote_address", "rate_limit": {"unit": "minute", "requests_per_unit": limit["requests"]}}]}
        for limit in limits if "global" in limit]}
    for limit in limits:
        if "global" in limit:
            assert (limit["key"], limit["per"]) == (["client_address"], "1m")
            assert limit["requests"] % limit["global"]["lease"] == 0, "a lease that does not fit is lost there"
