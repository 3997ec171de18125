#!/usr/bin/env python3
"""The example API behind the whole chain, in real Envoy: what is let through, what is refused, and by whom.

    demo.py                     start everything, send the requests below, stop; exit 0 only if all is as expected
    demo.py --up                start everything and leave it running
    demo.py --docker            the same by Docker Compose, also with --up
    demo.py --bootstrap FILE    another chain, as in envoy-config/suite.yaml

Each line of the table is checked three times: the client's answer, the audit event, and what reached the API. Every answer,
whoever gave it, must have each of header-guard's security fields exactly once.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from client import Answer, Forger, bearer, get_token, send
from stack import ROOT, Compose, Processes

API = "orders-api"
# Who gives which family of reason codes.
FAMILIES = {
    "header": "header-guard",
    "jwt": "jwt-auth",
    "proxy": "envoy",
    "rate": "rate-limit",
    "schema": "schema-guard",
}
# The profile `api-2026` of header-guard, but for strict-transport-security, which is for clients that come over TLS.
PROFILE = (
    "x-content-type-options", "content-security-policy", "x-frame-options", "referrer-policy", "cross-origin-opener-policy",
    "cross-origin-resource-policy", "cache-control", "x-dns-prefetch-control", "x-permitted-cross-domain-policies",
)
MIN_REFETCH = 5  # seconds; as in the configuration of jwt-auth


class Demo:
    """Sends requests, compares what comes back with what should, and prints a line for each."""

    WIDTHS = (60, 13, 7, 28)

    def __init__(self, stack):
        self.stack = stack
        self.lines = 0
        self.mistakes = 0
        self.answers = []

    def send(self, method: str, target: str, *fields: tuple, body=None) -> Answer:
        """A request to Envoy. A body that is not bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body, fields = json.dumps(body).encode(), (*fields, JSON)
        answer = send(self.stack.ports["api"], method, target, *fields, body=body)
        self.answers.append((f"{method} {target}", answer))
        return answer

    def expect(self, request: str, answer: Answer, who: str, status: int, reason="-", facts=(), sent=1, reached=None):
        """Judges the last of `sent` requests, of which `reached` should have reached the API.

        Each of `facts` is a sentence, and a function of the answer and of the request as the API got it (none if it
        did not) that says whether the sentence is true.
        """
        events = self.stack.next_events(sent)
        arrived = self.stack.upstream_requests()
        reached = int(who == API) if reached is None else reached
        logged = (who, status, "-" if who == "envoy" else reason)
        # Why a token is not accepted is for the operator alone: who guesses learns nothing from the answer.
        is_hidden = who == "jwt-auth" and status == 401 and reason != "jwt.missing"
        shown = "jwt.invalid_token" if is_hidden else reason
        checks = [
            (f"{who}, {status}, {shown}", by_answer(answer) == (who, status, shown)),
            (f"{sent} audit events, found {len(events)}", len(events) == sent),
            (f"an audit event that says {logged}, found {by_event(events)}", by_event(events) == logged),
            (f"{reached} requests at the API, found {len(arrived)}", len(arrived) == reached),
            *((text, is_true(answer, arrived[-1] if arrived else None)) for text, is_true in facts),
        ]
        why = (*by_answer(answer)[:2], by_event(events)[2]) if is_hidden else by_answer(answer)
        self.judge((request, *why), checks)

    def judge(self, cells: tuple, checks: list):
        wrong = [text for text, is_right in checks if not is_right]
        self.lines += 1
        self.mistakes += len(wrong)
        self.row(*cells, "!!" if wrong else "ok")
        for text in wrong:
            print(f"    expected: {text}")

    def row(self, *cells):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(cells, (*self.WIDTHS, 2))).rstrip(), flush=True)

    def section(self, title: str):
        print(f"\n{title}")

    def note(self, text: str):
        print(f"  ({text})", flush=True)


