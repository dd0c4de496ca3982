#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs by apt what the build and the tests need, and nothing else: one list,
# so that a fresh machine, CI and the demo cannot differ. Quiet, repeatable, and
# silent when there is nothing to do. `--list` prints the list.
set -eu

# What `make` needs.
build="gcc make pkg-config libc6-dev libxen-dev libsystemd-dev libjson-c-dev libmnl-dev
libblkid-dev libext2fs-dev libseccomp-dev libarchive-dev libncurses-dev libnewt-dev libcmocka-dev liblzma-dev
libzstd-dev zlib1g-dev liblz4-dev libbz2-dev git ca-certificates"

# The domU kernel.
kernel="flex bison bc libelf-dev libssl-dev rsync kmod cpio ccache xz-utils zstd lz4
linux-source-6.1 linux-config-6.1"

# Checks without a machine: ring 1 and lint.
lint="clang clang-format clang-tidy lld libclang-rt-14-dev sparse cppcheck mandoc shellcheck
systemd gdb"

# Machines to boot: ring 2 and 3, and the demo.
machine="qemu-system-x86 qemu-utils ovmf seabios ipxe-qemu mmdebstrap debootstrap
grub-common grub-pc-bin grub-efi-amd64-bin mtools dosfstools gdisk fdisk e2fsprogs xfsprogs btrfs-progs dmsetup
xorriso squashfs-tools busybox-static python3 openssh-client socat"

# Packages: ring 4.
packages="debhelper dpkg-dev lintian devscripts fakeroot rpm createrepo-c dnf rpmlint
apt-utils gnupg quilt"

# shellcheck disable=SC2206 # the lists are words
all=($build $kernel $lint $machine $packages)
[ "${1:-}" != --list ] || { printf '%s\n' "${all[@]}"; exit 0; }

missing=()
for p in "${all[@]}"; do
	s=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
	[ "$s" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps.sh: need root to install: ${missing[*]}; run as root, or install them" >&2
		exit 1
	}
	sudo=sudo
fi

echo "deps.sh: installing ${#missing[@]} packages: ${missing[*]}"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
run() {
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" >>"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		echo "deps.sh: apt-get $1 failed; the whole log is $log" >&2
		exit 1
	}
}
# The lists may be days old or absent (a fresh root); try with what is there first.
if ! $sudo apt-get -q -s install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
	echo "deps.sh: apt-get update"
	run update
fi
run -y install --no-install-recommends "${missing[@]}"
rm -f "$log"
echo "deps.sh: done in ${SECONDS} s"
