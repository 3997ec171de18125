"""From measurements to ratios, tables and results.json."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from comparisons import Case, Comparison
from load import Measurement

# What each case gave, one measurement a round.
Rounds = dict[Case, list[Measurement]]
# A core that Envoy had less of was shared with something else.
UNDISTURBED = 0.95


@dataclass(frozen=True)
class Result:
    """One line of results.json. `ratio` above 1 means that Portcullis is better; `low` and `high` are its extremes.

    `value` is Portcullis's median and `baseline` the other's, both in `unit`.
    """

    name: str
    against: str
    ratio: float
    low: float
    high: float
    unit: str
    value: float
    baseline: float


def compare(comparison: Comparison, rounds: Rounds) -> Result:
    """The throughput of both, each round for itself, so that a slow minute of the machine hits both."""
    subject, against = (
        [item.requests_per_second for item in rounds[case]] for case in (comparison.subject, comparison.against)
    )
    return result(comparison.name, str(comparison.against), "requests/s", subject, against, more_is_better=True)


def result(name: str, against: str, unit: str, ours: Sequence[float], theirs: Sequence[float], *,
           more_is_better: bool) -> Result:
    """Pairs the values of one round after the other."""
    ratios = [(a / b if more_is_better else b / a) for a, b in zip(ours, theirs, strict=True)]
    return Result(
        name, against, round(statistics.median(ratios), 3), round(min(ratios), 3), round(max(ratios), 3), unit,
        round(statistics.median(ours), 3), round(statistics.median(theirs), 3),
    )


def print_cases(rounds: Rounds) -> None:
    """Medians of every listener."""
    rows = [["listener, requests", "requests/s", "CPU us", "p50 ms", "p99 ms", "Envoy busy", "wrk busy"]]
    for case, items in rounds.items():
        def median(field: str) -> float:
            return statistics.median(getattr(item, field) for item in items)
        rows.append([
            str(case), f"{median('requests_per_second'):,.0f}", f"{median('cpu'):.1f}", f"{median('p50_ms'):.2f}",
            f"{median('p99_ms'):.2f}", f"{median('envoy_busy'):.0%}", f"{median('wrk_busy'):.0%}",
        ])
    _print_table(rows)
    if any(item.envoy_busy < UNDISTURBED for items in rounds.values() for item in items):
        print("Envoy did not have its core to itself all the time: other work was running. Trust the CPU ratios more, or measure again.")


def print_comparisons(comparisons: Sequence[Comparison], results: Sequence[Result], rounds: Rounds) -> None:
    """The ratios, and below them what each compares."""
    rows = [["comparison", "ratio", "low", "high", "CPU ratio", "quietest", "ours/s", "theirs/s", "against"]]
    for comparison, item in zip(comparisons, results, strict=True):
        ours, theirs = ([one.cpu for one in rounds[case]] for case in (comparison.subject, comparison.against))
        cpu = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        rows.append([
            item.name, f"{item.ratio:.2f}", f"{item.low:.2f}", f"{item.high:.2f}", f"{cpu:.2f}", f"{min(theirs) / min(ours):.2f}",
            f"{item.value:,.0f}", f"{item.baseline:,.0f}", item.against,
        ])
    _print_table(rows)
    print("\nA ratio above 1 means that Portcullis is better. `quietest` compares the least processor time that each took in any round:")
    print("other work on the machine only ever adds to that.")
    for comparison in comparisons:
        print(f"  {comparison.name}: {comparison.note}.")


def print_modules(results: Sequence[Result], sizes: dict[str, int]) -> None:
    """Start-up and size of each module."""
    rows = [["module", "KiB", "first answer s", "over no filters s"]]
    for item in results:
        module = item.name.removeprefix("start-up-")
        rows.append([module, f"{sizes[module] / 1024:,.0f}", f"{item.value:.2f}", f"{item.value - item.baseline:+.2f}"])
    _print_table(rows)


def write(path: Path, results: Sequence[Result]) -> None:
    """results.json: an array, one object for each result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(item) for item in results], indent=1) + "\n")


def _print_table(rows: list[list[str]]) -> None:
    """The first column to the left, the others to the right; an empty line before."""
    print()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells))