def by_answer(answer: Answer) -> tuple:
    """Who answered, with what status and for what reason, as the client sees it."""
    if answer.status == 0:
        return "nobody", 0, answer.error
    if answer.header("content-type") != "application/problem+json":
        return API, answer.status, "-"
    reason = (answer.json() or {}).get("reason", "-")
    return FAMILIES.get(reason.split(".")[0], "unknown"), answer.status, reason


def by_event(events: list) -> tuple:
    """The same as audit saw it; Envoy gives no reason code for its own refusals."""
    event = events[-1] if events else {}
    who = {"upstream": API, "proxy": "envoy"}.get(event.get("answered_by"), event.get("answered_by"))
    return who, event.get("status"), event.get("reason", "-")


# Facts about an answer, or about the request as the API got it.

def has(name: str, part: str = ""):
    text = f"{name}: ...{part}... in the answer" if part else f"{name} in the answer"
    return text, lambda answer, _: name in answer.names() and part in answer.header(name)


def lacks(*names: str):
    return f"no {', '.join(names)} in the answer", lambda answer, _: not answer.names() & set(names)


def complains(pointer: str, rule: str):
    error = {"location": "body", "pointer": pointer, "rule": rule}
    return f"{error} in the answer", lambda answer, _: error in (answer.json() or {}).get("errors", [])


def api_got(name: str, *values: str):
    def is_true(_, got):
        return got is not None and [value for key, value in got["headers"] if key == name] == list(values)
    return f"{name}: {', '.join(values) or 'nothing'} at the API", is_true


JSON = ("content-type", "application/json")
TEAPOT = {"item": "teapot", "quantity": 1}


def walk(demo: Demo):
    """The requests, in an order in which each one finds what it needs."""
    alice, bob = (bearer(get_token(demo.stack.ports["idp"], name)) for name in ["alice", "bob"])
    ordinary_use(demo, alice, bob)
    bad_tokens(demo, alice, bob)
    spoofed_headers(demo, alice)
    undocumented_requests(demo, alice)
    too_many_requests(demo, alice, bob)
    new = rotated_keys(demo, alice)
    stopped_services(demo, new)
    security_fields(demo)
    audit_log(demo, [alice, bob, new])


def ordinary_use(demo: Demo, alice: tuple, bob: tuple):
    get, expect = demo.send, demo.expect
    demo.section("Ordinary use")
    expect("health, which needs no token", get("GET", "/health"), API, 200)
    expect("alice lists her orders (token RS256)", get("GET", "/orders?status=open", alice), API, 200,
           facts=[api_got("x-user-id", "alice"), api_got("authorization"),
                  lacks("server", "x-powered-by", "x-envoy-upstream-service-time")])
    expect("bob creates an order (token ES256)", get("POST", "/orders", bob, body=TEAPOT), API, 201,
           facts=[api_got("x-user-id", "bob")])
    expect("alice reads an order of hers", get("GET", "/orders/1", alice), API, 200)
    expect("alice deletes an order of hers", get("DELETE", "/orders/2", alice), API, 204)
    expect("alice asks for bob's: the API knows who she is", get("GET", "/orders/3", alice), API, 404)


