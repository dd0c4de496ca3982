#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts and kill -9 at each recorded step of vm-bootstrap's operations.

One machine runs the operation and stops at every step, where its disks are
copied as they are: what a power cut leaves. Freshly started machines then get
the copies, some each, one after the other, and the next command must find a
whole guest or none, and no litter.

The machine is an initramfs with LVM and vm-bootstrap and no hypervisor, because
that is quick; BULKHEAD_TEST_HYPERVISOR=bulkhead puts one under it, and
test_bootstrap.py does the same work under a whole Debian.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images  # noqa: E402
from cases import add, check, main  # noqa: E402
from machine import Disk, Machine  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "dm_thin_pool", "dm_snapshot", "loop")
LVM_CONF = """devices { obtain_device_list_from_udev=0 use_devicesfile=0 }
activation { udev_sync=0 udev_rules=0 monitoring=0 }
global { use_lvmpolld=0 thin_check_executable="/usr/sbin/thin_check" }
backup { backup=0 archive=0 }
"""
SCRIPT = """for c in pvcreate vgcreate vgchange vgs lvs lvcreate lvremove lvextend lvrename lvchange lvconvert; do
	ln -s lvm /usr/sbin/$c; done
mkdir -p /mnt /state /var/lib/bulkhead /etc/bulkhead /run/lock/lvm
ln -s /proc/self/mounts /etc/mtab
ln -s /proc/self/fd /dev/fd
export PATH=/usr/sbin:/usr/bin:/sbin:/bin"""
CALL = "vg=%s op=%s; . /power.sh; "


def needed(programs, path):
    """The programs {name: file} with the libraries they need, from path first."""
    files = dict(programs)
    for prog in programs.values():
        out = subprocess.run(["ldd", prog], stdout=subprocess.PIPE, text=True, check=False,
                             env=dict(os.environ, LD_LIBRARY_PATH=path)).stdout
        check(f"all libraries of {prog}", "not found" not in out, out)
        for lib in re.findall(r"(/\S+) \(0x", out):
            files["lib64/" + os.path.basename(lib) if "ld-linux" in lib
                  else "usr/lib/x86_64-linux-gnu/" + os.path.basename(lib)] = os.path.realpath(lib)
    return files


def initrd(work):
    """The initramfs and what make install puts into it."""
    debs = [images.deb(p) for p in ("lvm2", "thin-provisioning-tools", "libdevmapper-event1.02.1",
                                    "libaio1", "libedit2", "libbsd0", "libmd0")]
    inst = images.vm_bootstrap()
    libs = ":".join(f"{d}{p}/x86_64-linux-gnu" for d in debs for p in ("/lib", "/usr/lib"))
    files = needed({
        "usr/sbin/lvm": f"{debs[0]}/sbin/lvm", "usr/sbin/thin_check": f"{debs[1]}/usr/sbin/pdata_tools",
        "usr/sbin/dmsetup": shutil.which("dmsetup"), "usr/sbin/mke2fs": shutil.which("mke2fs"),
        "usr/sbin/e2fsck": shutil.which("e2fsck"), "usr/sbin/resize2fs": shutil.which("resize2fs"),
        "usr/sbin/tune2fs": shutil.which("tune2fs"), "usr/sbin/flock": shutil.which("flock"),
        "usr/sbin/vm-bootstrap": f"{inst}/usr/sbin/vm-bootstrap"},
        libs)
    for root in ("usr/share/bulkhead", "usr/libexec/bulkhead"):
        for d, _, names in os.walk(f"{inst}/{root}"):
            files.update({os.path.relpath(f"{d}/{n}", inst): f"{d}/{n}" for n in names})
    files.update({"etc/lvm/lvm.conf": LVM_CONF.encode(), "kernel": b"not booted here",
                  **{n: f"{HERE}/bootstrap/{n}" for n in ("whole.sh", "power.sh", "faults.sh")}})
    path = f"{work}/initrd"
    images.initramfs(path, MODULES, files, SCRIPT)
    return path


