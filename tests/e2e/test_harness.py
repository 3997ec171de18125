"""The harness itself: an expectation that is not met must be seen, and tokens must be what they say."""

import json
import urllib.request
from pathlib import Path

import pytest
from conftest import Stacks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from harness import cases, idp
from harness.stack import Stack


@pytest.fixture
def stack(stacks: Stacks) -> Stack:
    """Envoy without filters."""
    return stacks("no-filters")


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ({"status": 401}, "status: expected 401, found 200"),
        ({"upstream_requests": 0}, "upstream requests: expected 0, found 1"),
        ({"headers": {"x-a": "1"}}, "header x-a: expected '1', found []"),
        ({"headers_absent": ["server"]}, "header server: expected none"),
        ({"reason": "jwt.expired"}, "body.reason: missing"),
        ({"body_json": {"method": "PUT"}}, "body.method: expected 'PUT', found 'GET'"),
        ({"upstream_headers": {"x-twice": "1"}}, "upstream header x-twice: expected '1', found ['1', '2']"),
        ({"upstream_headers_absent": ["x-twice"]}, "upstream header x-twice: expected none"),
        ({"upstream_trailers": {"x-t": "1"}}, "upstream trailers: expected {'x-t': '1'}, found {}"),
        ({"audit": {"status": 200}}, "audit: expected a JSON event"),
        ({"log": {"status": 201}}, "log.status: expected 201, found 200"),
        ({"logs_without": ["/secret"]}, "a log holds '/secret'"),
        ({"log_lines": 2}, "expected 2 access log lines, found 1"),
        ({"connection_closed": True}, "expected no answer, found one"),
    ],
)
def test_an_unmet_expectation_is_a_problem(stack: Stack, expect: dict, problem: str) -> None:
    request = {"path": "/secret", "headers": [["x-twice", "1"], ["x-twice", "2"]]}
    case = cases.Case(Path("x.yaml"), "no-filters", "x", [], [{"request": request, "expect": expect}])
    found = cases.run(case, stack)
    assert any(problem in line for line in found), found


def test_a_token_in_a_log_is_a_problem(stack: Stack) -> None:
    step = {"request": {"path": "/?t=${good}"}, "expect": {"status": 200}}
    case = cases.Case(Path("x.yaml"), "no-filters", "x", [], [step], tokens={"good": {}})
    assert any("a log holds" in line for line in cases.run(case, stack))


def test_tokens_are_what_they_say() -> None:
    def claims(token: str) -> dict:
        return json.loads(cases.idp.base64.urlsafe_b64decode(token.split(".")[1] + "=="))

    def verifies(token: str) -> bool:
        signed, _, signature = token.rpartition(".")
        public = idp.private_key("r1").public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        try:
            public.verify(idp.base64.urlsafe_b64decode(signature + "=="), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    good = idp.mint({})
    assert verifies(good) and claims(good)["exp"] - claims(good)["iat"] == 300
    assert "exp" not in claims(idp.mint({"without": ["exp"]}))
    assert not verifies(idp.mint({"hmac": "pem"})) and not verifies(idp.mint({"signature": "zero"}))
    assert idp.mint({"form": "{h}.{p}."}).endswith(".")
    assert b'"x":1,"x":2' in idp.base64.urlsafe_b64decode(idp.mint({"claims_text": '{"x":1,"x":2}'}).split(".")[1] + "==")


def test_the_identity_provider_fails_as_told(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.idp.port}/jwks"
    with urllib.request.urlopen(address, timeout=5) as answer:
        assert [key["kid"] for key in json.load(answer)["keys"]] == ["r1", "e1"]
    stack.idp.fail("down")
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)
    stack.idp.fail("")
    with urllib.request.urlopen(address, timeout=5) as answer:
        assert answer.status == 200
