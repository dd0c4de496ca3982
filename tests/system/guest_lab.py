# SPDX-License-Identifier: GPL-2.0-or-later
"""A dom0 with the toolstack installed and small guests ready to start: what
the guest tests stand on.

    with Lab("life") as m:
        m.guest("g1", memory=160, vcpus=2, disks=["phy:/dev/vg0/d1,xvda,w"])
        m.run("bhctl start g1 --wait", 120)
        m.inside("g1", "cat /proc/partitions")

The guests run the distribution's own kernel with a busybox initramfs. Nothing
is faked: units, store and supervisor are those that `make install` installs.
BULKHEAD_TEST_HYPERVISOR=xen runs the same on Debian's Xen 4.17, and a kernel's
package in BULKHEAD_DOM0_KERNEL makes that the kernel of dom0.
"""

import json
import os
import re
import subprocess
import tempfile

import images
from machine import Disk, Machine

HV = os.environ.get("BULKHEAD_TEST_HYPERVISOR", "bulkhead")
TOP = os.path.dirname(os.path.dirname(images.HERE))
CRASH = os.path.join(os.environ.get("O", TOP + "/build"), "guests/crash.elf")
TMP = tempfile.TemporaryDirectory(prefix="bht-guests-")

GUEST_SCRIPT = r"""
exec <>/dev/hvc0 >&0 2>&1   # the kernel found no /dev/console to give us
mkdir -p /sbin /var
printf '#!/bin/sh\nexec /bin/poweroff -f\n' >/sbin/poweroff
printf '#!/bin/sh\nexec /bin/reboot -f\n' >/sbin/reboot
chmod +x /sbin/poweroff /sbin/reboot
ip link set lo up
for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /sys/class/net/eth0 ] && break; sleep 0.2; done
ip=$(sed -n 's/.*bht_ip=\([0-9.]*\).*/\1/p' /proc/cmdline)
[ -z "$ip" ] || { ip link set eth0 up; ip addr add $ip/24 dev eth0; }
echo "tiny guest is up"
while :; do
	echo "tiny login: (no password)"
	setsid sh -c 'exec sh <>/dev/hvc0 >&0 2>&1'
done
"""

# In dom0: runs a command on a guest's console and prints what it said.
GX = r"""#!/usr/bin/env python3
import os, re, socket, sys, time
name, cmd = sys.argv[1], sys.argv[2]
limit = float(sys.argv[3]) if len(sys.argv) > 3 else 30
s = socket.socket(socket.AF_UNIX)
s.connect(f"/run/bulkhead/guests/{name}/console")
s.settimeout(0.5)
try:
    while s.recv(65536):
        pass
except TimeoutError:
    pass
tag = f"{os.getpid()}x{int(time.time() * 1000)}"
s.sendall(f"echo BEG''IN{tag}; {cmd}; echo EN''D{tag} $?\n".encode())
end, data = time.time() + limit, ""
while time.time() < end:
    try:
        d = s.recv(65536)
        if not d:
            break
        data += d.decode(errors="replace")
    except TimeoutError:
        pass
    m = re.search(f"BEGIN{tag}\r?\n(.*?)END{tag} (\\d+)", data, re.S)
    if m:
        print(m.group(1).replace("\r", ""), end="")
        sys.exit(int(m.group(2)))
print("no answer from the guest:", data[-400:], file=sys.stderr)
sys.exit(124)
"""

# In dom0: every node of the store.
NODES = r"""#!/usr/bin/env python3
import socket, struct
s = socket.socket(socket.AF_UNIX)
s.connect("/run/xenstored/socket")
f = s.makefile("rb")
def walk(path):
    print(path or "/")
    text = (path or "/").encode() + b"\0"
    s.sendall(struct.pack("<IIII", 1, 1, 0, len(text)) + text)
    length = struct.unpack("<IIII", f.read(16))[3]
    for n in f.read(length).decode().split("\0")[:-1]:
        walk(path + "/" + n)
walk("")
"""

PREPARE = """set -e
systemctl mask --now xen xenstored xenconsoled xen-init-dom0 2>/dev/null || true
modprobe -a xen-blkback xen-netback xen-gntdev xen-evtchn xen-privcmd loop dm_thin_pool
systemctl daemon-reload
systemctl start bulkhead-store
d=/dev/disk/by-id/virtio-vg0
pvcreate -q $d; vgcreate -q vg0 $d
for i in 1 2 3 4; do lvcreate -q -n d$i -L 64M vg0; done
ip link add xenbr0 type bridge; ip addr add 10.9.0.1/24 dev xenbr0; ip link set xenbr0 up
cp /boot/vmlinuz-*-amd64 /root/vmlinuz
"""


