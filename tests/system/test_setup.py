#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkhead-setup on plain Debian: checks, sets up, does nothing the second time,
takes everything back, and brings the network back when the bridge cuts the host
off; under systemd-networkd, ifupdown and NetworkManager."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images  # noqa: E402
from cases import add, check, main  # noqa: E402
from machine import TOP, Disk, Machine  # noqa: E402

SETUP = "bulkhead-setup --unattended --vg guests --pv /dev/disk/by-id/virtio-guests"
# No frame gets out: what a wrong bridge looks like from inside.
CUT = "tc qdisc add dev {nic} clsact && tc filter add dev {nic} egress matchall action drop"
UNCUT = "tc qdisc del dev {nic} clsact"


TMP = tempfile.TemporaryDirectory(prefix="bht-setup-")


def installed():
    """What `make install` of the host's parts installs, as a copy list."""
    root = TMP.name
    for part in ("hypervisor", "toolstack", "init", "installer"):
        subprocess.run(["make", "-s", "-C", f"{TOP}/{part}", "install", f"DESTDIR={root}"],
                       check=True, stdout=subprocess.DEVNULL)
    for elf in glob.glob(f"{root}/boot/*.elf"):        # as the package has it
        images.sh("gzip", "-n", elf)
        os.rename(f"{elf}.gz", elf.removesuffix("elf") + "gz")
    out = []
    for d, _, files in os.walk(root):
        rel = d[len(root):]
        if not rel.startswith("/usr/share"):
            # /lib and /sbin are links there, and stay so.
            out += [(f"{d}/{n}", re.sub(r"^/(lib|sbin|bin)/", r"/usr/\1/", f"{rel}/{n}")) for n in files]
    return out


def download(*names):
    """Debian packages as files to copy."""
    path = f"{images.CACHE}/debs/files-{'-'.join(names)}"
    with images.making(path) as tmp:
        if tmp:
            os.makedirs(tmp)
            images.sh("apt-get", "-q", "download", *names, cwd=tmp)
    return [(f, f"/srv/{os.path.basename(f)}") for f in glob.glob(f"{path}/*.deb")]


def networkd(m):
    pass


IFUPDOWN = """set -e
dpkg -i /srv/*.deb >/dev/null 2>&1
echo 'timeout 40; retry 5;' >>/etc/dhcp/dhclient.conf    # five minutes each otherwise, at every cut
printf 'auto lo\\niface lo inet loopback\\n\\nallow-hotplug {nic}\\niface {nic} inet {how}\\n' >/etc/network/interfaces
systemctl disable --now systemd-networkd.service systemd-networkd.socket 2>/dev/null
ip addr flush dev {nic}; ip link set {nic} down
ifup {nic}"""
STATIC = "static\\n\\taddress 10.0.2.15/24\\n\\tgateway 10.0.2.2"


def ifupdown(m):
    m.run(IFUPDOWN.format(nic=m.port, how=STATIC), 180)


def ifupdown_dhcp(m):
    m.run(IFUPDOWN.format(nic=m.port, how="dhcp"), 180)


def network_manager(m):
    m.run("systemctl disable --now systemd-networkd.service systemd-networkd.socket 2>/dev/null; "
          "systemctl enable --now NetworkManager; nm-online -q -t 60", 180)


def network(m):
    """Addresses and default routes, without what a new lease changes."""
    out = m.run("ip -br -4 addr show scope global; ip route show default | sed 's/ src .*//; s/ metric.*//'")
    return "\n".join(sorted(re.sub(r" metric \d+", "", l).strip() for l in out.splitlines()))


def state(m):
    """What --undo must bring back."""
    return m.run("vgs --noheadings -o vg_name; blkid /dev/disk/by-id/virtio-guests || echo empty; "
                 "cat /etc/default/bulkhead; find /etc/bulkhead /etc/systemd/network /etc/modules-load.d "
                 "/etc/lvm/profile ! -type d 2>/dev/null | sort; "
                 "cat /etc/network/interfaces 2>/dev/null; nmcli -g NAME,TYPE con 2>/dev/null | sort; true")


