#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bootread on real disks: ext4 as a whole disk and in a partition, xfs and btrfs;
# the guest's choice, a broken kernel, the kept one. Runs
# in the test machine, with no more powers than the unit that starts guests has.
set -u
br=/usr/libexec/bulkhead/bootread
disk=/tmp/disk.img out=/tmp/out kernel=$(echo /boot/vmlinuz-* | cut -d' ' -f1)

die() { echo "FAILED: $*"; exit 1; }
on() { unshare -m sh -c "mount -o loop,offset=${off:-0} $disk /mnt && cd /mnt && $1"; }
menu() {
	on "mkdir -p boot/grub; cp $kernel boot/v1; cp $kernel boot/v2; echo initrd >boot/i1
	cat >boot/grub/grub.cfg" <<-'G'
		if [ -s $prefix/grubenv ]; then load_env; fi
		if [ "${next_entry}" ] ; then set default="${next_entry}"; else set default="${saved_entry}"; fi
		if [ x"${feature_menuentry_id}" = xy ]; then menuentry_id_option="--id"; fi
		menuentry 'one' --class x $menuentry_id_option 'one' {
			linux /boot/v1 root=UUID=1 ro quiet
			initrd /boot/i1
		}
		submenu 'more' $menuentry_id_option 'more' {
			menuentry 'two' --class x $menuentry_id_option 'two' {
				linux /boot/v2 root=UUID=1 single
			}
		}
	G
}
chosen() { [ "$(cat $out/cmdline)" = "$1 console=hvc0" ] || die "$2: $(cat $out/cmdline)"; }
mapfile -t powers < <(sed -n -E 's/^(CapabilityBoundingSet|Protect|Restrict|SystemCall|MemoryDeny|NoNew|Lock|UMask)/-p\1/p' \
	/root/bulkhead-guest@.service | grep -v '^-pRestart')
[ ${#powers[@]} -gt 10 ] || die "no restrictions in the unit"
run() { systemd-run -q --wait --pipe "${powers[@]}" $br --output $out "$@" 2>/tmp/err; }

for fs in ext4 part xfs btrfs; do
	rm -rf $out $disk
	off=0
	truncate -s 400M $disk
	case $fs in
	ext4) mkfs.ext4 -q $disk ;;
	part)
		# One Linux partition from sector 2048, as a plain MBR.
		printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\060\014\0' |
			dd of=$disk bs=1 seek=446 conv=notrunc status=none
		printf '\125\252' | dd of=$disk bs=1 seek=510 conv=notrunc status=none
		off=$((2048 * 512))
		mkfs.ext4 -q -E offset=$off $disk 390M 2>/dev/null
		;;
	*) cp --sparse=always /dev/disk/by-id/virtio-$fs $disk ;; # made where mkfs is
	esac
	menu
	run $disk || die "$fs: $(cat /tmp/err)"
	chosen "root=UUID=1 ro quiet" "$fs default"
	[ "$(head -c4 $out/kernel | tail -c3)" = ELF ] || die "$fs: not an ELF kernel"
	[ "$(cat $out/ramdisk)" = initrd ] || die "$fs: initrd"
	[ -z "$(grep /run/bulkhead /proc/mounts; losetup -a)" ] || die "$fs: mount or loop device left"
	case $fs in xfs | btrfs) echo "$fs: as expected"; continue ;; esac # from here on all are alike
	run --good || die "$fs: --good"
	on "grub-editenv boot/grub/grubenv create; grub-editenv boot/grub/grubenv set 'next_entry=more>two'"
	run $disk || die "$fs: $(cat /tmp/err)"
	chosen "root=UUID=1 single" "$fs one-time choice"
	run $disk || die "$fs: $(cat /tmp/err)"
	chosen "root=UUID=1 ro quiet" "$fs after the one-time choice"
	on "echo broken >boot/v1"
	run $disk || die "$fs: broken kernel: $(cat /tmp/err)"
	chosen "root=UUID=1 ro quiet" "$fs kept kernel"
	grep -q "last kernel that booted" /tmp/err || die "$fs: did not say so: $(cat /tmp/err)"
	rm -rf $out
	run $disk || die "$fs: no kept kernel: $(cat /tmp/err)"
	chosen "root=UUID=1 single" "$fs other entry"
	echo "$fs: as expected"
done
# Junk is refused and leaves nothing.
for i in 1 2 3 4 5 6 7 8; do
	truncate -s 0 $disk; truncate -s 20M $disk; off=0
	mkfs.ext4 -q $disk
	on 'mkdir -p boot/grub; echo "menuentry a {" >boot/grub/grub.cfg'
	dd if=/dev/urandom of=$disk bs=512 count=$((i * 40)) seek=$((i * 3)) conv=notrunc status=none
	rm -rf $out
	run $disk && die "junk $i was accepted"
	[ -z "$(ls $out)" ] || die "junk $i left $(ls $out)"
	grep -q 'killed by signal 31' /tmp/err && die "junk $i: system call outside the sandbox"
done
echo "bootread: all as expected"
