# shellcheck shell=sh disable=SC2154 # vg, op and name are the caller's
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the fault tests ask after an interruption; read by faults.sh and by
# test_bootstrap_power.py. Callers set vg, op and name. For every shell, busybox
# too.

options="--template tiny --no-network --vg $vg"

# Brings the guest to the state before the operation.
before() {
	vm-bootstrap -q destroy --yes "$name" "$name-2" 2>/dev/null
	# shellcheck disable=SC2086 # words
	case $op in
	create) ;;
	*) vm-bootstrap -q create "$name" $options ${kernel:+--kernel "$kernel"} --disk 48M --swap 16M || exit 3 ;;
	esac
	[ "$op" != replace ] || mark old
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
	# shellcheck disable=SC2086 # words
	case $op in
	create) vm-bootstrap -q create "$name" $options ${kernel:+--kernel "$kernel"} --disk 48M --swap 16M ;;
	replace) vm-bootstrap -q create "$name" $options ${kernel:+--kernel "$kernel"} --disk 64M --swap 20M --force ;;
	clone) vm-bootstrap -q clone "$name" "$name-2" ;;
	rollback) vm-bootstrap -q rollback "$name" s1 --yes ;;
	resize) vm-bootstrap -q resize "$name" --disk 64M ;;
	destroy) vm-bootstrap -q destroy "$name" --yes ;;
	esac
}

# Everything that must not be there after a recovery, one line each.
litter() {
	ls /var/lib/bulkhead/bootstrap/journal 2>/dev/null
	find /etc/bulkhead /var/lib/bulkhead/bootstrap -name '*.new*'
	grep -s /run/bulkhead/ /proc/mounts
	losetup -a
	# Volumes half made, or whose guest does not exist.
	lvs --noheadings -o lv_name,lv_tags "$vg" | while read -r lv tags; do
		case "$lv $tags" in *+.* | *bulkhead.merge*) echo "$lv $tags" ;; esac
		g=${tags#*bulkhead.guest=}
		[ "$g" = "$tags" ] || [ -e "/etc/bulkhead/guests/${g%%,*}.cfg" ] || echo "stray $lv"
	done
	# A lock somebody still holds.
	for l in /run/bulkhead/lock/*; do
		[ ! -e "$l" ] || flock -n "$l" true || echo "locked: $l"
	done
}

# What may be one of two things: as before, or as after.
state() {
	case $op in
	create | destroy) [ -e "/etc/bulkhead/guests/$name.cfg" ] && echo there || echo none ;;
	clone) [ -e "/etc/bulkhead/guests/$name-2.cfg" ] && echo there || echo none ;;
	replace)
		if [ ! -e "/etc/bulkhead/guests/$name.cfg" ]; then echo none
		elif marked | grep -q old; then echo old
		else echo new; fi
		;;
	rollback) marked | grep -q new && echo new || echo old ;;
	resize)
		is=$(lvs --noheadings --units b --nosuffix -o lv_size "$vg/$name-root" | tr -d ' ')
		meta=$(sed -n 's/.*"disk": *\([0-9]*\).*/\1/p' "/var/lib/bulkhead/bootstrap/guests/$name.json")
		[ "$is" = "$meta" ] && echo "$is" || echo "sizes differ: $is $meta"
		;;
	esac
}

# Every guest there is, is whole: a clean file system, swap, all its records.
whole() {
	for g in "$name" "$name-2"; do
		[ -e "/etc/bulkhead/guests/$g.cfg" ] || continue
		e2fsck -fn "/dev/$vg/$g-root" >/tmp/fsck 2>&1 || echo "file system of $g: $(tail -n 1 /tmp/fsck)"
		[ -b "/dev/$vg/$g-swap" ] || echo "$g has no swap volume"
		vm-bootstrap info "$g" >/dev/null || echo "no info on $g"
	done
	[ "$op" != rollback ] || vm-bootstrap snapshots "$name" | grep -q s1 || echo "the snapshot is gone"
}
