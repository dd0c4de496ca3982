# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds Bulkhead, installs its packages into a Debian 12 disk as a user would,
boots that through GRUB on our hypervisor, and makes guests on a thin pool.

Then the terminal becomes dom0's console, with a list of things to try; with
--unattended it prints what dom0 and the guests show, reboots the host, shows
that files written in the guests are still there and that the guests started by
themselves, and exits 0. A second run reuses whatever has not changed.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import host  # noqa: E402
import images  # noqa: E402
from console import Failure  # noqa: E402
from guest_lab import GX  # noqa: E402
from machine import CPU, TOP, Disk, Machine, interact  # noqa: E402

DIR = f"{TOP}/build/demo"
START = time.time()

TRY = """
  You are root on dom0, Debian 12 on Bulkhead. Things to try:

    bhctl list                          the domains; bhctl top watches them
    bhctl console demo-tiny             a guest's console (login: root); Ctrl-] leaves it
    vm-bootstrap create web1 --template tiny --start --wait
    vm-bootstrap snapshot web1          and: list, clone, rollback, resize, destroy
    bhctl shutdown demo-tiny; bhctl start demo-tiny
    bhctl dmesg                         what the hypervisor says
    systemctl status 'bulkhead-guest@*'
    reboot                              guests with autostart come back

  Ctrl-\\ ends the demo; the next run goes on with the same disk.
"""


# Showing what happens ---------------------------------------------------------

def step(text):
    t = int(time.time() - START)
    print(f"\n== [{t // 60:2}:{t % 60:02}] {text}", flush=True)


def indent(text):
    for line in text.splitlines():
        if line.strip():
            print("    " + line.rstrip()[:150], flush=True)


class Ticking:
    """A sign of life every ten seconds while something silent goes on."""

    def __init__(self, what):
        self.what, self.end = what, threading.Event()

    def __enter__(self):
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self):
        began = time.time()
        while not self.end.wait(10):
            print(f"    {self.what}: {time.time() - began:.0f} s", flush=True)

    def __exit__(self, *_):
        self.end.set()


def stream(argv, log, **kw):
    """Runs a program with its output in a log, and the last of it now and then on the terminal."""
    with open(log, "wb") as f:
        p = subprocess.Popen(argv, cwd=TOP, stdout=f, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **kw)
        began = time.time()
        while p.poll() is None:
            time.sleep(0.2)
            if time.time() - began > 5:
                began = time.time()
                with open(log, "rb") as r:
                    r.seek(max(0, os.path.getsize(log) - 4000))
                    last = (r.read().decode("utf-8", "replace").strip().splitlines() or ["..."])[-1]
                made = re.search(r" -o (\S+)", last)       # a compiler's line is long
                indent(f"making {made.group(1)}" if made else last[:110])
    if p.returncode:
        with open(log, encoding="utf-8", errors="replace") as r:
            sys.exit("".join(r.readlines()[-30:]) + f"demo: {' '.join(argv)} failed; the whole log is {log}")


class Boot:
    """The console's lines while the machine boots, without escape sequences."""

    def __init__(self):
        self.rest = b""

    def __call__(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for l in lines:
            if l.count(b"\x1b[") > 20:     # GRUB draws its menu
                continue
            l = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>].?|[\x00-\x08\x0b-\x1f]", b"", l)
            if l.strip():
                print("    |", l.decode("utf-8", "replace").strip()[:150], flush=True)


def boot(m, timeout=900):
    """Waits for dom0, showing its console meanwhile."""
    m.con.mirror = Boot()
    m.login(timeout)
    m.con.mirror = None


def shown(m, command, timeout=120):
    """Runs a command in dom0 the way a user sees it."""
    print(f"dom0# {command}", flush=True)
    r = m.follow(command, timeout, indent)
    if r.code:
        raise Failure(f"`{command}` exited {r.code}")
    return r.out


# Steps --------------------------------------------------------------------------

def packages():
    """build/demo/repo: an apt repository of everything, rebuilt if the source changed."""
    repo, stamp, now = f"{DIR}/repo", f"{DIR}/repo.hash", host.tree_hash()
    if os.path.exists(stamp):
        with open(stamp, encoding="ascii") as f:
            if f.read() == now:
                print("    unchanged")
                return repo, now
        os.unlink(stamp)
    shutil.rmtree(repo, ignore_errors=True)
    os.makedirs(repo)
    stream(["packaging/build-deb.sh", repo], f"{DIR}/packages.log", env=dict(os.environ, V="1"))
    for n in os.listdir(repo):
        if "-dbgsym" in n:
            os.unlink(f"{repo}/{n}")
    stream(["packaging/make-apt-repo.sh", repo, "", "file:/srv/bulkhead"], f"{DIR}/repo.log")
    indent("\n".join(sorted(os.listdir(repo))))
    with open(stamp, "w", encoding="ascii") as f:
        f.write(now)
    return repo, now


