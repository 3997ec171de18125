"""Every file in envoy-config/ starts in real Envoy and answers a request."""

from pathlib import Path

import pytest

from harness import client, examples
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
