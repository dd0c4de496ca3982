#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The library's client and the daemon on the build host: two clients count in
# transactions while the daemon is killed again and again. BIN is the directory
# with bulkhead-store and tests/xs_stress.
set -eu
bin=$1 kills=${2:-20}
dir=$(mktemp -d)
store=
trap 'kill -9 $store 2>/dev/null || :; rm -rf "$dir"' EXIT
export XENSTORED_PATH="$dir/socket"

start() {
	"$bin/bulkhead-store" --no-domains -d "$dir/state" -s "$dir/socket" 2>>"$dir/log" &
	store=$!
}

# Until it has come back $1 times, however busy the host is.
back() {
	n=0
	while [ "$(grep -c continuing "$dir/log")" -lt "$1" ] && [ $n -lt 1200 ]; do
		sleep 0.05
		n=$((n + 1))
	done
}

start
while [ ! -S "$dir/socket" ]; do sleep 0.05; done
"$bin/tests/xs_stress" /a 4 >"$dir/a" &
a=$!
"$bin/tests/xs_stress" /b 4 >"$dir/b" &
b=$!
i=0
while [ $i -lt "$kills" ]; do
	back $i
	sleep 0.1
	kill -9 "$store"
	wait "$store" 2>/dev/null || :
	start
	i=$((i + 1))
done
back "$kills"
rc=0
wait "$a" || rc=1
wait "$b" || rc=1
[ "$(grep -c continuing "$dir/log")" = "$kills" ] || rc=1
[ $rc = 0 ] || cat "$dir/a" "$dir/b" "$dir/log"
exit $rc
