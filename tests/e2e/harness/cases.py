"""Reads the YAML cases, sends their requests and compares. The format is described in tests/e2e/README.md."""

import functools
import itertools
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional

import yaml

from . import client, idp, profile, project
from .stack import Stack
from .upstream import Answer, Recorded

# How long something that must not arrive at the upstream is given to arrive.
SETTLE_SECONDS = 0.03
MAX_SECONDS = 3.0
STEP_FIELDS = {"request", "expect", "repeat", "upstream", "idp", "rate_limit_service", "wait"}
REQUEST_FIELDS = {"method", "path", "headers", "body", "json", "raw", "protocol", "trailers", "answers", "peer"}
EXPECT_FIELDS = {
    "status", "headers", "headers_absent", "body", "body_json", "body_without", "reason", "trailers", "connection_closed",
    "upstream_requests", "upstream_headers", "upstream_headers_absent", "upstream_target", "upstream_body",
    "upstream_trailers", "profile",
    "audit", "log", "log_lines", "logs_without", "max_seconds",
}
MACRO = re.compile(r"\$\{([a-z][\w.-]*)\}")
REPEAT = re.compile(r"\$\{repeat (\d+) ([^}]*)\}")


class CaseMistake(Exception):
    """A case file is wrong."""


@dataclass
class Case:
    """One test: its steps run in order against the stack of its configuration."""

    file: Path
    config: str
    description: str
    covers: list[str]
    steps: list[dict[str, Any]]
    tokens: dict[str, Any] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For pytest: file and description."""
        return f"{self.file.relative_to(project.E2E / 'cases').with_suffix('')}: {self.description}"


def load(directory: Path) -> list[Case]:
    """All cases of all files, variants expanded, in order of file and position."""
    return [case for path in sorted(directory.rglob("*.yaml")) for case in _load_file(path)]


def run(case: Case, stack: Stack) -> list[str]:
    """Runs a case; what is not as expected, one line each."""
    tokens, steps = _ready(case, stack.port)
    secrets = [secret for token in tokens.values() for secret in _secret_parts(token)]
    problems: list[str] = []
    for number, step in enumerate(steps, 1):
        for turn in range(step.get("repeat", 1)):
            found = _Step(stack, step, secrets).run()
            where = f"step {number}" + (f", turn {turn + 1}" if "repeat" in step else "")
            problems += [f"{where}: {problem}" for problem in found]
    problems += [f"Envoy's log tells of a trap: {line}" for line in stack.envoy.traps()]
    if not stack.envoy.is_running():
        problems.append("Envoy ended")
    return problems


def requests(case: Case, port: int) -> Iterator[Callable[[float], object]]:
    """The requests of a case, to be sent to `port` without caring for what comes of them: each waits so many seconds."""
    for step in _ready(case, port)[1]:
        if "request" in step:
            yield functools.partial(_send, port, step["request"])


def _ready(case: Case, port: int) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Fresh tokens, and the steps with all their macros replaced."""
    tokens = {name: idp.mint(spec or {}) for name, spec in case.tokens.items()}
    return tokens, _replace(case.steps, {**case.values, **tokens, "port": str(port)})


