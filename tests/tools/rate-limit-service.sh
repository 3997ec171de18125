#!/usr/bin/env bash
# The rate-limit service of the tests (tests/rate-limit-service): `build` puts it into dist/test/, `test` runs its own tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Clippy compiles as rustc does, so that one build serves tests and lints.
RUSTC_WORKSPACE_WRAPPER=clippy-driver cargo "$1" --locked --quiet \
  --manifest-path tests/rate-limit-service/Cargo.toml --target-dir target/test-services
if [ "$1" = build ]; then
  # Not by `cp`, which cannot replace a program that runs.
  install -D target/test-services/debug/portcullis-rate-limit-service dist/test/rate-limit-service
fi
