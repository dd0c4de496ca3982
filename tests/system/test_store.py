#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkhead-store on a real machine: stock clients, a stock guest by xl, kill -9.

dom0 is a busybox initramfs with the daemon, Debian's Xen tools and the libraries
they need, so that a case takes a minute or two; "unit" (--long) is the same in a
whole Debian under systemd. BULKHEAD_TEST_HYPERVISOR=xen runs on Debian's Xen.

The guest is Debian's stock kernel with a busybox initramfs in which xs_stress
counts in transactions, watches and writes over its ring; one more runs in dom0
over the socket. Both notice a single lost or repeated commit, event or node.
"""

import os
import random
import re
import subprocess
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
XEN_BIN = "/usr/lib/xen-4.17/bin"

GUEST = """name = "{name}"
kernel = "/root/vmlinuz"
ramdisk = "/root/{name}.cpio"
extra = "console=hvc0 quiet"
memory = {memory}
"""

# Starts the daemon whenever there is none, as systemd would.
SUPERVISE = """#!/bin/sh
while :; do
	while [ -e /tmp/hold ]; do sleep 0.1; done
	bulkhead-store "$@" >>/tmp/store.log 2>&1
	echo "ended $?" >>/tmp/store.log
done
"""


def ours():
    for f in ("bulkhead-store", "tests/xs_stress"):
        if not os.path.exists(f"{OUT}/{f}"):
            raise Skip(f"{OUT}/{f} is not built")
    return {"/usr/sbin/bulkhead-store": f"{OUT}/bulkhead-store", "/bin/xs_stress": f"{OUT}/tests/xs_stress"}


def with_libraries(files):
    """Adds what the dynamic linker will look for, found by this host's ldd."""
    every = dict(files)
    for path in files.values():
        if isinstance(path, bytes):
            continue
        out = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        if "not found" in out.stdout:
            raise Skip(f"libraries of {path} are missing here (libxen-dev brings them)")
        for lib in re.findall(r"(/\S+) \(0x", out.stdout):
            every[lib] = os.path.realpath(lib)
    return every


def tools():
    """The stock tools, unpacked from their packages."""
    utils, store = images.deb("xen-utils-4.17"), images.deb("xenstore-utils")
    files = {f"{XEN_BIN}/{n}": f"{utils}{XEN_BIN}/{n}" for n in ("xl", "xenconsoled", "xen-init-dom0", "test-xenstore")}
    files |= {f"/usr/bin/{n}": f"{store}/usr/bin/xenstore-{n.split('-')[1]}" for n in
              (f"xenstore-{c}" for c in ("ls", "read", "write", "rm", "chmod", "list", "exists", "watch"))}
    files["/usr/bin/xenstore-control"] = f"{utils}{XEN_BIN}/xenstore-control"
    if not os.path.exists(files["/usr/bin/xenstore-control"]):
        files["/usr/bin/xenstore-control"] = f"{store}{XEN_BIN}/xenstore-control"
    return files


def guest(name, script, memory=160):
    path = f"{TMP.name}/{name}.cpio"
    images.initramfs(path, (), {"/bin/xs_stress": f"{OUT}/tests/xs_stress"}, script)
    return {f"/root/{name}.cpio": path, f"/root/{name}.cfg": GUEST.format(name=name, memory=memory).encode(),
            "/root/vmlinuz": images.kernel()[0]}


def machine(name, files=None, memory=900):
    """A tiny dom0 that has all of it."""
    every = with_libraries(ours() | tools()) | (files or {}) | {"/bin/supervise": SUPERVISE.encode(), "/etc/xen/xl.conf": b""}
    initrd = f"{TMP.name}/{name}.initrd"
    images.initramfs(initrd, (), every)
    return Machine(hypervisor=HV, initrd=initrd, name=f"store-{name}", memory=memory, nic=None,
                   xen_args="dom0_mem=500M,max:500M")


