#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# faults.sh VG OP HOW [FIRST [EVERY]]: interrupts vm-bootstrap OP at each of its
# recorded steps and looks at what the next command finds. Runs in the test
# machine. HOW is kill (SIGKILL to the process) or again (also killing the
# recovery at its own first steps). Prints one line a step; exits 1 if any left
# anything behind or half made.
#
# For each step: bring the guest to the state before, interrupt, let "list" recover,
# then require that (a) no journal, mount, temporary file or stray volume is
# there, (b) the guest is as before or as after, never between, and (c) it can
# be used: its file system is clean and it can be destroyed.
set -u
vg=$1 op=$2 how=$3 first=${4:-1} every=${5:-1}
name=f-$op
points=/tmp/points
bad=0
fs=(--template tiny --no-network --vg "$vg")

before() {
	vm-bootstrap -q destroy --yes "$name" "$name-2" 2>/dev/null
	case $op in
	create) ;;
	*) vm-bootstrap -q create "$name" "${fs[@]}" --disk 48M --swap 16M || exit 3 ;;
	esac
	if [ "$op" = rollback ]; then
		vm-bootstrap -q snapshot "$name" s1 || exit 3
		mark new
	fi
}

# Writes a word into the guest's disk, or reads it.
mark() {
	unshare -m sh -c "mount /dev/$vg/$name-root /mnt && echo $1 >/mnt/mark; umount /mnt"
}
marked() {
	unshare -m sh -c "mount -o ro,noload /dev/$vg/$name-root /mnt && cat /mnt/mark 2>/dev/null; umount /mnt"
}

act() {
	case $op in
	create) vm-bootstrap -q create "$name" "${fs[@]}" --disk 48M --swap 16M ;;
	clone) vm-bootstrap -q clone "$name" "$name-2" ;;
	rollback) vm-bootstrap -q rollback "$name" s1 --yes ;;
	resize) vm-bootstrap -q resize "$name" --disk 64M ;;
	destroy) vm-bootstrap -q destroy "$name" --yes ;;
	esac
}

# What must be the same whatever happened, and what may be one of two.
litter() {
	ls /var/lib/bulkhead/bootstrap/journal 2>/dev/null
	find /etc/bulkhead/guests /var/lib/bulkhead/bootstrap/guests -name '*.new'
	grep -s /run/bulkhead/ /proc/mounts
	losetup -a
	lvs --noheadings -o lv_name,lv_tags "$vg" | grep -E '\+\.|bulkhead.merge'
	# Volumes whose guest does not exist.
	lvs --noheadings -o lv_name,lv_tags "$vg" | while read -r lv tags; do
		g=${tags#*bulkhead.guest=}
		[ "$g" = "$tags" ] || [ -e "/etc/bulkhead/guests/${g%%,*}.cfg" ] || echo "stray $lv"
	done
}

size() {
	lvs --noheadings --units b --nosuffix -o lv_size "$vg/$name-root" 2>/dev/null | tr -d ' '
}

state() {
	case $op in
	create | destroy) [ -e "/etc/bulkhead/guests/$name.cfg" ] && echo there || echo none ;;
	clone) [ -e "/etc/bulkhead/guests/$name-2.cfg" ] && echo there || echo none ;;
	rollback) marked | grep -q new && echo new || echo old ;;
	resize)
		python3 - "$(size)" "$name" <<-'P'
			import json, sys
			meta = json.load(open(f"/var/lib/bulkhead/bootstrap/guests/{sys.argv[2]}.json"))
			print(sys.argv[1] if int(sys.argv[1]) == meta["disk"] else "sizes differ")
		P
		;;
	esac
}

whole() {
	for g in "$name" "$name-2"; do
		[ -e "/etc/bulkhead/guests/$g.cfg" ] || continue
		e2fsck -fn "/dev/$vg/$g-root" >/tmp/fsck 2>&1 || echo "file system of $g: $(tail -1 /tmp/fsck)"
		[ -b "/dev/$vg/$g-swap" ] || echo "$g has no swap volume"
		vm-bootstrap info "$g" >/dev/null || echo "no info on $g"
	done
}

before
a=$(state)
rm -f $points
VM_BOOTSTRAP_FAULT_LOG=$points act || exit 3
b=$(state)
total=$(wc -l <$points)
[ "$a" != "$b" ] || { echo "$op changed nothing: $a"; exit 3; }
[ -z "$(litter)" ] || { echo "left by an undisturbed $op:"; litter; exit 1; }

for ((i = first; i <= total; i += every)); do
	before
	VM_BOOTSTRAP_FAULT=kill:$i act >/dev/null 2>&1
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
	[ -z "$wrong" ] || { bad=1; cat /tmp/recovery; }
done
vm-bootstrap -q destroy --yes "$name" "$name-2" 2>/dev/null
exit $bad
