#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness itself, on a machine without hypervisor: what every other test
relies on. If these fail, no other result of this ring means anything."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import images
from cases import case, check, main
from console import Died, Failure, Timeout
from machine import Disk, Machine

TMP = tempfile.TemporaryDirectory(prefix="bht-self-")


def tiny(**kw):
    path = f"{TMP.name}/tiny.cpio"
    if not os.path.exists(path):
        images.initramfs(path, ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"])
    return Machine(hypervisor="none", image=None, initrd=path, nic=None, memory=256, name="harness", **kw)


@case
def commands_come_back_whole():
    with tiny() as m:
        check("an exit code", m.call("exit 7").code == 7)
        check("standard error too", m.call("echo out; echo err >&2").out == "out\nerr\n")
        check("quotes, dollars, newlines", m.run("x='a b'\nprintf '%s|' \"$x\" '$y'") == "a b|$y|")
        check("3000 lines", m.run("seq 3000") == "".join(f"{i}\n" for i in range(1, 3001)))
        check("carriage returns", m.run(r"printf 'a\r\nb\rc'") == "a\r\nb\rc")
        check("a long script", m.run("true\n" * 400 + "echo end") == "end\n")
        out = m.run("dmesg -n 8; (for i in 1 2 3 4 5 6 7 8; do echo \"noise $i\" >/dev/kmsg; sleep 0.05; done) & "
                    "seq 500")
        check("kernel messages in between do no harm", out == "".join(f"{i}\n" for i in range(1, 501)))


@case
def a_command_that_hangs_is_a_timeout_and_no_more():
    with tiny() as m:
        m.login()
        os.environ["BULKHEAD_TIMEOUT_SCALE"] = "1"
        try:
            m.call("echo before; sleep 1000", 3)
            check("a time-out", False)
        except Timeout as e:
            check("what it said so far is reported", "before" in str(e))
        del os.environ["BULKHEAD_TIMEOUT_SCALE"]
        check("the next command works", m.run("echo next") == "next\n")


@case
def disks_survive_a_power_cut():
    with tiny(disks=[Disk(size="64M", serial="data")]) as m:
        m.eventually("test -b /dev/vda")
        check("the serial number is there", m.run("cat /sys/block/vda/serial").strip() == "data")
        m.run("set -e; busybox mke2fs /dev/vda >/dev/null; mkdir -p /mnt; mount -t ext4 /dev/vda /mnt; "
              "echo precious >/mnt/f; sync")
        m.power_cut()
        check("it is off", not m.alive())
        m.start()
        m.eventually("test -b /dev/vda")
        check("what was synced is there",
              m.run("mkdir -p /mnt; mount -t ext4 /dev/vda /mnt; cat /mnt/f") == "precious\n")


@case
def a_panic_ends_a_wait_at_once():
    with tiny() as m:
        m.login()
        start = time.time()
        try:
            m.call("echo c >/proc/sysrq-trigger", 200)
            check("a failure", False)
        except Died as e:
            check("the failure quotes the panic", "Kernel panic" in str(e))
        check("soon", time.time() - start < 100)


@case
def nothing_outlives_the_test():
    """A harness killed hard takes its QEMU along, one asked to stop its files too."""
    code = ("import sys, time; sys.path.insert(0, %r); import test_harness as t\n"
            "m = t.tiny(); m.start(); print(m.proc.pid, m.dir, flush=True); time.sleep(300)" % images.HERE)
    for sig in (signal.SIGTERM, signal.SIGKILL):
        p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        pid, path = p.stdout.readline().split()
        os.kill(p.pid, sig)
        p.wait(60)
        for _ in range(100):
            if not os.path.exists(f"/proc/{pid}"):
                break
            time.sleep(0.1)
        check(f"QEMU is gone after {sig.name}", not os.path.exists(f"/proc/{pid}"))
        if sig == signal.SIGTERM:
            check("its directory too", not os.path.exists(path))
        else:
            images.shutil.rmtree(path, ignore_errors=True)


@case
def a_missing_hypervisor_is_one_clear_line():
    try:
        Machine(hypervisor="/nonexistent.elf", image=None, initrd="/dev/null", kernel="/dev/null").start()
        check("a failure", False)
    except Failure as e:
        check("it names the file", "/nonexistent.elf" in str(e), str(e))


if __name__ == "__main__":
    main()
