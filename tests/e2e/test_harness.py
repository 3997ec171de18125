"""The harness itself: an expectation that is not met must be seen, and tokens must be what they say."""

import json
import urllib.request
from pathlib import Path

import pytest
from conftest import Stacks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from harness import cases, client, idp, profile
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


@pytest.mark.parametrize(
    ("what", "changed", "problem"),
    [
        ("as the profile has it", [], ""),
        ("a field more", [("x-a", "1")], ""),
        ("a value of the upstream's where it may stay", [("cache-control", "public")], ""),
        ("a field is missing", [("x-frame-options", None)], "'x-frame-options': []"),
        ("a field is there twice", [("x-frame-options", "DENY"), ("x-frame-options", "DENY")], "'x-frame-options': ['DENY', 'DENY']"),
        ("a field that may be the upstream's is missing", [("cache-control", None)], "'cache-control': []"),
        ("another value", [("referrer-policy", "unsafe-url")], "'referrer-policy': ['unsafe-url']"),
        ("HSTS without TLS", [("strict-transport-security", "max-age=1")], "'strict-transport-security': ['max-age=1']"),
    ],
)
def test_an_answer_without_its_profile_is_a_problem(stacks: Stacks, what: str, changed: list, problem: str) -> None:
    names = {name for name, _ in changed}
    kept = [(name, value or "no-store") for name, value in profile.API.items() if name not in names]
    headers = [*kept, *((name, value) for name, value in changed if value is not None)]
    step = {"request": {"path": "/"}, "upstream": {"headers": headers, "body": "x"}, "expect": {"profile": "api-2026"}}
    found = cases.run(cases.Case(Path("x.yaml"), "no-filters", "x", [], [step]), stacks("no-filters"))
    assert len(found) == bool(problem) and all(problem in line for line in found), (what, found)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], "none"),
        ([{"module": "jwt-auth", "config": {}}], "none"),
        ([{"module": "audit"}, {"module": "header-guard"}], "api-2026"),
        ([{"module": "header-guard", "config": {"response": {"profile": "web"}}}], "web"),
        ([{"module": "suite", "config": {"filters": [{"filter": "header-guard"}]}}], "api-2026"),
    ],
)
def test_the_profile_of_a_case_is_that_of_its_configuration(filters: list, expected: str) -> None:
    assert profile.configured(filters) == expected


def test_a_case_says_what_is_not_of_the_profile() -> None:
    bare = client.Response(400, [], b"", [])
    hardened = client.Response(200, [(name, value or "x") for name, value in profile.WEB.items()], b"", [])
    assert profile.compare("absent", bare) == profile.compare("web-2026", hardened) == profile.compare("none", bare) == []
    assert profile.compare("absent", hardened) and profile.compare("web-2026", bare) and profile.compare("api-2026", hardened)
    twice = client.Response(200, [*hardened.headers, ("content-security-policy", "y")], b"", [])
    assert "'content-security-policy': ['x', 'y']" in profile.compare("web-2026", twice)[0]
    assert "content-security-policy" not in profile.compare({"name": "web-2026", "but": ["content-security-policy"]}, bare)[0]


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