@contextlib.contextmanager
def machine(ird, *disks):
    with Machine(hypervisor=os.environ.get("BULKHEAD_TEST_HYPERVISOR", "none"), initrd=ird, memory=512, smp=1, nic=None,
                 disks=[Disk(file=d) for d in disks]) as m:
        m.shell.chunk = 1000    # no hypervisor's receive buffer in between
        yield m


def copy(*files):
    for src, dst in files:
        images.sh("cp", "--sparse=always", "--reflink=auto", src, dst)


def record(ird, vg, op, work):
    """Runs the operation once; the disks at each step. Returns (names of the
    steps, state before, state after)."""
    steps = []
    disks = [(f"{work}/state", "64M"), (f"{work}/vg", "400M")]
    for path, size in disks:
        images.sh("truncate", "-s", size, path)
    with machine(ird, *(p for p, _ in disks)) as m:
        call = CALL % (vg, op)
        m.run(call + "fresh", 120)
        before = m.run(call + "begin", 120).strip()
        while "over: " not in (out := m.run(call + "next", 120)):
            steps.append(out.strip().split(": ", 1)[-1])
            m.qmp("stop")
            copy(*((p, f"{p}.{len(steps)}") for p, _ in disks))
            m.qmp("cont")
        check("the operation succeeds", "over: 0" in out, out)
        after = m.run(call + "state", 60).strip()
    check("the operation changes something", before != after, before)
    return steps, before, after


def cut(vg, op, first=1, every=1):
    """Every every-th step, from the first."""
    with tempfile.TemporaryDirectory(prefix="bht-power-") as work:
        ird = initrd(work)
        steps, before, after = record(ird, vg, op, work)
        todo, bad = list(range(first, len(steps) + 1, every)), []
        while todo:
            now, todo = todo[:12], todo[12:]
            with machine(ird, *(f"{work}/{d}.{i}" for i in now for d in ("state", "vg"))) as m:
                for k, i in enumerate(now):
                    letters = " ".join(chr(ord("a") + 2 * k + n) for n in (0, 1))
                    gone = " gone" if k % 4 == 0 else ""    # it takes as long as all the rest
                    out = m.run(CALL % (vg, op) + f"look {letters}{gone}; true", 120)
                    lines = [l for l in out.split("\n") if l.strip()]
                    print(f"{op} on {vg}, power cut at step {i} of {len(steps)} ({steps[i - 1]}): "
                          f"{'; '.join(lines)}", flush=True)
                    if lines not in ([f"state: {before}"], [f"state: {after}"]):
                        bad.append(i)
        check("a whole guest or none after every step", not bad, bad)


def kill(vg, how, ops=("create", "clone", "rollback", "resize", "destroy", "replace")):
    """kill -9 at each step instead; how="again": and at the recovery's own first ones."""
    with tempfile.TemporaryDirectory(prefix="bht-power-") as work:
        for path, size in ((f"{work}/state", "64M"), (f"{work}/vg", "400M")):
            images.sh("truncate", "-s", size, path)
        with machine(initrd(work), f"{work}/state", f"{work}/vg") as m:
            m.run(CALL % (vg, "create") + "fresh", 120)
            for op in ops:
                print(m.run(f"export PATH=/usr/sbin:/usr/bin:/sbin:/bin kernel=/kernel; sh /faults.sh {vg} {op} {how}",
                            1500), flush=True)


for _vg in ("thin", "plain"):
    for _op in ("create", "clone", "rollback", "resize", "destroy", "replace"):
        add(f"{_op}-{_vg}", cut, long=True, vg=_vg, op=_op)
    add(f"kill-{_vg}", kill, long=True, vg=_vg, how="kill")
    add(f"again-{_vg}", kill, long=True, vg=_vg, how="again")
add("sample", cut, vg="thin", op="create", first=3, every=7)

if __name__ == "__main__":
    main()
