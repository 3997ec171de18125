"""The proxy's own verifier of signatures and the one in wasm say the same of every vector of Project Wycheproof, so that
it makes no difference to a verdict which of them `jwt-auth` uses."""

import base64
import json
import os
from pathlib import Path
from typing import Any, Iterator

import pytest

from harness import client, config
from harness.idp import b64
from harness.stack import Stack

# What Envoy's `verify_signature` can do: `NATIVE` of filters/jwt-auth/src/native.rs.
NATIVE = ["RS256", "RS384", "RS512", "ES256", "ES384"]
VECTORS_A_REQUEST = 50


def vectors() -> list[dict[str, Any]]:
    """The signatures by these algorithms, in the form of the corpus."""
    folder = os.environ.get("PORTCULLIS_CORPORA")
    if not folder:
        pytest.skip("PORTCULLIS_CORPORA is not set: no vectors of signatures")
    lines = (Path(folder) / "jose" / "signatures.jsonl").read_text().splitlines()
    return [vector for vector in map(json.loads, lines) if vector["alg"] in NATIVE]


def outcomes(stack: Stack, judged: list[dict[str, Any]]) -> Iterator[str]:
    """What `tests/modules/signature-probe` says of each: by Envoy, by wasm, and whether Envoy `answered`; or `key refused`."""
    for start in range(0, len(judged), VECTORS_A_REQUEST):
        body = json.dumps([{
            "alg": vector["alg"], "jwk": vector["jwk"],
            "message": b64(bytes.fromhex(vector["msg_hex"])), "signature": b64(bytes.fromhex(vector["sig_hex"])),
        } for vector in judged[start:start + VECTORS_A_REQUEST]]).encode()
        request = client.http1("POST", b"/", [(b"content-type", b"application/json")], body)
        [answer] = client.exchange1(stack.port, request, seconds=30)
        assert answer.status == 422, answer
        yield from (error["rule"] for error in json.loads(answer.body)["errors"])


def has_right_length(vector: dict[str, Any]) -> bool:
    """Whether the signature is as long as its key's are: Envoy is not asked about others."""
    jwk = vector["jwk"]
    length = len(unb64(jwk["n"])) if jwk["kty"] == "RSA" else 2 * {"P-256": 32, "P-384": 48}[jwk["crv"]]
    return len(vector["sig_hex"]) == 2 * length


def unb64(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# covers: JWT-CPU-08, JWT-ALG-14, JWT-ALG-15, JWT-ALG-17
def test_envoy_and_wasm_agree_on_every_vector() -> None:
    judged = vectors()
    with Stack(config.Setup([{"module": "test/signature-probe"}]), concurrency=1) as stack:
        found = list(outcomes(stack, judged))
        assert not stack.envoy.traps()
    # Which keys are too weak to be used is a matter of the native tests.
    for vector, outcome in zip(judged, found, strict=True):
        proxy = "answered" if has_right_length(vector) else "unasked"
        expected = {
            "valid": [f"valid valid {proxy}", "key refused"],
            "invalid": [f"invalid invalid {proxy}", "key refused"],
            "acceptable": [f"invalid invalid {proxy}", f"valid valid {proxy}"],
        }
        assert outcome in expected[vector["result"]], f"{vector['id']}: {vector['comment']}"
    usable = [vector["alg"] for vector, outcome in zip(judged, found) if outcome.endswith("answered")]
    assert set(usable) == set(NATIVE)
    assert found.count("key refused") <= len(judged) // 100
