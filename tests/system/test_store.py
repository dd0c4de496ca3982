#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkhead-store on a real machine: stock clients, a stock guest by xl, kill -9.

BULKHEAD_TEST_HYPERVISOR=xen (the default is our own) runs it on Debian's Xen.
The guest is Debian's stock kernel with a busybox initramfs in which xs_stress
counts in transactions, watches and writes over its ring; one more runs in dom0
over the socket. Both notice a single lost or repeated commit, event or node.
"""

import os
import random
import re
import tempfile

import images
from cases import Skip, case, check, main
from console import Failure
from machine import Machine

HV = os.environ.get("BULKHEAD_TEST_HYPERVISOR", "bulkhead")
TOP = os.path.dirname(os.path.dirname(images.HERE))
OUT = os.environ.get("O", f"{TOP}/build") + "/toolstack"
KILLS = int(os.environ.get("BULKHEAD_TEST_KILLS", "50"))
TMP = tempfile.TemporaryDirectory(prefix="bht-store-")

GUEST = """name = "{name}"
kernel = "/root/vmlinuz"
ramdisk = "/root/{name}.cpio"
extra = "console=hvc0 quiet"
memory = 128
"""

# Each tries to take more than its share; then says how it went.
GREEDY = """
for i in $(seq 1 10); do xs_stress data/q$i 1 >/dev/null; done
xs_stress data/s 3600 exact
"""


def store_files():
    """The daemon and its unit over an image that has neither; Debian's stays off."""
    for f in ("bulkhead-store", "tests/xs_stress"):
        if not os.path.exists(f"{OUT}/{f}"):
            raise Skip(f"{OUT}/{f} is not built")
    unit = f"{TOP}/init/units/bulkhead-store.service"
    with open(unit, "rb") as f:
        text = f.read()
    return [(f"{OUT}/bulkhead-store", "/usr/sbin/bulkhead-store"),
            (f"{OUT}/tests/xs_stress", "/usr/bin/xs_stress"),
            (text, "/etc/systemd/system/bulkhead-store.service"),
            (b"", "/etc/systemd/system/xen.service")]       # empty: masked


def guest_files(name, script):
    path = f"{TMP.name}/{name}.cpio"
    images.initramfs(path, (), {"/bin/xs_stress": f"{OUT}/tests/xs_stress"}, script)
    return [(path, f"/root/{name}.cpio"), (GUEST.format(name=name).encode(), f"/root/{name}.cfg")]


def machine(name, copy=(), **kw):
    kw = {"memory": 1200, "xen_args": "dom0_mem=700M,max:700M", **kw}
    return Machine(hypervisor=HV, image="dom0-xen", name=f"store-{name}",
                   copy=[*store_files(), *copy], **kw)


def up(m):
    m.login(600)
    m.run("systemctl daemon-reload; systemctl start bulkhead-store", 120)
    m.run("/usr/lib/xen-4.17/bin/xen-init-dom0; /usr/lib/xen-4.17/bin/xenconsoled", 60)


def sane(m):
    check("the tree is consistent", m.run("xenstore-control check").strip() == "OK")
    log = m.run("journalctl -b -u bulkhead-store -p warning -o cat --no-pager")
    bad = [l for l in log.splitlines() if re.search("damage|cannot|broken|lost|EXITCODE|core", l)]
    check("the daemon has no complaint", not bad, "\n".join(bad))


@case
def stock_clients():
    """xenstore-* and test-xenstore through the socket and through dom0's own ring."""
    with machine("clients") as m:
        up(m)
        for via in ("/run/xenstored/socket", "/dev/xen/xenbus"):
            m.run(f"export XENSTORED_PATH={via}; set -e; xenstore-rm /t || :; "
                  "xenstore-write /t/a 1 /t/b 2; test $(xenstore-read /t/a) = 1; "
                  "xenstore-chmod /t/a n0 r7; xenstore-ls -p /t | grep -q n0,r7; "
                  "test \"$(xenstore-list /t | tr '\\n' ' ')\" = 'a b '; "
                  "(xenstore-watch -n 2 /t >/tmp/w) & sleep 1; xenstore-write /t/c 3; wait; "
                  "grep -qx /t/c /tmp/w; xenstore-rm /t/b; ! xenstore-exists /t/b", 120)
        r = m.call("/usr/lib/xen-4.17/bin/test-xenstore 2>&1", 120)
        check("test-xenstore passes", r.code == 0 and "failed" not in r.out, r.out)
        r = m.call("bulkhead-store", 30)
        check("a second store is refused", r.code != 0 and "another store" in r.out, r.out)
        r = m.call("bulkhead-store --quota nods=3", 30)
        check("bad options are explained", r.code != 0 and "--list-quotas" in r.out, r.out)
        sane(m)


