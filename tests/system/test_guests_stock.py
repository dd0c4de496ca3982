#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Debian 12 as guest, with its own kernel and initrd: to its login
prompt with 1, 2 and 4 vCPUs, its disk under fio, swap under pressure, and the
bridge: DHCP, bulk TCP both ways with every checksum looked at by a raw-socket
reader, and traffic between guests.

The guest's root disk is a copy of the image that dom0 boots from, so it has
the same programs."""

import base64
import os
import re

import images
from cases import add, check, main
from guest_lab import GUEST_SCRIPT, TMP, Lab
from machine import Disk

CONFIG = """kernel = "{kernel}"
ramdisk = "{initrd}"
root = "LABEL=bhroot rw"
extra = "console=hvc0"
memory = 512
vcpus = {vcpus}
disk = ["phy:/dev/disk/by-id/virtio-guest,xvda,w", "phy:/dev/vg0/d1,xvdb,w", "phy:/dev/vg0/d2,xvdc,w"]
vif = ["bridge=xenbr0,csum=off"]
"""

# Counts right and wrong checksums of what arrives at an interface.
SNIFF = r"""
import os, socket, struct, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
s.settimeout(0.5)
def total(b):
    n = sum(struct.unpack(f">{(len(b) + 1) // 2}H", b + bytes(len(b) & 1)))
    while n >> 16:
        n = (n & 0xffff) + (n >> 16)
    return n
good = bad = 0
end = time.time() + float(sys.argv[2])
print("ready", flush=True)
while time.time() < end and not os.path.exists("/tmp/stop"):
    try:
        d, a = s.recvfrom(1 << 17)
    except TimeoutError:
        continue
    d = d[14:]
    if a[1] != 0x800 or a[2] == socket.PACKET_OUTGOING or d[9] not in (6, 17) or d[6] & 0x3f or d[7]:
        continue
    head = (d[0] & 15) * 4
    body = d[head:struct.unpack(">H", d[2:4])[0]]
    ok = total(d[:head]) == 0xffff and total(d[12:20] + struct.pack(">HH", d[9], len(body)) + body) == 0xffff
    good, bad = good + ok, bad + (not ok)
