#!/usr/bin/env bash
# Measures an origin with 100,000 machines that report and poll every 5 minutes, and prints that part of the figures in the README:
# scripts/fleet-figures.sh [FLAGS]; -h lists them. Needs two cores, the origin has the first, the generator the second, and root, for real-time priority: others that
# use the cores meanwhile are not what is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d "${TMPDIR:-/tmp}/shoal-fleet-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -o "$tmp/shoal" .
CGO_ENABLED=0 go build -o "$tmp/fleetload" ./scripts/fleetload
taskset -c 1 chrt -f 5 "$tmp/fleetload" -shoal "$tmp/shoal" -dir "$tmp" "$@"