def rounds(m, path):
    return int(m.call(f"xenstore-read {path}/rounds").out.strip() or 0)


def still_ok(m, path):
    r = m.call(f"xenstore-read {path}/result 2>/dev/null")
    if r.code == 0 and r.out.strip():
        raise Failure(f"{path}: the client found: {r.out.strip()}")


@case
def kills():
    """A guest and dom0 do not notice that the store is killed at random moments."""
    files = guest_files("g1", "xs_stress data/s 36000 exact")
    with machine("kills", [*files, (images.kernel()[0], "/root/vmlinuz")]) as m:
        up(m)
        m.run("xl create /root/g1.cfg", 300)
        dom = m.run("xl domid g1").strip()
        guest, host = f"/local/domain/{dom}/data/s", "/test/dom0"
        m.eventually(f"test \"$(xenstore-read {guest}/rounds)\" -gt 3", 300)
        m.run(f"systemd-run -q --unit stress xs_stress {host} 36000")
        rng = random.Random(os.environ.get("BULKHEAD_TEST_SEED", "store"))
        seen = {guest: rounds(m, guest), host: 0}
        for i in range(KILLS):
            m.run(f"sleep {rng.uniform(0.05, 1.0):.3f}; systemctl kill -s KILL bulkhead-store; "
                  "for i in $(seq 300); do xenstore-read / >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1", 120)
            still_ok(m, guest)
            still_ok(m, host)
            if i % 10 == 9:
                for p, before in seen.items():
                    m.eventually(f"test \"$(xenstore-read {p}/rounds)\" -gt {before}", 120)
                    seen[p] = rounds(m, p)
        check("it was killed every time", int(m.run("systemctl show -P NRestarts bulkhead-store")) >= KILLS)
        check("dom0's client goes on", m.run("systemctl is-active stress").strip() == "active")
        m.run("systemctl stop stress")

        # Life goes on, and ends, as with a store that was never killed.
        m.run("xl list g1; xl pause g1; xl unpause g1")
        m.run("systemctl kill -s STOP bulkhead-store; sleep 0.2; systemctl kill -s KILL bulkhead-store", 60)
        m.run("xl destroy g1", 120)
        m.eventually(f"! xenstore-exists /local/domain/{dom}/data", 60)
        m.run("xl create /root/g1.cfg", 300)
        dom = m.run("xl domid g1").strip()
        m.eventually(f"test \"$(xenstore-read /local/domain/{dom}/data/s/rounds)\" -gt 3", 300)
        sane(m)


@case(long=True)
def death_while_away():
    """A domain that dies while no store runs is noticed by the next one."""
    files = guest_files("g1", "xs_stress data/s 36000 exact")
    with machine("away", [*files, (images.kernel()[0], "/root/vmlinuz")]) as m:
        up(m)
        m.run("xl create /root/g1.cfg", 300)
        dom = m.run("xl domid g1").strip()
        m.eventually(f"test \"$(xenstore-read /local/domain/{dom}/data/s/rounds)\" -gt 1", 300)
        m.run("mkdir -p /run/systemd/system/bulkhead-store.service.d; "
              "printf '[Service]\\nRestartSec=20\\n' >/run/systemd/system/bulkhead-store.service.d/slow.conf; "
              "systemctl daemon-reload; systemctl kill -s KILL bulkhead-store; sleep 1; "
              f"python3 -c \"import sys; sys.path.insert(0, '/usr/lib/xen-4.17/lib/python'); "
              f"import xen.lowlevel.xc as x; x.xc().domain_destroy({dom})\"", 60)
        m.eventually("xenstore-read / >/dev/null", 90)
        m.eventually(f"! xenstore-exists /local/domain/{dom}/data", 30)
        sane(m)


@case(long=True)
def quotas():
    """A guest that wants more than its share gets no more, and no one else suffers."""
    files = guest_files("g1", GREEDY)
    with machine("quotas", [*files, (images.kernel()[0], "/root/vmlinuz")]) as m:
        up(m)
        m.run("xenstore-control quota set nodes 200")
        m.run("xl create /root/g1.cfg", 300)
        dom = m.run("xl domid g1").strip()
        m.eventually(f"xenstore-read /local/domain/{dom}/data/s/result", 600)
        used = int(re.search(r"nodes (\d+)", m.run(f"xenstore-control quota {dom}")).group(1))
        check("it owns no more than it may", 150 <= used <= 200, used)
        m.run("xenstore-write /t/x 1; test $(xenstore-read /t/x) = 1")
        sane(m)


main()
