#!/usr/bin/env python3
"""Runs the fuzz targets, each for a bounded time: `make fuzz`.

The engine is LLVM's libFuzzer on the stable toolchain: rustc's own passes count the edges that an input reaches. There
is no AddressSanitizer, as the code has no `unsafe`; assertions, overflow checks, time and memory are what finds things.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "fuzz"
CORPORA = HERE / "corpora"
# What a run finds, not committed: `--merge` takes from here what adds coverage.
WORK = ROOT / "target" / "fuzz-work"
# What `cargo fuzz` passes too; each option has been part of stable rustc and LLVM for years.
FLAGS = [
    "-Cpasses=sancov-module",
    *(
        f"-Cllvm-args=-sanitizer-coverage-{option}"
        for option in ["level=4", "inline-8bit-counters", "pc-table", "trace-compares"]
    ),
]
MAX_LEN, TIMEOUT_S, RSS_LIMIT_MIB = 4096, 10, 1024


def output(*command: str) -> str:
    """What a short command prints."""
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def build() -> Path:
    """Compiles the engine with counters; its path. Build scripts are for the host and get none, hence `--target`."""
    host = re.search(r"^host: (.*)$", output("rustc", "-vV"), re.MULTILINE)
    assert host, "rustc -vV names its host"
    # A folder of its own: other flags would make cargo compile everything else anew each time.
    target = ROOT / "target" / "fuzz"
    command = ["cargo", "build", "--locked", "--quiet", "--profile", "fuzz", "--target", host[1], "--target-dir"]
    command += [str(target), "--package", "portcullis-fuzz", "--features", "libfuzzer"]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"RUSTFLAGS": " ".join(FLAGS)})
    return target / host[1] / "fuzz" / "fuzz"


def targets() -> list[str]:
    """The names in the list of src/targets.rs."""
    return re.findall(r'^    \("(\w+)", \w+::\w+\),$', (HERE / "src" / "targets.rs").read_text(), re.MULTILINE)


def engine(binary: Path, target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs libFuzzer to its end."""
    limits = [f"-max_len={MAX_LEN}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={RSS_LIMIT_MIB}"]
    command = [str(binary), *limits, *arguments]
    environment = os.environ | {"FUZZ_TARGET": target}
    return subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)


def last(pattern: str, text: str) -> str:
    """The last number of that kind in libFuzzer's output."""
    found = re.findall(pattern, text)
    return found[-1] if found else "-"


def fuzz(binary: Path, target: str, seconds: int) -> bool:
    """Fuzzes one target and prints its line; whether it found nothing."""
    found = WORK / target
    found.mkdir(parents=True, exist_ok=True)
    crashes = WORK / "crashes" / target
    crashes.mkdir(parents=True, exist_ok=True)
    arguments = [f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/", "-print_final_stats=1"]
    dictionary = HERE / "dictionaries" / f"{target}.dict"
    if dictionary.exists():
        arguments.append(f"-dict={dictionary}")
    done = engine(binary, target, *arguments, str(found), str(CORPORA / target))
    log = done.stderr
    row = [
        last(r"stat::number_of_executed_units: (\d+)", log),
        last(r"stat::average_exec_per_sec:\s+(\d+)", log),
        last(r"cov: (\d+)", log),
        last(r"corp: (\d+)", log),
    ]
    print(f"  {target:<26}" + "".join(f"{cell:>11}" for cell in row), "  ok" if done.returncode == 0 else "  FOUND")
    sys.stdout.flush()
    if done.returncode != 0:
        artifact = last(r"Test unit written to (\S+)", log)
        reason = re.search(r"panicked at .*\n.*(?:\n  (?:left|right): .*)*|ERROR: libFuzzer: .*", log)
        print(f"    {reason[0] if reason else log[-2000:]}")
        print(f"    replay:  FUZZ_TARGET={target} {binary.relative_to(ROOT)} {artifact}")
        print(f"    keep it: cp {artifact} tests/fuzz/corpora/{target}/regression-NAME, then fix and `make test-native`")
    return done.returncode == 0


def merge(binary: Path, target: str) -> bool:
    """Takes into the committed corpus what reaches code that no other input does, in as few inputs as do."""
    committed = CORPORA / target
    before = len(list(committed.iterdir()))
    found = WORK / target
    found.mkdir(parents=True, exist_ok=True)
    # Without counters, an input that only goes round a loop more often adds nothing.
    done = engine(binary, target, "-set_cover_merge=1", "-use_counters=0", str(committed), str(found))
    print(f"  {target:<26}{before:>6} -> {len(list(committed.iterdir()))} inputs", "" if done.returncode == 0 else "FAILED")
    return done.returncode == 0


def main() -> int:
    """Exit status 1 when a target found something."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=int, default=30, help="time for each target")
    arguments.add_argument("--target", choices=targets(), help="one target only")
    arguments.add_argument("--merge", action="store_true", help="take what was found into the committed corpora")
    options = arguments.parse_args()
    chosen = [options.target] if options.target else targets()
    print("compiling the targets")
    binary = build()
    if options.merge:
        return 0 if all([merge(binary, target) for target in chosen]) else 1
    print(f"{len(chosen)} targets, {options.seconds} s each")
    print(f"  {'target':<26}" + "".join(f"{head:>11}" for head in ["executions", "exec/s", "coverage", "corpus"]))
    clean = [fuzz(binary, target, options.seconds) for target in chosen]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