print("right", good, "wrong", bad)
"""

# dom0's own networkd hands out addresses on the guests' bridge.
DHCP = """cat >/etc/systemd/network/10-xenbr0.network <<'EOF'
[Match]
Name=xenbr0
[Network]
Address=10.9.0.1/24
DHCPServer=yes
[DHCPServer]
PoolOffset=100
PoolSize=50
EmitDNS=no
EOF
networkctl reload; networkctl reconfigure xenbr0
"""


def boots(m, vcpus):
    kernel, initrd = m.run("ls /boot/vmlinuz-*; ls /boot/initrd.img-*").split()
    text = CONFIG.format(kernel=kernel, initrd=initrd, vcpus=vcpus)
    m.run(f"mkdir -p /etc/bulkhead/guests; cat >/etc/bulkhead/guests/deb.cfg <<'EOF'\n{text}EOF\n"
          "bhctl start deb --wait --timeout 900", 1000)
    m.inside("deb", "for i in $(seq 60); do systemctl is-active -q multi-user.target && break; sleep 2; done; :", 400)
    out = m.inside("deb", "nproc; uname -r; cat /proc/1/comm; findmnt -no SOURCE /")
    check(f"Debian runs on {vcpus} vCPUs from its disk",
          out.split() == [str(vcpus), os.path.basename(kernel)[8:], "systemd", "/dev/xvda3"], out)


def disk_and_swap(m):
    m.inside("deb", "fio --name=v --filename=/dev/xvdb --size=24M --rw=randrw --bs=4k --direct=1 --ioengine=libaio "
             "--iodepth=16 --verify=crc32c --verify_fatal=1 --do_verify=1 >/tmp/fio 2>&1; tail -n 20 /tmp/fio; grep -q 'err= 0' /tmp/fio", 400)
    m.inside("deb", "mkswap -q /dev/xvdc && swapon /dev/xvdc && systemd-run -q --wait -p MemoryMax=24M "
             "python3 -c 'x = bytearray(b\"y\" * (48 << 20)); assert x.count(b\"y\") == 48 << 20'; "
             "awk '/pswpout/ { exit !($2 > 1000) }' /proc/vmstat && swapoff /dev/xvdc", 400)


# A host on the guests' bridge, as one behind dom0's network card would be: frames to
# it are whole, their checksums filled in, and it does not merge what arrives.
WIRE = """set -e; ip netns add wire; ip link add wire0 type veth peer name eth0 netns wire
ip link set wire0 master xenbr0 up; ip -n wire link set lo up; ip -n wire link set eth0 up
ip -n wire addr add 10.9.0.9/24 dev eth0; ethtool -K wire0 tx off tso off gso off
ip netns exec wire ethtool -K eth0 gro off; ip netns exec wire iperf3 -s -D
"""


def checksums(m, where, at, dev, sender):
    """What arrives at dev, as at (a function that runs commands there) sees it, while sender sends: all of it right."""
    at(f"rm -f /tmp/stop /tmp/sniffed; (python3 /root/sniff {dev} 300 >/tmp/sniffing 2>&1; mv /tmp/sniffing /tmp/sniffed) "
       ">/dev/null 2>&1 & for i in $(seq 60); do grep -q ready /tmp/sniffing && break; sleep 1; done")
    sender()
    out = at("touch /tmp/stop; for i in $(seq 60); do [ -e /tmp/sniffed ] && break; sleep 1; done; cat /tmp/sniffed")
    good, bad = map(int, re.search(r"right (\d+) wrong (\d+)", out).groups())
    check(f"{where}: every checksum is right", good > 50 and bad == 0, out)


def network(m):
    ip = m.inside("deb", "for i in $(seq 60); do ip -4 -o addr show scope global | grep -o '10[.]9[.]0[.][0-9]*' && break; sleep 1; done", 120).split()[0]
    check("its address comes from dom0's DHCP", 100 <= int(ip.split(".")[3]) < 150, ip)
    m.run(f"ping -c 3 -s 1400 {ip}", 60)
    m.run(f"cat >/root/sniff <<'EOF'\n{SNIFF}EOF\n{WIRE}", 60)
    m.inside("deb", f"iperf3 -s -D; echo {base64.b64encode(SNIFF.encode()).decode()} | base64 -d >/root/sniff")
    dev = m.inside("deb", "ls /sys/class/net | grep -v lo").strip()
    m.inside("deb", f"ethtool -K {dev} gro off")
    checksums(m, "wire to guest", lambda c: m.inside("deb", c, 90), dev,
              lambda: m.run(f"ip netns exec wire iperf3 -c {ip} -t 3", 60))
    checksums(m, "dom0 to guest", lambda c: m.inside("deb", c, 90), dev, lambda: m.run(f"iperf3 -c {ip} -t 3", 60))
    checksums(m, "guest to wire", lambda c: m.run(f"ip netns exec wire sh <<'EOF'\n{c}\nEOF", 90), "eth0",
              lambda: m.inside("deb", "iperf3 -c 10.9.0.9 -t 3 | tail -n 4", 60))
    m.guest("near", nets=1, ip="10.9.0.2")
    m.run("bhctl start near --wait --timeout 500", 560)
    m.inside("near", "mkdir -p /tmp; (nc -l -p 99 | md5sum >/tmp/sum) >/dev/null 2>&1 & sleep 1")
    sent = m.inside("deb", "ping -q -c 3 -s 1400 10.9.0.2 >/dev/null && head -c 3000000 /dev/urandom >/tmp/r && "
                    "busybox nc -w 20 10.9.0.2 99 </tmp/r; md5sum </tmp/r", 90).split()[0]
    got = m.inside("near", "for i in $(seq 30); do [ -s /tmp/sum ] && break; sleep 1; done; cat /tmp/sum").split()[0]
    check("what a guest sends to another arrives whole", got == sent, f"{got} {sent}")
    m.run("bhctl destroy near", 60)


# Other kernels of Debian: one packed with lz4's legacy format, one with zstd.
KERNELS = ("linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64")


def other_files():
    """What Debian's other kernels need to run as tiny guests, to be copied to dom0."""
    files = []
    for meta in KERNELS:
        cpio = f"{TMP.name}/{meta}.cpio"
        images.initramfs(cpio, ["xen-blkfront", "xen-netfront"], script=GUEST_SCRIPT, meta=meta)
        files += [(images.kernel(meta)[0], f"/root/{meta}"), (cpio, f"/root/{meta}.cpio")]
    return files


def kernels(m):
    for i, meta in enumerate(KERNELS):
        m.guest(f"k{i}", disks=["phy:/dev/vg0/d3,xvda,w"], nets=1, ip=f"10.9.0.{20 + i}")
        m.run(f"sed -i 's,/root/vmlinuz,/root/{meta},; s,/root/guest.cpio,/root/{meta}.cpio,' /etc/bulkhead/guests/k{i}.cfg; "
              f"bhctl start k{i} --wait --timeout 500", 560)
        out = m.inside(f"k{i}", "uname -r; dd if=/dev/xvda of=/dev/null bs=64k count=16 2>/dev/null && ping -c 2 10.9.0.1", 60)
        check(f"{meta} runs", out.split()[0] == images.kernel(meta)[2], out)
        m.run(f"bhctl shutdown k{i} --wait --timeout 100", 160)


def stock(vcpus, more=()):
    disk = f"{TMP.name}/guest.qcow2"
    images.overlay(images.image("dom0").disk, disk)
    with Lab(f"stock-{vcpus[0]}", memory=2048, kernel_args="root=/dev/disk/by-id/virtio-root-part3 systemd.mask=boot-efi.mount",
             disks=[Disk(file=disk, fmt="qcow2", serial="guest")], files=other_files() if kernels in more else ()) as m:
        m.run(DHCP, 60)
        for n in vcpus:
            boots(m, n)
            if n == vcpus[-1]:
                for part in more:
                    part(m)
            m.run("bhctl shutdown deb --wait --timeout 400", 460)


add("boots", stock, long=True, vcpus=(1, 2, 4), more=(kernels,))
add("io", stock, long=True, vcpus=(2,), more=(disk_and_swap, network))

if __name__ == "__main__":
    main()
