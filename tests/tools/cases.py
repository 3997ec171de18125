#!/usr/bin/env python3
"""Which requirement rows (tests/cases/*.md) have a test: `make cases`.

Row ids come from the first column of the tables. A test names the rows it covers in a comment `// covers: ID, ID`
(Rust) or `# covers: ID, ID` (Python), or in `covers: [ID, ID]` (YAML cases). A test that names an unknown row is an
error, and so is a row that is both covered and said to be not applicable. The rows of first-forty.md must all be
covered, and by tests against real Envoy.
"""

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTS = ROOT / "tests" / "cases"
NOT_APPLICABLE = LISTS / "not-applicable.md"
# The list whose rows are all demanded, and where the tests are that count for it.
DEMANDED, DEMANDED_IN = "first-forty", "tests/e2e/"
ID = r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+-\d+"
ROW = re.compile(rf"^\| ({ID}) \| (.*) \|$", re.MULTILINE)
COVERS = {
    ".rs": re.compile(r"^\s*//+ covers: (.*)$", re.MULTILINE),
    ".py": re.compile(r"^\s*# covers: (.*)$", re.MULTILINE),
    # A list may go on over several lines.
    ".yaml": re.compile(r"^\s*(?:- )?covers: \[([^\]]*)\]", re.MULTILINE),
}
SOURCES = ["shared", "filters", "cli", "tests", "examples", "envoy-config"]


def rows(path: Path) -> dict[str, str]:
    """The ids of a list and the rest of each row."""
    return dict(ROW.findall(path.read_text()))


def tests() -> dict[str, list[str]]:
    """The files that name each id."""
    found: dict[str, list[str]] = defaultdict(list)
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            pattern = COVERS.get(path.suffix)
            if pattern is None or "target" in path.parts or path == Path(__file__).resolve():
                continue
            for names in pattern.findall(path.read_text()):
                for name in re.split(r"[,\s]+", names.strip()):
                    if name:
                        found[name].append(str(path.relative_to(ROOT)))
    return found


def title(row: str) -> str:
    """What a row is about: the `attack / fault` column of the lists."""
    return re.split(r"(?<!\\) \| ", row)[1]


def main() -> int:
    """Prints the table; exit status 1 when a test names a row that does not exist."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--open", action="store_true", help="list the rows without a test")
    arguments.add_argument("--covered", action="store_true", help="list the rows with a test, and where it is")
    options = arguments.parse_args()

    lists = {path.stem: found for path in sorted(LISTS.glob("*.md")) if path != NOT_APPLICABLE and (found := rows(path))}
    known = {name: row for found in lists.values() for name, row in found.items()}
    excluded = rows(NOT_APPLICABLE)
    covering = tests()

    print(f"{'list':<16}{'rows':>6}{'covered':>9}{'not applicable':>16}{'open':>6}")
    total = [0, 0, 0, 0]
    for name, found in lists.items():
        covered = sum(row in covering for row in found)
        absent = sum(row in excluded for row in found)
        numbers = [len(found), covered, absent, len(found) - covered - absent]
        total = [sum(pair) for pair in zip(total, numbers)]
        print(_line(name, numbers))
    print(_line("all", total))

    if excluded:
        print("\nNot applicable:")
        for name, reason in sorted(excluded.items()):
            print(f"  {name:<14} {reason}")
    if options.open:
        print("\nOpen:")
        for name, row in known.items():
            if name not in covering and name not in excluded:
                print(f"  {name:<14} {title(row)}")
    if options.covered:
        print("\nCovered:")
        for name in known:
            if name in covering:
                print(f"  {name:<14} {', '.join(dict.fromkeys(covering[name]))}")

    mistakes = [f"{name}: no such row, named in {', '.join(covering[name])}" for name in covering if name not in known]
    mistakes += [f"{name}: no such row, named in not-applicable.md" for name in excluded if name not in known]
    mistakes += [f"{name}: not applicable, but covered by {covering[name][0]}" for name in excluded if name in covering]
    for name, row in lists[DEMANDED].items():
        if name not in covering and name not in excluded:
            mistakes.append(f"{name}: no test in {DEMANDED_IN} names it: {title(row)}")
        elsewhere = [path for path in covering.get(name, []) if not path.startswith(DEMANDED_IN)]
        mistakes += [f"{name}: only tests in {DEMANDED_IN} count, but {path} names it" for path in elsewhere]
    for mistake in mistakes:
        print(f"error: {mistake}", file=sys.stderr)
    return 1 if mistakes else 0


def _line(name: str, numbers: list[int]) -> str:
    rows_, covered, absent, still_open = numbers
    return f"{name:<16}{rows_:>6}{covered:>9}{absent:>16}{still_open:>6}"


if __name__ == "__main__":
    sys.exit(main())
