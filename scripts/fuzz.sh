#!/usr/bin/env bash
# Runs every fuzz test for a while: scripts/fuzz.sh [TIME, default 10s]
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
corpora=$(go env GOCACHE)/fuzz
# fuzz DIR NAME TIME: in DIR, as go test does, so that a failing input lands in its testdata.
fuzz() {
	(cd "$1" && "$tmp/test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$3" -test.fuzzcachedir "$corpus") >"$tmp/out" 2>&1
}
for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do
	go test -c -fuzz . -o "$tmp/test" "$dir" # once for all fuzz tests of a room: linking takes as long as some of them run
	corpus=$corpora/$(go list "$dir") # where go test keeps what it has found
	for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | sed 's/^func //' | sort -u); do
		echo "$dir $name"
		for ((try = 1; ; try++)); do
			fuzz "$dir" "$name" "${1:-10s}" && grep -q '^PASS' "$tmp/out" && ! grep -q 'no fuzz tests to fuzz' "$tmp/out" && break
			# At the end of its time the fuzzer now and then calls the stop itself a failure (golang/go#75804), on a
			# busy machine twice in a row: without a failing input that counts for nothing, four times.
			if ((try < 5)) && grep -q 'context deadline exceeded' "$tmp/out" && ! grep -q 'Failing input' "$tmp/out"; then
				continue
			fi
			cat "$tmp/out"
			exit 1
		done
	done
done
