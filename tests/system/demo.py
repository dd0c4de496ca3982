# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds Bulkhead, installs its packages into a Debian 12 disk as a user would,
boots that through GRUB on our hypervisor, and makes guests on a thin pool.

Then the terminal becomes dom0's console, with a list of things to try; with
--unattended it prints what dom0 and the guests show, reboots the host, shows
that a file written in a guest is still there and that the guest started by
itself, and exits 0. A second run reuses whatever has not changed.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images  # noqa: E402
from console import Failure  # noqa: E402
from machine import CPU, TOP, Disk, Machine, interact  # noqa: E402

DIR = f"{TOP}/build/demo"
START = time.time()

TRY = """
  You are root on dom0, Debian 12 on Bulkhead. Things to try:

    bhctl list                          the domains; bhctl top watches them
    bhctl console {guest}             a guest's console; Ctrl-] leaves it
    vm-bootstrap create web1 --template tiny --start --wait
    vm-bootstrap snapshot web1          and: list, clone, rollback, resize, destroy
    bhctl shutdown {guest}; bhctl start {guest}
    bhctl dmesg                         what the hypervisor says
    systemctl status 'bulkhead-guest@*'
    reboot                              guests with autostart come back

  Ctrl-\\ ends the demo; the next run goes on with the same disk.
"""


def step(text):
    t = int(time.time() - START)
    print(f"\n== [{t // 60:2}:{t % 60:02}] {text}", flush=True)


def stream(argv, log, **kw):
    """Runs a program with its output in a log, and a sign of life on the terminal."""
    with open(log, "wb") as f:
        p = subprocess.Popen(argv, cwd=TOP, stdout=f, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **kw)
        began = time.time()
        while p.poll() is None:
            time.sleep(0.5)
            if time.time() - began > 5:
                began = time.time()
                with open(log, "rb") as r:
                    r.seek(max(0, os.path.getsize(log) - 300))
                    last = r.read().decode("utf-8", "replace").strip().splitlines()
                print("   ", (last[-1] if last else "...")[:110], flush=True)
    if p.returncode:
        with open(log, encoding="utf-8", errors="replace") as r:
            sys.exit("".join(r.readlines()[-30:]) + f"demo: {' '.join(argv)} failed; the whole log is {log}")


def tree_hash():
    """Changes when the source does."""
    h = hashlib.sha256()
    names = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
                            "--exclude-standard"], cwd=TOP, stdout=subprocess.PIPE, check=True).stdout
    for n in sorted(names.decode().split("\0")):
        if not n or n.startswith(("tests/", "docs/")) or not os.path.isfile(f"{TOP}/{n}"):
            continue
        with open(f"{TOP}/{n}", "rb") as f:
            h.update(n.encode() + b"\0" + f.read())
    return h.hexdigest()


def packages():
    """build/demo/repo: an apt repository of everything, rebuilt if the source changed."""
    repo, stamp, now = f"{DIR}/repo", f"{DIR}/repo.hash", tree_hash()
    if os.path.exists(stamp) and open(stamp, encoding="ascii").read() == now:
        print("    unchanged")
        return repo, now
    shutil.rmtree(repo, ignore_errors=True)
    os.makedirs(repo)
    stream(["packaging/build-deb.sh", repo], f"{DIR}/packages.log")
    stream(["packaging/make-apt-repo.sh", repo, "", "file:/srv/bulkhead"], f"{DIR}/repo.log")
    with open(stamp, "w", encoding="ascii") as f:
        f.write(now)
    return repo, now


def shown(m, command, timeout=120):
    """Runs a command in dom0 the way a user sees it."""
    print(f"dom0# {command}", flush=True)
    r = m.call(command, timeout)
    print("".join("    " + l + "\n" for l in r.out.rstrip().splitlines()), end="", flush=True)
    if r.code:
        raise Failure(f"`{command}` exited {r.code}")
    return r.out


def new_machine(o, hypervisor, boot="disk", copy=()):
    return Machine(hypervisor=hypervisor, image="dom0", boot=boot, firmware="uefi" if o.uefi else "bios",
                   cpu=o.cpu, smp=o.smp, memory=o.memory, root=f"{DIR}/root.qcow2",
                   disks=[Disk(file=f"{DIR}/guests.raw", serial="guests")],
                   copy=copy, ssh=o.ssh, reboot=True, name="demo", log=f"{DIR}/console.log")


