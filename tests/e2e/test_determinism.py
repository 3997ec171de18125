"""The same requests to the module in real Envoy as to the native build: the same answers, the same events."""

import json
from typing import Any

from harness import client, config, idp, project
from harness.stack import Stack

# The other half is filters/suite/tests/determinism.rs.
DATA = json.loads((project.E2E / "determinism.json").read_text())


def token(spec: dict[str, Any]) -> str:
    """The token that the data describe."""
    claims = {"exp": "${now%+d}" % spec["exp"], **({"aud": spec["aud"]} if "aud" in spec else {})}
    return idp.mint({"claims": claims})


# covers: HOST-OBS-03
def test_envoy_gives_the_answers_and_events_that_the_native_build_gives() -> None:
    # Bare, so that the filters see what a hardened Envoy refuses.
    setup = config.Setup([{"module": "suite", "config": DATA["config"]}], "bare", {"use_remote_address": True})
    tokens = {name: token(spec) for name, spec in DATA["tokens"].items()}
    with Stack(setup) as stack:
        for number, request in enumerate(DATA["requests"]):
            headers = []
            for name, value in request["headers"].items():
                for token_name, minted in tokens.items():
                    value = value.replace("${" + token_name + "}", minted)
                headers.append((name.encode(), value.encode("latin-1")))
            data = client.http1(request["method"], request["path"].encode(), headers, request.get("body", "").encode())
            [answer] = client.exchange1(stack.port, data)
            event = json.loads(stack.events(number, 1)[-1]["audit"])
            problem = json.loads(answer.body) if answer.status != 200 else {}
            found = {
                "status": answer.status,
                "reason": problem.get("reason"),
                "event": {name: value for name, value in event.items() if name not in DATA["without"]},
            }
            assert found == request["answer"], f"request {number}: {request['method']} {request['path']}"
        assert not stack.envoy.traps()