def bad_tokens(demo: Demo, alice: tuple, bob: tuple):
    get, expect = demo.send, demo.expect
    forger = Forger(demo.stack.keys)
    now = int(time.time())
    demo.section("Without a valid token")
    expect("no token", get("GET", "/orders"), "jwt-auth", 401, "jwt.missing",
           facts=[has("www-authenticate", "Bearer")])
    for name, token, reason in [
        ("that is none", "let-me-in", "jwt.malformed"),
        ("expired", forger.with_claims(iat=now - 4200, exp=now - 3600), "jwt.expired"),
        ("not valid yet", forger.with_claims(nbf=now + 3600), "jwt.not_yet_valid"),
        ("that never expires", forger.with_claims(exp=None), "jwt.claims_invalid"),
        ("for another API (audience)", forger.with_claims(aud="billing"), "jwt.audience_mismatch"),
        ("of another provider (issuer)", forger.with_claims(iss="https://idp.other"), "jwt.issuer_unknown"),
        ("without signature: alg none", forger.unsigned(), "jwt.malformed"),
        ("signed HS256 with the public key", forger.signed_with_public_key(), "jwt.algorithm_not_allowed"),
        ("of alice, changed to bob's", forger.tampered(), "jwt.signature_invalid"),
        ("by the attacker's key", forger.own_key(), "jwt.unknown_key"),
        ("by the attacker's key, named as the provider's", forger.own_key_as_providers(), "jwt.signature_invalid"),
    ]:
        expect(f"token {name}", get("GET", "/orders", bearer(token)), "jwt-auth", 401, reason,
               facts=[has("www-authenticate", 'error="invalid_token"')])
    expect("two tokens in one request", get("GET", "/orders", alice, bob), "header-guard", 400, "header.duplicate")


def spoofed_headers(demo: Demo, alice: tuple):
    get, expect = demo.send, demo.expect
    demo.section("Headers that no client should send")
    expect("alice with x-user-id: bob", get("GET", "/orders", alice, ("x-user-id", "bob")), API, 200,
           facts=[api_got("x-user-id", "alice")])
    expect("nobody with x-user-id: bob, on a public path", get("GET", "/health", ("x-user-id", "bob")), API, 200,
           facts=[api_got("x-user-id")])
    expect("x_user_id, which some servers take for x-user-id", get("GET", "/orders", alice, ("x_user_id", "bob")),
           "envoy", 400, "proxy.refused")
    expect("x-original-url: /admin", get("GET", "/orders", alice, ("x-original-url", "/admin")), API, 200,
           facts=[api_got("x-original-url")])
    lengths = [("content-length", "2"), ("content-length", "30")]
    expect("two different lengths of one body", get("POST", "/orders", alice, *lengths, body=b"{}"),
           "envoy", 400, "proxy.refused")
    expect("a value that is not UTF-8 harms nobody", get("GET", "/orders", alice, ("x-note", "caf\xe9")), API, 200,
           facts=[api_got("x-note", "caf\xe9")])


def undocumented_requests(demo: Demo, alice: tuple):
    get, expect = demo.send, demo.expect
    demo.section("Requests that the OpenAPI document does not allow")
    for name, body, error in [
        ("wrong type: quantity \"two\"", {"item": "teapot", "quantity": "two"}, ("/quantity", "type")),
        ("out of bounds: quantity 1000", {"item": "teapot", "quantity": 1000}, ("/quantity", "maximum")),
        ("unknown field: owner bob", {**TEAPOT, "owner": "bob"}, ("/owner", "additionalProperties")),
        ("missing field: quantity", {"item": "teapot"}, ("/quantity", "required")),
    ]:
        expect(name, get("POST", "/orders", alice, body=body), "schema-guard", 400, "schema.invalid",
               facts=[complains(*error)])
    expect("a body that is not JSON", get("POST", "/orders", alice, JSON, body=b"{item}"),
           "schema-guard", 400, "schema.invalid_json")
    twice = b'{"item": "teapot", "quantity": 1, "quantity": 99}'
    expect("one field twice", get("POST", "/orders", alice, JSON, body=twice),
           "schema-guard", 400, "schema.invalid_json")
    expect("a body of 100 KiB", get("POST", "/orders", alice, body={**TEAPOT, "note": "x" * 102_400}),
           "schema-guard", 413, "schema.body_too_large")
    expect("media type text/plain", get("POST", "/orders", alice, ("content-type", "text/plain"), body=b"teapot"),
           "schema-guard", 415, "schema.unsupported_media_type")
    expect("path parameter: /orders/seven", get("GET", "/orders/seven", alice), "schema-guard", 400, "schema.invalid")
    expect("query parameter: limit=1000", get("GET", "/orders?limit=1000", alice),
           "schema-guard", 400, "schema.invalid")
    expect("unknown path: /admin", get("GET", "/admin", alice), "schema-guard", 404, "schema.unknown_path")
    expect("unknown method: PUT", get("PUT", "/orders", alice, body=TEAPOT),
           "schema-guard", 405, "schema.method_not_allowed", facts=[has("allow", "GET")])
    expect("path trick: /orders/..%2fadmin", get("GET", "/orders/..%2fadmin", alice), "envoy", 400, "proxy.refused")
    expect("path trick: //admin", get("GET", "//admin", alice), "schema-guard", 404, "schema.unknown_path")
    expect("path trick: /health/../orders, no token", get("GET", "/health/../orders"), "jwt-auth", 401, "jwt.missing")


