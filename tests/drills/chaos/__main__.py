"""`make chaos`: everything around the filters fails while traffic runs. docs/reliability.md tells what is promised."""

import argparse
import signal
import sys
import time

from harness import project
from harness.envoy import StartError

from . import drill, faults, reloads, report

# A second of each client; there are 23. While the configuration changes, about 1,000 requests a second come.
RELOAD_RATE = 50.0
RESULTS = project.ROOT / "target" / "chaos" / "results.json"


def main() -> int:
    """Exit status 0 when every promise was kept."""
    options = _options()
    # Ends Envoy and removes the files too, as an interrupt does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    began = time.monotonic()
    results: list[drill.Result] = []

    def tell(result: drill.Result) -> None:
        results.append(result)
        report.print_result(result)

    setup = faults.base(options.separate)
    report.print_header()
    try:
        for part in faults.PARTS:
            if _is_chosen(part.name, options):
                print(part.name, flush=True)
                drill.run(part, setup, tell)
        if options.reloads and _is_chosen(reloads.PART, options):
            print(reloads.PART, flush=True)
            tell(reloads.run(setup, options.reloads, RELOAD_RATE, report.print_state))
    except (project.NotBuilt, StartError, faults.BrokenPromise) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    report.print_answers(results)
    report.write(RESULTS, results)
    broken = sum(len(result.breaches) for result in results)
    print(f"\n{len(results)} faults in {time.monotonic() - began:.0f} s; "
          + (f"{broken} promises broken" if broken else "every promise kept")
          + f". Written to {RESULTS.relative_to(project.ROOT)}.")
    return 1 if broken else 0


def _is_chosen(part: str, options: argparse.Namespace) -> bool:
    return not options.only or any(name in part for name in options.only)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--only", action="append", metavar="PART", help="only parts with this in their name; may be repeated")
    parser.add_argument("--reloads", type=int, default=1000, help="how often the configuration is replaced; default 1000")
    parser.add_argument("--separate", action="store_true", help="each filter in a VM of its own instead of the suite")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
