#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Boot sets in a scratch root: made, refused, tried, blessed by hand, rolled
# back. BOOTSET names the program. No GRUB, no root rights needed.
set -eu

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
BULKHEAD_ROOT=$root
export BULKHEAD_ROOT
bs=${BOOTSET:?}
n=0

ok() {
	n=$((n + 1))
	echo "ok $n $1"
}
fail() {
	echo "FAIL bootset: $1" >&2
	exit 1
}
expect() { # text, command...
	want=$1
	shift
	out=$("$@" 2>&1) || true
	case $out in
	*"$want"*) ok "$want" ;;
	*) fail "wanted '$want' from $*; got: $out" ;;
	esac
}

# A kernel whose header promises 512 * 5 + 16 * 16 bytes, and a real cpio.
kernel() {
	head -c 2816 /dev/zero >"$root/boot/vmlinuz-$1"
	printf '\004' | dd of="$root/boot/vmlinuz-$1" bs=1 seek=497 conv=notrunc 2>/dev/null
	printf '\020\000\000\000' | dd of="$root/boot/vmlinuz-$1" bs=1 seek=500 conv=notrunc 2>/dev/null
	printf 'HdrS' | dd of="$root/boot/vmlinuz-$1" bs=1 seek=514 conv=notrunc 2>/dev/null
	printf '\nCONFIG_XEN_DOM0=y\n' >"$root/boot/config-$1"
	mkdir -p "$root/lib/modules/$1"
	# The root disk of the machine that runs the test: all "built in".
	for m in virtio_blk virtio_pci ext4 overlay btrfs xfs dm_mod nvme ahci sd_mod ata_piix virtio_scsi; do
		echo "kernel/$m.ko"
	done >"$root/lib/modules/$1/modules.builtin"
	mkdir -p "$root/cpio/sbin"
	echo x >"$root/cpio/sbin/lvm"
	head -c 200000 /dev/urandom >"$root/cpio/fill"
	(cd "$root/cpio" && find . | cpio -o -H newc 2>/dev/null | gzip) >"$root/boot/initrd.img-$1"
}
hypervisor() {
	printf '\177ELF rest of it' | gzip >"$root/boot/bulkhead-$1.gz"
}

mkdir -p "$root/boot" "$root/proc" "$root/run"
echo "root=/dev/sda1" >"$root/proc/cmdline"
expect "install bulkhead-hypervisor" "$bs" update
hypervisor 0.1
expect "no kernel in /boot that can be dom0" "$bs" update
kernel 6.1.0-1-amd64
expect "boot set 0001: Bulkhead 0.1, Linux 6.1.0-1-amd64" "$bs" update
expect "up to date" "$bs" update
expect "next:    0001" "$bs" status
# Killed between making the set and arming it: the next run arms it.
sed -i 's/^trying=.*/trying=/' "$root/boot/bulkhead/state"
expect "boots once at the next reboot" "$bs" update
expect "next:    0001" "$bs" status

# It boots and is well: what the health unit does, without the checks.
echo "root=/dev/sda1 bulkhead.set=0001" >"$root/proc/cmdline"
"$bs" default 0001
sed -i 's/^trying=.*/trying=/; s/^set.0001=.*/set.0001=good/' "$root/boot/bulkhead/state"
expect "default: 0001" "$bs" status

# A truncated initrd and a cut kernel are refused, and nothing changes.
kernel 6.1.0-2-amd64
cp "$root/boot/initrd.img-6.1.0-2-amd64" "$root/keep"
head -c 100000 "$root/keep" >"$root/boot/initrd.img-6.1.0-2-amd64"
before=$(cat "$root/boot/bulkhead/state")
expect "no new boot set was made" "$bs" update
cp "$root/keep" "$root/boot/initrd.img-6.1.0-2-amd64"
cp "$root/boot/vmlinuz-6.1.0-2-amd64" "$root/keep"
head -c 2000 "$root/keep" >"$root/boot/vmlinuz-6.1.0-2-amd64"
expect "is cut short" "$bs" update
[ "$before" = "$(cat "$root/boot/bulkhead/state")" ] || fail "a refused set changed the state"
cp "$root/keep" "$root/boot/vmlinuz-6.1.0-2-amd64"
ok "refusals change nothing"

# A new set is tried; the machine comes back on the old one. What a power cut
# left of others is not kept: it holds links to old kernels.
mkdir "$root/boot/bulkhead/sets/.dead-0007"
ln "$root/boot/vmlinuz-6.1.0-1-amd64" "$root/boot/bulkhead/sets/.dead-0007/vmlinuz"
expect "boot set 0002" "$bs" update
[ ! -e "$root/boot/bulkhead/sets/.dead-0007" ] || fail "half a set is left"
expect "belongs to boot set 0001" "$bs" may-remove 6.1.0-1-amd64
mkdir -p "$root/etc/bulkhead/guests"
echo 'kernel = "/boot/vmlinuz-5.10.0-1"' >"$root/etc/bulkhead/guests/web1.cfg"
expect "guests/web1.cfg" "$bs" may-remove 5.10.0-1
"$bs" may-remove 5.10.0 || fail "another kernel was kept for a guest"
rm -r "$root/etc/bulkhead/guests"
cp "$root/boot/bulkhead/state" "$root/keep"
expect "boot set 0002 did not come up; the machine is back on 0001" "$bs" boot-check
expect "bad" "$bs" list
expect "has failed; to try it again" "$bs" update
expect "next:    the default" "$bs" status
cp "$root/keep" "$root/boot/bulkhead/state"
echo "root=/dev/sda1 bulkhead.set=0002" >"$root/proc/cmdline"
"$bs" boot-check
expect "running: 0002 (on trial)" "$bs" status
echo "root=/dev/sda1 bulkhead.set=0001" >"$root/proc/cmdline"
expect "0002 came up, but the machine went down" "$bs" boot-check
[ -s "$root/run/motd.d/50-bulkhead" ] || fail "no motd"
ok "the administrator is told"
expect "no other set has proven good" "$bs" rollback
expect "is running, default or next" "$bs" remove 0001
"$bs" remove 0002
expect '"default":"0001"' "$bs" --json list

# What package upgrades do to /boot does not reach into a set.
echo changed >"$root/boot/new" && mv "$root/boot/new" "$root/boot/bulkhead-0.1.gz"
gzip -t <"$root/boot/bulkhead/sets/0001/hypervisor.gz" || fail "set lost its hypervisor"
ok "a set keeps its files"
expect "menuentry 'Bulkhead 0.1" "$bs" grub "	insmod ext2" /boot/bulkhead/sets
# shellcheck disable=SC2016 # GRUB's variable
expect 'set default="bulkhead-${bulkhead_try}"' "$bs" grub "	insmod ext2" /boot/bulkhead/sets
expect 'boot_watchdog=1140' "$bs" grub "	insmod ext2" /boot/bulkhead/sets
mkdir -p "$root/etc/apt/apt.conf.d"
"$bs" default 0001
expect '^linux-image-6\.1\.0-1-amd64$' cat "$root/etc/apt/apt.conf.d/52bulkhead-boot-sets"
echo "bootset: $n checks passed"
