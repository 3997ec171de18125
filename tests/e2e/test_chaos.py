"""The most telling faults of the chaos drill (`make chaos`, tests/drills/chaos), for a short time each."""

import dataclasses

import pytest
from chaos import drill, faults, kinds, reloads
from harness.traffic import Sample
from harness.upstream import Recorded

# Enough for the refresh and the time-out of a fetch, and of a route.
SECONDS = 1.6
# By part: the faults, and whether each filter is a VM of its own.
TELLING = [
    ("identity provider, keys known", ["hang"], False),
    ("identity provider, no keys yet", ["huge"], False),
    ("identity provider, no keys yet", ["hang, 200 clients vanish"], True),
    ("introspection", ["hang", "no_keys"], True),
    ("upstream", ["down", "reset in the body"], False),
    ("audit's log", ["disk full"], False),
    ("a module traps", ["one a second on each worker"], True),
]


# covers: HOST-CALL-03, HOST-CALL-05, HOST-CALL-06
@pytest.mark.parametrize(("name", "wanted", "separate"), TELLING, ids=[f"{name}: {wanted[0]}" for name, wanted, _ in TELLING])
def test_a_fault_breaks_no_promise(name: str, wanted: list[str], separate: bool) -> None:
    [part] = [part for part in faults.PARTS if part.name == name]
    chosen = [dataclasses.replace(fault, seconds=SECONDS) for fault in part.faults if fault.name in wanted]
    results: list[drill.Result] = []
    drill.run(dataclasses.replace(part, faults=chosen), faults.base(separate), results.append)
    assert {result.fault: result.breaches for result in results} == {fault: [] for fault in wanted}


# covers: HOST-OBS-04
@pytest.mark.parametrize("separate", [False, True], ids=["suite", "separate"])
def test_60_reloads_under_load_break_no_promise(separate: bool) -> None:
    # One of them, the fiftieth, gives the modules new VMs.
    assert reloads.run(faults.base(separate), 60, 15.0, lambda _: None).breaches == []


EXPECTED = {kind.name: kind.expected for kind in kinds.make()}
NO_KEYS = faults.NO_KEYS
STRICT = faults.Promise()
WINDOW = drill.Window(began=10.0, ended=20.0, stopped=30.0)


@pytest.mark.parametrize(
    ("promise", "sample", "broken"),
    [
        (STRICT, Sample("read", 11, 12, "200"), ""),
        (STRICT, Sample("read", 11, 12, "503"), "read: 503"),
        (STRICT, Sample("read", 11, 12, "lost"), "read: lost"),
        (STRICT, Sample("forged", 11, 12, "200"), "forged: 200"),
        (STRICT, Sample("forged", 11, 12, "401 jwt.missing"), "forged: 401 jwt.missing"),
        # Before the fault, or after the watching.
        (STRICT, Sample("read", 1, 2, "503"), ""),
        (STRICT, Sample("read", 31, 32, "503"), ""),
        (NO_KEYS, Sample("read", 11, 12, "503 jwt.keys_unavailable"), ""),
        (NO_KEYS, Sample("read", 11, 12, "503"), "read: 503"),
        (NO_KEYS, Sample("no token", 11, 12, "503 jwt.keys_unavailable"), "no token: 503"),
        # Without keys nobody can have judged it.
        (NO_KEYS, Sample("read", 11, 12, "200"), "read: 200"),
        (NO_KEYS, Sample("read", 11, 21, "200"), ""),
    ],
)
def test_a_broken_promise_is_seen(promise: faults.Promise, sample: Sample, broken: str) -> None:
    found = drill.judge(promise, EXPECTED, [sample], WINDOW).breaches
    assert len(found) == bool(broken) and all(broken in breach for breach in found), found


def test_a_request_that_had_to_be_refused_is_seen_at_the_upstream() -> None:
    def recorded(kind: bytes) -> Recorded:
        return Recorded(b"", "GET", b"/", [(drill.KIND.encode(), kind)])

    good, forged, untold = recorded(b"read"), recorded(b"forged"), Recorded(b"", "GET", b"/", [])
    assert drill.passed_wrongly(STRICT, [good], [good]) == 0
    assert drill.passed_wrongly(STRICT, [forged, untold], [forged]) == 3
    assert drill.passed_wrongly(NO_KEYS, [good], [good]) == 1
