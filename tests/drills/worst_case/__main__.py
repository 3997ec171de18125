"""What the worst input costs, against the largest ordinary request: `make worst-case`.

docs/reliability.md says what is promised and what was measured.
"""

import argparse
import signal
import sys

from harness.envoy import StartError
from harness.project import NotBuilt

from .inputs import SUBJECTS
from .measure import measure


# covers: HOST-ALGO-04, HOST-ALGO-07, ENV-PATH-24
def main() -> int:
    """Exit status 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description="What the worst input costs, against the largest ordinary request.")
    parser.add_argument("--filter", choices=SUBJECTS, help="only this one")
    parser.add_argument("--rounds", type=int, default=5, help="how often each input is measured; default 5")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    broken = []
    try:
        for name in [options.filter] if options.filter else SUBJECTS:
            broken += measure(SUBJECTS[name](), options.rounds)
    except (NotBuilt, StartError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print("\n" + ("\n".join(f"BROKEN: {problem}" for problem in broken) or "kept"))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
