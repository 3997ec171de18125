"""Short forms of `make worst-case` and of the arithmetic of `make soak`; the drills themselves take minutes."""

import random
from pathlib import Path

import pytest

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
