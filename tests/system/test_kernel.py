#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Our domU kernel as a PV guest that boots from its disk without an initrd.

In CI its cut without modules, with a small busybox root; with --long a Debian 12
guest on what was built (`make kernel-domu` for the whole kernel), to systemd's
"running", with nftables, overlayfs and a container inside. With
BULKHEAD_TEST_HYPERVISOR=xen the same runs on Debian's Xen.
"""

import os
import re
import tempfile

import images
from cases import case, check, main
from xl_lab import XlLab, domu_kernel

HV = os.environ.get("BULKHEAD_TEST_HYPERVISOR", "bulkhead")
TMP = tempfile.TemporaryDirectory(prefix="bht-kernel-")
# What the small guest does; it has nothing but busybox.
SMALL = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run
ok() { "$@" && echo "@@ok $1" || echo "@@failed $*"; }
echo "@@release $(uname -r)"
echo written >/file && sync && ok grep -q written /file
mkdir -p /run/l /run/u /run/w /run/m; echo low >/run/l/f
mount -t overlay -o lowerdir=/run/l,upperdir=/run/u,workdir=/run/w o /run/m && echo up >/run/m/f
[ "$(cat /run/l/f /run/u/f)" = "low
up" ] && echo "@@ok overlay" || echo "@@failed overlay"
ip link add br0 type bridge && ip link add v0 type veth peer name v1 && ip link set v0 master br0
ok ip link set br0 up
ok unshare -m -u -i -n -p -f sh -c '[ $$ = 1 ] && hostname inside && [ $(ls /sys/class/net | wc -l) -ge 1 ]'
zcat /proc/config.gz >/run/config
ok grep -q CONFIG_NF_TABLES=y /run/config
ok grep -q CONFIG_XEN_PVH=y /run/config
awk '{ print "@@uptime", $1 }' /proc/uptime
awk '/^Mem(Total|Free)/ { print "@@" $1, $2 }' /proc/meminfo
! dmesg | grep -E 'WARNING|BUG|Oops' || echo "@@failed dmesg"
echo "@@end"; sleep 1
poweroff -f
"""
# What the Debian guest does once systemd has started everything.
DEBIAN = r"""#!/bin/bash
exec >/dev/hvc0 2>&1
ok() { "$@" >/run/out 2>&1 && echo "@@ok $1" || { echo "@@failed $*"; cat /run/out; }; }
echo "@@release $(uname -r)"
echo "@@state $(systemctl is-system-running --wait)"
systemctl --failed --no-legend
nft -f - <<'N'
table inet t {
	chain in { type filter hook input priority 0; ct state established,related accept; tcp dport 22 counter accept; }
	chain nat { type nat hook postrouting priority 100; ip saddr 10.0.0.0/8 masquerade; }
	set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
}
N
ok nft list chain inet t nat; grep -q masquerade /run/out || echo "@@failed nft rules"
mkdir -p /run/l /run/u /run/w /run/m; mount -t tmpfs t /run/u; mkdir /run/u/u /run/u/w; echo low >/run/l/f
mount -t overlay -o lowerdir=/run/l,upperdir=/run/u/u,workdir=/run/u/w o /run/m; echo up >/run/m/f
ok [ "$(cat /run/l/f /run/u/u/f)" = $'low\nup' ]
ok systemd-nspawn -q -D /srv/container --private-network /bin/sh -c 'echo from inside'
grep -q "from inside" /run/out || echo "@@failed container"
ok ip link add v0 type veth peer name v1
dmesg | grep -E 'WARNING|BUG:|Oops' && echo "@@failed dmesg"
free -m; systemd-analyze time
echo "@@end"; sync
systemctl poweroff
"""


def lab(name, disk):
    return XlLab(hypervisor=HV, disks=[disk], files={"root/vmlinuz": domu_kernel()}, name=f"kernel-{name}")


def judge(log):
    check("the guest ran all of it", "@@end" in log, log[-3000:])
    check("nothing in it failed", "@@failed" not in log, log[-6000:])
    check("it is our kernel", re.search(r"@@release \S+-bulkhead-domu", log), log[-2000:])
    print("\n".join(re.findall(r"@@(\w.*)", log)), flush=True)


@case
def guest_boots_without_initrd():
    root = f"{TMP.name}/root"
    for d in ("bin", "dev", "proc", "sys", "run", "sbin"):
        os.makedirs(f"{root}/{d}")
    images.sh("cp", "/bin/busybox", f"{root}/bin/busybox")
    with open(f"{root}/sbin/init", "w", encoding="ascii") as f:
        f.write(SMALL)
    os.chmod(f"{root}/sbin/init", 0o755)
    images.sh("mke2fs", "-q", "-t", "ext4", "-d", root, f"{TMP.name}/root.img", "32M")
    with lab("small", f"{TMP.name}/root.img") as m:
        m.login(600)
        m.create("g1", "/root/vmlinuz", memory=96, disk=0, args="root=/dev/xvda rw", vcpus=2)
        judge(m.wait("@@end", 300))
        m.eventually("! xl domid g1", 60)


def debian_root():
    """An ext4 image with Debian 12, nftables, systemd-nspawn and a container's root."""
    pkgs = "systemd systemd-sysv udev dbus iproute2 procps nftables systemd-container busybox-static".split()
    path = f"{images.CACHE}/images/guest-{images.recipe_hash(pkgs, DEBIAN, 4)}.img"
    with images.making(path) as tmp:
        if tmp:
            images.say("image guest: installing (a minute or two)")
            with tempfile.TemporaryDirectory(prefix="bht-guest-") as d:
                root = f"{d}/root"
                images.debootstrap(root, pkgs)
                for sub in ("bin", "etc", "usr/bin", "proc", "sys", "dev"):
                    os.makedirs(f"{root}/srv/container/{sub}")
                images.sh("cp", f"{root}/bin/busybox", f"{root}/srv/container/bin/")
                for n in ("sh", "echo", "hostname", "test"):
                    os.symlink("busybox", f"{root}/srv/container/bin/{n}")
                for where, text in (("srv/container/etc/os-release", "ID=test\n"), ("etc/hostname", "guest\n"),
                                    ("etc/fstab", "/dev/xvda / ext4 defaults 0 1\n"), ("check", DEBIAN),
                                    ("etc/systemd/system.conf", "[Manager]\nDefaultTimeoutStartSec=900\n"
                                     "DefaultDeviceTimeoutSec=900\n"),
                                    ("etc/systemd/system/check.service", "[Service]\nExecStart=/bin/bash /check\n"
                                     "[Install]\nWantedBy=multi-user.target\n")):
                    with open(f"{root}/{where}", "w", encoding="ascii") as f:
                        f.write(text)
                images.sh("chroot", root, "systemctl", "enable", "check.service")
                # A login prompt would hang up the console that the check writes to.
                images.sh("chroot", root, "systemctl", "mask", "serial-getty@hvc0.service")
                images.sh("mke2fs", "-q", "-t", "ext4", "-d", root, tmp, "900M")
    return path


@case(long=True)
def debian_guest_runs():
    with lab("debian", debian_root()) as m:
        m.login(900)
        m.create("g2", "/root/vmlinuz", memory=384, disk=0, args="root=/dev/xvda rw")
        log = m.wait("@@end", 1200)
        judge(log)
        check("systemd says running", "@@state running" in log, log[-3000:])


main()