def stage():
    """The installed toolstack as a list of (source, target) to copy."""
    out = os.path.join(TMP.name, "stage")
    gen = "/usr/lib/systemd/system-generators"
    if not os.path.isdir(out):
        subprocess.run(["make", "-s", "-C", f"{TOP}/toolstack", "install", f"DESTDIR={out}",
                        f"generatordir={gen}"], check=True, stdout=subprocess.DEVNULL)
    units = ("bulkhead-store.service", "bulkhead-guest@.service", "bulkhead-guests.target")
    return [(f"{out}/usr/sbin/{p}", f"/usr/sbin/{p}") for p in ("bhctl", "bulkhead-store")] + [
            (f"{out}/usr/libexec/bulkhead", "/usr/libexec/bulkhead"),
            (f"{out}{gen}/bulkhead-guest-generator", f"{gen}/bulkhead-guest-generator")] + [
        (f"{TOP}/init/units/{u}", f"/usr/lib/systemd/system/{u}") for u in units]


def guest_initrd():
    path = os.path.join(TMP.name, "guest.cpio")
    if not os.path.exists(path):
        images.initramfs(path, ["xen-blkfront", "xen-netfront"], script=GUEST_SCRIPT)
    return path


class Lab(Machine):
    def __init__(self, name, memory=2048, dom0=768, smp=2, vg="2G", image="dom0", disks=(), files=(), **kw):
        super().__init__(hypervisor=HV, image=image, memory=memory, smp=smp, name=f"guests-{name}",
                         xen_args=f"dom0_mem={dom0}M,max:{dom0}M " + kw.pop("xen_args", ""),
                         disks=[Disk(size=vg, serial="vg0"), *disks],
                         copy=stage() + [(guest_initrd(), "/root/guest.cpio"),
                                         (CRASH, "/root/crash.elf"),
                                         (GX.encode(), "/usr/local/bin/gx"),
                                         (NODES.encode(), "/usr/local/bin/nodes"), *files], **kw)

    def __enter__(self):
        super().__enter__()
        self.login(600)
        self.run(PREPARE, 300)
        return self

    def guest(self, name, memory=160, vcpus=1, disks=(), nets=0, ip="", more=""):
        text = (f'name = "{name}"\nkernel = "/root/vmlinuz"\nramdisk = "/root/guest.cpio"\n'
                f'extra = "console=hvc0 quiet sysrq_always_enabled bht_ip={ip}"\nmemory = {memory}\nvcpus = {vcpus}\n'
                f"disk = {list(disks)!r}\nvif = {['bridge=xenbr0'] * nets!r}\n{more}\n")
        self.run(f"mkdir -p /etc/bulkhead/guests; cat >/etc/bulkhead/guests/{name}.cfg <<'EOF'\n{text}EOF\n")

    def inside(self, guest, cmd, timeout=60):
        return self.run(f"gx {guest} {quote(cmd)} {timeout}", timeout + 30)

    def json(self, cmd):
        return json.loads(self.run(f"bhctl {cmd} --json", 60))

    def state(self):
        """What must be the same after all guests as before them."""
        return self.run(
            "for i in $(seq 300); do pgrep -x bulkhead-guest >/dev/null || break; sleep 0.1; done; "
            "bhctl info --json | grep -o '\"free_pages\":[0-9 ]*'; "
            "ls /sys/bus/xen-backend/devices | grep -c .; losetup -a | grep -c .; "
            "lvs --noheadings -o lv_name,lv_device_open vg0; ls /run/bulkhead/guests/*/ | grep -v lock; "
            "ls /sys/class/net; bhctl list --json | grep -c '\"running\": *true'; "
            "grep -c xen-dyn /proc/interrupts; nodes; pgrep -a 'bulkhead|bootread' | cut -d' ' -f2-", 60)


class TinyLab(Machine):
    """The toolstack in a busybox initramfs, without systemd, disks and network: up
    in seconds, for what needs no more than guests like crash.elf."""

    def __init__(self, name, memory=640, dom0=400, **kw):
        out = os.path.join(os.environ.get("O", TOP + "/build"), "toolstack")
        inside = {f"bin/{p}": f"{out}/{p}" for p in ("bhctl", "bulkhead-store")}
        inside["usr/libexec/bulkhead/bulkhead-guest"] = f"{out}/bulkhead-guest"
        for lib in re.findall(r"(/\S+) \(0x", images.sh("ldd", *inside.values())):
            inside[lib] = os.path.realpath(lib)
        inside["root/crash.elf"] = CRASH
        initrd = os.path.join(TMP.name, f"{name}.cpio")
        images.initramfs(initrd, (), inside, "mkdir -p /run/xenstored /run/bulkhead /etc/bulkhead/guests\n"
                         "bulkhead-store >/run/store.log 2>&1 &\n")
        super().__init__(hypervisor=HV, initrd=initrd, name=f"guests-{name}", memory=memory, nic=None,
                         xen_args=f"dom0_mem={dom0}M,max:{dom0}M", **kw)

    def json(self, cmd):
        return json.loads(self.run(f"bhctl {cmd} --json", 60))


def quote(s):
    return "'" + s.replace("'", "'\\''") + "'"
