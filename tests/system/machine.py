# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole machine in QEMU: hypervisor, firmware, processors, disks, cards.

    with Machine(hypervisor="bulkhead", image="dom0", smp=2) as m:
        m.run("systemctl is-system-running --wait", 300)

Hypervisors: "bulkhead" (build/bulkhead.elf, or the path in $BULKHEAD_ELF), "xen"
(Debian's 4.17, the reference), "none" (the kernel itself), or the path of an ELF.
Boot: "direct" hands hypervisor, kernel and initrd to QEMU by Multiboot 1; "grub"
goes through GRUB on the disk with a menu of ours and the given hypervisor;
"disk" leaves everything to what is installed on the disk. Emulation only (TCG).

The root disk is a throwaway overlay of a cached image; initrd= replaces it by an
initramfs, root= keeps the overlay in that file. Everything else is in one
temporary directory; QEMU dies with this process, whatever ends it.

Threads: "multi" gives each processor a host thread, for real concurrency;
"single" runs them in turn, which is twice as fast on a host that has no
processors to spare. The default comes from $BULKHEAD_TCG, else it is "multi".
A machine with more processors than the host is "single" in any case: QEMU 7.2
does not notice that code is changed while another thread translates it, which is
rare unless that thread is made to wait just then. Linux patches its code as it
boots, and its processors then take the same int3 for ever.
"""

import atexit
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import images
from console import FATAL, Console, Deadline, Died, Failure, Result, Shell, Timeout

TOP = os.path.dirname(os.path.dirname(images.HERE))
CPU = "Haswell,+pcid"      # what Debian's Xen 4.17 boots on in QEMU 7.2
OVMF = "/usr/share/OVMF/OVMF_%s_4M.fd"
_live = set()


def _end_all(*_):
    for m in list(_live):
        m.close()


def _on_signal(number, _frame):
    _end_all()
    sys.exit(128 + number)      # unwinds, so that temporary files go too


def guard():
    """Makes sure nothing outlives this process. Called by Machine."""
    if not getattr(guard, "done", False):
        guard.done = True
        atexit.register(_end_all)
        for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(s, _on_signal)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def elf(hypervisor):
    if hypervisor == "bulkhead":
        path = os.environ.get("BULKHEAD_ELF", f"{os.environ.get('O', TOP + '/build')}/bulkhead.elf")
        if not os.path.exists(path):
            raise Failure(f"{path} does not exist; run make")
        return path
    if hypervisor == "xen":
        return images.xen()
    if not os.path.exists(hypervisor):
        raise Failure(f"no hypervisor {hypervisor}: give bulkhead, xen, none or the path of an ELF")
    return hypervisor


class Disk:
    """A further disk: size ("4G") makes an empty one, file uses that file as it is."""

    def __init__(self, size=None, file=None, kind="virtio", serial=None, fmt="raw", readonly=False):
        self.size, self.file, self.kind = size, file, kind
        self.serial, self.fmt, self.readonly = serial, fmt, readonly


class Machine:
    def __init__(self, hypervisor="bulkhead", image="dom0", boot="direct", firmware="bios",
                 cpu=CPU, smp=1, memory=1024, disk="virtio", nic="e1000e", disks=(),
                 xen_args="", kernel_args="", initrd=None, kernel=None, copy=(), machine="q35",
                 reboot=False, gdb=None, ssh=None, qemu=(), fatal=FATAL, name="machine", log=None,
                 icount=None, nic_args="", vga="none", root=None,
                 threads=os.environ.get("BULKHEAD_TCG", "multi")):
        guard()
        self.dir = tempfile.mkdtemp(prefix="bht-")
        self.hypervisor, self.boot, self.firmware = hypervisor, boot, firmware
        self.cpu, self.smp, self.memory, self.machine = cpu, smp, memory, machine
        self.vga, self.nic, self.nic_args, self.disk_kind = vga, nic, nic_args, disk
        self.disks, self.reboot = list(disks), reboot
        self.xen_args, self.kernel_args = xen_args, kernel_args
        self.gdb, self.ssh, self.extra, self.icount = gdb, ssh, list(qemu), icount
        self.fatal, self.name = fatal, name
        crowded = smp > len(os.sched_getaffinity(0))
        self.threads = "single" if crowded or icount is not None else threads
        logs = os.environ.get("BULKHEAD_LOGS")
        self.log_path = log or f"{logs or self.dir}/{name}.console.log"
        self.log = open(self.log_path, "ab")
        self.proc = self.con = self.shell = None
        _live.add(self)
        try:
            self._prepare(image, initrd, kernel, copy, root)
        except BaseException:
            self.close()
            raise

    # Preparing ---------------------------------------------------------------

    def _prepare(self, image, initrd, kernel, copy, root):
        self.root = None
        if initrd:
            self.initrd, self.kernel = initrd, kernel or images.kernel()[0]
        else:
            img = images.image(image) if isinstance(image, str) else image
            self.kernel, self.initrd = kernel or img.vmlinuz, img.initrd
            self.root = root or f"{self.dir}/root.qcow2"
            if not os.path.exists(self.root):
                images.overlay(img.disk, self.root)
            if self.boot == "grub":
                images.overlay_esp(img, self.root, self._esp_files())
        if copy:
            tar = f"{self.dir}/copy.tar"
            with open(tar, "wb") as f:
                f.write(images.tar(copy))
            self.disks.append(Disk(file=tar, serial="bhcopy", readonly=True))
        for i, d in enumerate(self.disks):
            if not d.file:
                d.file = f"{self.dir}/disk{i}.raw"
                images.sh("truncate", "-s", d.size, d.file)
            d.serial = d.serial or f"disk{i}"
        if self.firmware == "uefi":
            shutil.copy(OVMF % "VARS", f"{self.dir}/vars.fd")

    def hypervisor_args(self):
        return f"console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all {self.xen_args}".strip()

    def linux_args(self):
        # Without a hypervisor Linux tests the timer against loops, which a busy host fails.
        con = "ttyS0,115200 no_timer_check" if self.hypervisor == "none" else "hvc0"
        root = "root=LABEL=bhroot rw " if self.root else ""
        return f"{root}console={con} {self.kernel_args}".strip()

    def _esp_files(self):
        if self.hypervisor == "none":
            body = f"linux /vmlinuz {self.linux_args()}\ninitrd /initrd.img\n"
        else:
            body = (f"multiboot2 /hv.elf {self.hypervisor_args()}\n"
                    f"module2 /vmlinuz {self.linux_args()}\nmodule2 --nounzip /initrd.img\n")
        cfg = ("search --no-floppy --file --set=root /bht.cfg\nserial --unit=0 --speed=115200\nterminal_output console serial\n"
               "set timeout=0\nset gfxpayload=keep\nmenuentry test {\n" + body + "}\n")
        files = {"bht.cfg": cfg.encode(), "vmlinuz": self.kernel, "initrd.img": self.initrd}
        if self.hypervisor != "none":
            files["hv.elf"] = elf(self.hypervisor)
        return files

    def _disk_args(self):
        args, every = [], list(self.disks)
        if self.root:
            every.insert(0, Disk(file=self.root, kind=self.disk_kind, serial="root", fmt="qcow2"))
        ahci = 0
        for i, d in enumerate(every):
            ro = "on" if d.readonly and d.kind != "ahci" else "off"
            args += ["-drive", f"if=none,id=d{i},file={d.file},format={d.fmt},cache=unsafe,"
                               f"discard=unmap,readonly={ro}"]
            boot = f",bootindex={i + 1},serial={d.serial}"
            if d.kind == "ahci":
                if not ahci:
                    args += ["-device", "ahci,id=sata"]
                args += ["-device", f"ide-hd,drive=d{i},bus=sata.{ahci}{boot}"]
                ahci += 1
            else:
                dev = {"virtio": "virtio-blk-pci", "nvme": "nvme"}[d.kind]
                args += ["-device", f"{dev},drive=d{i}{boot}"]
        return args

    def command(self):
        cmd = ["qemu-system-x86_64", "-accel", f"tcg,tb-size=256,thread={self.threads}", "-machine", self.machine,
               "-cpu", self.cpu, "-smp", str(self.smp), "-m", str(self.memory),
               "-nodefaults", "-vga", self.vga, "-display", "none", "-no-user-config",
               "-chardev", f"socket,id=con,path={self.dir}/con,server=on,wait=on",
               "-serial", "chardev:con", "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off"]
        if self.icount is not None:
            cmd += ["-icount", str(self.icount)]
        if not self.reboot:
            cmd += ["-no-reboot"]
        if self.firmware == "uefi":
            cmd += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF % 'CODE'}",
                    "-drive", f"if=pflash,format=raw,file={self.dir}/vars.fd"]
        if self.boot == "direct":
            args = self.linux_args()
            if self.hypervisor == "none":
                cmd += ["-kernel", self.kernel, "-initrd", self.initrd, "-append", args]
            else:
                mods = f"{self.kernel} {args}".replace(",", ",,") + "," + self.initrd
                cmd += ["-kernel", elf(self.hypervisor), "-append", self.hypervisor_args(),
                        "-initrd", mods]
        cmd += self._disk_args()
        if self.nic:
            fwd = f",hostfwd=tcp:127.0.0.1:{self.ssh}-:22" if self.ssh else ""
            dev = {"virtio": "virtio-net-pci"}.get(self.nic, self.nic)
            cmd += ["-netdev", f"user,id=n0{fwd}", "-device", f"{dev},netdev=n0{self.nic_args}"]
        cmd += ["-device", "virtio-rng-pci"]
        if self.gdb:
            cmd += ["-gdb", self.gdb, "-S"]
        return cmd + self.extra

    # Running -----------------------------------------------------------------

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    def start(self):
        """Power on. After power_cut() or an end, again with the same disks."""
        for n in ("con", "qmp"):
            if os.path.exists(f"{self.dir}/{n}"):
                os.unlink(f"{self.dir}/{n}")
        self.log.write(("\n" + " ".join(self.command()) + "\n").encode())
        self.log.flush()
        err = open(f"{self.dir}/qemu.err", "wb")
        self.proc = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                     preexec_fn=_die_with_parent)
        err.close()
        end = time.monotonic() + 60
        while True:
            try:
                self.con = Console(f"{self.dir}/con", self.log, self.alive, self.fatal)
                break
            except OSError:
                if not self.alive() or time.monotonic() > end:
                    with open(f"{self.dir}/qemu.err", encoding="utf-8", errors="replace") as f:
                        raise Failure(f"QEMU did not start: {f.read()}") from None
                time.sleep(0.05)
        self.shell = Shell(self.con)

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def power_cut(self):
        """The plug is pulled: QEMU is killed; what a guest had not flushed is as
        lost as cache=unsafe over the host's page cache makes it."""
        if self.proc:
            self.proc.kill()
            self.proc.wait()
        if self.con:
            self.con.drain()
            self.con.sock.close()

    def wait_off(self, timeout=120):
        """Waits until the machine switches itself off (or, without reboot=True, resets)."""
        end = Deadline(timeout)
        while self.alive():
            self.con.read(0.5)
            if end.left() <= 0:
                raise Timeout(f"the machine is still on after {timeout} s\n{self.con.tail()}")
        self.con.drain()
        return self.proc.returncode

    def close(self):
        _live.discard(self)
        if self.proc:
            self.power_cut()
            self.proc = None
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def qmp(self, command, **arguments):
        """One QMP command; returns what it returns."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(f"{self.dir}/qmp")
            f = s.makefile("rw")
            f.readline()
            for c in ({"execute": "qmp_capabilities"},
                      {"execute": command, "arguments": arguments}):
                f.write(json.dumps(c) + "\n")
                f.flush()
                while True:
                    answer = json.loads(f.readline())
                    if "event" not in answer:
                        break
            if "error" in answer:
                raise Failure(f"QMP {command}: {answer['error']}")
            return answer["return"]

    # Talking -----------------------------------------------------------------

    def login(self, timeout=300):
        """Waits until the machine is up and takes commands."""
        self.shell.login(timeout)
        return self

    def run(self, script, timeout=60):
        if not self.shell.ready:
            self.login()
        return self.shell.run(script, timeout)

    def call(self, script, timeout=60):
        if not self.shell.ready:
            self.login()
        return self.shell.call(script, timeout)

    def follow(self, script, timeout, say):
        """Like call, but also hands over the output as it comes: say(text)."""
        self.run(f"cat >/run/bht.follow <<'BHT_END'\n{script}\nBHT_END\n"
                 "rm -f /run/bht.follow.rc; : >/run/bht.follow.out; cd\n"
                 "(setsid sh /run/bht.follow >/run/bht.follow.out 2>&1 </dev/null; echo $? >/run/bht.follow.rc) "
                 ">/dev/null 2>&1 &")
        end, out = Deadline(timeout), ""
        while True:
            got = self.run("sleep 1; echo \"$(cat /run/bht.follow.rc 2>/dev/null)\"; "
                           f"tail -c +{len(out.encode()) + 1} /run/bht.follow.out")
            rc, _, new = got.partition("\n")
            if not rc:                      # whole lines only
                new = new[:new.rfind("\n") + 1]
            out += new
            if new:
                say(new)
            if rc:
                return Result(int(rc), out)
            if end.left() <= 0:
                raise Timeout(f"no end of `{script}` in {timeout} s; output so far:\n{out[-2000:]}")

    def expect(self, pattern, timeout=60, **kw):
        return self.con.expect(pattern, timeout, **kw)

    def send(self, data):
        self.con.send(data)

    def eventually(self, script, timeout=60, every=1):
        """Repeats a command until it exits 0; returns its output."""
        end = Deadline(timeout)
        while True:
            r = self.call(script, timeout)
            if r.code == 0:
                return r.out
            if end.left() <= 0:
                raise Timeout(f"`{script}` still fails after {timeout} s: {r.out[-1000:]}")
            time.sleep(every)

    def power_off(self, timeout=180):
        """Shuts the machine down; off before the command's end was seen is off as well."""
        try:
            self.run("(sleep 0.5; if [ -d /run/systemd/system ]; then poweroff; else poweroff -f; fi) "
                     ">/dev/null 2>&1 &")
        except Died:
            if self.alive():
                raise
        return self.wait_off(timeout)

    def log_text(self):
        self.con.drain()
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


def interact(m, escape=b"\x1d"):
    """The terminal becomes the machine's console until Ctrl-] or its end."""
    import select
    import termios
    import tty
    fd = sys.stdin.fileno()
    old = termios.tcgetattr(fd) if os.isatty(fd) else None
    m.con.mirror = sys.stdout.fileno()
    try:
        if old:
            tty.setraw(fd)
        while m.alive() and m.con.open:
            r, _, _ = select.select([fd, m.con.sock], [], [], 1)
            if m.con.sock in r:
                m.con.read(0)
                m.con.buf = b""
            if fd in r:
                data = os.read(fd, 64)
                if not data or escape in data:
                    break
                m.send(data)
    finally:
        m.con.mirror = None
        if old:
            termios.tcsetattr(fd, termios.TCSADRAIN, old)
        print()
