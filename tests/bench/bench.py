"""Compares Portcullis with Envoy's own filters: `make bench`. README.md beside this file tells how to read the tables."""

import argparse
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The launcher of Envoy and the identity provider are those of the end-to-end tests.
sys.path.append(str(ROOT / "tests" / "e2e"))

import load  # noqa: E402
import report  # noqa: E402
import rounds  # noqa: E402
import startup  # noqa: E402
from checks import CheckFailed  # noqa: E402
from comparisons import COMPARISONS  # noqa: E402
from harness.envoy import StartError  # noqa: E402
from harness.project import NotBuilt  # noqa: E402

RESULTS = ROOT / "target" / "bench" / "results.json"
START_UP = "start-up"


def main() -> int:
    """Exit status 0 when everything that was asked for was measured; 2 when wrk is missing."""
    options = _options()
    load.require_wrk()
    # Ends Envoy and removes the files too, as an interrupt does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        results = _measure(options)
    except (NotBuilt, StartError, CheckFailed, load.LoadFailed) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    report.write(RESULTS, results)
    print(f"\nWritten to {RESULTS.relative_to(ROOT)}.")
    return 0


def _measure(options: argparse.Namespace) -> list[report.Result]:
    results: list[report.Result] = []
    comparisons = [item for item in COMPARISONS if item.name in options.only]
    if comparisons:
        measured = rounds.measure(comparisons, options.rounds, options.seconds)
        results = [report.compare(item, measured) for item in comparisons]
        report.print_cases(measured)
        report.print_comparisons(comparisons, results, measured)
    if START_UP in options.only:
        rounds.progress(f"starting Envoy {options.starts} times with each module")
        starts, sizes = startup.measure(options.starts)
        report.print_modules(starts, sizes)
        results += starts
    return results


def _options() -> argparse.Namespace:
    names = [item.name for item in COMPARISONS] + [START_UP]
    parser = argparse.ArgumentParser(description="Compares Portcullis with Envoy's own filters.")
    parser.add_argument("--rounds", type=int, help="how often each listener is measured; default 20")
    parser.add_argument("--seconds", type=int, help="for how long each time; default 1")
    parser.add_argument("--starts", type=int, help="how often Envoy is started with each module; default 5")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 second, 2 starts: under 3 minutes, more noise")
    parser.add_argument("--only", action="append", metavar="NAME", choices=names,
                        help=f"only this one; may be repeated: {', '.join(names)}")
    options = parser.parse_args()
    options.only = options.only or names
    options.rounds = options.rounds or (3 if options.quick else 20)
    options.seconds = options.seconds or 1
    options.starts = options.starts or (2 if options.quick else 5)
    return options


if __name__ == "__main__":
    sys.exit(main())
