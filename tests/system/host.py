#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A host as a user gets one: Debian 12 with our packages from an apt repository,
set up by bulkhead-setup, booted by GRUB on our hypervisor and found well, with
one small guest that starts with the host.

    with host.machine() as m:           # throwaway copies of its disks
        m.login()

Packages and disks are made once per state of the source and kept under build/;
$BULKHEAD_DEBS and $BULKHEAD_HOST name directories to use instead.
`host.py debs` makes the packages and prints their directory.
"""

import glob
import hashlib
import os
import shutil
import subprocess
import sys

import guest_lab
import images
from cases import check
from machine import TOP, Disk, Machine

O = os.environ.get("O", f"{TOP}/build")
VERSION = "7.1.1"       # occurs in nothing else that is in the packages: see tests/packages/redeb
MEMORY, DOM0 = 2048, 1024
GUEST = "io1"           # enabled; /root/mark in it says so


def tree_hash():
    """Changes when what goes into the packages does."""
    h = hashlib.sha256()
    names = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
                            "--exclude-standard"], cwd=TOP, stdout=subprocess.PIPE, check=True).stdout
    for n in sorted(names.decode().split("\0")):
        if not n or n.startswith("tests/") or n.endswith(".md") or not os.path.isfile(f"{TOP}/{n}"):
            continue
        with open(f"{TOP}/{n}", "rb") as f:
            h.update(n.encode() + b"\0" + f.read())
    return h.hexdigest()[:12]


def _made(kind, name, make):
    """build/KIND/NAME, made by make(directory) if it is not there; older ones go."""
    path = f"{O}/{kind}/{name}"
    with images.making(path) as tmp:
        if tmp:
            os.makedirs(tmp)
            make(tmp)
            for old in glob.glob(f"{O}/{kind}/{name.rsplit('-', 1)[0]}-*"):
                if not old.startswith(path):
                    shutil.rmtree(old, ignore_errors=True)
    return path


def debs():
    """The directory of our packages at VERSION."""
    def make(tmp):
        images.say("building the packages")
        images.sh(f"{TOP}/packaging/build-deb.sh", tmp, VERSION)
    return os.environ.get("BULKHEAD_DEBS") or _made("packages", f"deb-{tree_hash()}", make)


def other_version(out, version, elf=None, only="bulkhead*"):
    """Packages of another version, maybe with another hypervisor in them."""
    files = [f for f in glob.glob(f"{debs()}/{only}.deb") if "dbgsym" not in f]
    images.sh(f"{TOP}/tests/packages/redeb", out, VERSION, version, *(["-e", elf] if elf else []), *files)
    return out


def repository(tmp):
    """An apt repository of the packages; returns the copy list for a machine."""
    os.makedirs(f"{tmp}/repo")
    for f in glob.glob(f"{debs()}/*.deb"):
        if "dbgsym" not in f:
            shutil.copy(f, f"{tmp}/repo/")
    images.sh(f"{TOP}/packaging/make-apt-repo.sh", f"{tmp}/repo", "", "file:/srv/bulkhead")
    return [(f"{tmp}/repo", "/srv/bulkhead"), (guest_lab.GX.encode(), "/usr/local/bin/gx"),
            (f"{tmp}/repo/bulkhead.list", "/etc/apt/sources.list.d/bulkhead.list")]


def _machine(hypervisor, root, guests, firmware, **kw):
    kw.setdefault("fatal", None)        # these machines are meant to survive
    kw.setdefault("vga", "std")         # without, GRUB waits for ever for its menu to appear
    return Machine(hypervisor=hypervisor, image="dom0", boot="disk", firmware=firmware, memory=MEMORY,
                   root=root, disks=[guests], reboot=True, **kw)


def commands(dom0=DOM0):
    """Those of docs/guide-install.md, with the package lists of our repository
    only: the machine has no mirror. dom0: its MiB."""
    return (
        "apt-get -q update -o Dir::Etc::sourcelist=sources.list.d/bulkhead.list "
        "-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0",
        "DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends install bulkhead",
        "bulkhead-setup --unattended --vg guests --pv /dev/disk/by-id/virtio-guests "
        f"--dom0-memory {dom0}")


def well(m, running, timeout=600):
    """Waits until the boot set that runs has been found well."""
    m.login(900)
    unit = "bulkhead-health.service"
    m.eventually(f"systemctl is-active {unit} | grep -qxE 'active|failed'", timeout, every=3)
    check("the host is well", m.call(f"systemctl is-active {unit}").code == 0,
          m.run(f"journalctl -b -u {unit} -o cat; ip -br addr; ip route; ip neigh; uptime"))
    status = m.run("bhctl boot status")
    check(f"boot set {running} runs and is the default",
          f"running: {running}\n" in status and f"default: {running}\n" in status, status)
    return status


def guest(m, name):
    """A small guest that starts with the host."""
    m.run(f"vm-bootstrap -q create {name} --template tiny --autostart --start --wait", 600)
    log_in(m, name)


def log_in(m, name):
    m.run(f"printf '\\nroot\\n' | timeout 5 bhctl console {name} >/dev/null 2>&1 || :", 30)


def guests_are_up(m):
    """Every enabled guest runs; there is at least one; it answers and has its file."""
    names = m.run("ls /etc/systemd/system/bulkhead-guests.target.wants 2>/dev/null | "
                  "sed -n 's/^bulkhead-guest@\\(.*\\)\\.service$/\\1/p'").split()
    check(f"guest {GUEST} is enabled", GUEST in names, names)
    for name in names:
        m.eventually(f"bhctl list | awk '$1 == \"{name}\" && $2 ~ /^[0-9]+$/ {{ n++ }} END {{ exit !n }}'", 300, every=2)
    m.eventually(f"printf '\\nroot\\n' | timeout 5 bhctl console {GUEST} >/dev/null 2>&1; "
                 f"gx {GUEST} 'cat /root/mark' | grep -x {GUEST}", 300, every=2)


def disks(firmware="bios"):
    """The directory with root.qcow2 and guests.raw of a host that is set up."""
    key = hashlib.sha256(f"{tree_hash()} {images.image('dom0').path}".encode()).hexdigest()[:12]
    def make(tmp):
        images.say("making a host: apt install, bulkhead-setup, first boot on Bulkhead (minutes)")
        images.sh("truncate", "-s", "4G", f"{tmp}/guests.raw")
        guests = Disk(file=f"{tmp}/guests.raw", serial="guests")
        log = os.environ.get("BULKHEAD_LOGS", tmp)
        with _machine("none", f"{tmp}/root.qcow2", guests, firmware, copy=repository(tmp), name="host-install",
                      log=f"{log}/host-install.log") as m:
            m.login(900)
            for command in commands():
                m.run(command, 1200)
            m.power_off(300)
        with _machine("bulkhead", f"{tmp}/root.qcow2", guests, firmware, name="host-first",
                      log=f"{log}/host-first.log") as m:
            well(m, "0001")
            m.run("vm-bootstrap -q template build tiny", 400)
            guest(m, GUEST)
            m.run(f"gx {GUEST} 'echo {GUEST} >/root/mark; sync'", 60)
            guests_are_up(m)
            m.power_off(300)
        shutil.rmtree(f"{tmp}/repo")
    return os.environ.get("BULKHEAD_HOST") or _made("hosts", f"{firmware}-{key}", make)


def machine(firmware="bios", **kw):
    """A machine with throwaway copies of those disks."""
    made = disks(firmware)
    m = _machine("bulkhead", None, Disk(file=None, size="1M"), firmware, **kw)
    images.sh("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", f"{made}/root.qcow2", m.root)
    m.disks[0].file = f"{m.dir}/guests.qcow2"
    m.disks[0].fmt = "qcow2"
    images.overlay(f"{made}/guests.raw", m.disks[0].file)
    return m


if __name__ == "__main__":
    if sys.argv[1:] == ["debs"]:
        print(debs())
    else:
        sys.exit("usage: host.py debs")