def up(m, args=""):
    m.login(300)
    m.run("mkdir -p /run/xenstored /run/lock /run/xen /var/lib/xen /var/log/xen; "
          f"ln -s /run /var/run; ln -s /run/lock /var/lock; supervise {args} </dev/null >/dev/null 2>&1 &")
    m.eventually("xenstore-read / >/dev/null", 60)
    m.run(f"{XEN_BIN}/xen-init-dom0 && mkdir -p /var/log/xen/console; {XEN_BIN}/xenconsoled --log=guest", 60)


KILL = ("kill -9 $(pidof bulkhead-store); for i in $(seq 600); do "
        "xenstore-read / >/dev/null 2>&1 && exit 0; sleep 0.05; done; exit 1")


def sane(m):
    check("the tree is consistent", "OK" in m.run("xenstore-control check"))
    log = m.run("cat /tmp/store.log")
    bad = [l for l in log.splitlines() if re.search("damage|cannot|another|ended (?!137)", l)]
    check("the daemon has no complaint", not bad, "\n".join(bad))
    return log


def create(m, name):
    m.run(f"{XEN_BIN}/xl create -F /root/{name}.cfg >/tmp/{name}.log 2>&1 &")
    try:
        m.eventually(f"{XEN_BIN}/xl domid {name}", 120)
    except Failure as e:
        raise Failure(f"{e}\n" + m.call(f"cat /tmp/{name}.log").out) from None
    return m.run(f"{XEN_BIN}/xl domid {name}").strip()


def await_guest(m, name, script):
    """eventually(), showing the guest's console should it never happen."""
    try:
        m.eventually(script, 200, every=10)
    except Failure as e:
        raise Failure(f"{e}\n" + m.call(f"{XEN_BIN}/xl list; cat /tmp/{name}.log; tail -n 40 /var/log/xen/console/guest-{name}.log").out) from None


def progress(m, path, more=2, timeout=300):
    """Waits until the client at path has made some more rounds."""
    before = int(m.call(f"xenstore-read {path}/rounds 2>/dev/null").out.strip() or 0)
    m.eventually(f"test \"$(xenstore-read {path}/rounds)\" -ge {before + more}", timeout, every=3)


def still_ok(m, path):
    r = m.call(f"xenstore-read {path}/result 2>/dev/null")
    if r.code == 0 and r.out.strip():
        raise Failure(f"{path}: the client found: {r.out.strip()}")


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
                  "(xenstore-watch -n 2 /t >/tmp/w) & sleep 2; xenstore-write /t/c 3; wait; "
                  "grep -qx /t/c /tmp/w; xenstore-rm /t/b; ! xenstore-exists /t/b", 120)
        r = m.call(f"{XEN_BIN}/test-xenstore 2>&1", 120)
        check("test-xenstore passes", r.code == 0 and "failed" not in r.out, r.out)
        r = m.call("bulkhead-store 2>&1", 30)
        check("a second store is refused", r.code != 0 and "another store" in r.out, r.out)
        r = m.call("bulkhead-store --quota nods=3 2>&1", 30)
        check("bad options are explained", r.code != 0 and "--list-quotas" in r.out, r.out)
        sane(m)