def install(o, repo, version):
    """The four commands of docs/guide-install.md, on plain Debian."""
    state = {"version": version, "uefi": o.uefi, "image": images.image("dom0").path}
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
    m = new_machine(o, "none", copy=[(repo, "/srv/bulkhead"),
                                     (f"{repo}/bulkhead.list", "/etc/apt/sources.list.d/bulkhead.list")])
    with m:
        print("    booting plain Debian 12 (some 40 s)", flush=True)
        m.login(600)
        m.run("systemctl is-system-running --wait || :", 600)
        shown(m, "apt-get -q update -o Dir::Etc::sourcelist=sources.list.d/bulkhead.list "
                 "-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0", 300)
        shown(m, "DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends install bulkhead", 1200)
        shown(m, "bulkhead-setup --unattended --vg guests --pv /dev/disk/by-id/virtio-guests "
                 f"--dom0-memory {o.memory * 5 // 8}", 600)
        m.power_off(300)
    with open(path, "w", encoding="ascii") as f:
        json.dump(state, f)


def in_guest(m, guest, command):
    """Types a command on the guest's console; returns what the guest said."""
    return m.run(f"(sleep 1; echo; echo '{command}; echo rc=$?'; sleep 5) | timeout 20 bhctl console {guest} || :", 60)


def guests(o, m):
    """The guests, made unless a former run did."""
    have = m.call("vm-bootstrap list").out
    if "demo-tiny" not in have:
        if "tiny" not in m.call("vm-bootstrap template list").out:
            shown(m, "vm-bootstrap template build tiny", 300)
        shown(m, "vm-bootstrap create demo-tiny --template tiny --start --autostart --wait", 300)
    if not o.quick and "demo-debian" not in have:
        shown(m, "vm-bootstrap template build debian-12", 3600)
        shown(m, "vm-bootstrap create demo-debian --template debian-12 --memory 256M --start --autostart --wait", 900)


def proof(o, m):
    """What can be seen from outside: dom0, hypervisor, guests, and a file that lasts."""
    step("dom0 and guests")
    shown(m, "cat /sys/hypervisor/type; bhctl info")
    shown(m, "bhctl list")
    shown(m, "vm-bootstrap list")
    shown(m, "lvs guests")
    word = f"proof-{random.randrange(10**9)}"
    in_guest(m, "demo-tiny", f"echo {word} >/root/proof; sync")
    step("rebooting the host")
    m.run("(sleep 0.5; reboot) >/dev/null 2>&1 &")
    m.shell.ready = False
    m.login(900)
    m.eventually("bhctl list | grep -q demo-tiny", 300, every=3)
    shown(m, "bhctl list")
    said = m.eventually(f"(sleep 1; echo; echo 'cat /root/proof'; sleep 4) | timeout 20 bhctl console demo-tiny | "
                        f"grep {word}", 240, every=3)
    if word not in said:
        raise Failure("the file written in the guest is gone")
    print(f"    in demo-tiny, started by itself, /root/proof still says {word}")


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
    a("--uefi", action="store_true", help="UEFI firmware instead of BIOS")
    return p.parse_args()


def main():
    o = options()
    os.makedirs(DIR, exist_ok=True)
    step("building hypervisor and tools")
    stream(["make", f"-j{os.cpu_count()}", "all"], f"{DIR}/build.log")
    step("packages and apt repository")
    repo, version = packages()
    step("Debian 12 disk image")
    print("   ", images.image("dom0").path)
    step("apt install bulkhead, in the image")
    if not (o.keep and os.path.exists(f"{DIR}/root.qcow2")):
        install(o, repo, version)
    step("booting through GRUB on Bulkhead")
    with new_machine(o, "bulkhead") as m:
        m.login(900)
        if "xen" not in m.call("cat /sys/hypervisor/type").out:
            raise Failure("the machine came up on plain Linux, not on the hypervisor:\n"
                          + m.call("bhctl boot status").out)
        m.eventually("systemctl is-active bulkhead-store.service", 300)
        m.call("systemctl is-system-running --wait", 600)
        step("guests")
        guests(o, m)
        if o.unattended:
            proof(o, m)
            step("done")
            m.power_off(300)
            return
        shown(m, "bhctl list")
        m.send(".\n")
        print(TRY.format(guest="demo-tiny") + (f"\n  ssh -p {o.ssh} root@127.0.0.1\n" if o.ssh else ""))
        m.send("\n")
        interact(m, b"\x1c")


try:
    main()
except Failure as e:
    sys.exit(f"demo: {e}\nThe console log is {DIR}/console.log")