def too_many_requests(demo: Demo, alice: tuple, bob: tuple):
    get, expect = demo.send, demo.expect
    demo.section("Too many requests")

    def login(name: str, password: str, *fields: tuple) -> Answer:
        return get("POST", "/login", *fields, body={"username": name, "password": password})

    expect("bob logs in", login("bob", "builder"), API, 200)
    for number in range(1, 6):
        expect(f"somebody guesses his password, {number}", login("bob", "guess"), API, 401)
    expect("somebody guesses his password, 6", login("bob", "guess"), "rate-limit", 429, "rate.locked_out",
           facts=[has("retry-after")])
    expect("the same, with another X-Forwarded-For", login("bob", "guess", ("x-forwarded-for", "203.0.113.7")),
           "rate-limit", 429, "rate.locked_out")
    expect("the same, for an account written \" BOB\"", login(" BOB", "guess"), "rate-limit", 429, "rate.locked_out")
    expect("alice logs in", login("alice", "wonderland"), API, 200)
    began = time.monotonic()
    burst = [get("POST", "/orders", bob, body=TEAPOT) for _ in range(30)]
    created = sum(answer.status == 201 for answer in burst)
    most = 16 + int((time.monotonic() - began) / 2)  # a bucket of 15, and one more every 2 s
    expect(f"bob creates 30 orders in a burst: {created} pass", burst[-1], "rate-limit", 429, "rate.exceeded",
           sent=30, reached=created, facts=[has("retry-after"), (f"14 to {most}", lambda *_: 14 <= created <= most)])
    expect("alice is not affected", get("POST", "/orders", alice, body=TEAPOT), API, 201)


def rotated_keys(demo: Demo, old: tuple) -> tuple:
    """The provider changes its keys: first as planned, then at once, as after a theft. Gives a token by the last."""
    idp = demo.stack.ports["idp"]

    def rotate(how: str) -> tuple:
        demo.note(f"waiting {MIN_REFETCH} s: jwt-auth asks for new keys at most that often, whatever clients send")
        time.sleep(MIN_REFETCH + 0.2)
        send(idp, "POST", f"/rotate?old={how}")
        return bearer(get_token(idp, "alice"))

    demo.section("New keys")
    new = rotate("keep")
    demo.expect("new keys, old ones still published: a new token", demo.send("GET", "/orders", new), API, 200)
    demo.expect("new keys, old ones still published: an old token", demo.send("GET", "/orders", old), API, 200)
    new = rotate("remove")
    demo.expect("new keys, old ones withdrawn: a new token", demo.send("GET", "/orders", new), API, 200)
    time.sleep(0.5)  # the worker that did not fetch the keys takes them over within 0.1 s
    demo.expect("new keys, old ones withdrawn: an old token", demo.send("GET", "/orders", old),
                "jwt-auth", 401, "jwt.unknown_key")
    return new