@case
def kills():
    """A guest and dom0 do not notice that the store is killed at random moments."""
    with machine("kills", guest("g1", "xs_stress data/s 36000 exact")) as m:
        up(m)
        dom = create(m, "g1")
        inside, host = f"/local/domain/{dom}/data/s", "/test/dom0"
        await_guest(m, "g1", f"test \"$(xenstore-read {inside}/rounds)\" -ge 3")
        m.run(f"xs_stress {host} 36000 >/tmp/stress.log 2>&1 &")
        rng = random.Random(os.environ.get("BULKHEAD_TEST_SEED", "store"))
        for i in range(KILLS):
            m.run(f"sleep {rng.uniform(0.02, 0.8):.3f}; {KILL}", 120)
            still_ok(m, inside)
            still_ok(m, host)
            if i % 10 == 9:
                progress(m, inside)
                progress(m, host)
        log = sane(m)
        check(f"it came back {KILLS} times", log.count("continuing with") == KILLS, log[-2000:])

        # Life goes on, and ends, as with a store that was never killed.
        m.run(f"{XEN_BIN}/xl list g1; {XEN_BIN}/xl pause g1; {XEN_BIN}/xl unpause g1", 60)
        progress(m, inside)
        m.run(f"{XEN_BIN}/xl destroy g1", 120)
        m.eventually(f"! xenstore-exists /local/domain/{dom}/data", 60)
        dom = create(m, "g1")
        await_guest(m, "g1", f"test \"$(xenstore-read /local/domain/{dom}/data/s/rounds)\" -ge 2")
        still_ok(m, f"/local/domain/{dom}/data/s")
        sane(m)


@case(long=True)
def death_while_away():
    """What ends while no store runs is noticed by the next one."""
    with machine("away", guest("g1", "xs_stress data/s 5; xs_stress data/s 5; sleep 15; poweroff -f")) as m:
        up(m)
        dom = create(m, "g1")
        await_guest(m, "g1", f"xenstore-read /local/domain/{dom}/data/s/result")
        m.run("touch /tmp/hold; kill -9 $(pidof bulkhead-store); sleep 40; rm /tmp/hold; "
              "(timeout 60 xenstore-watch -n 1 @releaseDomain >/dev/null)", 200)
        m.eventually(f"{XEN_BIN}/xl list | grep -q '^g1.*s-'", 120)
        m.run(f"{XEN_BIN}/xl destroy g1", 120)
        m.eventually(f"! xenstore-exists /local/domain/{dom}/data", 60)
        sane(m)


@case(long=True)
def quotas():
    """A guest that wants more than its share gets no more, and no one else suffers."""
    greedy = "for i in $(seq 1 10); do xs_stress data/q$i 4 >/dev/null; done; xs_stress data/s 5"
    with machine("quotas", guest("g1", greedy)) as m:
        up(m, "--quota nodes=150")
        dom = create(m, "g1")
        m.run("xs_stress /test/dom0 36000 >/tmp/stress.log 2>&1 &")
        m.eventually(f"xenstore-control quota {dom} | grep -q 'nodes 1[345]'", 600)
        progress(m, "/test/dom0")
        used = int(re.search(r"nodes (\d+)", m.run(f"xenstore-control quota {dom}")).group(1))
        check("it owns no more than it may", used <= 150, used)
        still_ok(m, "/test/dom0")
        sane(m)


@case(long=True)
def unit():
    """The systemd unit in a whole Debian: starts, is killed, comes back, is confined."""
    with open(f"{TOP}/init/units/bulkhead-store.service", "rb") as f:
        text = f.read()
    files = [(src, dst) for dst, src in ours().items()]
    files += [(text, "/etc/systemd/system/bulkhead-store.service"), (b"", "/etc/systemd/system/xen.service")]
    with Machine(hypervisor=HV, image="dom0-xen", name="store-unit", copy=files, memory=1200,
                 xen_args="dom0_mem=800M,max:800M") as m:
        m.login(600)
        m.run("systemctl daemon-reload; systemctl start bulkhead-store", 120)
        m.run("xenstore-write /t/x 1")
        for _ in range(5):
            m.run("systemctl kill -s KILL bulkhead-store; for i in $(seq 300); do "
                  "test \"$(xenstore-read /t/x 2>/dev/null)\" = 1 && exit 0; sleep 0.1; done; exit 1", 120)
        m.run("systemctl restart bulkhead-store; test $(xenstore-read /t/x) = 1", 60)
        level = float(re.search(r"level for \S+: ([\d.]+)", m.run("systemd-analyze security bulkhead-store --no-pager")).group(1))
        check("systemd-analyze security says at most 2.5", level <= 2.5, level)


main()
