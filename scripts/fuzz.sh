#!/usr/bin/env bash
# Runs every fuzz test for a while: scripts/fuzz.sh [TIME, default 10s]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
fuzz() { go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$3" >"$out" 2>&1; }
for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do
	for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | sed 's/^func //' | sort -u); do
		echo "$dir $name"
		fuzz "$dir" "$name" "${1:-10s}" && continue
		# At the end of its time go test now and then calls the stop itself a failure: without a
		# failing input that counts for nothing, once.
		if grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input' "$out" && fuzz "$dir" "$name" "${1:-10s}"; then
			continue
		fi
		cat "$out"
		exit 1
	done
done