class _Step:
    """One request, or one change of the surroundings, and what is expected of it."""

    def __init__(self, stack: Stack, step: Mapping[str, Any], secrets: list[str]) -> None:
        self._stack = stack
        self._step = step
        self._secrets = secrets

    def run(self) -> list[str]:
        stack, step = self._stack, self._step
        stack.upstream.answer = _answer(step.get("upstream", {}))
        if "idp" in step:
            _set_idp(stack, step["idp"])
        if "rate_limit_service" in step:
            assert stack.rate_limit_service is not None
            stack.rate_limit_service.fail(**step["rate_limit_service"])
        time.sleep(step.get("wait", 0))
        if "request" not in step:
            return []
        request, expect = step["request"], step.get("expect", {})
        requests_before, events_before = len(stack.upstream.requests), stack.event_count()
        log_before = len(stack.logs())
        began = time.monotonic()
        try:
            answers = _send(stack.port, request, expect.get("max_seconds", MAX_SECONDS))
        except client.NoAnswer as error:
            answers = []
            problems = [] if expect.get("connection_closed") else [str(error)]
        else:
            problems = ["expected no answer, found one"] if expect.get("connection_closed") else []
        took = time.monotonic() - began
        if took > expect.get("max_seconds", MAX_SECONDS):
            problems.append(f"took {took:.1f} s, expected at most {expect.get('max_seconds', MAX_SECONDS)}")
        # Each request leaves exactly one line, whoever answered it.
        lines = expect.get("log_lines", max(len(answers), 1))
        events = stack.events(events_before, lines)
        if len(events) != lines:
            problems.append(f"expected {lines} access log lines, found {len(events)}")
        if expect.get("upstream_requests") == 0:
            time.sleep(SETTLE_SECONDS)
        if answers:
            problems += _compare_answer(expect, answers[-1])
        # Whatever a case is about, and whoever answers.
        wanted = expect.get("profile", profile.configured(stack.setup.filters))
        problems += [problem for answer in answers for problem in profile.compare(wanted, answer)]
        problems += _compare_upstream(expect, stack.upstream.requests[requests_before:])
        problems += _compare_event(expect, events[-1] if events else None)
        log = stack.logs()[log_before:]
        for text in [*expect.get("logs_without", []), *self._secrets]:
            if text in log:
                problems.append(f"a log holds {text!r}, which it must not")
        answered = b"".join(answer.body for answer in answers).decode("latin-1")
        problems += [f"the answer holds {text!r}, part of a token" for text in self._secrets if text in answered]
        return problems


def wire(text: Any) -> bytes:
    """Text of a case as bytes: latin-1, so that "\\xff" is one byte; `!!binary` as it is."""
    if isinstance(text, bytes):
        return text
    try:
        return str(text).encode("latin-1")
    except UnicodeEncodeError as error:
        raise CaseMistake(f"{text!r}: write characters above U+00FF as their UTF-8 bytes, or as !!binary") from error


def _load_file(path: Path) -> Iterator[Case]:
    content = yaml.safe_load(path.read_text())
    _check(content, {"config", "tokens", "cases"}, path, "file")
    for entry in content["cases"]:
        _check(entry, {"description", "covers", "tokens", "each"} | STEP_FIELDS | {"steps"}, path, "case")
        steps = entry.get("steps") or [{name: entry[name] for name in STEP_FIELDS if name in entry}]
        for step in steps:
            _check(step, STEP_FIELDS, path, "step")
            _check(step.get("request", {}), REQUEST_FIELDS, path, "request")
            _check(step.get("expect", {}), EXPECT_FIELDS, path, "expect")
        for values in _variants(entry.get("each")):
            yield Case(
                path, content["config"], _named(entry["description"], values), entry.get("covers", []),
                _replace(steps, values), {**content.get("tokens", {}), **_replace(entry.get("tokens", {}), values)}, values,
            )


def _variants(each: Any) -> list[dict[str, Any]]:
    """`each` as a list of variable values: a list of mappings, or a mapping of one name to a list."""
    if each is None:
        return [{}]
    if isinstance(each, list):
        return each
    [(name, values)] = each.items()
    return [{name: value} for value in values]


def _named(description: str, values: Mapping[str, Any]) -> str:
    """The description of a variant: values that it does not mention are added."""
    named = description
    for name, value in values.items():
        shown = repr(value)[1:-1] if isinstance(value, str) else str(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        named = named.replace("${" + name + "}", shown) if "${" + name + "}" in named else f"{named} [{shown}]"
    return named


def _check(found: Mapping[str, Any], known: set[str], path: Path, what: str) -> None:
    unknown = set(found) - known
    if unknown:
        raise CaseMistake(f"{path.relative_to(project.ROOT)}: unknown in {what}: {sorted(unknown)}")


def _replace(value: Any, macros: Mapping[str, Any]) -> Any:
    """Replaces "${name}" in every text. A text that is only a macro becomes the macro's value, whatever its type."""
    if isinstance(value, dict):
        return {_replace(name, macros): _replace(item, macros) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, macros) for item in value]
    if not isinstance(value, str):
        return value
    value = REPEAT.sub(lambda match: match[2] * int(match[1]), value)
    whole = MACRO.fullmatch(value)
    if whole and whole[1] in macros:
        return macros[whole[1]]
    return MACRO.sub(lambda match: str(macros.get(match[1], match[0])), value)


