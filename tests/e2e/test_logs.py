"""What the filters write into the proxy's own log: few lines, one line each, nothing of a request."""

import pytest
from test_capabilities import capabilities

from harness import config
from harness.envoy import Envoy, StartError
from harness.load import flood
from harness.stack import Stack

REQUESTS = 2_000
# Of one worker, see shared/host/src/log_limit.rs; and those of the instances that only start, on the main thread.
LINES_AT_ONCE, LINES_AT_START = 100, 10


# covers: HOST-CALL-09
def test_a_failure_that_every_request_meets_does_not_fill_the_log() -> None:
    setup = config.load("rate-limit/hourly")
    setup.filters[0]["capabilities"] = [name for name in capabilities() if name != "proxy_get_shared_data"]
    with Stack(setup, concurrency=1) as stack:
        outcome = flood(stack.port, b"HEAD /canary-path HTTP/1.1\r\nhost: api.test\r\nx-a: canary-value\r\n\r\n", REQUESTS)
        assert outcome.statuses == {503: REQUESTS}
        lines = [line for line in stack.envoy.log().splitlines() if "requests can't be counted" in line]
        assert 0 < len(lines) <= LINES_AT_ONCE + LINES_AT_START + outcome.seconds, len(lines)
        assert not [line for line in lines if "canary" in line]


# covers: HOST-CALL-09
def test_a_text_from_outside_stays_one_line() -> None:
    """An unknown field is repeated, so that the operator finds it; here it tries to write a line of its own."""
    name = "field\n[critical] all is lost \x1b[31m\r"
    setup = config.Setup([{"module": "header-guard", "config": {name: 1}}])
    with pytest.raises(StartError) as refusal:
        with Envoy(config.bootstrap(setup, {"upstream": 1, "idp": 1}, "/dev/null"), concurrency=1):
            pass
    [line] = [line for line in refusal.value.log.splitlines() if "configuration refused" in line]
    assert "field" in line and "all is lost" in line
    assert "\x1b" not in line and "\r" not in line
