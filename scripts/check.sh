#!/usr/bin/env bash
# The checks before each push: format, vet, staticcheck, builds for other systems, race tests.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }

step gofmt
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	echo "not gofmt-ed:" $unformatted
	exit 1
fi

step "vet, staticcheck"
go vet ./...
go tool staticcheck ./...

step "static binary, other systems"
CGO_ENABLED=0 go build -o /dev/null .
for target in linux/arm64 darwin/arm64 windows/amd64; do
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -o /dev/null .
done

step "the README's test command, with -race"
go test -race -shuffle=on -timeout 20m ./...

step "what the race detector would hide"
go test -run '^TestDiffKeepsToItsMemory$' ./piece/delta
