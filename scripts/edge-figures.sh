#!/usr/bin/env bash
# Measures shoal edge on this machine, beside nginx and Varnish, and prints the tables in the README, in Markdown: scripts/edge-figures.sh [FLAGS]
# Takes about five minutes; -h lists the flags. Needs nginx, varnish and curl for what is compared with them.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d "${TMPDIR:-/tmp}/shoal-edge-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -o "$tmp/shoal" .
CGO_ENABLED=0 go build -o "$tmp/edge" ./scripts/edge
"$tmp/edge" -shoal "$tmp/shoal" -dir "$tmp" "$@"