def setup(manager, debs=(), **kw):
    """--check, a dry run, the run, another run, --undo."""
    with Machine(hypervisor="none", memory=1536, smp=2, disks=[Disk(size="4G", serial="guests")],
                 copy=installed() + (download(*debs) if debs else []), name=f"setup-{manager.__name__}", **kw) as m:
        m.login(600)
        m.run("systemctl daemon-reload; systemctl is-system-running --wait || :", 300)
        m.port = m.run("ls /sys/class/net | grep -v lo").strip()
        manager(m)
        m.eventually("ping -c 1 -W 2 10.0.2.2", 120)
        before, files = network(m), state(m)

        check("--check is content", "default route through" in m.run("bulkhead-setup --check", 120))
        out = m.run(f"{SETUP} --dry-run", 120)
        check("a dry run says what it would do", "would run: vgcreate" in out, out)
        check("a dry run changes nothing", state(m) == files)

        cut_off(m, before, files)
        out = m.run(SETUP, 900)
        print(out)
        check("the bridge has the address", "xenbr0" in network(m) and "10.0.2.15/24" in network(m), network(m))
        m.eventually("ping -c 1 -W 2 -I xenbr0 10.0.2.2", 60)
        check("the bridge module is loaded at boot", "bridge" in m.run("cat /etc/modules-load.d/bulkhead-bridge.conf"))
        check("there is a thin pool", "thin" in m.run("lvs --noheadings -o lv_name guests"))
        check("a boot set is next", "next:    0001" in m.run("bhctl boot status"))
        check("no timer is left", m.call("systemctl is-active bulkhead-network-rollback.timer").code != 0)

        was = network(m), state(m)
        out = m.run(SETUP, 900)
        check("a second run has nothing to do", out.count("==>") == 1 and "is up to date" in out, out)
        check("a second run changes nothing", (network(m), state(m)) == was)

        m.run("bulkhead-setup --undo", 300)
        m.eventually("ping -c 1 -W 2 10.0.2.2", 120)
        check("--undo brings the network back", network(m) == before, network(m) + "\nbefore: " + before)
        check("--undo brings the rest back", state(m) == files, state(m) + "\nbefore: " + files)
        check("plain Linux is next", "next:    the default" in m.run("bhctl boot status"))


def cut_off(m, before, files):
    """The gateway does not answer through the bridge: it is taken back, by the
    program, and by the timer if the program is dead."""
    m.run(CUT.format(nic=m.port))
    r = m.call(f"{SETUP} --network-timeout 25", 300)
    check("setup fails and says why", r.code == 1 and "does not answer through bridge xenbr0" in r.out, r.out)
    check("the bridge is gone", "xenbr0" not in m.run("ls /sys/class/net"))
    m.run(UNCUT.format(nic=m.port))
    m.eventually("ping -c 1 -W 2 10.0.2.2", 120)
    check("the network is as before", network(m) == before, network(m))

    m.run(CUT.format(nic=m.port))
    m.run(f"({SETUP} --network-timeout 25 >/run/setup.out 2>&1 &) </dev/null")
    m.eventually("grep -Eq 'waiting until gateway|ifup xenbr0' /run/setup.out && ls /sys/class/net | grep xenbr0", 120)
    m.run("kill -9 $(pidof bulkhead-setup)")
    check("the bridge is there", "xenbr0" in m.run("ls /sys/class/net"))
    m.eventually("! ls /sys/class/net | grep xenbr0", 120)
    m.run(UNCUT.format(nic=m.port))
    m.eventually("ping -c 1 -W 2 10.0.2.2", 120)
    time.sleep(2)
    check("the network is as before, by the timer", network(m) == before, network(m))
    m.run("bulkhead-setup --undo", 120)
    check("--undo after that leaves nothing", state(m) == files, state(m) + "\nbefore: " + files)


IFUPDOWN_DEBS = ("ifupdown", "isc-dhcp-client")

add("networkd", setup, long=True, manager=networkd)
add("ifupdown-static", setup, long=True, manager=ifupdown, debs=IFUPDOWN_DEBS)
add("ifupdown-dhcp", setup, long=True, manager=ifupdown_dhcp, debs=IFUPDOWN_DEBS)
add("network-manager", setup, long=True, manager=network_manager, image="dom0-nm")
add("uefi", setup, long=True, manager=networkd, boot="grub", firmware="uefi", nic="virtio")

if __name__ == "__main__":
    main()
