#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo to its end, as a user runs it: from an empty directory, and again
with what the first run left."""

import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cases import add, check, main  # noqa: E402
from machine import TOP  # noqa: E402


def run(directory, *options):
    """Its output goes on to our log while it runs; returns it, and the seconds."""
    start, out = time.time(), []
    with subprocess.Popen([f"{TOP}/tests/demo.sh", "--unattended", "--dir", directory, *options], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        for line in p.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            out.append(line)
    check("the demo exits 0", p.returncode == 0, "".join(out[-30:]))
    return "".join(out), time.time() - start


def demo(*options):
    # Beside the other results: a disk image is too much for some machines' /tmp.
    with tempfile.TemporaryDirectory(prefix="demo-", dir=os.environ.get("O", f"{TOP}/build")) as d:
        out, first = run(d, *options)
        check("it ends with proof", "written before the reboot, still says proof-" in out)
        out, second = run(d, *options)
        check("the second run builds nothing", "    unchanged\n" in out and "has these packages already" in out)
        check("it ends with proof again", "written before the reboot, still says proof-" in out)
        print(f"first run {first:.0f} s, second {second:.0f} s")


def quick():
    demo("--quick")


def uefi():
    demo("--quick", "--uefi")


add("quick", quick, long=True)
add("full", demo, long=True)
add("uefi", uefi, long=True)

if __name__ == "__main__":
    main()
