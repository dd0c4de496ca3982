#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vm-bootstrap's guests run: the tiny one, a Debian one reached by SSH, and one
with a kernel of its own, on the hypervisor with the toolstack installed.
BULKHEAD_TEST_HYPERVISOR=xen runs the same on Debian's Xen 4.17."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guest_lab  # noqa: E402
import images  # noqa: E402
from cases import add, check, main  # noqa: E402
from machine import TOP, Disk, Machine  # noqa: E402

SETUP = guest_lab.PREPARE.replace(
    "for i in 1 2 3 4; do lvcreate -q -n d$i -L 64M vg0; done",
    "lvcreate -q --type thin-pool -l 80%FREE -n thin vg0")
PKGS = ("systemd-sysv,udev,dbus,libpam-systemd,openssh-server,iproute2,iputils-ping,"
        "systemd-resolved,e2fsprogs")


def tarball(name, extra=""):
    """A Debian root made on the build host, kept in the cache."""
    path = f"{images.CACHE}/bootstrap/{name}.tar"
    with images.making(path) as tmp:
        if tmp:
            images.sh("mmdebstrap", "--variant=minbase", f"--include={PKGS}{extra}", "bookworm", tmp)
    return path


def dom0(name, copy=(), vg="6G", more=(), **kw):
    root = tempfile.mkdtemp(prefix="bht-inst-")
    subprocess.run(["make", "-s", "-C", f"{TOP}/bootstrap", "install", f"DESTDIR={root}"],
                   check=True, stdout=subprocess.DEVNULL)
    # One tree: two copies of a directory would be one too many.
    staged = [(s, d) for s, d in guest_lab.stage() if d != "/usr/libexec/bulkhead"]
    libexec = [(f"{s}/{n}", f"{d}/{n}") for s, d in guest_lab.stage()
               if d == "/usr/libexec/bulkhead" for n in os.listdir(s)]
    hv = guest_lab.HV
    return Machine(hypervisor=hv, image="dom0", memory=2560, smp=2, name=f"bootstrap-{name}",
                   xen_args="dom0_mem=1024M,max:1024M", disks=[Disk(size=vg, serial="vg0"), *more],
                   copy=[(root, "/")] + staged + libexec +
                        [(guest_lab.GX.encode(), "/usr/local/bin/gx")] + list(copy), **kw)


def prepare(m):
    m.login(600)
    m.run(SETUP, 300)


def tiny():
    """From nothing to the ready mark; stop; roll back; a clone beside it."""
    with dom0("tiny") as m:
        prepare(m)
        m.run("vm-bootstrap -q template build tiny", 240)
        print(m.run("vm-bootstrap create t1 --template tiny --bridge xenbr0 --ip 10.9.0.2/24 "
                    "--start --wait --timeout 200", 400))
        out = m.run("bhctl list; vm-bootstrap list", 60)
        check("t1 runs", out.count("t1") == 2 and "running" in out, out)
        m.run("ping -c 2 -W 5 10.9.0.2", 60)
        m.run("vm-bootstrap -q clone t1 t2 --ip 10.9.0.3/24 --start", 200)
        m.eventually("ping -c 1 -W 2 10.9.0.3", 120)
        m.run("vm-bootstrap -q resize t1 --disk 128M", 60)
        m.run("vm-bootstrap -q destroy t1 t2 --yes", 200)
        out = m.run("bhctl list; lvs --noheadings -o lv_name vg0", 60)
        check("nothing is left", "t1" not in out and "t2" not in out, out)


def debian():
    """Two Debian guests from one template: reached by SSH, each its own."""
    with dom0("debian", copy=[(tarball("debian-12"), "/var/tmp/d.tar")]) as m:
        prepare(m)
        m.run("vm-bootstrap -q template import /var/tmp/d.tar --name debian-12; "
              "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519", 900)
        print(m.run("vm-bootstrap create web1 --template debian-12 --memory 384M --disk 8G "
                    "--ip 10.9.0.10/24 --bridge xenbr0 --ssh-key /root/.ssh/id_ed25519.pub "
                    "--start --wait --timeout 400", 600))
        ssh = "ssh -o StrictHostKeyChecking=no -o ConnectTimeout=60 root@10.9.0.10 "
        out = m.run(ssh + "'hostname; df -k / | tail -1; cat /etc/machine-id'", 180)
        lines = out.split("\n")
        check("the host name", "web1" in out, out)
        check("8 GiB of disk", any(l.startswith("/dev/") and int(l.split()[1]) > 7500000
                                   for l in lines), out)
        out = m.call(ssh + "'systemctl is-system-running --wait; systemctl --failed'", 400).out
        check("the guest's systemd is running", "running" in out.split(), out)


def own_kernel():
    """Boot mode disk: the guest's kernel from its own menu."""
    tar = tarball("debian-12-kernel", ",linux-image-cloud-amd64,initramfs-tools")
    with dom0("kernel", copy=[(tar, "/var/tmp/d.tar")], vg="8G") as m:
        prepare(m)
        m.run("vm-bootstrap -q template import /var/tmp/d.tar --name own --boot disk", 900)
        m.run("vm-bootstrap -q create k1 --template own --memory 512M --bridge xenbr0 "
              "--ip 10.9.0.11/24 --start --wait --timeout 500", 700)
        out = m.run("cat /var/lib/bulkhead/*/k1/*/title /var/lib/bulkhead/k1/*/title 2>/dev/null; true", 30)
        print(out)


add("tiny", tiny, long=True)
add("debian", debian, long=True)
add("own-kernel", own_kernel, long=True)

if __name__ == "__main__":
    main()
