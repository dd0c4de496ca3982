# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian archive on a disk, for machines without a network.

What a guest's template needs, downloaded once through the host's own apt
sources, made into a small signed archive and kept in the cache as an ext4
image. In the machine START serves it at http://10.9.0.1/debian, on the bridge,
where dom0's apt and the guests' find it as their mirror.
"""

import glob
import os
import re
import shutil
import tempfile

import images
from machine import Disk

PACKAGES = """systemd-sysv udev dbus libpam-systemd openssh-server ca-certificates
    iproute2 iputils-ping less vim-tiny systemd-resolved e2fsprogs
    grub2-common initramfs-tools zstd""".split()

# Some package always wants a new initrd of dom0, and that takes half an hour here.
START = """set -e
[ ! -d /etc/initramfs-tools ] || echo update_initramfs=no >/etc/initramfs-tools/update-initramfs.conf
mkdir -p /srv/pool; mount -o ro /dev/disk/by-id/virtio-pool /srv/pool
cp /srv/pool/key.gpg /etc/apt/trusted.gpg.d/pool.gpg
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb http://10.9.0.1/debian bookworm main' >/etc/apt/sources.list
ip addr show | grep -q 10.9.0.1/ || { echo 'pool: dom0 has no 10.9.0.1'; exit 1; }
systemd-run -q --unit pool python3 -m http.server --directory /srv/pool --bind 10.9.0.1 80
for i in 1 2 3 4 5 6 7 8 9 10; do python3 -c 'import urllib.request as u
u.urlopen("http://10.9.0.1/debian/dists/bookworm/InRelease")' 2>/dev/null && break; sleep 2; done
apt-get -q update"""


# For dom0 itself, where a test installs them: what vm-bootstrap is compared
# with, and what the RPM recipes need.
TOOLS = ["xen-tools", "dnf"]


def kernels():
    """The two newest small kernels of the archive: packages, the older first."""
    names = images.sh("apt-cache", "search", "--names-only", r"^linux-image-6\.1\.0-[0-9]*-cloud-amd64$")
    found = re.findall(r"^linux-image-6\.1\.0-(\d+)-cloud-amd64", names, re.M)
    if len(found) < 2:
        raise RuntimeError("the apt sources have no two linux-image-6.1.0-N-cloud-amd64")
    return [f"linux-image-6.1.0-{n}-cloud-amd64" for n in sorted(map(int, found))[-2:]]


def _archive(top, debs):
    """Packages, Release and InRelease over top/debian/pool/*.deb, signed by a key of its own."""
    root = f"{top}/debian"
    os.makedirs(f"{root}/dists/bookworm/main/binary-amd64")
    os.rename(debs, f"{root}/pool")
    text = images.sh("apt-ftparchive", "packages", "pool", cwd=root)
    with open(f"{root}/dists/bookworm/main/binary-amd64/Packages", "w", encoding="utf-8") as f:
        f.write(text)
    text = images.sh("apt-ftparchive", *(f"-oAPT::FTPArchive::Release::{k}={v}" for k, v in {
        "Origin": "Debian", "Label": "Debian", "Suite": "oldstable", "Codename": "bookworm",
        "Architectures": "amd64", "Components": "main"}.items()), "release", "dists/bookworm", cwd=root)
    with open(f"{root}/dists/bookworm/Release", "w", encoding="utf-8") as f:
        f.write(text)
    with tempfile.TemporaryDirectory(prefix="bht-gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "-q", "--pinentry-mode", "loopback", "--passphrase", ""]
        images.sh(*gpg, "--quick-gen-key", "Bulkhead test archive", "ed25519", "sign", "never")
        images.sh(*gpg, "--clearsign", "-o", f"{root}/dists/bookworm/InRelease", f"{root}/dists/bookworm/Release")
        images.sh(*gpg, "--export", "-o", f"{top}/key.gpg")
        images.sh("gpgconf", "--homedir", home, "--kill", "all")


def disk():
    """The archive as a Disk, made if the cache has none (minutes)."""
    names = PACKAGES + TOOLS + kernels()
    path = f"{images.CACHE}/bootstrap/pool-{images.recipe_hash(names, 2)}.ext4"
    with images.making(path) as tmp:
        if tmp:
            images.say("making the Debian archive for guests (some minutes)")
            with tempfile.TemporaryDirectory(prefix="bht-pool-") as work:
                debs = f"{work}/debs"
                os.mkdir(debs)
                images.debootstrap(
                    f"{work}/root", names, [f'cp "$1"/var/cache/apt/archives/*.deb {debs}/'],
                    ["--variant=important", "--skip=essential/unlink,download/empty,cleanup/apt/cache"])
                shutil.rmtree(f"{work}/root")
                if not glob.glob(f"{debs}/linux-image-*.deb"):
                    raise RuntimeError("mmdebstrap kept no packages")
                os.mkdir(f"{work}/top")
                _archive(f"{work}/top", debs)
                images.sh("mke2fs", "-q", "-t", "ext4", "-d", f"{work}/top", tmp, "900M")
    return Disk(file=path, serial="pool", readonly=True)
