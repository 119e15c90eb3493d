#!/usr/bin/env bash
# check.sh proves the wait protocol's model, wait.pml, with the model checker
# spin: first the protocol itself in several sizes, then that each of its rules
# is needed, by taking them out one at a time. It needs spin and gcc, and installs spin where
# it may. Half a minute on one quiet core.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)

skip() {
	"$root/scripts/skip" "model of the wait protocol" "$1" "$2"
	exit 0
}

if ! command -v spin >/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing spin"
		{ apt-get install -y spin || { apt-get update && apt-get install -y spin; }; } >/dev/null 2>&1 ||
			skip "apt-get could not install spin" "See what 'apt-get install spin' says"
	else
		skip "spin is not installed" "Install it, in Debian the package spin"
	fi
fi
command -v gcc >/dev/null || skip "no gcc to compile the model with" "Install it"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# explore DEFINES… leaves what spin found in the file out.
explore() {
	spin -a "$@" "$here/wait.pml" >out
	gcc -O2 -w -DSAFETY -DMEMLIM=2048 -o pan pan.c
	timeout 120 ./pan -m100000 >out || { cat out >&2; return 1; }
	# A search that was cut short proves nothing.
	if ! grep -q '^State-vector' out || grep -qE 'search not completed|max search depth' out && ! grep -q 'errors: [1-9]' out; then
		cat out >&2
		return 1
	fi
}

# holds DEFINES…: the protocol keeps its promises.
holds() {
	explore "$@"
	if ! grep -q 'errors: 0$' out; then
		cat out >&2
		spin -t -p -g -k "$work"/wait.pml.trail "$@" "$here/wait.pml" | tail -60 >&2 || true
		echo "FAILED: $*" >&2
		exit 1
	fi
	echo "holds: $* ($(awk '/states, stored/ { print $1 }' out) states)"
}

# breaks WHAT RULE DEFINES…: without the rule, spin finds that it doesn't.
breaks() {
	local what=$1 rule=$2
	shift 2
	explore "-D$rule" "$@"
	if ! grep -q "^pan:1: $what" out; then
		cat out >&2
		echo "FAILED: $rule $*: no $what found" >&2
		exit 1
	fi
	echo "breaks: $rule: $what"
}

# One configuration with everything would have too many states; these have each
# pair of things that could meddle with each other.
holds -DCAP=3 -DBYTES=5 -DWAKE=2 -DSPURIOUS=0 -DDEADLINES=0
holds -DCAP=2 -DBYTES=3 -DWAKE=1 -DSPURIOUS=0 -DDEADLINES=0 -DKILLS
holds -DCAP=2 -DBYTES=3 -DWAKE=2 -DSPURIOUS=1 -DDEADLINES=0
holds -DCAP=2 -DBYTES=3 -DWAKE=2 -DSPURIOUS=0 -DDEADLINES=1
holds -DCAP=1 -DBYTES=2 -DWAKE=1 -DSPURIOUS=1 -DDEADLINES=1

small=(-DCAP=2 -DBYTES=3 -DWAKE=2 -DSPURIOUS=0 -DDEADLINES=0)

# The lost wake-up: a sleeper that was woken for nothing parks again without
# announcing itself, after a late waker took its announcement away.
breaks 'invalid end state' NO_REANNOUNCE "${small[@]}"
# The sleeper parks without a second look after its announcement.
breaks 'invalid end state' NO_RECHECK "${small[@]}"
# The waker looks for a sleeper before it publishes.
breaks 'invalid end state' LOOK_BEFORE_PUBLISH "${small[@]}"
# CloseWrite rings no bell.
breaks 'invalid end state' FIN_WITHOUT_BELL "${small[@]}"
# The consumer looks at the ring before it looks at fin: bytes written between the
# two looks are lost.
breaks 'assertion violated' RING_BEFORE_FIN "${small[@]}"
# An empty ring doesn't wake the producer.
breaks 'invalid end state' WAKE=3 -DCAP=2 -DBYTES=3 -DSPURIOUS=0 -DDEADLINES=0
