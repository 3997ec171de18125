#!/usr/bin/env bash
# cargo-deny over the dependencies. Advisories need their database, which is fetched from the internet: without one
# that step is said to be skipped, everything else is checked all the same.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.20.2
deny=.tools/bin/cargo-deny
if [ ! -x $deny ] || ! $deny --version | grep -qF "$version"; then
  echo "compiling cargo-deny $version (some minutes, once)"
  cargo install --quiet --locked --root .tools --version $version --no-default-features cargo-deny
fi
$deny --log-level error check --hide-inclusion-graph bans licenses sources
# The server of the tests becomes part of no filter: several versions of a dependency do no harm there.
service=tests/rate-limit-service/Cargo.toml
$deny --log-level error --manifest-path $service check --hide-inclusion-graph licenses sources
if compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/.git" >/dev/null; then
  $deny --log-level error --offline check advisories
  $deny --log-level error --offline --manifest-path $service check advisories
else
  echo "skipped: advisories (no database here; 'cargo deny fetch db' gets one)"
fi
