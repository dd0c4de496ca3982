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
from shlex import quote

import host
import images
from cases import add, check, main

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
    "panics-at-boot": ("dom0_build", PANIC, b"Panic on CPU", ""),
    # Either watchdog may be the first: the one for dom0, or that of a processor for its neighbour.
    "hangs-at-boot": ("dom0_build", HANG, b"has not said within 241 seconds|watchdog: CPU. hangs", ""),
    "dom0-panics": ("do_event_channel_op", ENOSYS, b"dom0 has crashed", ""),
    "dom0-is-stuck": (None, None, b"not found well within", "systemd.unit=emergency.target"),
    "network-is-dead": (None, None, b"was not well .no default route", "modprobe.blacklist=e1000e"),
}


def upgrade(m, version, name):
    """Settings and the new hypervisor, as a package brings them."""
    options = FAULTS[name][3]
    # A hang lasts until the boot watchdog, some minutes after this deadline.
    m.run("sed -i 's/^HEALTH_DEADLINE=.*/HEALTH_DEADLINE=%d/' /etc/default/bulkhead" %
          {"hangs-at-boot": 1, "dom0-is-stuck": 200}.get(name, 600))
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
    check("plain Linux is in the menu", "gnulinux-simple" in m.run("cat /boot/grub/grub.cfg"))
    host.guests_are_up(m)


def kernel_package(out, version, img, initrd):
    """A package as a kernel's: files in /boot, and a postinst that calls the hooks."""
    with tempfile.TemporaryDirectory(prefix="bht-kernel-") as tmp:
        os.chmod(tmp, 0o755)
        for d in ("DEBIAN", "boot", f"lib/modules/{version}"):
            os.makedirs(f"{tmp}/{d}")
        shutil.copy(img.vmlinuz, f"{tmp}/boot/vmlinuz-{version}")
        for name, text in ((f"boot/config-{version}", "\nCONFIG_XEN_DOM0=y\n"),
                           (f"lib/modules/{version}/modules.builtin", "kernel/fs/proc.ko\n"),
                           ("DEBIAN/control", f"Package: linux-image-{version}\nVersion: 1\nArchitecture: amd64\n"
                                              "Maintainer: test <test@bulkhead.invalid>\nDescription: test\n"),
                           ("DEBIAN/postinst", f"#!/bin/sh -e\nINITRD=No run-parts --exit-on-error --arg={version} "
                                               f"--arg=/boot/vmlinuz-{version} /etc/kernel/postinst.d\n")):
            with open(f"{tmp}/{name}", "w", encoding="ascii") as f:
                f.write(text)
        os.chmod(f"{tmp}/DEBIAN/postinst", 0o755)
        with open(f"{tmp}/boot/initrd.img-{version}", "wb") as f:
            f.write(initrd)
        images.sh("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tmp,
                  f"{out}/linux-image-{version}_1_amd64.deb")


