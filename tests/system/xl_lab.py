# SPDX-License-Identifier: GPL-2.0-or-later
"""The smallest dom0 that starts guests: busybox, Debian's xenstored, xenconsoled
and xl, all in an initramfs, so it is up in seconds even under emulation.

    with XlLab(disks=["root.img"], files={"root/vmlinuz": path}) as m:
        m.create("g1", "/root/vmlinuz", disk=0, args="root=/dev/xvda ro")
        m.wait("login:")

Guests are PV with one console and, of the machine's disks (raw images given by
path, written to a throwaway overlay), at most one. Used where the guest's kernel is
what is looked at.
"""

import glob
import os
import re
import shutil
import tempfile

import images
from console import Failure
from machine import TOP, Disk, Machine

START = """
mkdir -p /var/run/xen /var/lib/xen /var/log/xen /var/lib/xenstored /var/run/xenstored /run/lock /var/lock
xenstored --pid-file /run/xenstored.pid
xen-init-dom0 >/dev/null; xenconsoled
"""
# The hotplug script of a guest's disk, run by xl.
BLOCK = b"""#!/bin/sh
[ "$1" = add ] || exit 0
dev=$(xenstore-read "$XENBUS_PATH/params")
xenstore-write "$XENBUS_PATH/physical-device" "$(stat -L -c %t:%T "$dev")" "$XENBUS_PATH/hotplug-status" connected
"""


def domu_kernel():
    """Our domU kernel: the one in $BULKHEAD_DOMU_KERNEL, the full one if it was
    built, else the CI cut, which is built now if it was not (minutes)."""
    build = os.environ.get("O", f"{TOP}/build")
    given = os.environ.get("BULKHEAD_DOMU_KERNEL")
    full = sorted(glob.glob(f"{build}/kernel/domu/install/usr/lib/bulkhead/kernels/*/vmlinuz"))
    if given or full:
        return given or full[-1]
    images.sh(f"{TOP}/kernel/build.sh", "--ci", "--out", f"{build}/kernel/domu-ci", "domu", "build")
    return glob.glob(f"{build}/kernel/domu-ci/install/usr/lib/bulkhead/kernels/*/vmlinuz")[0]


class XlLab(Machine):
    def __init__(self, hypervisor="bulkhead", disks=(), files=None, dom0_memory=512, **kw):
        bins = images.deb("xen-utils-4.17") + "/usr/lib/xen-4.17/bin"
        store = images.deb("xenstore-utils") + "/usr/bin"
        inside = {f"bin/{n}": f"{bins}/{n}" for n in ("xl", "xenstored", "xenconsoled", "xen-init-dom0")}
        inside |= {f"bin/{n}": f"{store}/{n}" for n in ("xenstore-read", "xenstore-write", "xenstore-ls")}
        libs = re.findall(r"(/\S+) \(0x", images.sh("ldd", *inside.values()))
        for lib in libs + glob.glob("/lib/x86_64-linux-gnu/libgcc_s.so.1"):    # for pthread_cancel()
            inside[lib] = lib
        inside |= {"etc/block": BLOCK, "etc/xen/xl.conf": b""}
        self.tmp = tempfile.mkdtemp(prefix="bht-xl-")
        for i, d in enumerate(disks):
            images.overlay(os.path.abspath(d), f"{self.tmp}/disk{i}")
        images.initramfs(f"{self.tmp}/cpio", ["virtio_pci", "virtio_blk", "loop", "xen-blkback"], inside | (files or {}), START)
        kw.setdefault("memory", dom0_memory + 512)
        super().__init__(hypervisor=hypervisor, initrd=f"{self.tmp}/cpio", nic=None, xen_args=f"dom0_mem={dom0_memory}M",
                         disks=[Disk(file=f"{self.tmp}/disk{i}", fmt="qcow2") for i in range(len(disks))], **kw)

    def close(self):
        super().close()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def login(self, timeout=600):
        super().login(timeout)
        self.eventually("xl list", 180)
        return self

    def create(self, name, kernel, ramdisk=None, memory=256, vcpus=1, disk=None, args="", start=None):
        """Creates a guest and lets it run by `start` (default: xl unpause); its
        console is collected in /root/log. disk: the number of a disk, or a device."""
        cfg = [f'name="{name}"', 'type="pv"', f'kernel="{kernel}"', f"memory={memory}", f"vcpus={vcpus}",
               'on_poweroff="destroy"', 'on_crash="preserve"', f'extra="console=hvc0 {args}"', 'tsc_mode="native"']
        cfg += [f'ramdisk="{ramdisk}"'] if ramdisk else []
        dev = f"/dev/vd{'abcdef'[disk]}" if isinstance(disk, int) else disk
        cfg += [f'disk=["phy:{dev},xvda,w,script=/etc/block"]'] if dev else []
        self.run("cat >/root/g.cfg <<'EOF'\n" + "\n".join(cfg) + "\nEOF")
        self.run("xl create -p /root/g.cfg", 400)
        return self.run(f"id=$(xl domid {name}); tty=$(xenstore-read /local/domain/$id/console/tty); "
                        "echo $tty >/root/tty; rm -f /root/log; (setsid cat $tty >/root/log 2>/dev/null </dev/null &); "
                        f"sleep 1; {start or 'xl unpause'} $id", 120)

    def type(self, text):
        """A line typed on the newest guest's console."""
        self.run(f"echo '{text}' >$(cat /root/tty)")

    def wait(self, what, timeout=300):
        """Waits until the guest's console has shown `what` (a basic regular
        expression); returns all it has shown."""
        self.eventually(f"grep -qa -e '{what}' -e 'Kernel panic' -e 'FAILED ' /root/log", timeout)
        log = self.run("tail -c 60000 /root/log", 60)
        if not re.search(what, log) or "Kernel panic" in log:
            raise Failure(f"the guest did not come to '{what}':\n{log[-3000:]}")
        return log
