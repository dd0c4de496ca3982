#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The command line of bulkhead-setup: what it refuses, and how. What it does to
# a host is tested on hosts (tests/system/test_setup.py).
set -eu
s=${SETUP:?}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
expect() { # code, text, command...
	want=$1 text=$2
	shift 2
	rc=0
	out=$("$@" 2>&1) || rc=$?
	case $rc:$out in
	$want:*"$text"*) echo "ok $text" ;;
	*) echo "FAIL setup: wanted $want '$text' from $*; got $rc: $out" >&2; exit 1 ;;
	esac
}
expect 0 "usage: bulkhead-setup" "$s" --help
expect 2 "not a usable name" "$s" --vg 'a/b' --check
expect 2 "not a usable name" "$s" --bridge "a-name-that-is-too-long" --check
expect 2 "is not a number" "$s" --dom0-memory lots --check
expect 2 "unexpected 'now'" "$s" now
expect 2 "cannot read answers" "$s" --answers "$dir/none" --check
printf 'vg=data\ncolour=red\n' >"$dir/a"
expect 2 "a:2: 'colour' is not an answer" "$s" --answers "$dir/a" --check
