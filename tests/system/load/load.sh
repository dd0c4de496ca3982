#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# load.sh SECONDS PORT: everything at once in dom0 for that long. What ended badly
# is named in /root/failed, with its output in /root/NAME.log; /root/over comes last.
# PORT: an echo server on the other side of the network card.
seconds=$1 port=$2 disk=/dev/disk/by-id/virtio-load
cd /root || exit 1

job()
{
	name=$1
	shift
	"$@" >"$name.log" 2>&1 || echo "$name: exit $?" >>failed
}

job stress stress-ng --vm 2 --vm-bytes 128M --vm-keep --fork 2 --mmap 1 --mmap-bytes 64M --pipe 1 --timer 1 \
	--hdd 1 --hdd-bytes 32M --sock 1 --verify --timeout "$seconds" &
job fio fio --name=v --filename="$disk" --size=256M --rw=randwrite --bs=4k-64k --iodepth=4 --ioengine=libaio \
	--direct=1 --verify=crc32c --verify_backlog=256 --verify_fatal=1 --time_based --runtime="$seconds" &
job net python3 /root/net.py 10.0.2.2 "$port" "$seconds" &
job clock python3 /root/clock.py "$seconds" &
if command -v gcc >/dev/null; then
	job compile sh /root/compile.sh "$seconds" &
fi
wait
touch over
