#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# faults.sh VG OP HOW [FIRST [EVERY]]: interrupts vm-bootstrap OP at each of its
# recorded steps and looks at what the next command finds. Runs in the test
# machine. HOW is kill (SIGKILL to the process) or again (also killing the
# recovery at its own first steps). Prints one line a step; exits 1 if any left
# anything behind or half made.
#
# For each step: bring the guest to the state before (unless undoing the last
# step already has), interrupt, let "list" recover, then require that (a) no
# journal, mount, temporary file or stray volume is there, (b) the guest is as
# before or as after, never between, and (c) it can be used: its file system is
# clean and it can be destroyed.
set -u
vg=$1 op=$2 how=$3 first=${4:-1} every=${5:-1}
name=f-$op
points=/tmp/points
bad=0
# shellcheck source=/dev/null
. "$(dirname "$0")/whole.sh"

before
a=$(state)
rm -f $points
(export VM_BOOTSTRAP_FAULT_LOG=$points; act) || exit 3
b=$(state)
total=$(wc -l <$points)
[ "$a" != "$b" ] || { echo "$op changed nothing: $a"; exit 3; }
[ -z "$(litter)" ] || { echo "left by an undisturbed $op:"; litter; exit 1; }

i=$first now=$b
while [ "$i" -le "$total" ]; do
	[ "$now" = "$a" ] || before
	(export VM_BOOTSTRAP_FAULT=kill:$i; act) >/dev/null 2>&1
	if [ "$how" = again ]; then
		for k in 1 2 3; do
			VM_BOOTSTRAP_FAULT=kill:$k vm-bootstrap -q recover >/dev/null 2>&1
		done
	fi
	vm-bootstrap -q list >/dev/null 2>/tmp/recovery
	now=$(state)
	wrong=$(litter; whole)
	[ "$now" = "$a" ] || [ "$now" = "$b" ] || wrong="$wrong state $now, not $a or $b"
	echo "$op on $vg, step $i of $total ($(sed -n "${i}s/^[0-9]* //p" $points)): $now${wrong:+ WRONG: $wrong}"
	[ -z "$wrong" ] || { bad=1 now=; cat /tmp/recovery; }
	i=$((i + every))
done
vm-bootstrap -q destroy --yes "$name" "$name-2" 2>/dev/null
exit $bad
