#!/usr/bin/env bash
# Runs the unit and property tests of the shared crates and of the filters again, compiled to the target that the
# modules have, in wasmtime: 32-bit lengths, wasm's arithmetic and the filters' own allocator.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "the same tests in a wasm engine"
export PORTCULLIS_ROOT=$PWD
export CARGO_TARGET_WASM32_WASIP1_RUNNER="$PWD/.venv/bin/python $PWD/tests/tools/run_wasm.py"
# Fewer random cases than natively: the point here is the target, not the search.
export PROPTEST_CASES=${PROPTEST_CASES:-32}
packages=(core jose host audit header-guard jwt-auth rate-limit schema-guard suite)
cargo test --locked --quiet --no-fail-fast --target wasm32-wasip1 "${packages[@]/#/--package=portcullis-}" --lib --tests
