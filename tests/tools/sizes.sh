#!/usr/bin/env bash
# Prints the size of each module beside its budget; fails when one is over. A 5 MB module makes Envoy start in 2.8 s.
set -euo pipefail
cd "$(dirname "$0")/../.."
declare -A budget=([audit]=500 [header-guard]=500 [rate-limit]=500 [jwt-auth]=900 [schema-guard]=2560 [suite]=4096)
status=0
for name in audit header-guard jwt-auth rate-limit schema-guard suite; do
  size=$((($(stat -c %s "dist/$name.wasm") + 1023) / 1024))
  verdict=ok
  if ((size > budget[$name])); then verdict="over budget"; status=1; fi
  printf '  dist/%-18s %5d KiB of %5d  %s\n' "$name.wasm" "$size" "${budget[$name]}" "$verdict"
done
exit $status
