"""Prints what the drill found."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Sequence

from .drill import Result
from .faults import MIB
from .reloads import State

# Header and width of each column.
COLUMNS = (("fault", 30), ("requests", 10), ("lost", 6), ("passed", 8), ("refused", 9), ("longest", 10), ("recovery", 10),
           ("fetches", 9), ("memory", 9))


def print_header() -> None:
    """Once at the top, with what the columns mean."""
    print("Lost: no whole answer, where one is promised. Passed, refused: wrongly. Longest: answer. Recovery: from the end\n"
          "of the fault to the last answer that shows it. Fetches: of the key set. Memory: growth of Envoy's.\n")
    _row([name for name, _ in COLUMNS])


def print_result(result: Result) -> None:
    """One line, and one more for each broken promise."""
    _row([
        f"  {result.fault}", result.requests, result.lost, result.passed_wrongly, result.refused_wrongly,
        f"{result.longest:.2f} s", f"{result.recovery:.2f} s", result.fetches, f"{result.growth / MIB:.0f} MiB",
    ])
    for breach in result.breaches:
        print(f"    BROKEN: {breach}", flush=True)


def print_state(state: State) -> None:
    """Envoy between reloads."""
    print(f"    after {state.reloads:>5} reloads: {state.memory / MIB:.0f} MiB, {state.vms} VMs, {len(state.stats)} figures", flush=True)


def print_answers(results: Sequence[Result]) -> None:
    """How all requests were answered, by part, most frequent first."""
    parts: dict[str, Counter[str]] = {}
    for result in results:
        parts.setdefault(result.part, Counter()).update(result.answers)
    print("\nAnswers by status and reason:")
    for part, answers in parts.items():
        print(f"  {part}")
        for outcome, count in answers.most_common():
            print(f"    {outcome:<28}{count:>8}")


def write(path: Path, results: Sequence[Result]) -> None:
    """All figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([vars(result) for result in results], indent=1))


def _row(values: Sequence[Any]) -> None:
    (_, first), *rest = COLUMNS
    print(f"{values[0]!s:<{first}}" + "".join(f"{value!s:>{width}}" for value, (_, width) in zip(values[1:], rest)), flush=True)
