#!/usr/bin/env bash
# Measures this machine and prints the table of figures in the README, in Markdown: scripts/figures.sh [FLAGS]
# Takes about five minutes; -h lists the flags. Compares with mktorrent and curl where they are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d "${TMPDIR:-/tmp}/shoal-figures-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -o "$tmp/shoal" .
CGO_ENABLED=0 go build -o "$tmp/figures" ./scripts/figures
"$tmp/figures" -shoal "$tmp/shoal" -dir "$tmp" "$@"
