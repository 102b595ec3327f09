#!/usr/bin/env bash
# Measures the tracker, and opentracker where that is installed, and prints the tracker's part of the table of figures in
# the README: scripts/tracker-figures.sh [FLAGS]; -h lists them. Needs root, for a network of its own and for real-time
# priority, and two cores: the trackers have the first, the generator the second.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d "${TMPDIR:-/tmp}/shoal-tracker-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -o "$tmp/shoal" .
CGO_ENABLED=0 go build -o "$tmp/trackerload" ./scripts/trackerload
# Not loopback's addresses: a peer that announces from one of those is at home, which is another case.
unshare --net -- sh -c 'ip link set lo up && for i in $(seq 1 17); do ip addr add 198.18.0.$i/32 dev lo; done && exec "$@"' - \
	taskset -c 1 chrt -f 5 "$tmp/trackerload" -shoal "$tmp/shoal" -dir "$tmp" "$@"
