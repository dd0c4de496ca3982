#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vm-bootstrap's guests run: the tiny one, a Debian one reached by SSH, and one
with kernels of its own, on the hypervisor with the toolstack installed.
BULKHEAD_TEST_HYPERVISOR=xen runs the same on Debian's Xen 4.17."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guest_lab  # noqa: E402
import images  # noqa: E402
import pool  # noqa: E402
from cases import add, check, main  # noqa: E402
from guide import commands  # noqa: E402
from machine import Disk, Machine  # noqa: E402

SETUP = guest_lab.PREPARE.replace(
    "for i in 1 2 3 4; do lvcreate -q -n d$i -L 64M vg0; done",
    "lvcreate -q --type thin-pool -l 80%FREE -n thin vg0")


def dom0(name, copy=(), vg="6G", more=(), **kw):
    root = images.vm_bootstrap()
    # One tree: two copies of a directory would be one too many.
    staged = [(s, d) for s, d in guest_lab.stage() if d != "/usr/libexec/bulkhead"]
    libexec = [(f"{s}/{n}", f"{d}/{n}") for s, d in guest_lab.stage()
               if d == "/usr/libexec/bulkhead" for n in os.listdir(s)]
    hv = guest_lab.HV
    return Machine(hypervisor=hv, image="dom0", memory=2560, smp=2, name=f"bootstrap-{name}",
                   xen_args="dom0_mem=1024M,max:1024M", disks=[Disk(size=vg, serial="vg0"), *more],
                   copy=[(root, "/")] + staged + libexec +
                        [(guest_lab.GX.encode(), "/usr/local/bin/gx")] + list(copy), **kw)


def prepare(m):
    m.login(600)
    m.run(SETUP, 300)


def tiny():
    """The guide's first guest; one with an address, and a clone beside it."""
    with dom0("tiny") as m:
        prepare(m)
        for line in commands("guide-first-guest.md", "Half a minute"):
            if "console" not in line:       # which waits for somebody to leave it
                print(m.run(line, 600))
        print(m.run("vm-bootstrap create t1 --template tiny --bridge xenbr0 --ip 10.9.0.2/24 "
                    "--start --wait --timeout 200", 400))
        out = m.run("bhctl list; vm-bootstrap list", 60)
        check("t1 runs", out.count("t1") == 2 and "running" in out, out)
        m.run("ping -c 2 -W 5 10.9.0.2", 60)
        m.run("vm-bootstrap -q clone t1 t2 --ip 10.9.0.3/24 --start", 200)
        m.eventually("ping -c 1 -W 2 10.9.0.3", 120)
        m.run("vm-bootstrap -q resize t1 --disk 128M", 60)
        m.run("vm-bootstrap -q destroy t1 t2 --yes", 200)
        out = m.run("bhctl list; lvs --noheadings -o lv_name vg0", 60)
        check("nothing is left", "t1" not in out and "t2" not in out, out)


SSH = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=60 root@%s "
IDENTITY = """hostname; cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub
grep -o ^UUID=[^[:space:]]* /etc/fstab; cat /sys/class/net/e*/address"""


def key(m):
    m.run("[ -e /root/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519", 60)


def well(m, ip):
    """The guest's systemd has nothing to complain about."""
    out = m.call(SSH % ip + "'systemctl is-system-running --wait; systemctl --failed --no-legend'", 600).out
    check("systemctl is-system-running says running", out.strip() == "running", out)


def two_debians(m, template, count=2):
    """Two guests of the template reached by SSH, each its own."""
    key(m)
    said = []
    for n in range(1, count + 1):
        m.run(f"vm-bootstrap create web{n} --template {template} --memory 384M --disk 8G --ip 10.9.0.1{n}/24 "
              "--gateway 10.9.0.1 --bridge xenbr0 --ssh-key /root/.ssh/id_ed25519.pub --start --wait --timeout 600", 900)
        out = m.run(SSH % f"10.9.0.1{n}" + "df -k / | tail -n 1", 180)
        check("df shows 8 GiB", 7500000 < int(out.split()[1]) < 8400000, out)
        said.append(m.run(SSH % f"10.9.0.1{n}" + f"'{IDENTITY}'", 180).strip().split("\n"))
        check("the host name", said[-1][0] == f"web{n}", said[-1])
        well(m, f"10.9.0.1{n}")
    for values in zip(*said):
        check("everything that identifies a guest differs", len(set(values)) == count and len(values[0]) > 3, values)


def debian(vg):
    """A Debian template from a tarball; two guests from it run."""
    with dom0(f"debian-{vg}", vg="6G" if vg == "thin" else "24G", copy=[(images.guest_root(), "/var/tmp/d.tar")]) as m:
        prepare(m)
        if vg == "plain":
            m.run("lvremove -qy vg0/thin", 60)
        m.run("vm-bootstrap -q template import /var/tmp/d.tar --name debian-12", 900)
        two_debians(m, "debian-12")