def new_machine(o, hypervisor, copy=()):
    disks = [Disk(file=f"{DIR}/guests.raw", serial="guests")]
    if not o.quick:
        disks.append(Disk(file=f"{DIR}/debian.tar", serial="debian", readonly=True))
    return Machine(hypervisor=hypervisor, image="dom0", boot="disk", firmware="uefi" if o.uefi else "bios",
                   cpu=o.cpu, smp=o.smp, memory=o.memory, root=f"{DIR}/root.qcow2", disks=disks,
                   copy=copy, ssh=o.ssh, reboot=True, name="demo", log=f"{DIR}/console.log")


def install(o, repo, version):
    """The commands of docs/guide-install.md, on plain Debian."""
    state = {"version": version, "uefi": o.uefi, "memory": o.memory, "image": images.image("dom0").path}
    path = f"{DIR}/state.json"
    if os.path.exists(path) and all(os.path.exists(f"{DIR}/{n}") for n in ("root.qcow2", "guests.raw")):
        with open(path, encoding="ascii") as f:
            if json.load(f) == state:
                print("    the disk has these packages already")
                return
    for n in ("state.json", "root.qcow2", "guests.raw"):
        if os.path.exists(f"{DIR}/{n}"):
            os.unlink(f"{DIR}/{n}")
    images.sh("truncate", "-s", "8G", f"{DIR}/guests.raw")
    with new_machine(o, "none", copy=[(repo, "/srv/bulkhead"), (GX.encode(), "/usr/local/bin/gx"),
                                      (f"{repo}/bulkhead.list", "/etc/apt/sources.list.d/bulkhead.list")]) as m:
        boot(m)
        m.call("systemctl is-system-running --wait", 600)
        for command in host.commands(o.memory * 5 // 8):
            shown(m, command, 1200)
        with Ticking("switching off"):
            m.power_off(300)
    with open(path, "w", encoding="ascii") as f:
        json.dump(state, f)


def on_bulkhead(m):
    """dom0 is up; is it dom0, and is its boot set found well?"""
    def back():
        m.shell.ready = False
        m.login(600)
        return Failure("the machine is on plain Linux, not on the hypervisor:\n" + m.call("bhctl boot status").out)

    if "xen" not in m.call("cat /sys/hypervisor/type").out:
        raise back()
    with Ticking("the health check waits until everything is up"):
        try:
            m.eventually("systemctl is-active bulkhead-health.service", 600, every=3)
        except Failure:                 # found unwell, and rebooted
            raise back() from None


def answer(o, m):
    """Waits for guests that start by themselves."""
    with Ticking("waiting for the guests to start by themselves"):
        m.eventually("bhctl list | grep -q demo-tiny && ping -c 1 -W 2 10.0.2.50", 300, every=3)
        if not o.quick:
            m.eventually("bhctl list | grep -q demo-debian && timeout 5 bash -c ': </dev/tcp/10.0.2.51/22'", 600, every=3)


def guests(o, m):
    """The guests, made unless a former run did."""
    have, templates = m.run("vm-bootstrap list", 60), m.run("vm-bootstrap template list", 60)
    if "demo-tiny" not in have:
        shown(m, "vm-bootstrap create demo-tiny --template tiny --ip 10.0.2.50/24 --gateway 10.0.2.2 "
                 "--start --autostart --wait", 300)
    if not o.quick and "demo-debian" not in have:
        if "debian-12" not in templates:
            print("    (create would build the template by apt; here it comes from outside, made by apt there)")
            shown(m, "cat /dev/disk/by-id/virtio-debian >/var/tmp/debian-12.tar; "
                     "vm-bootstrap template import /var/tmp/debian-12.tar --name debian-12; "
                     "rm /var/tmp/debian-12.tar", 1800)
        shown(m, "[ -e .ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519", 60)
        shown(m, "vm-bootstrap create demo-debian --template debian-12 --memory 256M --ip 10.0.2.51/24 "
                 "--gateway 10.0.2.2 --ssh-key .ssh/id_ed25519.pub --start --autostart --wait", 900)
    answer(o, m)


def in_tiny(m, command, timeout=60):
    """Runs a command on the tiny guest's console, logging in first."""
    host.log_in(m, "demo-tiny")
    out = m.run(f"gx demo-tiny '{command}' {timeout}", timeout + 30)
    print(f"demo-tiny# {command}", flush=True)
    indent(out)
    return out


def in_debian(m, command, timeout=120):
    ssh = "ssh -q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=30 root@10.0.2.51"
    return shown(m, f"{ssh} '{command}'", timeout)


def look(m, o):
    shown(m, "cat /sys/hypervisor/type; bhctl info")
    shown(m, "bhctl list")
    shown(m, "vm-bootstrap list")
    shown(m, "lvs guests")
    shown(m, "ping -c 2 -W 5 10.0.2.50")
    if not o.quick:
        shown(m, "ping -c 2 -W 5 10.0.2.51")


def proof(o, m):
    """What can be seen from outside: dom0, hypervisor, guests, and files that last."""
    step("dom0 and guests")
    look(m, o)
    word = f"proof-{random.randrange(10**9)}"
    in_tiny(m, f"echo {word} >/root/proof; sync; uname -r; uptime")
    if not o.quick:
        in_debian(m, f"echo {word} >/root/proof; sync; uname -r; uptime")
    step("rebooting the host")
    m.run("(sleep 0.5; reboot) >/dev/null 2>&1 &")
    m.shell.ready = False
    boot(m)
    on_bulkhead(m)
    answer(o, m)
    look(m, o)
    said = [in_tiny(m, "cat /root/proof; uptime")]
    if not o.quick:
        said.append(in_debian(m, "cat /root/proof; uptime"))
    if not all(word in s for s in said):
        raise Failure("a file written in a guest before the reboot is gone")
    print(f"    /root/proof, written before the reboot, still says {word}")


def options():
    p = argparse.ArgumentParser(prog="demo.sh", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument
    a("--unattended", action="store_true", help="print proof and exit instead of handing over the console")
    a("--quick", action="store_true", help="only the tiny guest, no Debian guest")
    a("--keep", action="store_true", help="keep the disks even if the packages changed")
    a("--ssh", type=int, metavar="PORT", nargs="?", const=2222, help="forward 127.0.0.1:PORT to dom0's SSH")
    a("--smp", type=int, default=2, help="processors (default 2)")
    a("--memory", type=int, default=2048, help="MiB (default 2048)")
    a("--cpu", default=CPU, help=f"QEMU processor model (default {CPU})")
    a("--dir", default=DIR, metavar="DIRECTORY", help="where packages and disks are kept (default build/demo)")
    a("--uefi", action="store_true", help="UEFI firmware instead of BIOS")
    o = p.parse_args()
    if o.memory < 1536:
        p.error(f"--memory {o.memory}: dom0 and guests need 1536 MiB or more")
    return o


def main():
    global DIR
    o = options()
    DIR = os.path.abspath(o.dir)
    os.makedirs(DIR, exist_ok=True)
    keep = o.keep and os.path.exists(f"{DIR}/root.qcow2")
    if not keep:
        step("hypervisor, tools and packages; an apt repository of them")
        repo, version = packages()
    step("Debian 12 disk image")
    with Ticking("installing Debian into it"):
        print("   ", images.image("dom0").path)
        if not o.quick:
            shutil.copy(images.guest_root(), f"{DIR}/debian.tar")
    if not keep:
        step("apt install bulkhead, in the image")
        install(o, repo, version)
    step("booting through GRUB on Bulkhead")
    with new_machine(o, "bulkhead") as m:
        boot(m)
        on_bulkhead(m)
        step("guests")
        guests(o, m)
        if o.unattended:
            proof(o, m)
            with Ticking("switching off"):
                m.power_off(300)
            step("done")
            return
        shown(m, "bhctl list")
        m.send(".\n")
        print(TRY + (f"\n  ssh -p {o.ssh} root@127.0.0.1\n" if o.ssh else ""))
        m.send("\n")
        interact(m, b"\x1c")


try:
    main()
except Failure as e:
    sys.exit(f"demo: {e}\nThe console log is {DIR}/console.log")
except KeyboardInterrupt:
    sys.exit("demo: interrupted; the next run goes on with what is there")
