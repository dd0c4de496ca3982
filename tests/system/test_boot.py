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
import subprocess
import tempfile

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
def cloud_kernel_is_refused_with_a_reason():
    show = images.sh("apt-cache", "show", "--no-all-versions", "linux-image-cloud-amd64")
    name = re.search(r"linux-image-6[^ ,)]*-cloud-amd64", show).group(0)
    kernel = f"{images.deb(name)}/boot/vmlinuz-{name.removeprefix('linux-image-')}"
    with tiny("cloud", kernel=kernel, fatal=None) as m:
        m.expect(r"(?i)not.{0,30}(dom0|xen|initial domain)|(no|lacks|without|missing).{0,40}(dom0|initial domain)|"
                 r"cannot.{0,40}dom0|could not (construct|set up) (dom0|domain 0)", 120)


def kernel_from_backports():
    """The stock 6.12 kernel, where the host's apt has bookworm-backports."""
    out = images.sh("apt-cache", "madison", "linux-image-amd64")
    if "backports" not in out:
        raise Skip("apt has no bookworm-backports, so no 6.12 kernel")
    dep = images.sh("apt-cache", "show", "linux-image-amd64/bookworm-backports")
    name = re.search(r"linux-image-6[^ ,)]*-amd64", dep).group(0)
    kernel = f"{images.deb(name)}/boot/vmlinuz-{name.removeprefix('linux-image-')}"
    with tiny("backports", kernel=kernel, smp=2,
              initrd=tiny_image(None)) as m:      # its modules are another kernel's
        m.login(300)
        m.power_off()


add("kernel-backports", kernel_from_backports)


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

def load(minutes):
    """Everything at once, and at the end nothing lost, late or left over."""
    seconds = int(minutes * 60)
    with Machine(hypervisor=HV, image="dom0", smp=2, memory=2048, name="boot-load", threads="multi",
                 disks=[Disk(size="1G", serial="load")]) as m:
        m.login(600)
        m.run("systemctl is-system-running --wait", 300)
        m.run(f"""cat >/root/load <<'E'
d=/dev/disk/by-id/virtio-load
stress-ng --vm 2 --vm-bytes 128M --vm-keep --fork 2 --mmap 1 --mmap-bytes 64M --pipe 1 --timer 1 --hdd 1 \\
  --hdd-bytes 32M --sock 1 --verify --timeout {seconds} >/root/stress 2>&1 & jobs="$!"
fio --name=v --filename=$d --size=256M --rw=randwrite --bs=4k-64k --iodepth=4 --ioengine=libaio --direct=1 \\
  --verify=crc32c --verify_backlog=256 --verify_fatal=1 --time_based --runtime={seconds} >/root/fio 2>&1 & jobs="$jobs $!"
iperf3 -s -1 -D; iperf3 -c 127.0.0.1 -t {min(seconds, 60)} >/root/net 2>&1 & jobs="$jobs $!"
for j in $jobs; do wait $j || echo "job $j: $?" >>/root/failed; done
touch /root/done
E
cat >/root/clock.py <<'E'
# Two threads on two processors: no read may be older than the newest seen before it.
import os, threading, time
last, lock, bad = 0, threading.Lock(), []
def look(cpu):
    global last
    os.sched_setaffinity(0, {{cpu}})
    end = time.monotonic() + {seconds}
    while time.monotonic() < end:
        with lock:
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            if now < last: bad.append(last - now)
            last = now
        time.sleep(0.002)
t = [threading.Thread(target=look, args=(c,)) for c in (0, 1)]
[x.start() for x in t]; [x.join() for x in t]
open("/root/clock", "w").write(repr(bad))
E
cd /root; nohup sh load >/dev/null 2>&1 & nohup python3 /root/clock.py >/dev/null 2>&1 &""")
        m.eventually("test -e /root/done -a -e /root/clock", seconds + 600, every=10)
        check("every load ended well", not (bad := m.call("cat /root/failed; grep -iE 'fail|err' /root/stress").out
                                            .replace("cat: /root/failed: No such file or directory\n", "")), bad)
        check("time never went backwards", m.run("cat /root/clock").strip() == "[]", m.run("cat /root/clock"))
        check("the disk held what was written", "err= 0" in m.run("cat /root/fio"), m.run("cat /root/fio"))
        check("no kernel complaint", not (bad := m.call(f"dmesg | grep -E '{BAD}'").out), bad)
        m.power_off(300)


add("load-1min", load, minutes=1)
add("load-1h", load, long=True, minutes=60)

main()
