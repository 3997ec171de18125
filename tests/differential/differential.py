"""Compares the token verifier with joserfc on mutated tokens: see README.md.

    .venv/bin/python tests/differential/differential.py [--count 60000] [--seed 1]
"""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Optional, Sequence

import tokens
from policies import LEEWAY, NOW, POLICIES, PUBLIC, SECRET, ROOT, unb64
from reference import Reference
from tokens import Sample

ACCEPTED = "Accepted"
# Compiled as the unit tests are, with checks of overflows and invariants; so most of it is there already.
BUILD = ["cargo", "build", "--locked", "--quiet", "--profile", "test", "-p", "portcullis-differential"]
PROGRAM = ROOT / "target" / "debug" / "portcullis-differential"
# What each algorithm must at least have of tokens that both accept: else the test compares refusals only.
MIN_ACCEPTED = 200


def is_fraction(sample: Sample, refusal: str) -> bool:
    claims = json.loads(unb64(sample.token.split(b".")[1].decode()))
    dates = [claims.get(name) for name in ("nbf", "iat")]
    return any(isinstance(date, float) and NOW + LEEWAY < date < NOW + LEEWAY + 1 for date in dates)


def is_unread_member(sample: Sample, refusal: str) -> bool:
    # `alg`, `kid` and `typ`, which are read, are texts in every token that is accepted here; `crit` and `b64` are in none.
    return refusal == "InvalidHeaderValueError"


# Why a token that was accepted here was refused by joserfc, with this exception. Whatever is none of these is a failure.
EXPLAINED: dict[str, Callable[[Sample, str], bool]] = {
    "nbf or iat less than a second behind the leeway: a fraction is rounded down": is_fraction,
    "a header member that nothing reads (cty, jku, jwk, x5*) has another type": is_unread_member,
}


def ours(samples: Sequence[Sample], directory: Path) -> "subprocess.Popen[bytes]":
    """Starts the program of src/main.rs, which writes its answers to `answers` in the directory."""
    setup = {"now": NOW, "providers": [policy.setup() for policy in POLICIES]}
    with (directory / "questions").open("w") as questions:
        print(json.dumps(setup), file=questions)
        for sample in samples:
            print(json.dumps({"provider": sample.policy, "token": sample.token.decode("latin-1")}), file=questions)
    with (directory / "questions").open("rb") as questions, (directory / "answers").open("wb") as answers:
        return subprocess.Popen([PROGRAM], stdin=questions, stdout=answers)


def explanation(sample: Sample, refusal: Optional[str]) -> Optional[str]:
    """The class of `EXPLAINED` that the token belongs to."""
    return next((name for name, belongs in EXPLAINED.items() if belongs(sample, refusal or "")), None)


def compare(samples: Sequence[Sample]) -> list[tuple[Sample, str, Optional[str]]]:
    """Each token with what this verifier says and the exception of joserfc, none when it accepts."""
    references = [Reference(policy) for policy in POLICIES]
    with tempfile.TemporaryDirectory(prefix="portcullis-differential-") as directory:
        process = ours(samples, Path(directory))
        try:
            refusals = [references[sample.policy].refusal(sample.token) for sample in samples]
            if process.wait(timeout=600) != 0:
                raise SystemExit(f"{PROGRAM.name} ended with status {process.returncode}")
        finally:
            process.kill()
        answers = (Path(directory) / "answers").read_text().splitlines()
    return list(zip(samples, answers, refusals, strict=True))


def report(results: Sequence[tuple[Sample, str, Optional[str]]]) -> bool:
    """Prints the tables; whether every promise holds."""
    by_mutation: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    only_reference: collections.Counter[tuple[str, str]] = collections.Counter()
    explained: collections.Counter[str] = collections.Counter({name: 0 for name in EXPLAINED})
    accepted: collections.Counter[str] = collections.Counter()
    unexplained = []
    for sample, answer, refusal in results:
        verdicts = (answer == ACCEPTED, refusal is None)
        by_mutation[sample.mutation][{(True, True): "both", (True, False): "ours", (False, True): "joserfc",
                                      (False, False): "none"}[verdicts]] += 1
        if verdicts == (True, True):
            accepted[sample.algorithm] += 1
        elif verdicts == (False, True):
            only_reference[answer, sample.mutation] += 1
        elif verdicts == (True, False):
            name = explanation(sample, refusal)
            explained[name or "UNEXPLAINED"] += 1
            unexplained += [] if name else [(sample, refusal)]

    print(f"{'mutation':30} {'tokens':>7} {'both':>7} {'joserfc only':>13} {'ours only':>10} {'neither':>8}")
    for mutation, counts in sorted(by_mutation.items()):
        print(f"{mutation:30} {counts.total():7} {counts['both']:7} {counts['joserfc']:13} {counts['ours']:10} {counts['none']:8}")
    print("\naccepted here, refused by joserfc:")
    for name, number in explained.items():
        print(f"{number:7}  {name}")
    print("\naccepted by joserfc, refused here:")
    for (answer, mutation), number in sorted(only_reference.items()):
        print(f"{number:7}  {answer:20} {mutation}")

    for sample, refusal in unexplained[:20]:
        print(f"\nNOT EXPLAINED: {sample.mutation}, {sample.algorithm}, {POLICIES[sample.policy].issuer}: joserfc says {refusal}\n"
              f"  {sample.token.decode('latin-1')!r}")
    failed = [f"refused, and is good: {sample.algorithm} of {POLICIES[sample.policy].issuer}: {answer}, {refusal}"
              for sample, answer, refusal in results if sample.mutation == "good" and (answer, refusal) != (ACCEPTED, None)]
    failed += [f"{name}: both accept only {accepted[name]} tokens, expected {MIN_ACCEPTED}; more come with --count"
               for name in [*PUBLIC, *SECRET] if accepted[name] < MIN_ACCEPTED]
    print(*failed, sep="\n", end="\n" if failed else "")
    return not unexplained and not failed


def main() -> int:
    """Exit status 0 when nothing is accepted here alone without an explanation."""
    parser = argparse.ArgumentParser(description="Compares the token verifier with joserfc on mutated tokens.")
    parser.add_argument("--count", type=int, default=60_000, help="how many tokens; default 60000")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations; default 1")
    arguments = parser.parse_args()
    began = time.monotonic()
    print(f"{arguments.count} mutated tokens, judged here and by joserfc; seed {arguments.seed}", flush=True)
    subprocess.run(BUILD, check=True, cwd=ROOT)
    samples = list(tokens.samples(arguments.count, arguments.seed))
    print(f"made after {time.monotonic() - began:.0f} s\n", flush=True)
    holds = report(compare(samples))
    print(f"\n{'ok' if holds else 'FAILED'} after {time.monotonic() - began:.0f} s")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
