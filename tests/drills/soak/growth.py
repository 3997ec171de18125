"""Does a figure grow? A line of least squares through what was measured after the warm-up."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t for 95 % and 10 or more degrees of freedom is at most this.
STUDENT_T = 2.23
FEWEST_POINTS = 12


@dataclass(frozen=True)
class Growth:
    """How much the line rises over all points, with its 95 % interval, in the unit of the points."""

    rise: float
    interval: float

    def exceeds(self, bound: float) -> bool:
        """Whether it grows by more than `bound`, and noise is not the reason: 0 is not in the interval."""
        return self.rise > bound and self.rise > self.interval


def growth(points: Sequence[float]) -> Growth:
    """The growth over points at equal distances.

    # Errors
    ValueError for fewer points than the interval is good for.
    """
    if len(points) < FEWEST_POINTS:
        raise ValueError(f"expected {FEWEST_POINTS} points or more, found {len(points)}")
    places = range(len(points))
    slope, start = statistics.linear_regression(places, points)
    residuals = sum((point - start - slope * place) ** 2 for place, point in zip(places, points))
    spread = sum((place - statistics.fmean(places)) ** 2 for place in places)
    error = math.sqrt(residuals / (len(points) - 2) / spread)
    span = len(points) - 1
    return Growth(slope * span, STUDENT_T * error * span)
