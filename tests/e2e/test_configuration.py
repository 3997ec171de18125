"""A wrong or missing configuration never lets a request pass unjudged."""

from typing import Any

import pytest
import yaml

from harness import client, config, project
from harness.envoy import Envoy, StartError
from harness.stack import Stack

MISTAKES = yaml.safe_load((project.E2E / "mistakes.yaml").read_text())
# What the modules import and export, without the callbacks of requests. docs/: capability restriction.
CAPABILITIES = """
proxy_log proxy_get_property proxy_set_property proxy_get_buffer_bytes proxy_set_buffer_bytes proxy_get_header_map_value
proxy_get_header_map_pairs proxy_set_header_map_pairs proxy_replace_header_map_value proxy_add_header_map_value
proxy_remove_header_map_value proxy_get_shared_data proxy_set_shared_data proxy_define_metric proxy_increment_metric
proxy_record_metric proxy_http_call proxy_send_local_response proxy_continue_stream proxy_get_current_time_nanoseconds
proxy_set_tick_period_milliseconds proxy_call_foreign_function proxy_set_effective_context proxy_on_context_create
proxy_on_vm_start proxy_on_configure proxy_on_request_headers proxy_on_request_body proxy_on_request_trailers
proxy_on_response_headers proxy_on_response_body proxy_on_response_trailers proxy_on_tick proxy_on_http_call_response
proxy_on_done proxy_on_log proxy_on_delete
fd_write clock_time_get random_get environ_get environ_sizes_get proc_exit
""".split()
TOKEN_RULES = {"providers": [{"name": "main", "issuer": "https://issuer.test/", "audiences": ["api://orders"],
                              "jwks": {"inline": "${jwks:r1}"}}]}


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


@pytest.mark.parametrize("missing", ["", "proxy_on_configure", "proxy_on_request_headers"])
def test_a_callback_that_is_not_allowed_does_not_open_the_way(missing: str) -> None:
    """Envoy's capability list silently leaves out callbacks that it does not hold."""
    capabilities = [name for name in CAPABILITIES if name != missing]
    setup = config.Setup([{"module": "jwt-auth", "config": TOKEN_RULES, "capabilities": capabilities}])
    with Stack(setup, concurrency=1) as stack:
        [answer] = client.exchange1(stack.port, client.http1("GET", b"/orders", []))
        assert answer.status == (503 if missing else 401)
        [answer] = client.exchange1(stack.port, client.http1("POST", b"/orders", [], b"{}"))
        assert answer.status == (503 if missing else 401)
        # Without the request callback the request reaches the upstream; its answer does not reach the client.
        if missing != "proxy_on_request_headers":
            assert stack.upstream.requests == []
        assert not stack.envoy.traps()


@pytest.mark.parametrize("module", ["jwt-auth", "schema-guard", "suite"])
def test_without_a_configuration_nothing_passes(module: str) -> None:
    """A filter with required settings refuses to start without them."""
    setup = config.Setup([{"module": module}])
    with pytest.raises(StartError):
        with Envoy(config.bootstrap(setup, {"upstream": 1, "idp": 1}, "/dev/null"), concurrency=1):
            pass
