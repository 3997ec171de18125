"""jwt-auth with tokens that are bound to a key (DPoP, RFC 9449) or to a client certificate (RFC 8705)."""

import dataclasses
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from cryptography import x509

from harness import certificates, client, config, idp
from harness.stack import Stack

# The client's key; `e1` and `r1` at the end say its kind.
KEY, OTHER_KEY = "client-e1", "client-other-e1"
URL = "http://api.test/orders"


def bound(key: str = KEY) -> str:
    """A token that its issuer bound to this key."""
    return idp.mint({"claims": {"cnf": {"jkt": idp.thumbprint(key)}}})


def proven(token: str, *proofs: str, **more: Any) -> bytes:
    """A request with a token and proofs."""
    fields = [(b"dpop", proof.encode()) for proof in proofs]
    return client.with_token(token, *fields, **{"scheme": "DPoP", **more})


@pytest.fixture(scope="module")
def dpop() -> Iterator[Stack]:
    """Envoy without TLS, for proofs."""
    with Stack(config.load("jwt-auth/sender-constrained")) as stack:
        yield stack


# covers: JWT-POP-10
@pytest.mark.parametrize("key", [KEY, "client-r1"])
def test_a_proof_for_the_request_is_accepted(dpop: Stack, key: str) -> None:
    token = bound(key)
    assert dpop.judge(proven(token, idp.proof(key, "GET", URL, token))) == (200, "")
    # The query is no part of `htu` (RFC 9449 section 4.2).
    assert dpop.judge(proven(token, idp.proof(key, "POST", URL, token), method="POST", path="/orders?a=b")) == (200, "")


