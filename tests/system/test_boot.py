#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock Debian 12 as dom0, on many machines; switching off, resetting, crashing.

Two kinds of dom0. "debian" is the whole distribution through GRUB, once per row
of MACHINES in CI, and with --long on a set of machines in which every pair of
properties (processors, memory, model, firmware, disk, card, interrupts) occurs.
"tiny" is a busybox initramfs handed over by QEMU, for what needs many boots.

BULKHEAD_TEST_HYPERVISOR=xen runs everything on Debian's Xen, to tell a fault of
the hypervisor from one of the test or of the emulator.
"""

import itertools
import os
import re
import socketserver
import subprocess
import tempfile
import threading

import images
from cases import Skip, add, case, check, main
from machine import CPU, Disk, Failure, Machine

TMP = tempfile.TemporaryDirectory(prefix="bht-boot-")
HV = os.environ.get("BULKHEAD_TEST_HYPERVISOR", "bulkhead")

# What dom0's kernel must not have said. Firmware and emulator noise has no "cut here".
BAD = r"cut here|BUG:|Oops|Call Trace|soft lockup|rcu.*stall|I/O error|xen:.*fail|nobody cared"


def qemu_has(device):
    out = subprocess.run(["qemu-system-x86_64", "-device", "help"], stdout=subprocess.PIPE, text=True, check=True)
    return f'name "{device}"' in out.stdout


def debian(name, smp=1, memory=1024, cpu=CPU, firmware="bios", disk="virtio", nic="e1000e",
           intx=False, boot="grub", vga="none"):
    """The whole of one boot: up, everything there and working, and cleanly off."""
    if nic == "igb" and not qemu_has("igb"):
        raise Skip("this QEMU has no igb card (8.0 and later have it)")
    with Machine(hypervisor=HV, image="dom0", smp=smp, memory=memory, cpu=cpu, boot=boot, threads="multi",
                 firmware=firmware, disk=disk, nic=nic, vga=vga, name=f"boot-{name}",
                 kernel_args="pci=nomsi" if intx else "") as m:
        m.login(600)
        check("systemd is content", m.call("systemctl is-system-running --wait", 300).out.strip() == "running",
              m.call("systemctl --failed --no-legend").out)
        check("dom0 runs on the hypervisor", "xen" in m.run("cat /sys/hypervisor/type"))
        check(f"{smp} processors", m.run("nproc").strip() == str(smp))
        total = int(re.search(r"MemTotal: +(\d+)", m.run("cat /proc/meminfo")).group(1)) >> 10
        check(f"dom0 has most of {memory} MiB", total > memory * 0.75, f"{total} MiB")
        link = m.run("cd /sys/class/net; ls -d en* eth* 2>/dev/null | head -n 1").strip()
        m.eventually(f"ip -4 addr show {link} | grep -q 'inet 10'", 90)
        m.run("ping -c 3 -i 0.2 10.0.2.2", 60)
        kinds = m.run("cat /proc/interrupts")
        check("devices interrupt by " + ("INTx" if intx else "MSI"),
              ("xen-pirq -msi" not in kinds) if intx else ("-msi" in kinds), kinds)
        m.run("dd if=/dev/urandom of=/root/a bs=1M count=24 status=none; md5sum /root/a >/root/a.md5; sync; "
              "echo 3 >/proc/sys/vm/drop_caches; md5sum -c /root/a.md5", 180)
        m.run("fio --name=v --filename=/root/b --size=16M --rw=randwrite --bs=4k --iodepth=8 --ioengine=libaio "
              "--direct=1 --verify=crc32c --do_verify=1 --verify_fatal=1", 300)
        check("dom0's kernel has no complaint", not (bad := m.call(f"dmesg | grep -E '{BAD}'").out), bad)
        m.power_off(300)


MACHINES = {
    "bios-1cpu-1g-vga": {"vga": "std"},
    "uefi-2cpu-4g-nvme-virtio": {"smp": 2, "memory": 4096, "firmware": "uefi", "disk": "nvme", "nic": "virtio"},
    "bios-4cpu-ahci-intx-qemu64": {"smp": 4, "disk": "ahci", "intx": True, "cpu": "qemu64"},
}
for _name, _m in MACHINES.items():
    add(f"debian-{_name}", debian, name=_name, **_m)

AXES = {
    "smp": (1, 2, 4), "memory": (1024, 4096, 16384), "cpu": ("qemu64", CPU, "EPYC", "max"),
    "firmware": ("bios", "uefi"), "disk": ("ahci", "virtio", "nvme"),
    "vga": ("none", "std"),
    "nic": ("e1000e", "igb" if qemu_has("igb") else "e1000", "virtio"), "intx": (False, True),
}


def all_pairs(axes):
    """Few rows in which every two values of different axes occur together."""
    names = list(axes)
    todo = {(a, x, b, y) for a, b in itertools.combinations(names, 2) for x in axes[a] for y in axes[b]}
    while todo:
        a, x, b, y = min(todo, key=repr)
        row = {a: x, b: y}
        for n in names:
            if n not in row:
                row[n] = max(axes[n], key=lambda v: sum(
                    ((p, row[p], n, v) in todo) + ((n, v, p, row[p]) in todo) for p in row))
        todo -= {(p, row[p], q, row[q]) for p in names for q in names}
        yield {n: row[n] for n in names}


for _i, _m in enumerate(all_pairs(AXES)):
    _name = "-".join(re.sub(r"\W.*", "", str(v)) for v in _m.values())
    add(f"debian-{_name}", debian, long=True, name=_name, **_m)


# Small dom0s ---------------------------------------------------------------

def tiny_image(modules=()):
    path = f"{TMP.name}/tiny.cpio"
    images.initramfs(path, modules)
    return path


def tiny(name, reboot=False, initrd=None, **kw):
    path = initrd or tiny_image()
    return Machine(hypervisor=HV, image=None, initrd=path, nic=None, memory=kw.pop("memory", 512), threads="multi",
                   reboot=reboot, name=f"boot-{name}", **kw)


def model(cpu, smp):
    """Any processor model: dom0 up, all processors working, off."""
    with tiny(f"cpu-{cpu}", cpu=cpu, smp=smp) as m:
        m.login(240)
        check(f"{smp} processors", m.run("grep -c ^processor /proc/cpuinfo").strip() == str(smp))
        m.run("for i in $(seq 100); do (exit 0) | cat; done; md5sum /bin/busybox | md5sum", 60)
        check("no complaint", not (bad := m.call(f"dmesg | grep -E '{BAD}'").out), bad)
        m.power_off()


for _cpu in ("qemu64", "Haswell", "EPYC", "max"):
    add(f"model-{_cpu}", model, cpu=_cpu, smp=2)
for _cpu in ("Westmere", "Skylake-Server", "Icelake-Server", "Opteron_G3", "EPYC-Milan", "core2duo"):
    add(f"model-{_cpu}", model, long=True, cpu=_cpu, smp=1)


@case
def reboot_resets_the_machine():
    with tiny("reboot", reboot=True, smp=2) as m:
        m.login(240)
        m.run("(sleep 1; busybox reboot -f) >/dev/null 2>&1 &")
        m.shell.ready = False
        m.login(240)
        check("it is a new boot", float(m.run("cat /proc/uptime").split()[0]) < 120)


@case
def dom0_crash_says_why_and_resets():
    with tiny("crash", reboot=True, kernel_args="panic=0 crash_kexec_post_notifiers", fatal=None) as m:
        m.login(240)
        try:
            m.call("echo c >/proc/sysrq-trigger", 20)
        except Failure:
            pass
        check("the console log tells of the crash", re.search(r"(?i)(domain 0|dom0).*crash", m.log_text()))
        m.shell.ready = False
        m.login(240)


@case
def noreboot_stops_after_a_crash():
    with tiny("noreboot", xen_args="noreboot", fatal=None) as m:
        m.login(240)
        try:
            m.call("echo c >/proc/sysrq-trigger", 15)
        except Failure:
            pass
        m.expect(r"(?i)manual reset|noreboot|halted", 60)
        check("the machine stays on", m.alive())


@case
def low_memory_is_left_for_old_devices():
    """dom0 has most of 16 GiB, and still gets bounce buffers that 32-bit devices reach."""
    with tiny("16g", memory=16384) as m:
        m.login(240)
        said = m.run("dmesg | grep -F 'software IO TLB'")
        check("they are there", "mapped" in said and "Failed" not in said, said)
        m.power_off()


@case
def cloud_kernel_is_refused_with_a_reason():
    show = images.sh("apt-cache", "show", "--no-all-versions", "linux-image-cloud-amd64")
    name = re.search(r"linux-image-6[^ ,)]*-cloud-amd64", show).group(0)
    kernel = f"{images.deb(name)}/boot/vmlinuz-{name.removeprefix('linux-image-')}"
    with tiny("cloud", kernel=kernel, fatal=None) as m:
        m.expect(r"(?i)not.{0,30}(dom0|xen|initial domain)|(no|lacks|without|missing).{0,40}(dom0|initial domain)|"
                 r"cannot.{0,40}dom0|could not (construct|set up) (dom0|domain 0)", 120)


@case
def newer_kernel():
    """Debian's 6.12 for bookworm (zstd payload, newer use of the ABI), where apt has it."""
    names = images.sh("apt-cache", "pkgnames", "linux-image-6.12").split()
    names = [n for n in names if re.fullmatch(r"linux-image-6\.12\.[0-9]+\+(deb12|bpo)[^-]*-amd64", n)]
    if not names:
        raise Skip("apt has no 6.12 kernel for this release")
    name = max(names, key=lambda n: [int(x) for x in re.findall(r"\d+", n)])
    release = name.removeprefix("linux-image-")
    with tiny("newer", kernel=f"{images.deb(name)}/boot/vmlinuz-{release}", smp=2,
              initrd=tiny_image(None)) as m:      # its modules are another kernel's
        m.login(300)
        check("it is that kernel", m.run("uname -r").strip() == release)
        check("both processors", m.run("grep -c ^processor /proc/cpuinfo").strip() == "2")
        m.run("for i in $(seq 100); do (exit 0) | cat; done; md5sum /bin/busybox | md5sum", 60)
        check("no complaint", not (bad := m.call(f"dmesg | grep -E '{BAD}'").out), bad)
        m.power_off()


