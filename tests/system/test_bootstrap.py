#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vm-bootstrap on real LVM in a Debian 12, with a thin and with a classic volume
group. Guests are made, changed and removed, not run; test_bootstrap_guests.py
runs them, and test_bootstrap_power.py cuts the power. No hypervisor is needed,
and it is quicker without; BULKHEAD_TEST_HYPERVISOR=bulkhead makes it dom0."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images  # noqa: E402
import pool  # noqa: E402
import rpmrepo  # noqa: E402
from cases import add, check, main  # noqa: E402
from guide import commands, examples_of  # noqa: E402
from machine import TOP, Disk, Machine  # noqa: E402

HV = os.environ.get("BULKHEAD_TEST_HYPERVISOR", "none")
SETUP = """set -e
modprobe dm_thin_pool; modprobe dm_snapshot
thin=/dev/disk/by-id/virtio-thin; plain=/dev/disk/by-id/virtio-plain
if ! vgs thin >/dev/null 2>&1; then
    pvcreate -q $thin $plain; vgcreate -q thin $thin; vgcreate -q plain $plain
    lvcreate -q --type thin-pool -l 80%FREE -n pool thin
fi
ip link add br0 type bridge 2>/dev/null || true; ip link set br0 up"""


def machine(**kw):
    """A machine with vm-bootstrap as `make install` puts it there; more= are further disks."""
    root = images.vm_bootstrap()
    here = os.path.dirname(os.path.abspath(__file__))
    copies = [(root, "/"), (f"{here}/bootstrap", "/root/bootstrap")] + kw.pop("copy", [])
    return Machine(hypervisor=HV, image="dom0", smp=2, memory=1536, nic="virtio", copy=copies,
                   disks=[Disk(size="6G", serial="thin"), Disk(size="4G", serial="plain"),
                          *kw.pop("more", ())], **kw)


def life(vg):
    """A guest's whole life, and all refusals; nothing is left at the end."""
    with machine() as m:
        m.run(SETUP, 120)
        print(m.run(f"bash /root/bootstrap/life.sh {vg}", 1300))


def options(vg):
    """Templates from files of every kind, and every other option of create."""
    with machine() as m:
        m.run(SETUP, 120)
        print(m.run(f"bash /root/bootstrap/options.sh {vg}", 1300))


def errors(vg):
    """A full pool, no network, damaged files: one line each, nothing left."""
    with machine() as m:
        m.run(SETUP, 120)
        print(m.run(f"bash /root/bootstrap/errors.sh {vg}", 900))


def rpms():
    """The Fedora and EL recipes, with a repository of our own packages."""
    show = "unshare -m sh -c 'mount -o ro,noload /dev/thin/%s-root /mnt && cd /mnt && %s'"
    with tempfile.TemporaryDirectory(prefix="bht-rpm-") as tmp:
        recipes = [f"{TOP}/bootstrap/templates/{n}.recipe" for n in ("fedora-41", "el-9")]
        repo = rpmrepo.make(tmp, recipes)
        with machine(copy=[(repo, "/var/tmp/repo")], more=[pool.disk()]) as m:
            m.run(SETUP + "\nip addr add 10.9.0.1/24 dev br0", 120)
            m.run(pool.START + "\napt-get -q -y --no-install-recommends install dnf", 600)
            for name, boot in (("fedora-41", "host"), ("el-9", "disk")):
                m.run(f"vm-bootstrap -q template build {name} --vg thin --boot {boot} --mirror /var/tmp/repo", 600)
                m.run(f"vm-bootstrap -q create {name[:2]} --template {name} --vg thin --ip 10.9.0.5/24 --gateway "
                      "10.9.0.1 --bridge br0 " + ("--kernel /boot/vmlinuz-*" if boot == "host" else ""), 120)
            out = m.run(show % ("fe", "cat etc/hostname etc/NetworkManager/system-connections/*; ls usr/share/bht "
                                "etc/systemd/system/multi-user.target.wants"), 60)
            for word in ("fe\n", "10.9.0.5/24", "vim-minimal", "sshd.service", "bulkhead-ready.service"):
                check(f"{word!r} in the Fedora guest", word in out, out)
            out = m.run(show % ("el", "cat boot/loader/entries/bulkhead-*.conf etc/kernel/*; ls boot"), 60)
            uuid = m.run("blkid -p -o value -s UUID /dev/thin/el-root", 60).strip()
            check("the guest's own root, for this kernel and for the next", out.count(f"root=UUID={uuid} ro") == 2, out)
            for word in ("linux      /boot/vmlinuz-6.0.0-1.x86_64", "\ninitramfs-6.0.0-1.x86_64.img", "layout=bls"):
                check(f"{word!r} in the EL guest", word in out, out)
            m.run("vm-bootstrap -q destroy fe el --yes", 60)
            r = m.call("vm-bootstrap -q template build fedora-41 --vg thin --mirror /var/tmp/nothing", 120)
            check("exit 7 and one line without a repository", r.code == 7 and r.out.count("vm-bootstrap:") == 1,
                  r.out)