def bad_kernels(out):
    """Kernels with an initrd (e) without disk drivers, (f) cut short."""
    img = images.image("dom0")
    with open(img.initrd, "rb") as f:
        whole = f.read()
    kernel_package(out, "6.9.1-1-amd64", img, images.cpio([("init", 0o100755, b"#!/bin/sh\n"),
                                                           ("sbin", 0o40755, None), ("sbin/lvm", 0o100755, b"x")]))
    kernel_package(out, "6.9.2-1-amd64", img, whole[:len(whole) * 2 // 3])


def refused(m, command, says):
    """The command fails, says why, and neither sets nor GRUB have changed."""
    look = "cat /boot/bulkhead/state; ls /boot/bulkhead/sets; grub-editenv /boot/grub/grubenv list; " \
           "grep -c id.bulkhead- /boot/grub/grub.cfg"
    before = m.run(look)
    r = m.call(command, 600)
    check(f"`{command}` fails and says {says!r}", r.code and says in r.out, f"exit {r.code}: {r.out[-1500:]}")
    check(f"nothing changes by `{command}`", m.run(look) == before, m.run(look))


def refusals(m, package):
    """What cannot boot does not become a boot set. Ends with the package's set made."""
    for version, says in (("6.9.1-1-amd64", "lacks the driver"), ("6.9.2-1-amd64", "is damaged")):
        refused(m, f"dpkg -i /srv/new/linux-image-{version}_*.deb", says)
        m.run(f"dpkg --purge linux-image-{version}", 300)
    m.run("fallocate -l $(($(stat -f -c '%a * %S' /boot) - (8 << 20))) /boot/fill")
    refused(m, f"dpkg -i /srv/new/{package}", "too full for a new boot set")
    m.run("rm /boot/fill")
    return m.run("dpkg --configure -a", 600)


def bring(new, faults, refuse):
    """The packages of all upgrades, made beforehand."""
    for i, name in enumerate(faults):
        symbol, code, _, _ = FAULTS[name]
        elf = patched(f"{new}.{name}.elf", symbol, code) if symbol else f"{host.O}/bulkhead.elf"
        host.other_version(new, f"7.2.{i + 1}", elf, only="bulkhead-hypervisor-*")
    if refuse:
        bad_kernels(new)
    return [(new, "/srv/new")]


def prepare(m):
    host.well(m, "0001")
    host.guests_are_up(m)
    # Its initrd mounts root read-only, so the copy waits for us.
    m.run("tar -xf /dev/disk/by-id/virtio-bhcopy -C /")
    # A dead network is waited for that long; on a busy machine the old set
    # needs some of it, too.
    m.run("sed -i 's/^HEALTH_TIMEOUT=.*/HEALTH_TIMEOUT=180/' /etc/default/bulkhead")


def there_and_back(m, i, name, refuse):
    """The i-th upgrade of this machine, and the way back."""
    images.say(f"upgrade: {name}")
    bad = f"{i + 2:04}"
    if refuse:
        said = refusals(m, f"bulkhead-hypervisor-7.2.{i + 1}_*.deb")
    else:
        said = upgrade(m, f"7.2.{i + 1}", name)
    check("a new set is made", f"boot set {bad}: Bulkhead 7.2.{i + 1}" in said, said)
    why = "was not well (no default route" if name.startswith("network") else "did not come up"
    comes_back(m, bad, why, FAULTS[name][2])


def goes_wrong(*faults, firmware="bios", refuse=False):
    with tempfile.TemporaryDirectory(prefix="bht-up-") as tmp:
        copy = bring(f"{tmp}/new", faults, refuse)
        with host.machine(firmware, copy=copy, name=f"upgrade-{faults[0]}") as m:
            prepare(m)
            for i, name in enumerate(faults):
                there_and_back(m, i, name, refuse and not i)


# Writes, reads back past the cache, compares; /root/n: how often, and the
# longest round in seconds. The pause is for dpkg: three guests that only turn
# round leave an emulated dom0 too little.
LOAD = ("echo 0 0 >/root/n; (i=0; m=0; a=$(cut -d. -f1 /proc/uptime); while :; do "
        "s=$(dd if=/dev/urandom bs=64k count=8 | tee /root/f | md5sum); sync; "
        "echo 3 >/proc/sys/vm/drop_caches; [ \"$s\" = \"$(md5sum </root/f)\" ] || echo $i >>/root/bad; "
        "b=$(cut -d. -f1 /proc/uptime); [ $((b-a)) -le $m ] || m=$((b-a)); a=$b; i=$((i+1)); "
        "echo $i $m >/root/n; sleep 1; done) >/dev/null 2>&1 & :")
GUESTS = (host.GUEST, "io2", "io3")


def running(m):
    """Guest: [domain, state, does its supervisor run the installed file?]."""
    out = m.run("for g in " + " ".join(GUESTS) + "; do p=$(systemctl show -P MainPID bulkhead-guest@$g); "
                "[ /proc/$p/exe -ef /usr/libexec/bulkhead/bulkhead-guest ] && e=current || e=old; "
                "echo $g $(bhctl list | awk -v g=$g '$1 == g { print $2, $5 }') $e; done; "
                "echo store $(/proc/$(pidof bulkhead-store)/exe --version)")
    return {l.split()[0]: l.split()[1:] for l in out.splitlines()}


def loaded(m):
    """Every guest gets on with its writing, and none has failed."""
    count = "cat /root/n; ! [ -e /root/bad ]"
    before = {g: m.run(f"gx {g} '{count}' 60", 90).split() for g in GUESTS}
    images.say(f"rounds and longest round: {before}")
    for g in GUESTS:
        m.eventually(f"gx {g} '{count}' 60 >/run/n && [ $(cut -d' ' -f1 /run/n) -gt {int(before[g][0])} ]", 120)


def under_load(m):
    """The tools are upgraded under three guests that write to their disks."""
    for g in GUESTS:
        if g != host.GUEST:
            host.guest(m, g)
        m.run(f"gx {g} {quote(LOAD)} 60", 90)
    loaded(m)
    before = running(m)
    images.say(f"before: {before}")
    images.say(m.run("dpkg -i /srv/new/*.deb 2>&1", 900))
    m.eventually("! systemctl list-jobs | grep -q 'bulkhead-'", 120)
    m.run("sleep 5")
    after = running(m)
    images.say(f"after: {after}")
    for g in GUESTS:
        check(f"{g} is the same domain", before[g][0] == after[g][0] != "", (before, after))
        check(f"{g}'s supervisor is the new version", after[g][2] == "current", after)
    check("the store is the new version", "7.1.2" in after["store"], after)
    loaded(m)


def tools():
    """That, and then a thin pool fills: the guardian warns, refuses, pauses."""
    with tempfile.TemporaryDirectory(prefix="bht-up-") as tmp:
        host.other_version(f"{tmp}/new", "7.1.2")
        with host.machine(copy=[(f"{tmp}/new", "/srv/new")], smp=2, name="upgrade-tools") as m:
            host.well(m, "0001")
            m.run("tar -xf /dev/disk/by-id/virtio-bhcopy -C /")
            host.guests_are_up(m)
            under_load(m)
            pool_fills(m)
            m.run("bhctl shutdown io1 --wait || bhctl shutdown io1", 200)
            m.eventually("bhctl list | grep io1 | grep -q ' - '", 200)


def pool_fills(m):
    guard = "systemctl start bulkhead-pool-guardian.service"
    m.run("systemctl stop bulkhead-pool-guardian.timer; "
          "lvcreate -q -y --type thin-pool -L 100M -n small guests; "
          "lvcreate -q -y -V 400M --thinpool small -n data --addtag bulkhead.guest=io3 guests", 300)
    fill = "dd if=/dev/urandom of=/dev/guests/data bs=1M seek={} count={} conv=fsync,notrunc; " + guard + \
           "; cat /run/motd.d/51-bulkhead-pool"
    check("a warning at 85 %", "guests/small: data 85" in m.run(fill.format(0, 85), 300))
    m.run("[ ! -e /run/bulkhead/pool-refuse.d/guests_small ]")
    check("new volumes are refused at 92 %", "new volumes are refused" in m.run(fill.format(85, 7), 300))
    r = m.call("vm-bootstrap -q create more --template tiny --pool small", 120)
    check("vm-bootstrap heeds it", r.code == 5 and "guardian" in r.out, f"{r.code} {r.out}")
    check("the guest is paused at 98 %", "guests on it are paused" in m.run(fill.format(92, 6), 300))
    state = running(m)["io3"][1]        # "stopped" has a p, too
    check("io3 is paused", state != "stopped" and "p" in state, m.run("bhctl list"))
    m.run("lvextend -q -L +100M guests/small; " + guard, 300)
    m.run("[ ! -e /run/bulkhead/pool-refuse.d/guests_small ] && [ ! -e /run/motd.d/51-bulkhead-pool ]")
    m.run("bhctl unpause io3; lvremove -q -y guests/small", 120)
    loaded(m)


add("tools", tools, long=True)
add("refused-or-back", goes_wrong, "panics-at-boot", refuse=True, long=True)
for n in FAULTS:
    add(n, goes_wrong, n, long=True)
add("panic-and-network", goes_wrong, "dom0-panics", "network-is-dead", long=True)
add("every-fault", goes_wrong, *FAULTS, refuse=True, long=True)
add("every-fault-uefi", goes_wrong, *FAULTS, firmware="uefi", long=True)

if __name__ == "__main__":
    main()
