"""A wrong or missing configuration never lets a request pass unjudged."""

from typing import Any

import pytest
import yaml

from harness import client, config, project
from harness.envoy import Envoy, StartError
from harness.stack import Stack

MISTAKES = yaml.safe_load((project.E2E / "mistakes.yaml").read_text())


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{entry['module']}: {entry['description']}" for entry in MISTAKES])
def test_a_mistake_stops_the_start_and_is_named(mistake: dict[str, Any]) -> None:
    setup = config.Setup([{"module": mistake["module"], "config": mistake["config"]}])
    with pytest.raises(StartError) as refusal:
        with Envoy(config.bootstrap(setup, {"upstream": 1, "idp": 1}, "/dev/null"), concurrency=1):
            pass
    assert mistake["error"] in refusal.value.log, refusal.value.log


@pytest.mark.parametrize("form", ["text", "struct"])
def test_a_configuration_means_the_same_as_text_and_as_a_struct(form: str) -> None:
    """Envoy hands a Struct over as Protobuf, in which every number is a double."""
    limits = [{"id": "a", "key": ["client_address"], "requests": 2, "per": "1h"}]
    nested = {"filters": [{"filter": "rate-limit", "config": {"limits": limits, "client_address": {"trusted_hops": 1}}}]}
    setup = config.Setup([{"module": "suite", "config": nested, "form": form}])
    with Stack(setup, concurrency=1) as stack:
        statuses = [client.exchange1(stack.port, client.http1("GET", b"/", []))[0].status for _ in range(3)]
        assert statuses == [200, 200, 429]


@pytest.mark.parametrize("module", ["jwt-auth", "schema-guard", "suite"])
def test_without_a_configuration_nothing_passes(module: str) -> None:
    """A filter with required settings refuses to start without them."""
    setup = config.Setup([{"module": module}])
    with pytest.raises(StartError):
        with Envoy(config.bootstrap(setup, {"upstream": 1, "idp": 1}, "/dev/null"), concurrency=1):
            pass