def faults(vg, op, how="kill", first=1, every=1):
    """Killed at each recorded step, the next command finds a whole guest or none."""
    with machine() as m:
        m.run(SETUP + f"\nvm-bootstrap -q template build tiny --vg {vg}", 240)
        print(m.run(f"bash /root/bootstrap/faults.sh {vg} {op} {how} {first} {every}", 5000))


def debian():
    """A Debian template from a tarball: identity of two guests, network styles."""
    with machine(copy=[(images.guest_root(), "/var/tmp/debian.tar")]) as m:
        m.run(SETUP, 120)
        m.run("vm-bootstrap -q template import /var/tmp/debian.tar --name debian-12 --vg thin", 900)
        m.run("ssh-keygen -q -t ed25519 -N '' -f /tmp/k", 60)
        for g, ip in (("d1", "10.9.0.2/24"), ("d2", "dhcp")):
            m.run(f"vm-bootstrap -q create {g} --template debian-12 --vg thin --disk 2G --bridge br0 "
                  f"--ip {ip} --ssh-key /tmp/k.pub --user joe", 120)
        show = "unshare -m sh -c 'mount -o ro,noload /dev/thin/%s-root /mnt && cd /mnt && %s'"
        for what in ("cat etc/machine-id", "cat etc/ssh/ssh_host_ed25519_key.pub",
                     "cat etc/systemd/network/10-bulkhead0.network", "cat etc/fstab"):
            a, b = (m.run(show % (g, what), 60) for g in ("d1", "d2"))
            check(f"{what} differs", a != b and len(a) > 10, a)
        out = m.run(show % ("d1", "cat root/.ssh/authorized_keys home/joe/.ssh/authorized_keys; "
                            "grep ^root etc/shadow; df -k . | tail -1"), 60)
        check("keys for root and joe", out.count("ssh-ed25519") == 2, out)
        check("root has no password but is not locked", "root:*:" in out, out)
        check("the file system fills the disk", int(out.split()[-5]) > 1900000, out)


def examples():
    """What the manual page tells people to type, works (but for the Debian
    server, which test_bootstrap_guests.py makes)."""
    lines = examples_of("vm-bootstrap.8")
    run = [l for l in lines if "debian" not in l]
    check("some examples", len(run) >= 4, lines)
    with machine() as m:
        m.run(SETUP + "\nprintf 'volume-group = thin\\n' >/etc/bulkhead/bootstrap.conf", 120)
        for line in run:
            m.run(line, 240)


def guide():
    """The guide's part on a guest's life, with a small guest, without starting it."""
    living = [l for l in commands("guide-first-guest.md", "Living with it") if l.startswith("vm-bootstrap")]
    check("some of the guide", len(living) >= 6, living)
    with machine() as m:
        m.run(SETUP + "\nprintf 'volume-group = thin\\n' >/etc/bulkhead/bootstrap.conf\nmkdir /backup\n"
              "vm-bootstrap -q create web1 --template tiny --bridge br0", 240)
        for line in living:
            m.run(line.replace("rollback", "rollback --yes").replace("16G", "1G"), 240)


def bootread():
    """A guest's own kernel from ext4 (raw and in a partition), xfs and btrfs."""
    unit, disks = "bulkhead-guest@.service", []
    with tempfile.TemporaryDirectory(prefix="bht-fs-") as tmp:
        for fs in ("xfs", "btrfs"):
            images.sh("truncate", "-s", "400M", f"{tmp}/{fs}")
            images.sh(f"mkfs.{fs}", "-q", f"{tmp}/{fs}")
            disks.append(Disk(file=f"{tmp}/{fs}", serial=fs))
        with machine(copy=[(f"{TOP}/init/units/{unit}", f"/root/{unit}")], more=disks) as m:
            m.run(SETUP, 120)
            print(m.run("bash /root/bootstrap/bootread.sh", 600))


for _vg in ("thin", "plain"):
    add(f"life-{_vg}", life, long=_vg == "plain", vg=_vg)
    add(f"options-{_vg}", options, long=True, vg=_vg)
    add(f"errors-{_vg}", errors, long=True, vg=_vg)
    for _op in ("create", "clone", "rollback", "resize", "destroy", "replace"):
        add(f"faults-{_op}-{_vg}", faults, long=True, vg=_vg, op=_op)
        add(f"faults-{_op}-{_vg}-again", faults, long=True, vg=_vg, op=_op, how="again")
add("faults-sample-create", faults, vg="thin", op="create", first=2, every=6)
add("examples", examples)
add("guide", guide, long=True)
add("debian", debian, long=True)
add("rpms", rpms, long=True)
add("bootread", bootread)

if __name__ == "__main__":
    main()
