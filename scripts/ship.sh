#!/usr/bin/env bash
# Ships a patch as a CI job does: build, publish, push, the first wave, its machines' health, then wave by wave to all; or halt, and send machines back.
#
#   scripts/ship.sh APP@VERSION
#
# It may be run again at any point: what is done already is not done twice. It ends with 0 when all machines have the version and are well, with 9 when the rollout was
# halted, with 6 when a wave was not there in time (it is halted then as well), else with the code of the shoal that failed.
#
#   BUILD         a command that makes CONTENT; empty: it is there
#   CONTENT       what is shipped (dist)
#   REPO          the publisher's repository (repo)
#   CHANNEL       (stable)
#   WAVES         their last has all machines (1,1%,100%)
#   HALT_AT       the share of machines that may fail (0%)
#   MIN_REPORTS   how many must have shown how it goes before a wave counts (1)
#   PATIENCE      how long a wave may take (30m)
#   ORIGIN        the origin's URL, to push to; empty: REPO is its own
#   TOKEN_FILE    the token of that push
#   AT_ORIGIN     what runs a command at the origin, such as "ssh origin.example"; empty: it is here
#   ORIGIN_REPO   the repository there (REPO)
#   ORIGIN_STATE  the state directory of its shoal serve; empty: the default
set -euo pipefail
release=${1:?such as scripts/ship.sh myapp@1.5.0}
content=${CONTENT:-dist} repo=${REPO:-repo} waves=${WAVES:-1,1%,100%} patience=${PATIENCE:-30m}
channel=${CHANNEL:-stable}
rollout=${release%@*}:$channel
state=(${ORIGIN_STATE:+--state-dir "$ORIGIN_STATE"})

say() { printf '\n== %s\n' "$*" >&2; }
at_origin() { ${AT_ORIGIN:-} shoal rollout "$@"; }

if [ -n "${BUILD:-}" ]; then
	say "build"
	bash -c "$BUILD"
fi

say "publish $release"
shoal publish "$content" --as "$release" --repo "$repo"
shoal rollout start "$release" --channel "$channel" --waves "$waves" --halt-at "${HALT_AT:-0%}" --min-reports "${MIN_REPORTS:-1}" --rollback --repo "$repo"

if [ -n "${ORIGIN:-}" ]; then
	say "push to $ORIGIN"
	shoal push "$repo" "$ORIGIN" ${TOKEN_FILE:+--token-file "$TOKEN_FILE"}
fi

last=$(tr -cd , <<<"$waves" | wc -c)
for ((wave = 1; wave <= last + 1; wave++)); do
	say "wave $wave"
	code=0
	at_origin advance "$rollout" --wave "$wave" --wait --deadline "$patience" --repo "${ORIGIN_REPO:-$repo}" "${state[@]}" || code=$?
	if [ "$code" = 0 ]; then
		continue
	fi
	say "wave $wave ended with exit code $code"
	if [ "$code" != 9 ]; then # else the origin has done so
		at_origin halt "$rollout" --rollback --reason "wave $wave: exit code $code" --repo "${ORIGIN_REPO:-$repo}" || true
	fi
	exit "$code"
done
if [ -n "${ORIGIN:-}" ]; then # nothing goes, and how far it has come is known here: the next version may be sent back to this one
	shoal push "$repo" "$ORIGIN" ${TOKEN_FILE:+--token-file "$TOKEN_FILE"}
fi
say "$release is everywhere"