def stopped_services(demo: Demo, alice: tuple):
    get, expect = demo.send, demo.expect
    demo.section("Services that stop")
    demo.stack.stop_service("idp")
    expect("identity provider stopped: its keys are known", get("GET", "/orders", alice), API, 200)
    demo.stack.stop_service("orders")
    expect("API stopped: an answer, not a hang", get("GET", "/orders", alice), "envoy", 503, "proxy.unavailable")
    expect("API stopped, no token: refused as before", get("GET", "/orders"), "jwt-auth", 401, "jwt.missing")
    demo.stack.start_service("orders")
    expect("API started again", get("GET", "/orders", alice), API, 200)


def security_fields(demo: Demo):
    demo.section("The security fields of all these answers")
    # Of the filters', the API's and Envoy's own answers alike.
    times = [(f"{request}, answered {answer.status}", name, answer.count(name))
             for request, answer in demo.answers for name in PROFILE]
    demo.judge((f"each of the {len(PROFILE)} is there exactly once", "header-guard", f"{len(demo.answers)}", "answers"),
               [(f"one {name} in the answer to {request}, found {count}", count == 1) for request, name, count in times])


def audit_log(demo: Demo, credentials: list):
    demo.section("The audit log")
    log = demo.stack.audit_log.read_text(errors="replace")
    # The signature is what makes a token more than public text.
    secrets = ["builder", "guess", "wonderland", *(value.rsplit(".", 1)[1] for _, value in credentials)]
    demo.judge(("no token and no password is in it", "audit", f"{demo.stack.events_read}", "events"),
               [(f"nothing of {secret[:8]}...", secret not in log) for secret in secrets])


def leave_running(stack):
    api, idp, admin = (f"http://127.0.0.1:{stack.ports[name]}" for name in ["api", "idp", "admin"])
    print(f"""
Running. Try, in another terminal:

  TOKEN=$(curl -s {idp}/token -d grant_type=client_credentials -d client_id=alice -d client_secret=alice-secret \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')

  curl -i {api}/orders -H "authorization: Bearer $TOKEN"
  curl -i {api}/orders -H "authorization: Bearer $TOKEN" --json '{{"item": "teapot", "quantity": 2}}'
  curl -i {api}/orders -H "authorization: Bearer $TOKEN" --json '{{"item": "teapot", "quantity": "two"}}'
  curl -i {api}/orders
  curl -i {api}/admin -H "authorization: Bearer $TOKEN"
  for i in 1 2 3 4 5 6; do curl -i {api}/login --json '{{"username": "bob", "password": "guess"}}'; done

  audit log     tail -f {stack.audit_log.relative_to(ROOT)}
  admin page    {admin}
  other logs    {stack.folder.relative_to(ROOT)}/

Ctrl-C stops everything.""", flush=True)
    while not stack.ended():
        time.sleep(0.5)
    raise SystemExit(f"{stack.ended()} ended; see {stack.folder.relative_to(ROOT)}/{stack.ended()}.log")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--up", action="store_true", help="leave everything running")
    parser.add_argument("--docker", action="store_true", help="run by Docker Compose")
    parser.add_argument("--bootstrap", type=Path, default=ROOT / "envoy-config" / "chain.yaml")
    arguments = parser.parse_args()
    # A stop by `kill` takes the same way out as Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    stack = Compose() if arguments.docker else Processes(arguments.bootstrap, fixed_ports=arguments.up)
    demo = Demo(stack)
    try:
        print("Starting the identity provider, the Orders API and Envoy ...", flush=True)
        stack.start()
        if arguments.up:
            leave_running(stack)
        print()
        demo.row("request", "answered by", "status", "reason")
        walk(demo)
    except KeyboardInterrupt:
        print("\nStopping.")
        return 0 if arguments.up else 130
    finally:
        stack.close()
    result = f"{demo.mistakes} not as expected" if demo.mistakes else "all as expected"
    seconds = time.monotonic() - began
    print(f"\n{demo.lines} lines, {result}, in {seconds:.0f} s. Logs: {stack.folder.relative_to(ROOT)}/")
    return 1 if demo.mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