def template_build():
    """`template build debian-12` in dom0, from a mirror on its own bridge; a guest
    of it runs, and finds the mirror too."""
    with dom0("build", vg="8G", more=[pool.disk()]) as m:
        prepare(m)
        m.run(pool.START, 300)
        start = time.time()
        print(m.run("vm-bootstrap template build debian-12", 5400)[-1500:])
        print(f"template build took {time.time() - start:.0f} s", flush=True)
        two_debians(m, "debian-12", 1)
        # The key is this archive's own; Debian's would be there.
        m.run(SSH % "10.9.0.11" + "'cat >/etc/apt/trusted.gpg.d/pool.gpg; apt-get -q update && "
              "apt-get -qy install zstd' </srv/pool/key.gpg", 900)


def own_kernel():
    """Boot mode disk: the guest boots its own kernel, then another that apt
    installed in it, and the last good one when that is broken."""
    older, newer = pool.kernels()
    tar = images.guest_root([older, "grub2-common", "initramfs-tools", "zstd", "ca-certificates"], [
        'chroot "$1" systemctl enable systemd-networkd ssh',
        'rm -f "$1"/etc/apt/sources.list.d/*; '
        'echo "deb [trusted=yes] http://10.9.0.1/debian bookworm main" >"$1"/etc/apt/sources.list',
        'sed -i s/^MODULES=.*/MODULES=list/ "$1"/etc/initramfs-tools/initramfs.conf; '
        'printf "xen_blkfront\\next4\\ncrc32c_generic\\n" >>"$1"/etc/initramfs-tools/modules',
        'chroot "$1" update-initramfs -u -k all'])
    new = newer.removeprefix("linux-image-")
    ssh = SSH % "10.9.0.12"
    said = "journalctl -q -b -u bulkhead-guest@k1 -o cat | grep -F %s"

    def reboot(m, first, fallback):
        """A reboot from inside, after a command: the supervisor reads the disk again."""
        old = m.run(ssh + "cat /proc/sys/kernel/random/boot_id", 180).strip()
        m.call(ssh + f"'{first}; sync; systemctl reboot'", 3600)
        m.eventually(f"b=$({ssh}cat /proc/sys/kernel/random/boot_id) && [ $b != {old} ]", 1200, 5)
        m.eventually("bhctl info k1 --json | grep -q '\"ready\": *true'", 600, 2)     # which makes the kernel a good one
        check("the newer kernel", m.run(ssh + "uname -r", 180).strip() == new, new)
        out = m.run("bhctl info k1 --json", 60)
        check(f"fallback_kernel is {fallback}", f'"fallback_kernel":{fallback}' in out.replace(" ", ""), out)

    with dom0("kernel", vg="8G", more=[pool.disk()], copy=[(tar, "/var/tmp/own.tar")]) as m:
        prepare(m)
        m.run(pool.START, 300)
        key(m)
        m.run("vm-bootstrap -q template import /var/tmp/own.tar --name own --boot disk", 1800)
        m.run("vm-bootstrap -q create k1 --template own --memory 512M --disk 4G --bridge xenbr0 --ip 10.9.0.12/24 "
              "--gateway 10.9.0.1 --ssh-key /root/.ssh/id_ed25519.pub --start --wait --timeout 600", 900)
        check("the template's kernel", m.run(ssh + "uname -r", 180).strip() in older, older)
        m.run(ssh + f"'apt-get -q update && apt-get -qy install {newer} && update-grub'", 3600)
        reboot(m, "true", "false")
        # No kernel any more: bootread sees it, and takes the one it kept.
        reboot(m, f"mv /boot/vmlinuz-{new} /boot/k; dd if=/dev/zero of=/boot/vmlinuz-{new} bs=1M count=1", "false")
        m.run(said % "'using the last kernel that booted'", 60)
        # A kernel that panics, as it finds no disk: the supervisor sees it.
        reboot(m, f"mv /boot/k /boot/vmlinuz-{new}; mv /boot/initrd.img-{new} /boot/i; "
                  f"dd if=/dev/zero of=/boot/initrd.img-{new} bs=1M count=1", "true")
        m.run(said % "'crashed before it was ready'", 60)
        # Mended: the disk's own again.
        reboot(m, f"mv /boot/i /boot/initrd.img-{new}", "false")


add("tiny", tiny, long=True)
add("debian-thin", debian, long=True, vg="thin")
add("debian-plain", debian, long=True, vg="plain")
add("template-build", template_build, long=True)
add("own-kernel", own_kernel, long=True)

if __name__ == "__main__":
    main()
