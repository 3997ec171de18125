"""What rate-limit promises, with real Envoy: `make drill-rate-limit`. docs/rate-limit.md says what was measured."""

import argparse
import signal
import sys
from collections.abc import Callable

from harness.envoy import StartError
from harness.project import NotBuilt

from . import exactness, global_limits, hostile_keys

# A drill prints its figures and returns the promises that it saw broken.
DRILLS: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "exactness": lambda options: exactness.drill(options.requests, options.seed),
    "global-limits": lambda options: global_limits.drill(options.requests, options.seed),
    "hostile-keys": lambda options: hostile_keys.drill(options.keys, options.seed),
}


def main() -> int:
    """Exit status 1 when a promise is broken, 2 when wrk is missing."""
    options = _options()
    # Ends Envoy and wrk too, as an interrupt does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    problems: list[str] = []
    try:
        for name in options.only or DRILLS:
            print(f"\n{name}, seed {options.seed}", flush=True)
            broken = DRILLS[name](options)
            print("\n".join(f"BROKEN: {problem}" for problem in broken) or "kept", flush=True)
            problems += broken
    except (NotBuilt, StartError, RuntimeError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 1 if problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What rate-limit promises, with real Envoy.")
    parser.add_argument("--only", action="append", metavar="NAME", choices=DRILLS, help=f"one of {', '.join(DRILLS)}; may be repeated")
    parser.add_argument("--requests", type=int, default=200_000, help="of each line of exactness; default 200000")
    parser.add_argument("--keys", type=int, default=10_000_000, help="of hostile-keys; default 10000000")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the keys; default 1")
    options = parser.parse_args()
    if options.requests < exactness.FEWEST_REQUESTS:
        parser.error(f"fewer than {exactness.FEWEST_REQUESTS} requests don't empty the buckets")
    if options.keys < hostile_keys.FEWEST_KEYS:
        parser.error(f"fewer than {hostile_keys.FEWEST_KEYS} keys say nothing about memory")
    return options


if __name__ == "__main__":
    sys.exit(main())
