"""Short forms of `make worst-case`, and the arithmetic of `make soak` and `make drill-rate-limit`; the drills themselves take minutes."""

import math
import random
from pathlib import Path

import pytest

from rate_limit.clients import Record
from rate_limit.exactness import model
from rate_limit.limit import Limit
from rate_limit.senders import Window
from soak.growth import growth
from worst_case.inputs import SUBJECTS
from worst_case.measure import measure

# A test machine may be busy: short measurements, and twice what is promised.
ROUNDS, SLACK, SECONDS = 3, 2.0, 0.01


# covers: HOST-ALGO-04, HOST-ALGO-07, ENV-PATH-24
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux tells the processor time of threads so exactly")
@pytest.mark.parametrize("name", SUBJECTS)
def test_no_hostile_input_costs_much_more_than_the_largest_ordinary_request(name: str) -> None:
    assert measure(SUBJECTS[name](), ROUNDS, SLACK, SECONDS) == []


@pytest.mark.parametrize(
    ("leak", "grows"),
    [
        (0.0, False),
        # 8 bytes a request, of 700,000 requests after the warm-up: 5.3 MiB.
        (8 * 700_000 / 28 / 2**20, True),
    ],
)
def test_the_soak_sees_a_leak_and_not_noise(leak: float, grows: bool) -> None:
    rng = random.Random(1)
    points = [140 + leak * place + rng.uniform(-1, 1) for place in range(28)]
    assert growth(points).exceeds(2.0) == grows


TWO_A_SECOND = Limit(requests=2, seconds=1, burst=3, slots=64)


@pytest.mark.parametrize(
    ("name", "answered", "is_over"),
    [
        ("a burst", [0.0] * 3, False),
        ("one more than the burst", [0.0] * 4, True),
        ("the burst, and then the rate", [0.0, 0.0, 0.0, 0.5, 1.0, 1.5], False),
        ("the rate, and then a burst", [0.0, 10.0, 10.0, 10.0], False),
        ("as many as the whole time allows, but more than the end of it does", [0.0, 10.0, 10.0, 10.0, 10.0], True),
        ("none", [], False),
    ],
)
def test_more_than_the_bound_within_any_time_is_seen(name: str, answered: list[float], is_over: bool) -> None:
    record = Record(admitted=[(seconds, seconds) for seconds in answered])
    assert (record.over(TWO_A_SECOND) > 0) == is_over, name


def test_the_model_of_exactness_is_between_the_clocks_of_the_client() -> None:
    refused = Window(first_sent=10.0, last_answer=12.4, first_refused=10.6, last_refused=12.2, admitted=7)
    assert model(TWO_A_SECOND, [refused] * 2).most == 2 * (3 + 4)
    assert round(model(TWO_A_SECOND, [refused] * 2).least) == 2 * (3 + 3)
    never_refused = Window(first_sent=10.0, last_answer=12.4, first_refused=math.inf, last_refused=-math.inf, admitted=2)
    assert round(model(TWO_A_SECOND, [never_refused]).least) == 2
