#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Turns a fresh Debian root ($1) into a test machine: root logs in by itself on
# every console, DHCP on every wired card, an initrd with the drivers of the
# machines the tests build, and the two helpers beside this file. Run by
# mmdebstrap as a customize hook.
set -eu
root=$1 here=$(dirname "$0")

install -m 755 "$here/bht" "$root/usr/local/sbin/bht"
install -D -m 755 "$here/copyin" "$root/etc/initramfs-tools/scripts/local-bottom/bhcopy"
echo bhtest >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 bhtest\n' >"$root/etc/hosts"
printf 'LABEL=bhroot / ext4 defaults 0 1\nLABEL=BHESP /boot/efi vfat nofail,umask=77 0 0\n' >"$root/etc/fstab"
mkdir -p "$root/boot/efi" "$root/boot/grub"
chroot "$root" passwd -q -d root

for unit in serial-getty@ getty@; do
	mkdir -p "$root/etc/systemd/system/$unit.service.d"
	# shellcheck disable=SC2016 # agetty gets $TERM from systemd
	printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200,38400,9600 %%I $TERM\n' \
		>"$root/etc/systemd/system/$unit.service.d/autologin.conf"
done

cat >"$root/etc/systemd/network/80-wired.network" <<-N
	[Match]
	Name=en* eth*
	[Network]
	DHCP=yes
	LinkLocalAddressing=no
	IPv6AcceptRA=no
N
chroot "$root" systemctl -q enable systemd-networkd
# Units that only cost time under emulation or reach out by themselves.
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer man-db.timer \
	fstrim.timer e2scrub_all.timer e2scrub_reap.service systemd-networkd-wait-online.service \
	xendomains.service
mkdir -p "$root/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultTimeoutStartSec=900\nDefaultTimeoutStopSec=300\nDefaultDeviceTimeoutSec=900\nStatusUnitFormat=name\n' \
	>"$root/etc/systemd/system.conf.d/emulation.conf"
rm -f "$root/etc/resolv.conf"
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
printf 'PermitRootLogin yes\nPermitEmptyPasswords yes\n' >"$root/etc/ssh/sshd_config.d/test.conf" 2>/dev/null || true

# A short list of drivers: unpacking an initrd is slow under emulation.
sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
printf '%s\n' ahci sd_mod sr_mod virtio_pci virtio_blk virtio_scsi nvme ext4 vfat dm_mod dm_thin_pool \
	loop squashfs isofs xen_blkfront xen_netfront >"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u -k all

cp -r /usr/lib/grub/i386-pc /usr/lib/grub/x86_64-efi "$root/boot/grub/"
cat >"$root/boot/grub/grub.cfg" <<-'G'
	set timeout=0
	serial --unit=0 --speed=115200
	terminal_output console serial
	menuentry 'Debian' {
		linux /vmlinuz root=LABEL=bhroot rw console=tty0 console=ttyS0,115200
		initrd /initrd.img
	}
G
# A server with a serial console: GRUB's menus made later in the machine use it,
# and need no VGA BIOS, without which GRUB 2.06 hangs in its graphical terminal.
mkdir -p "$root/etc/default/grub.d"
cat >"$root/etc/default/grub.d/serial.cfg" <<-'G'
	GRUB_TIMEOUT=1
	GRUB_TERMINAL="console serial"
	GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
	GRUB_CMDLINE_LINUX_DEFAULT="console=tty0 console=ttyS0,115200"
G
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/doc/* "$root"/usr/share/locale/*