def boot_loop(cycles):
    """Up and off again and again, with changing numbers of processors."""
    initrd = tiny_image()
    for i in range(cycles):
        with tiny("loop", initrd=initrd, smp=(1, 2, 4, 3)[i % 4]) as m:
            m.login(240)
            m.power_off()
        if cycles > 10 and i % 10 == 9:
            print(f"{i + 1} of {cycles}", flush=True)


add("boot-loop-4", boot_loop, cycles=4)
add("boot-loop-200", boot_loop, long=True, cycles=200)


# Load ------------------------------------------------------------------------

class Echo(socketserver.BaseRequestHandler):
    """The other end of the bulk traffic."""

    def handle(self):
        while data := self.request.recv(1 << 16):
            self.request.sendall(data)


def load(minutes, image="dom0"):
    """Everything at once, and at the end nothing lost, late or left over."""
    seconds, here = int(minutes * 60), f"{images.HERE}/load"
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as echo, \
            Machine(hypervisor=HV, image=image, smp=2, memory=2048, name="boot-load", threads="multi",
                    disks=[Disk(size="1G", serial="load")],
                    copy=[(f"{here}/{n}", f"/root/{n}") for n in os.listdir(here)]) as m:
        echo.daemon_threads = True
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        m.login(600)
        m.run("systemctl is-system-running --wait", 300)
        before = len(m.log_text())
        m.run(f"nohup sh /root/load.sh {seconds} {echo.server_address[1]} >/dev/null 2>&1 &")
        m.eventually("test -e /root/over", seconds + 900, every=10)
        echo.shutdown()
        print(m.run("cd /root; tail -n 40 *.log"))
        check("every load ended well", not (bad := m.call("cat /root/failed 2>/dev/null").out), bad)
        check("stress-ng found nothing", not (bad := m.call("grep -iE 'fail|err' /root/stress.log").out), bad)
        check("the disk held what was written", "err= 0" in m.run("cat /root/fio.log"))
        check("no kernel complaint", not (bad := m.call(f"dmesg | grep -E '{BAD}'").out), bad)
        check("no word from the hypervisor", not (bad := re.findall(r"\((?:BH|XEN)\).*", m.log_text()[before:])), bad)
        if HV == "bulkhead":
            m.send("\x01\x01\x01")
            m.expect(r"Serial input to Bulkhead", 30)
            m.send("A")
            m.expect(r"audit domain 0: 0 problems", 60)
            m.send("\x01\x01\x01")
        m.power_off(300)


add("load-1min", load, minutes=1)
add("load-1h", load, long=True, minutes=60, image="dom0-cc")

main()