def _secret_parts(token: str) -> list[str]:
    """Parts of a token that no log and no answer may show."""
    return [part for part in token.split(".")[1:] if len(part) >= 32]


def _answer(spec: Mapping[str, Any]) -> Answer:
    body = spec.get("body")
    return Answer(
        status=spec.get("status", 200),
        headers=[(name, value) for name, value in _fields_text(spec.get("headers", []))],
        body=None if body is None else wire(body),
        raw=wire(spec["raw"]) if "raw" in spec else None,
        delay=spec.get("delay", 0.0),
        behaviour=spec.get("behaviour", "answer"),
    )


def _set_idp(stack: Stack, spec: Mapping[str, Any]) -> None:
    """`fault`: see `IdentityProvider.fail`; `keys`: the key set of the first issuer from now on."""
    stack.idp.fail(spec.get("fault", ""))
    if "keys" in spec:
        stack.idp.key_sets["/jwks"] = list(spec["keys"])


def _send(port: int, request: Mapping[str, Any], seconds: float) -> list[client.Response]:
    peer = request.get("peer", "")
    if "raw" in request:
        return client.exchange1(port, wire(request["raw"]), seconds, request.get("answers", 1), peer)
    method, path = request.get("method", "GET"), request.get("path", "/")
    headers = [(wire(name), wire(value)) for name, value in _fields(request.get("headers", []))]
    body = wire(request.get("body", b""))
    if "json" in request:
        body = json.dumps(request["json"], ensure_ascii=False).encode()
        headers.append((b"content-type", b"application/json"))
    if request.get("protocol", "h1") == "h1":
        return client.exchange1(port, client.http1(method, wire(path), headers, body), seconds, peer=peer)
    pseudo = [(b":method", method.encode())]
    if path is not None:
        pseudo += [(b":scheme", b"http"), (b":path", wire(path))]
    if not any(name == b":authority" for name, _ in headers):
        pseudo.append((b":authority", b"api.test"))
    pseudo += [header for header in headers if header[0].startswith(b":")]
    plain = [header for header in headers if not header[0].startswith(b":")]
    trailers = [(wire(name), wire(value)) for name, value in _fields(request.get("trailers", []))]
    return [client.exchange2(port, pseudo + plain, body, seconds, trailers, peer)]


def _fields(headers: Any) -> list[tuple[Any, Any]]:
    """Header fields from a mapping (a list as value: several fields) or from a list of [name, value]."""
    if isinstance(headers, dict):
        return [(name, value) for name, values in headers.items()
                for value in (values if isinstance(values, list) else [values])]
    return [(name, value) for name, value in headers]


def _fields_text(headers: Any) -> list[tuple[str, str]]:
    return [(str(name), wire(value).decode("latin-1")) for name, value in _fields(headers)]


def _compare_answer(expect: Mapping[str, Any], answer: client.Response) -> list[str]:
    problems = []
    statuses = expect.get("status", answer.status)
    if answer.status not in (statuses if isinstance(statuses, list) else [statuses]):
        problems.append(f"status: expected {expect['status']}, found {answer.status} {answer.body[:300]!r}")
    problems += _compare_fields("header", expect.get("headers", {}), expect.get("headers_absent", []), answer.values)
    trailers = {name: [value] for name, value in answer.trailers}
    problems += _compare_fields("trailer", expect.get("trailers", {}), [], lambda name: trailers.get(name, []))
    if "body" in expect and answer.body != wire(expect["body"]):
        problems.append(f"body: expected {expect['body']!r}, found {answer.body[:300]!r}")
    for text in expect.get("body_without", []):
        if wire(text) in answer.body:
            problems.append(f"body: holds {text!r}")
    wanted = dict(expect.get("body_json", {}))
    if "reason" in expect and "grpc-status" not in dict(answer.headers):
        wanted["reason"] = expect["reason"]
    if wanted:
        try:
            problems += subset("body", wanted, json.loads(answer.body))
        except ValueError:
            problems.append(f"body: expected JSON, found {answer.body[:300]!r}")
    return problems


