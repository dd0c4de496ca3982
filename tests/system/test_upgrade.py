#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Upgrades that go wrong, on a host as a user has it: in every case the machine
is back on the old boot set without a hand on the console, and says why.

The bad hypervisors are the real one with a few bytes changed at a function that
the boot comes through; the bad initrds are damaged files in the real place.
"""

import os
import re
import shutil
import tempfile

import host
import images
from cases import add, case, check, main
from machine import TOP

SYMS = f"{host.O}/hypervisor/bulkhead.syms"
PANIC = b"\x0f\x0b"                                     # ud2
HANG = b"\xfa\xeb\xfe"                                  # cli; jmp to itself
ENOSYS = b"\x48\xc7\xc0\xda\xff\xff\xff\xc3"            # mov $-38, %rax; ret


def patched(path, symbol, code):
    """Our hypervisor with the code of one function replaced."""
    names = images.sh("nm", SYMS)
    at = int(re.search(rf"^([0-9a-f]+) [Tt] {symbol}$", names, re.M).group(1), 16)
    seg = re.search(r"LOAD +(0x\w+) (0x\w+)", images.sh("readelf", "-lW", f"{host.O}/bulkhead.elf"))
    off, va = (int(x, 16) for x in seg.groups())
    shutil.copy(f"{host.O}/bulkhead.elf", path)
    with open(path, "r+b") as f:
        f.seek(at - va + off)
        f.write(code)
    return path


# name: (function, code, what the serial console shows, settings that come along)
FAULTS = {
    "panics-at-boot": ("dom0_build", PANIC, b"(?i)panic|fatal", ""),
    "hangs-at-boot": ("dom0_build", HANG, b"boot watchdog", ""),
    "dom0-panics": ("do_event_channel_op", ENOSYS, b"(?i)panic|dom0 .*crash|crashed", ""),
    "network-is-dead": (None, None, b"not well|Restarting system|reboot", "modprobe.blacklist=e1000e"),
}


def upgrade(m, version, options):
    """Settings and the new hypervisor, as a package brings them."""
    m.run(f"sed -i 's/^BULKHEAD_CMDLINE_DOM0=.*/BULKHEAD_CMDLINE_DOM0=\"console=hvc0 {options}\"/' "
          "/etc/default/bulkhead")
    return m.run(f"dpkg -i /srv/new/bulkhead-hypervisor-{version}_*.deb", 300)


def comes_back(m, bad, why, shows, timeout=900):
    """From the reboot into the bad set until the old one is well again."""
    m.run("(sleep 0.5; systemctl reboot) >/dev/null 2>&1 &")
    m.shell.ready = False
    m.expect(b"Loading Bulkhead|Bulkhead .*started by", 600)
    m.expect(shows, timeout)
    status = host.well(m, "0001", timeout)
    check("it says why", f"boot set {bad} {why}" in status, status)
    check("the failed set is not tried again", "next:    the default" in status, status)
    check("motd says it", f"boot set {bad}" in m.run("cat /run/motd.d/50-bulkhead"))
    check("the journal says it", f"boot set {bad}" in m.run("journalctl -b -u bulkhead-boot-check.service -o cat"))
    check("plain Linux is in the menu", "menuentry 'Debian" in m.run("cat /boot/grub/grub.cfg"))
    guests_are_up(m)


def guests_are_up(m):
    for name in m.run("systemctl list-unit-files --state=enabled --no-legend 'bulkhead-guest@*' | "
                      "sed -n 's/bulkhead-guest@\\([^.]*\\).*/\\1/p'").split():
        m.eventually(f"bhctl list | grep -w {name}", 300, every=2)


def goes_wrong(*faults, firmware="bios"):
    with tempfile.TemporaryDirectory(prefix="bht-up-") as tmp:
        for i, name in enumerate(faults):
            symbol, code, _, _ = FAULTS[name]
            elf = patched(f"{tmp}/{name}.elf", symbol, code) if symbol else f"{host.O}/bulkhead.elf"
            host.other_version(f"{tmp}/new", f"7.2.{i + 1}", elf, only="bulkhead-hypervisor-*")
        with host.machine(firmware, copy=[(f"{tmp}/new", "/srv/new")], name=f"upgrade-{faults[0]}") as m:
            host.well(m, "0001")
            m.run("sed -i 's/^HEALTH_TIMEOUT=.*/HEALTH_TIMEOUT=60/; s/^HEALTH_DEADLINE=.*/HEALTH_DEADLINE=300/' "
                  "/etc/default/bulkhead")
            for i, name in enumerate(faults):
                images.say(f"upgrade: {name}")
                bad = f"{i + 2:04}"
                said = upgrade(m, f"7.2.{i + 1}", FAULTS[name][3])
                check("a new set is made", f"boot set {bad}: Bulkhead 7.2.{i + 1}" in said, said)
                why = "was not well (no default route" if name.startswith("network") else "did not come up"
                comes_back(m, bad, why, FAULTS[name][2])


for n in FAULTS:
    add(n, goes_wrong, n, long=True)
add("every-fault", goes_wrong, *FAULTS, long=True)
add("every-fault-uefi", goes_wrong, *FAULTS, firmware="uefi", long=True)

main()
