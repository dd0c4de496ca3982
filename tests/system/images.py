# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images, kernels and initramfs for the system tests.

Everything is made from Debian packages through the host's own apt sources, as
root but without loop devices or device-mapper: the root file system by
mmdebstrap, the ext4 by `mke2fs -d`, the EFI partition by mtools, the boot
sectors by hand. What takes minutes is kept in $BULKHEAD_CACHE (default
/var/cache/bulkhead) under a name that contains a hash of its recipe; a changed
recipe is therefore a new image, and any file there may be deleted at any time.

The layout of every disk is the same: GPT, BIOS boot partition, EFI system
partition, ext4 root labelled bhroot. GRUB, on both firmwares, first looks for
/bht.cfg on the EFI partition (which a test writes into its own throwaway
overlay, see esp()) and otherwise takes the image's own /boot/grub/grub.cfg.
"""

import atexit
import contextlib
import fcntl
import glob
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("BULKHEAD_CACHE", "/var/cache/bulkhead")
MIB = 1 << 20
ESP_AT, ESP_SIZE = 2 * MIB, 64 * MIB
ROOT_AT = 66 * MIB

BASE = """linux-image-amd64 systemd systemd-sysv udev dbus kmod initramfs-tools zstd
    iproute2 iputils-ping procps psmisc util-linux e2fsprogs dosfstools
    lvm2 thin-provisioning-tools openssh-client openssh-server rsync
    ca-certificates less nano pciutils ethtool""".split()

# name: (packages beside BASE, size of the root partition in MiB)
FLAVOURS = {
    "dom0": ("stress-ng fio python3 strace busybox-static socat "
             "iperf3 grub2-common grub-pc-bin grub-efi-amd64-bin "
             "libsystemd0 libjson-c5 libmnl0 libblkid1 libarchive13 libncursesw6 "
             "libnewt0.52 libseccomp2 libext2fs2 debootstrap mmdebstrap systemd-container bridge-utils").split(),
    "dom0-xen": "@dom0 xen-utils-4.17 xenstore-utils".split(),
    "dom0-cc": "@dom0 gcc libc6-dev make".split(),
    "dom0-nm": "@dom0 network-manager".split(),
    "plain": "grub2-common grub-pc-bin grub-efi-amd64-bin".split(),
}
SIZE_MIB = 6144
LAYOUT = 2      # change with make_disk()
CHECKED = ("dom0", "dom0-xen")  # what check.sh makes before it starts


def say(text):
    """Progress, to stderr so that stdout stays the test's own."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def sh(*argv, **kw):
    """Runs a program quietly; a failure shows its output."""
    r = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, errors="replace", **kw)
    if r.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {r.returncode}\n{r.stdout[-4000:]}")
    return r.stdout


@contextlib.contextmanager
def making(path):
    """Yields a temporary name if path has to be made, else None; one maker at a
    time on the machine, and path appears complete or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):
            yield None
            return
        tmp = path + ".new"
        shutil.rmtree(tmp, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(tmp)
        yield tmp
        os.rename(tmp, path)


def apt_sources():
    """The host's Debian sources as mmdebstrap wants them: a list of texts."""
    names = glob.glob("/etc/apt/sources.list.d/*.list") + ["/etc/apt/sources.list"]
    lines, stanzas = [], []
    for name in names:
        if os.path.exists(name):
            with open(name, encoding="utf-8") as f:
                lines += [l for l in f.read().splitlines()
                          if re.match(r"deb .*\bbookworm", l)]
    for name in glob.glob("/etc/apt/sources.list.d/*.sources"):
        with open(name, encoding="utf-8") as f:
            stanzas += [s.strip() for s in re.split(r"\n\s*\n", f.read())
                        if re.search(r"^Suites:.*\bbookworm", s, re.M)]
    return (["\n".join(lines) + "\n"] if lines else []) + \
           (["\n\n".join(stanzas) + "\n"] if stanzas else [])


def apt_options():
    """The host's own ways to reach its mirror (proxy, dates), for the chroot."""
    dump = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE, text=True, check=True)
    keep = re.compile(r"Acquire::(https?::Proxy\S*|Check-Valid-Until|Check-Date) \"[^\"]+\";")
    return [l for l in dump.stdout.splitlines() if keep.match(l)]


def packages(flavour):
    out = []
    for p in FLAVOURS[flavour]:
        out += packages(p[1:]) if p.startswith("@") else [p]
    return list(dict.fromkeys(out + BASE))


