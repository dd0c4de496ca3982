#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own xl, xenstored and xenconsoled on the hypervisor.

The stock tools of Xen 4.17 are clients nobody here wrote: what they say of the
host, and one PV guest (a busybox initramfs under Debian's kernel) through its
life with them. With BULKHEAD_TEST_HYPERVISOR=xen the same runs on Debian's Xen.
"""

import os
import re
import tempfile

import images
from cases import add, case, check, main
from machine import Machine

TMP = tempfile.TemporaryDirectory(prefix="bht-xl-")
HV = os.environ.get("BULKHEAD_TEST_HYPERVISOR", "bulkhead")
GUEST = """name = "t1"
type = "pv"
kernel = "/boot/vmlinuz-guest"
ramdisk = "/root/guest.cpio"
extra = "console=hvc0"
memory = 128
maxmem = 160
vcpus = 1
"""


def machine(name, smp=1):
    cfg, cpio = f"{TMP.name}/t1.cfg", f"{TMP.name}/guest.cpio"
    with open(cfg, "w", encoding="ascii") as f:
        f.write(GUEST)
    images.initramfs(cpio, [], {})
    return Machine(hypervisor=HV, image="dom0-xen", smp=smp, memory=1400, name=f"xl-{name}",
                   xen_args="dom0_mem=800M", copy=[(cfg, "/root/t1.cfg"), (cpio, "/root/guest.cpio")])


def up(m):
    m.login(600)
    m.run("cp /boot/vmlinuz-*-amd64 /boot/vmlinuz-guest")
    m.eventually("xl list", 120)


def state(m):
    """The guest's memory and state letters, or None."""
    r = re.search(r"^t1 +\d+ +(\d+) +\d+ +(\S+)", m.run("xl list", 60), re.M)
    return (int(r.group(1)), r.group(2)) if r else None


def free(m):
    return int(re.search(r"free_memory +: (\d+)", m.run("xl info", 60)).group(1))


@case
def host_is_described():
    with machine("host", smp=2) as m:
        up(m)
        info = m.run("xl info", 60)
        for line in (r"nr_cpus +: 2", r"xen_major +: 4", r"xen_caps +: .*xen-3.0-x86_64",
                     r"xen_scheduler +: credit2", r"total_memory +: 1[34]\d\d"):
            check(f"xl info has {line}", re.search(line, info), info)
        check("dom0 is listed as running", re.search(r"Domain-0 +0 +800 +2 +r", m.run("xl list", 60)))
        check("both vCPUs are listed", len(re.findall(r"Domain-0 ", m.run("xl vcpu-list", 60))) == 2)
        check("dom0 has the default weight", re.search(r"Domain-0 +0 +256 +0", m.run("xl sched-credit2", 60)))
        m.run("set -e; xl dmesg | grep -qi 'command line'; xl uptime; xl domid Domain-0 | grep -qx 0; xl debug-keys h; "
              "xl dmesg | grep -q \"key 'h'\"", 60)


def guest_lives(cycles):
    with machine(f"guest-{cycles}") as m:
        up(m)
        before = free(m)
        m.run("xl create /root/t1.cfg", 180)
        # What runs on the guest's console answers each line it cannot use. Without
        # a terminal xl console does not read; Ctrl-] ends it.
        m.eventually("(sleep 3; printf '!0 0\\r'; sleep 5; printf '\\035') | "
                     "timeout 30 script -qec 'xl console t1' /dev/null | grep -q @@bad", 180)
        check("its vCPU is listed", re.search(r"^t1 +\d+ +0 +0 +", m.run("xl vcpu-list t1", 60), re.M))
        m.run("xl sched-credit2 -d t1 -w 512 -c 25", 60)
        check("weight and cap are kept", re.search(r"t1 +\d+ +512 +25", m.run("xl sched-credit2", 60)))
        m.run("xl vcpu-pin t1 0 0", 60)
        m.run("xl pause t1", 60)
        check("the guest is paused", "p" in state(m)[1], state(m))
        m.run("xl unpause t1", 60)
        check("the guest goes on", "p" not in state(m)[1], state(m))
        m.run("xl mem-set t1 100m", 60)
        m.eventually("xl list t1 | awk 'END { exit !($3 <= 101) }'", 120)
        m.run("xl destroy t1", 120)
        check("the guest is gone", state(m) is None, state(m))
        for _ in range(cycles):
            m.run("xl create -p /root/t1.cfg && xl destroy t1", 240)
        m.eventually(f"[ $(xl info | awk '/^free_memory/ {{ print $3 }}') -ge {before - 1} ]", 60)


add("guest-lives", guest_lives, cycles=3)
add("guests-come-and-go", guest_lives, long=True, cycles=100)
main()