def _compare_upstream(expect: Mapping[str, Any], requests: list[Recorded]) -> list[str]:
    problems = []
    if "upstream_requests" in expect and len(requests) != expect["upstream_requests"]:
        problems.append(f"upstream requests: expected {expect['upstream_requests']}, found {len(requests)}")
    wants = [name for name in expect if name.startswith("upstream_") and name != "upstream_requests"]
    if not wants:
        return problems
    if not requests:
        return [*problems, "the upstream saw no request"]
    last = requests[-1]
    problems += _compare_fields(
        "upstream header", expect.get("upstream_headers", {}), expect.get("upstream_headers_absent", []),
        lambda name: [value.decode("latin-1") for value in last.values(name)],
    )
    trailers = {name.decode("latin-1"): value.decode("latin-1") for name, value in last.trailers}
    if trailers != expect.get("upstream_trailers", trailers):
        problems.append(f"upstream trailers: expected {expect['upstream_trailers']}, found {trailers}")
    for name, found in (("upstream_target", last.target), ("upstream_body", last.body)):
        if name in expect and found != wire(expect[name]):
            problems.append(f"{name}: expected {wire(expect[name])!r}, found {found!r}")
    return problems


def _compare_fields(what: str, present: Mapping[str, Any], absent: list[str], values: Any) -> list[str]:
    """Each field of `present` exactly once with this value; a list means exactly these values in this order."""
    problems = []
    for name, wanted in present.items():
        found = values(name)
        wanted_list = wanted if isinstance(wanted, list) else [wanted]
        matches = len(found) == len(wanted_list) and all(itertools.starmap(_value_matches, zip(wanted_list, found)))
        if not matches:
            problems.append(f"{what} {name}: expected {wanted!r}, found {found!r}")
    problems += [f"{what} {name}: expected none, found {values(name)!r}" for name in absent if values(name)]
    return problems


def _value_matches(wanted: Any, found: str) -> bool:
    if isinstance(wanted, dict):
        return re.search(wanted["matches"], found) is not None
    return wire(wanted).decode("latin-1") == found


def _compare_event(expect: Mapping[str, Any], event: Optional[dict[str, Any]]) -> list[str]:
    wanted = {name: expect[name] for name in ("audit", "log") if name in expect}
    if not wanted:
        return []
    if event is None:
        return ["there is no access log line"]
    problems = subset("log", wanted.get("log", {}), event)
    if "audit" in wanted:
        text = event["audit"]
        try:
            problems += subset("audit", wanted["audit"], json.loads(text or ""))
        except ValueError:
            problems.append(f"audit: expected a JSON event, found {text!r}")
    return problems


def subset(where: str, wanted: Any, found: Any) -> list[str]:
    """What of `wanted` is not in `found`: mappings may have more members, {matches: ...} is a regular expression,
    the text "absent" means that the member must not be there; all else must be equal."""
    if isinstance(wanted, dict) and set(wanted) == {"matches"}:
        return [] if re.search(wanted["matches"], str(found)) else [f"{where}: {found!r} does not match {wanted['matches']!r}"]
    if isinstance(wanted, dict) and isinstance(found, dict):
        problems = []
        for name, value in wanted.items():
            if value == "absent":
                problems += [f"{where}.{name}: expected none, found {found[name]!r}"] if name in found else []
            elif name not in found:
                problems.append(f"{where}.{name}: missing, found {found!r}")
            else:
                problems += subset(f"{where}.{name}", value, found[name])
        return problems
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [problem for index, pair in enumerate(zip(wanted, found)) for problem in subset(f"{where}[{index}]", *pair)]
    return [] if wanted == found else [f"{where}: expected {wanted!r}, found {found!r}"]