def debootstrap(target, pkgs, hooks=(), more=("--variant=minbase",)):
    """A Debian 12 root in the directory target (or archive, by its name)."""
    with tempfile.TemporaryDirectory(prefix="bht-src-") as tmp:
        mirrors = []
        for i, text in enumerate(apt_sources()):
            mirrors.append(f"{tmp}/{i}.sources" if "Suites:" in text else f"{tmp}/{i}.list")
            with open(mirrors[-1], "w", encoding="utf-8") as f:
                f.write(text)
        args = ["mmdebstrap", *more, "--include=" + ",".join(pkgs)]
        args += [f"--aptopt={o}" for o in apt_options()]
        args += ['--dpkgopt=path-exclude=/usr/share/man/*',
                 '--aptopt=Apt::Install-Recommends "false"']
        args += [f"--customize-hook={h}" for h in hooks]
        sh(*args, "bookworm", target, *mirrors)


def recipe_hash(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(repr(p).encode() + b"\0")
    for name in sorted(glob.glob(f"{HERE}/image/*")):
        with open(name, "rb") as f:
            h.update(f.read())
    return h.hexdigest()[:12]


def vm_bootstrap():
    """vm-bootstrap as `make install` puts it there, in a directory until Python ends."""
    tmp = tempfile.TemporaryDirectory(prefix="bht-inst-")
    atexit.register(tmp.cleanup)
    sh("make", "-s", "-C", f"{HERE}/../../bootstrap", "install", f"DESTDIR={tmp.name}")
    return tmp.name


def guest_root(extra=(), hooks=()):
    """A Debian 12 root for guests, reachable by SSH, as a tar archive in the cache:
    what `vm-bootstrap template import` takes. apt inside an emulated machine
    would take a quarter of an hour."""
    pkgs = ["systemd-sysv", "udev", "dbus", "libpam-systemd", "openssh-server", "iproute2",
            "iputils-ping", "systemd-resolved", "e2fsprogs", *extra]
    path = f"{CACHE}/bootstrap/root-{recipe_hash(pkgs, hooks)}.tar"
    with making(path) as tmp:
        if tmp:
            say("making a Debian root for guests")
            debootstrap(tmp, pkgs, hooks, ["--variant=minbase", "--format=tar"])
    return path


class Image:
    """A cached flavour: .disk (raw), .vmlinuz, .initrd, .release."""

    def __init__(self, path):
        self.path = path
        self.disk, self.vmlinuz, self.initrd = (f"{path}/{n}" for n in
                                                ("disk.raw", "vmlinuz", "initrd.img"))
        with open(f"{path}/release", encoding="ascii") as f:
            self.release = f.read().strip()


def image(flavour):
    """The image of a flavour, made if the cache has none (minutes). With a kernel's
    package in $BULKHEAD_DOM0_KERNEL it is installed beside the stock one and booted."""
    pkgs, hooks, given = packages(flavour), [f'{HERE}/image/setup.sh "$1"'], os.environ.get("BULKHEAD_DOM0_KERNEL")
    parts = [sorted(pkgs), SIZE_MIB, LAYOUT]
    if given:
        hooks.insert(0, f'cp {given} "$1"/kernel.deb; chroot "$1" dpkg -i /kernel.deb; rm "$1"/kernel.deb')
        with open(given, "rb") as f:
            parts.append(hashlib.file_digest(f, "sha256").hexdigest())
    path = f"{CACHE}/images/{flavour}-{recipe_hash(*parts)}"
    with making(path) as tmp:
        if tmp:
            start = time.time()
            say(f"image {flavour}: installing {len(pkgs)} packages and what they need (some minutes)")
            os.makedirs(tmp)
            root = f"{tmp}/root"
            debootstrap(root, pkgs, hooks)
            say(f"image {flavour}: making the disk")
            vmlinuz = glob.glob(f"{root}/boot/vmlinuz-*{'-bulkhead-dom0' if given else '-amd64'}")[0]
            shutil.copy(vmlinuz, f"{tmp}/vmlinuz")
            release = os.path.basename(vmlinuz).split("-", 1)[1]
            shutil.copy(f"{root}/boot/initrd.img-{release}", f"{tmp}/initrd.img")
            with open(f"{tmp}/release", "w", encoding="ascii") as f:
                f.write(release + "\n")
            make_disk(f"{tmp}/disk.raw", root, SIZE_MIB)
            shutil.rmtree(root)
            say(f"image {flavour}: ready after {time.time() - start:.0f} s")
    return Image(path)


def make_disk(disk, root, size_mib):
    """A bootable GPT disk with the tree under root as its root file system."""
    with open(disk, "wb") as f:
        f.truncate((size_mib + 67) * MIB)
    sh("sgdisk", "-a1", "-n1:2048:4095", "-t1:ef02", "-n2:4096:+64M", "-t2:ef00",
       f"-n3:{ROOT_AT // 512}:+{size_mib}M", "-t3:8300", disk)
    sh("mke2fs", "-q", "-t", "ext4", "-L", "bhroot", "-d", root, "-E",
       f"offset={ROOT_AT},lazy_itable_init=1,lazy_journal_init=1,nodiscard",
       disk, f"{size_mib}M")
    with tempfile.TemporaryDirectory(prefix="bht-grub-") as tmp:
        cfg = f"{tmp}/early.cfg"
        with open(cfg, "w", encoding="ascii") as f:
            f.write("search --no-floppy --label --set=root bhroot\n"
                    "set prefix=($root)/boot/grub\n"
                    "search --no-floppy --file --set=esp /bht.cfg\n"
                    "configfile ($esp)/bht.cfg\n"  # rescue parser: no `if`, errors pass
                    "configfile $prefix/grub.cfg\n")
        mods = ("normal configfile search search_label search_fs_file part_gpt part_msdos "
                "fat ext2 test echo multiboot multiboot2 linux gzio xzio serial terminal "
                "reboot halt loadenv").split()
        sh("grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-c", cfg,
           "-o", f"{tmp}/core.img", "biosdisk", *mods)
        bios_sectors(disk, f"{tmp}/core.img", 2048)
        sh("grub-mkimage", "-O", "x86_64-efi", "-p", "/boot/grub", "-c", cfg,
           "-o", f"{tmp}/bootx64.efi", *mods)
        shutil.copy(f"{tmp}/bootx64.efi", f"{os.path.dirname(disk)}/bootx64.efi")
        esp(f"{tmp}/esp", {"EFI/BOOT/BOOTX64.EFI": f"{tmp}/bootx64.efi"})
        write_at(disk, f"{tmp}/esp", ESP_AT)


def bios_sectors(disk, core, lba):
    """What grub-bios-setup does, for a file: boot.img into the MBR pointing at
    core.img in the BIOS boot partition, core.img's block list pointing at its rest."""
    with open("/usr/lib/grub/i386-pc/boot.img", "rb") as f:
        boot = bytearray(f.read(440))
    boot[0x5c:0x64] = lba.to_bytes(8, "little")
    boot[0x64] = 0xff                        # the drive the firmware says
    boot[0x66:0x68] = b"\x90\x90"            # take the firmware's word for it
    with open(core, "rb") as f:
        img = bytearray(f.read())
    img += bytes(-len(img) % 512)
    rest = len(img) // 512 - 1
    img[500:512] = (lba + 1).to_bytes(8, "little") + rest.to_bytes(2, "little") + b"\x20\x08"
    with open(disk, "r+b") as f:
        f.write(boot)
        f.seek(lba * 512)
        f.write(img)


def write_at(disk, part, offset):
    with open(part, "rb") as src, open(disk, "r+b") as dst:
        dst.seek(offset)
        while chunk := src.read(MIB):
            if chunk.strip(b"\0"):
                dst.write(chunk)
            else:
                dst.seek(len(chunk), os.SEEK_CUR)


def esp(path, files):
    """A FAT file system with files {name: source path or bytes}."""
    with open(path, "wb") as f:
        f.truncate(ESP_SIZE)
    sh("mkfs.vfat", "-F", "32", "-n", "BHESP", path)
    for name, src in files.items():
        parts = name.split("/")[:-1]
        for i in range(len(parts)):
            subprocess.run(["mmd", "-i", path, "-D", "s", "::" + "/".join(parts[:i + 1])],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if isinstance(src, bytes):
            subprocess.run(["mcopy", "-o", "-i", path, "-", "::" + name], input=src, check=True)
        else:
            sh("mcopy", "-o", "-i", path, src, "::" + name)


def overlay(base, path):
    """A throwaway copy-on-write copy of a raw image."""
    sh("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, path)


def overlay_esp(img, path, files):
    """Replaces the EFI partition inside the overlay at path by one that has
    GRUB and files; bht.cfg among them decides what GRUB boots."""
    tmp = path + ".esp"
    esp(tmp, dict({"EFI/BOOT/BOOTX64.EFI": f"{img.path}/bootx64.efi"}, **files))
    sh("qemu-io", "-f", "qcow2", "-c", f"write -q -s {tmp} {ESP_AT} {ESP_SIZE}", path)
    os.unlink(tmp)


def deb(package):
    """The unpacked Debian package, downloaded once: a directory."""
    path = f"{CACHE}/debs/{package}"
    with making(path) as tmp:
        if tmp:
            say(f"downloading {package}")
            os.makedirs(tmp)
            sh("apt-get", "-q", "download", package, cwd=tmp)
            file = glob.glob(f"{tmp}/*.deb")[0]
            sh("dpkg-deb", "-x", file, f"{tmp}/x")
            os.unlink(file)
    return f"{path}/x"


def xen():
    """Debian's Xen, unpacked so that QEMU can load it."""
    root = deb("xen-hypervisor-4.17-amd64")
    path = f"{CACHE}/debs/xen-4.17.elf"
    with making(path) as tmp:
        if tmp:
            with gzip.open(glob.glob(f"{root}/boot/xen-4.17*.gz")[0]) as src, open(tmp, "wb") as dst:
                shutil.copyfileobj(src, dst)
    return path


def kernel(meta="linux-image-amd64"):
    """Debian's stock kernel without an image: (vmlinuz, modules dir, release); or
    that which another package of its kind stands for."""
    show = sh("apt-cache", "show", "--no-all-versions", meta)
    name = re.search(r"^Depends:.*?(linux-image-6[^ ,)]*-amd64)", show, re.M).group(1)
    root = deb(name)
    release = name.removeprefix("linux-image-")
    mods = f"{root}/lib/modules/{release}"
    with making(f"{mods}/.depmod") as tmp:
        if tmp:
            sh("depmod", "-b", root, release)
            with open(tmp, "w", encoding="ascii"):
                pass
    return f"{root}/boot/vmlinuz-{release}", mods, release


def cpio(entries):
    """A newc archive of [(name, mode, data)]; directories have data None."""
    out = bytearray()
    for ino, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")], 1):
        body = data or b""
        fields = [ino, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + body
        out += bytes(-len(out) % 4)
    return bytes(out)


TINY_INIT = """#!/bin/sh
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
mkdir -p /run /tmp /dev/pts; mount -t tmpfs run /run; mount -t devpts pts /dev/pts
for m in $(cat /modules); do insmod "$m" || echo "init: $m: failed"; done
[ ! -d /proc/xen ] || mount -t xenfs xenfs /proc/xen
%s
tty=$(sed 's/.* //' /sys/class/tty/console/active)
while :; do setsid /bin/sh -c "exec /bin/bht <>/dev/$tty >&0 2>&1"; sleep 1; done
"""


XEN_MODULES = ("xen-evtchn", "xen-gntdev", "xen-privcmd", "xenfs")


def initramfs(path, modules=(), files=None, script="", meta="linux-image-amd64"):
    """A small busybox system with the given kernel modules (names; what they need
    comes along; None for none, not even Xen's; of which kernel: meta) and files
    {name: path or bytes}; init runs script, then serves the console. Boots in
    seconds."""
    _, mods, _ = kernel(meta)
    deps = {}
    with open(f"{mods}/modules.dep", encoding="ascii") as f:
        for line in f:
            mod, rest = line.split(":")
            deps[os.path.basename(mod).split(".")[0].replace("-", "_")] = (mod, rest.split())
    order = []
    for m in [] if modules is None else [*XEN_MODULES, *modules]:
        if m.replace("-", "_") not in deps:
            raise RuntimeError(f"initramfs: the kernel has no module {m}")
        mod, rest = deps[m.replace("-", "_")]
        order += [x for x in reversed(rest) if x not in order] + ([mod] if mod not in order else [])
    ent = [(d, 0o40755, None) for d in "bin sbin dev proc sys lib run tmp etc usr usr/bin usr/sbin root".split()]
    with open("/bin/busybox", "rb") as f:
        ent.append(("bin/busybox", 0o100755, f.read()))
    names = subprocess.run(["busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True)
    ent += [(f"bin/{n}", 0o120777, b"busybox") for n in names.stdout.split() if n != "busybox"]
    with open(f"{HERE}/image/bht", "rb") as f:
        ent.append(("bin/bht", 0o100755, f.read()))
    for mod in order:
        with open(f"{mods}/{mod}", "rb") as f:
            data = f.read()
        if mod.endswith(".xz"):
            mod, data = mod[:-3], lzma.decompress(data)
        ent.append((f"lib/{os.path.basename(mod)}", 0o100644, data))
    listing = "\n".join(f"/lib/{os.path.basename(m).removesuffix('.xz')}" for m in order)
    ent.append(("modules", 0o100644, listing.encode()))
    ent.append(("init", 0o100755, (TINY_INIT % script).encode()))
    for name, src in (files or {}).items():
        if not isinstance(src, bytes):
            with open(src, "rb") as f:
                src = f.read()
        name = name.lstrip("/")
        parts = name.split("/")[:-1]
        known = {e[0] for e in ent}
        ent += [(d, 0o40755, None) for i in range(len(parts))
                if (d := "/".join(parts[:i + 1])) not in known]
        ent.append((name, 0o100755, src))
    with open(path, "wb") as f:
        f.write(cpio(ent))


def tar(copies):
    """A tar archive of [(source path or bytes, target)]; directories whole."""
    def of_root(info):
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        return info

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for src, dst in copies:
            if isinstance(src, bytes):
                info = tarfile.TarInfo(dst.lstrip("/"))
                info.size, info.mode = len(src), 0o755
                t.addfile(info, io.BytesIO(src))
            else:
                t.add(src, dst.lstrip("/"), filter=of_root)
    return out.getvalue() + bytes(-len(out.getvalue()) % 4096)
