# shellcheck shell=sh disable=SC2154,SC2034 # vg, op and name are the caller's
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What test_bootstrap_power.py has done in its machines, after whole.sh. Disks
# go by the last letters of their names: one with /etc and /var/lib of
# vm-bootstrap, one with the volume group.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
name=p kernel=/kernel
. /whole.sh

attach() { # STATE VG
	mount -t ext4 "/dev/vd$1" /state || exit 1
	mkdir -p /state/lib /state/etc
	mount --bind /state/lib /var/lib/bulkhead
	mount --bind /state/etc /etc/bulkhead
	rm -rf /run/bulkhead
	sed -i '/filter/d' /etc/lvm/lvm.conf
	echo "devices { global_filter=[\"a|^/dev/vd$2\$|\",\"r|.*|\"] }" >>/etc/lvm/lvm.conf
}

detach() {
	umount /var/lib/bulkhead /etc/bulkhead /state
	vgchange -q -an "$vg" >/dev/null || echo "the volume group cannot be deactivated"
}

# A new machine's disks, with the guest as it is before the operation.
fresh() { # "pool" for a thin pool
	# (The shell would take busybox's mke2fs.)
	/usr/sbin/mke2fs -q -t ext4 /dev/vda && attach a b && pvcreate -q /dev/vdb && vgcreate -q -s 1M "$vg" /dev/vdb &&
		{ [ "$vg" != thin ] || lvcreate -q --type thin-pool -L 256M -n pool thin; } &&
		vm-bootstrap -q template build tiny --vg "$vg"
}

# Starts the operation, which stops at every step.
begin() {
	before
	sync
	state
	: >/run/op.log
	: >/run/op.pid
	echo 0 >/run/op.seen
	(export VM_BOOTSTRAP_FAULT=stop:0; act; echo "over: $?" >/run/op.rc) >/run/op.log 2>&1 &
	while ! pidof vm-bootstrap >/run/op.pid; do sleep 0.05; done
}

# Lets it run to the next step; prints that, or its end.
next() {
	pid=$(cat /run/op.pid) n=$(cat /run/op.seen)
	[ "$n" = 0 ] || kill -CONT "$pid"
	while [ ! -e /run/op.rc ]; do
		if [ "$(wc -l </run/op.log)" -gt "$n" ] && grep -q '^State:.T' "/proc/$pid/status"; then break; fi
		sleep 0.05
	done
	wc -l </run/op.log >/run/op.seen
	tail -n 1 /run/op.log
	cat /run/op.rc 2>/dev/null
	true
}

# What the next command makes of a pair of disks and, with "gone", whether the
# guest can go.
look() { # STATE VG [gone]
	attach "$1" "$2"
	vgchange -q -ay "$vg" >/dev/null 2>&1
	vm-bootstrap -q list >/tmp/list 2>/tmp/recovery
	echo "state: $(state)"
	litter
	whole
	if [ "${3-}" = gone ]; then
		vm-bootstrap -q destroy --yes "$name" "$name-2" 2>/dev/null
		lvs --noheadings -o lv_name,lv_tags "$vg" | grep bulkhead.guest
		find /etc/bulkhead/guests /var/lib/bulkhead/bootstrap/guests -type f 2>/dev/null
	fi
	detach
}