# covers: JWT-POP-10
@pytest.mark.parametrize(
    ("name", "reason", "changed"),
    [
        ("another method", "method_mismatch", {"method": "POST"}),
        ("the method in lower case", "method_mismatch", {"method": "get"}),
        ("another path", "uri_mismatch", {"url": "http://api.test/admin"}),
        ("another host", "uri_mismatch", {"url": "http://evil.test/orders"}),
        ("another scheme", "uri_mismatch", {"url": "https://api.test/orders"}),
        ("another port", "uri_mismatch", {"url": "http://api.test:8080/orders"}),
        ("too old", "expired", {"claims": {"iat": "${now-70}"}}),
        ("in the future", "not_yet_valid", {"claims": {"iat": "${now+60}"}}),
        ("another token's", "token_mismatch", {"claims": {"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}}),
        ("no jti", "jti_invalid", {"without": ["jti"]}),
        ("an ordinary token's type", "wrong_type", {"header": {"typ": "JWT"}}),
        ("another key's signature", "signature_invalid", {"header": {"jwk": idp.public_jwk(OTHER_KEY, kid=None, alg=None)}}),
        ("signed with the public key as a secret", "algorithm_not_allowed", {"hmac": "pem"}),
        ("another key's", "key_mismatch", {"key": OTHER_KEY}),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_a_proof_for_anything_else_is_refused(dpop: Stack, name: str, reason: str, changed: dict[str, Any]) -> None:
    token, seen = bound(), len(dpop.upstream.requests)
    spec = {"key": KEY, "method": "GET", "url": URL, "token": token, **changed}
    assert dpop.judge(proven(token, idp.proof(**spec))) == (401, f"deny jwt.dpop_{reason}")
    assert len(dpop.upstream.requests) == seen


# covers: JWT-POP-10, JWT-POP-11, JWT-POP-03
def test_a_bound_token_needs_one_proof_and_the_scheme_dpop(dpop: Stack) -> None:
    token, unbound = bound(), idp.mint({})

    def proof(of: str = token) -> str:
        return idp.proof(KEY, "GET", URL, of)

    for request, verdict in [
        (proven(token), "deny jwt.dpop_missing"),
        (proven(token, proof(), proof()), "deny jwt.dpop_multiple_proofs"),
        (proven(token, proof(), scheme="Bearer"), "deny jwt.dpop_scheme_mismatch"),
        (proven(token, scheme="Bearer"), "deny jwt.dpop_scheme_mismatch"),
        (proven(unbound, proof(unbound)), "deny jwt.dpop_token_not_bound"),
    ]:
        assert dpop.judge(request) == (401, verdict)
    [answer] = client.exchange1(dpop.port, proven(token))
    [challenge] = [value for value in answer.values("www-authenticate") if value.startswith("DPoP")]
    assert 'error="invalid_dpop_proof"' in challenge and "ES256" in challenge


# covers: JWT-POP-12
def test_a_proof_is_accepted_once_by_any_worker(dpop: Stack) -> None:
    token = bound()
    with dpop.each_worker() as workers:
        for first in (0, 1):
            request = proven(token, idp.proof(KEY, "GET", URL, token))
            statuses = []
            for worker in [workers[first], *workers, *reversed(workers)]:
                worker.send(request)
                statuses.append(worker.answer().status)
            assert statuses == [200, 401, 401, 401, 401]


# covers: JWT-POP-12
def test_of_the_same_proof_at_the_same_time_one_is_accepted(dpop: Stack) -> None:
    token = bound()
    with dpop.each_worker() as workers:
        for _ in range(50):
            request = proven(token, idp.proof(KEY, "GET", URL, token))
            for worker in workers:
                worker.send(request)
            assert sorted(worker.answer().status for worker in workers) == [200, 401]


# covers: JWT-POP-10
def test_a_nonce_is_demanded_and_then_accepted_by_any_worker() -> None:
    setup = config.load("jwt-auth/sender-constrained")
    setup.filters[0]["config"]["binding"]["dpop"]["nonce"] = {"lifetime": "10s"}
    with Stack(setup) as stack, stack.each_worker() as workers:
        token = bound()
        workers[0].send(proven(token, idp.proof(KEY, "GET", URL, token)))
        answer = workers[0].answer()
        [nonce] = answer.values("dpop-nonce")
        assert answer.status == 401
        assert any('error="use_dpop_nonce"' in value for value in answer.values("www-authenticate"))
        for worker in workers:
            worker.send(proven(token, idp.proof(KEY, "GET", URL, token, claims={"nonce": nonce})))
            assert worker.answer().status == 200
        workers[1].send(proven(token, idp.proof(KEY, "GET", URL, token, claims={"nonce": nonce.swapcase()})))
        assert workers[1].answer().status == 401


@dataclasses.dataclass
class Mtls:
    """Envoy that asks for certificates, and two clients of its authority."""

    stack: Stack
    own: certificates.Pair
    other: certificates.Pair

    def judge(self, pair: Optional[certificates.Pair], confirmation: Any, *fields: tuple[bytes, bytes]) -> tuple[int, str]:
        """A request over a connection with this certificate, with a token of this `cnf`."""
        token = idp.mint({"claims": {"cnf": confirmation}})
        return self.stack.judge(client.with_token(token, *fields), tls=certificates.client(pair))


@pytest.fixture(scope="module")
def mtls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mtls]:
    """Envoy with TLS, for certificates."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    authority = certificates.authority(folder)
    server, own, other = (certificates.issue(folder, name, [x509.DNSName(f"{name}.test")], authority)
                          for name in ("server", "own", "other"))
    setup = config.load("jwt-auth/sender-constrained")
    with Stack(dataclasses.replace(setup, transport_socket=certificates.listener(server, authority))) as stack:
        yield Mtls(stack, own, other)


def test_a_token_passes_with_the_certificate_that_it_is_bound_to(mtls: Mtls) -> None:
    for _ in range(4):
        assert mtls.judge(mtls.own, {"x5t#S256": idp.b64(mtls.own.digest)}) == (200, "")


# covers: JWT-POP-01, JWT-POP-02, JWT-POP-03
def test_a_token_is_refused_with_another_certificate_or_none(mtls: Mtls) -> None:
    right = {"x5t#S256": idp.b64(mtls.own.digest)}
    # What a proxy in front would have written, from a client.
    spoofed = (b"x-forwarded-client-cert", f"Hash={mtls.own.digest.hex()}".encode())
    seen = len(mtls.stack.upstream.requests)
    for pair, confirmation, fields, reason in [
        (mtls.other, right, [], "certificate_mismatch"),
        (None, right, [], "certificate_missing"),
        (None, right, [spoofed], "certificate_missing"),
        (mtls.other, right, [spoofed], "certificate_mismatch"),
        (mtls.own, {"x5t#S256": idp.b64(mtls.own.digest) + "="}, [], "confirmation_invalid"),
        (mtls.own, {"x5t#S256": mtls.own.digest.hex()}, [], "confirmation_invalid"),
        (mtls.own, {"x5t#S256": idp.b64(mtls.own.digest[:31])}, [], "confirmation_invalid"),
        (mtls.own, {}, [], "confirmation_invalid"),
        (mtls.own, "x5t#S256", [], "confirmation_invalid"),
        # Both at once: the certificate alone is not enough.
        (mtls.own, {**right, "jkt": idp.thumbprint(KEY)}, [], "dpop_scheme_mismatch"),
    ]:
        assert mtls.judge(pair, confirmation, *fields) == (401, f"deny jwt.{reason}"), confirmation
    assert len(mtls.stack.upstream.requests) == seen


def test_the_same_token_on_another_connection_is_judged_again(mtls: Mtls) -> None:
    """It was verified and is remembered; the certificate is the connection's, not the token's."""
    request = client.with_token(idp.mint({"claims": {"cnf": {"x5t#S256": idp.b64(mtls.own.digest)}}}))
    for _ in range(3):
        for pair, expected in [(mtls.own, 200), (mtls.other, 401), (None, 401)]:
            [answer] = client.exchange1(mtls.stack.port, request, tls=certificates.client(pair))
            assert answer.status == expected
