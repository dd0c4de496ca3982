#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests from start to end: every bhctl command that changes one, checked by
its effect in the guest or in the hypervisor, and that nothing is left behind."""

import json
import statistics
import time

from cases import add, case, check, main
from guest_lab import HV, Lab, TinyLab


def field(m, guest, key):
    return m.json(f"info {guest}").get(key)


def listed(m):
    return [g["name"] for g in m.json("list")["guests"]]


def life(m):
    """Start, list, console, disk, network, pause, shutdown, and the traces of it."""
    m.guest("g1", vcpus=2, disks=["phy:/dev/vg0/d1,xvda,w", "file:/root/f.img,xvdb,w"], nets=1, ip="10.9.0.2")
    m.run("truncate -s 32M /root/f.img")
    m.run("bhctl start g1 --wait --timeout 500", 560)
    g = next(g for g in m.json("list")["guests"] if g["name"] == "g1")
    check("the guest is listed as running with its memory", g["running"] and g["memory_mib"] == 160, g)
    check("starting it twice is refused with 5", m.call("bhctl start g1").code == 5)
    check("machinectl knows it", "g1" in m.run("machinectl list --no-legend"))
    check("its console is in the journal", "tiny guest is up" in m.run("journalctl -t g1 --no-pager", 60))
    late = int(m.run("date +%s")) - int(m.inside("g1", "date +%s"))
    check("it knows the time", abs(late) < 60, f"{late} s late")
    parts = m.inside("g1", "cat /proc/partitions")
    check("it has both disks", "xvda" in parts and "xvdb" in parts, parts)
    m.inside("g1", "mkdir -p /tmp; dd if=/dev/urandom of=/tmp/r bs=64k count=12 2>/dev/null; "
             "dd if=/tmp/r of=/dev/xvda bs=64k 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches; "
             "dd if=/dev/xvda bs=64k count=12 2>/dev/null | cmp - /tmp/r", 120)
    m.inside("g1", "ping -c 3 -s 1400 10.9.0.1", 60)
    m.run("ping -c 3 -i 0.2 -s 1400 10.9.0.2", 60)
    m.run("bhctl pause g1")
    check("it is paused", "p" in field(m, "g1", "state"))
    check("pausing it twice is refused with 5", m.call("bhctl pause g1").code == 5)
    m.run("bhctl unpause g1")
    m.inside("g1", "echo awake")
    m.run("bhctl shutdown g1 --wait --timeout 200", 260)
    m.eventually("! systemctl is-active -q bulkhead-guest@g1", 20)
    # In the middle of its I/O dom0's tables of ports and grants grow once, or once
    # more when there happens to be more of it at a time; a leak is there each time.
    states = []
    while len(states) < 2 or (states[-1] != states[-2] and len(states) < 4):
        m.run("bhctl start g1 --wait --timeout 500", 560)
        m.inside("g1", "(while :; do dd if=/dev/zero of=/dev/xvda bs=64k; dd if=/dev/xvdb of=/dev/null bs=64k; done) "
                 ">/dev/null 2>&1 & ping -A -q -s 1400 10.9.0.1 >/dev/null 2>&1 & :")
        m.run("ping -q -f -w 3 -s 1400 10.9.0.2; bhctl destroy g1", 60)
        states.append(m.state())
    check("nothing is left of it", states[-1] == states[-2], "\n---\n".join(states))


def resources(m):
    """memory and processors change while it runs, seen from inside."""
    m.guest("g2", vcpus=2, memory=192)
    m.run("bhctl start g2 --wait --timeout 500", 560)
    free = m.json("info")["free_mib"]
    m.run("bhctl mem-set g2 150 --wait", 90)
    gained = m.json("info")["free_mib"] - free
    check("the host gets 42 MiB back", 40 <= gained <= 43, gained)
    m.run("bhctl mem-set g2 192 --wait", 90)
    check("more than maxmem is refused", m.call("bhctl mem-set g2 300").code == 1)
    m.run("bhctl vcpu-set g2 1 --wait", 90)
    check("it sees one processor", m.inside("g2", "nproc").strip() == "1")
    m.run("bhctl vcpu-set g2 2")
    m.inside("g2", "sleep 1; echo 1 >/sys/devices/system/cpu/cpu1/online; nproc | grep -q 2")
    m.run("bhctl vcpu-pin g2 all 1")
    v = [x for x in m.json("vcpu-list g2")["vcpus"]]
    check("both are pinned to processor 1", all(x["hard_affinity"] == "1" for x in v), v)
    m.inside("g2", "(while :; do :; done) & (while :; do :; done) & sleep 2")
    v = m.json("vcpu-list g2")["vcpus"]
    check("and that is where they run", [x["cpu"] for x in v] == [1, 1], v)
    m.run("bhctl vcpu-pin g2 all all; bhctl sched g2 --weight 512 --cap 50")
    s = next(x for x in m.json("sched g2")["guests"])
    check("weight and cap are set", (s["weight"], s["cap"]) == (512, 50), s)
    m.run("bhctl destroy g2", 60)


def devices(m):
    """disks and interfaces come and go."""
    m.guest("g3")
    m.run("bhctl start g3 --wait --timeout 500; truncate -s 16M /root/h.img", 560)
    m.run("bhctl block-attach g3 phy:/dev/vg0/d2,xvdb,w; bhctl block-attach g3 file:/root/h.img,xvdc,r", 90)
    m.inside("g3", "sleep 2; grep -q xvdb /proc/partitions && grep -q xvdc /proc/partitions")
    check("the second is read-only", m.inside("g3", "cat /sys/block/xvdc/ro").strip() == "1")
    check("a volume in use is refused", m.call("bhctl block-attach g3 phy:/dev/vg0/d2,xvdd,w").code == 1)
    m.run("bhctl network-attach g3 mac=00:16:3e:11:22:33,bridge=xenbr0", 60)
    m.inside("g3", "sleep 2; grep -q 00:16:3e:11:22:33 /sys/class/net/eth0/address")
    check("they are listed", len(m.json("block-list g3")["disks"]) == 2 and
          len(m.json("network-list g3")["interfaces"]) == 1)
    m.run("bhctl block-detach g3 xvdb; bhctl block-detach g3 xvdc; bhctl network-detach g3 00:16:3e:11:22:33", 90)
    m.inside("g3", "! grep -q xvdb /proc/partitions")
    check("no loop device is left", m.run("losetup -a").strip() == "")
    m.run("bhctl destroy g3", 60)


def saving(m):
    """a guest continues from a file; a damaged file starts nothing."""
    m.guest("g4", vcpus=2, disks=["phy:/dev/vg0/d3,xvda,w"], nets=1, ip="10.9.0.4")
    m.run("bhctl start g4 --wait --timeout 500", 560)
    m.inside("g4", "mkdir -p /tmp; head -c 300000 /dev/urandom >/tmp/r; md5sum /tmp/r >/tmp/s; sync")
    m.run("mkdir -p /root/small; mount -t tmpfs -o size=4m none /root/small")
    full = m.call("bhctl save g4 /root/small/g4", 180)
    check("a full disk is said", full.code == 1 and "No space" in full.out, full.out)
    check("and nothing is left on it", m.run("ls -A /root/small; umount /root/small") == "")
    m.inside("g4", "md5sum -c /tmp/s; ping -c 2 10.9.0.1", 90)
    m.run("bhctl save g4 /root/g4.save & sleep 0.5; kill -9 $(systemctl show -p MainPID --value bulkhead-guest@g4); wait $! || :", 60)
    m.eventually("gx g4 'md5sum -c /tmp/s'", 90)
    m.run("bhctl save g4 /root/g4.save >/root/save.log 2>&1 & bhctl info g4; wait $!", 180)
    check("it does not run", not field(m, "g4", "running"))
    m.run("cp /root/g4.save /root/bad.save; printf x | dd of=/root/bad.save bs=1 seek=5000000 conv=notrunc status=none")
    bad = m.call("bhctl restore /root/bad.save", 120)
    check("a damaged file is refused", bad.code == 1 and "damaged" in bad.out, bad.out)
    check("and starts nothing", not field(m, "g4", "running"))
    m.run("rm /root/bad.save; bhctl restore /root/g4.save", 180)
    m.inside("g4", "md5sum -c /tmp/s; dd if=/dev/xvda of=/dev/null bs=64k count=16 2>/dev/null", 90)
    m.inside("g4", "ping -c 3 10.9.0.1", 60)
    m.run("bhctl destroy g4; rm /root/g4.save", 60)


def crashing(m):
    """crashes are reported and handled as on_crash says, and no neighbour notices."""
    m.guest("near")
    m.run("bhctl start near --wait --timeout 500", 560)
    for how, want in (("ask", "crashed"), ("table", "exception 14"), ("triple", "exception 6")):
        m.run(f"""echo 'kernel = "/root/crash.elf"
extra = "crash={how}"
memory = 16
on_crash = "preserve"' >/etc/bulkhead/guests/bad.cfg; bhctl start bad""", 90)
        m.eventually("bhctl info bad --json | grep -q '\"phase\": *\"preserved\"'", 60)
        log = m.run("journalctl -u bulkhead-guest@bad --no-pager", 60)
        check(f"registers of crash={how} are in the journal", "vCPU 0: rip" in log, log)
        if HV == "bulkhead" and how != "ask":
            check("the hypervisor says why", want in m.run("bhctl dmesg | tail -n 80", 60))
        m.run("bhctl destroy bad; journalctl --rotate; journalctl --vacuum-time=1s -q", 60)
    m.inside("near", "echo here")
    m.run("bhctl destroy near; rm /etc/bulkhead/guests/bad.cfg", 60)
    m.guest("g5", more='on_crash = "restart"')
    m.run("bhctl start g5 --wait --timeout 500", 560)
    first = field(m, "g5", "id")
    m.run("bhctl sysrq g5 c", 30)
    m.eventually(f"bhctl info g5 --json | grep -q '\"ready\": *true' && ! bhctl info g5 --json | grep -q '\"id\": *{first},'",
                 180)
    # Not the whole journal: a guest's panic there would look like dom0's.
    m.run("journalctl -u bulkhead-guest@g5 --no-pager | grep 'vCPU 0: rip'", 60)
    m.run("bhctl destroy g5", 60)
    m.guest("g5", more='on_crash = "coredump-destroy"')
    m.run("bhctl start g5 --wait --timeout 500; bhctl sysrq g5 c", 560)
    m.eventually("systemctl is-failed -q bulkhead-guest@g5", 120)
    check("there is a core", len(m.run("ls /var/lib/bulkhead/dump").split()) == 1)
    m.run("head -c 4 /var/lib/bulkhead/dump/* | grep -q ELF; rm /var/lib/bulkhead/dump/*; "
          "systemctl reset-failed bulkhead-guest@g5")


# In dom0: kills supervisor, store or both again and again, at any moment of a guest's
# start, life and end; after each kill all must be as if it had not been.
KILLS = r"""
import json, random, subprocess, sys, time
sh = lambda c: subprocess.run(c, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
def until(what, ok):
    end = time.time() + 300
    while not ok():
        if time.time() > end:
            sys.exit(f"{what}: not after 300 s\n" + sh("bhctl list; journalctl -n 60 --no-pager -o cat -t systemd -t bulkhead-guest -t bulkhead-store").stdout)
        time.sleep(0.2)
def info():
    r = sh("bhctl info g6 --json")
    return json.loads(r.stdout) if r.returncode == 0 and r.stdout.startswith("{") else {}
def kill():
    what = random.choice(["bulkhead-guest", "bulkhead-store", "bulkhead-guest bulkhead-store"])
    sh(f"for p in {what}; do pkill -9 -x $p; done")
    return what
def runs():
    i = info()
    return i.get("supervisor", {}).get("phase") == "running" and i["supervisor"]["ready"]
left, took = int(sys.argv[1]), float(sys.argv[2]) * 1.2
while left > 0:
    p = subprocess.Popen("bhctl start g6 2>&1", shell=True, stdout=subprocess.PIPE, text=True)
    time.sleep(random.random() * took)
    what, left = kill(), left - 1
    said = p.communicate()[0]
    if p.returncode:
        sys.exit(f"bhctl start failed after {what} was killed: {said}")
    until(f"ready after {what} was killed at its start", runs)
    dom = info()["id"]
    for i in range(min(left, 8)):
        if i % 4 == 0:      # so many kills are not what its limit of restarts is for
            sh("systemctl reset-failed bulkhead-guest@g6 bulkhead-store")
        what, left = kill(), left - 1
        time.sleep(random.random() * 2)
        until(f"runs after {what} was killed", runs)
        if info()["id"] != dom:
            sys.exit(f"another domain after {what} was killed: {info()}")
        print(sh("gx g6 'echo alive' 60").stdout, end="", flush=True)
    p = subprocess.Popen("bhctl shutdown g6 --wait --timeout 200 2>&1", shell=True, stdout=subprocess.PIPE, text=True)
    time.sleep(random.random() * took)
    what, left = kill(), left - 1
    said = p.communicate()[0]
    if p.returncode or info().get("running") is not False:
        sys.exit(f"not shut down after {what} was killed: {p.returncode} {said} {info()}")
    until("its service ends", lambda: sh("systemctl is-active -q bulkhead-guest@g6").returncode)
    print("ended", flush=True)
"""


def killing(m, times=6):
    """a killed supervisor or store takes no guest along."""
    m.guest("g6")
    m.run(f"cat >/root/kills <<'EOF'\n{KILLS}EOF\nbhctl start g6 --wait --timeout 500", 560)
    dom, took = field(m, "g6", "id"), field(m, "g6", "supervisor")["build_us"] / 1e6
    # The store stays away for longer than the supervisor waits for it, and the
    # configuration is lost meanwhile.
    m.run("systemctl stop bulkhead-store; systemctl reset-failed; mv /etc/bulkhead/guests/g6.cfg /root; "
          "kill -9 $(systemctl show -p MainPID --value bulkhead-guest@g6); sleep 40; systemctl start bulkhead-store", 90)
    m.eventually("gx g6 'echo alive'", 120)
    check("the same domain runs after the store was away", field(m, "g6", "id") == dom)
    # Not a wish to stop it: what systemd does when a start takes too long.
    m.run("mv /root/g6.cfg /etc/bulkhead/guests; systemctl kill -s TERM bulkhead-guest@g6", 30)
    m.eventually("journalctl -t bulkhead-guest -o cat --no-pager | grep -q 'but nobody asked for it'; gx g6 'echo alive'", 120)
    check("the same domain runs after a signal of systemd's own", field(m, "g6", "id") == dom)
    m.run("systemctl stop bulkhead-guest@g6", 120)
    check("a stopped service stops its guest", not field(m, "g6", "running"))
    before = m.state()
    lived = m.run(f"python3 -u /root/kills {times} {took}", 60 * times).split()
    check("it answered each time", lived.count("alive") >= times * 7 // 10, lived)
    after = m.state()
    check("nothing is left of it", after == before, f"{before}\n---\n{after}")


OLD = """kernel = "/boot/vmlinuz-2.6.11-xenU"
memory = 256
name = "vmname"
nics = 1
vif = [ 'mac=00:60:b0:28:78:84, bridge=xen-cust' ]
disk = ['phy:vg0/vmname_root,sda1,w', 'phy:vg0/vmname_swap,sda2,w', 'phy:vg0/modules,sda3,r']
root = "/dev/sda1 ro"
"""


def twenty_years(m):
    """a file of 2005 starts a guest as it is."""
    # It has no root and soon panics: paused, it can be looked at.
    m.run("cp /root/vmlinuz /boot/vmlinuz-2.6.11-xenU; ip link add xen-cust type bridge; "
          "for v in vmname_root vmname_swap modules; do lvcreate -q -n $v -L 16M vg0; done; "
          f"cat >/etc/bulkhead/guests/vmname.cfg <<'EOF'\n{OLD}EOF\nbhctl start vmname && bhctl pause vmname", 90)
    disks = [(d["params"], d["mode"]) for d in m.json("block-list vmname")["disks"]]
    check("it has its disks", disks == [("/dev/vg0/vmname_root", "w"), ("/dev/vg0/vmname_swap", "w"),
                                        ("/dev/vg0/modules", "r")], disks)
    nic = m.json("network-list vmname")["interfaces"][0]
    check("and its interface", (nic["mac"], nic["bridge"]) == ("00:60:b0:28:78:84", "xen-cust"), nic)
    m.run("bhctl unpause vmname")
    m.eventually("journalctl -t vmname --no-pager | grep -q 'ommand line: root=/dev/[sx]v*da1 ro'", 90)
    m.run("bhctl destroy vmname || :; lvremove -qy vg0/vmname_root vg0/vmname_swap vg0/modules; "
          "ip link del xen-cust; rm /boot/vmlinuz-2.6.11-xenU /etc/bulkhead/guests/vmname.cfg", 60)


def refusing(m):
    """errors name the thing, the reason and the way out."""
    for text, want in (('kernel = "/root/vmlinuz"\nmemory = lots', "bad.cfg:2"),
                       ('kernel = "/nowhere"', "/nowhere"),
                       ('kernel = "/root/vmlinuz"\nmemory = 16', "memory = 16"),
                       ('kernel = "/root/vmlinuz"\nmemory = 999999', "MiB are free"),
                       ('kernel = "/root/vmlinuz"\nmemory=160\ndisk=["phy:/dev/vg0/nope,xvda,w"]', "/dev/vg0/nope"),
                       ('kernel = "/root/vmlinuz"\nmemory=160\nvif=["bridge=nobr"]', "nobr does not exist"),
                       ('kernel = "/etc/passwd"', "neither a bzImage nor an ELF"),
                       ('kernel = "/root/vmlinuz"\npci=["01:00.0"]', "pci is not supported")):
        m.run(f"cat >/etc/bulkhead/guests/bad.cfg <<'EOF'\n{text}\nEOF")
        r = m.call("bhctl start bad", 90)
        check(f"'{want}' in the error", r.code == 1 and want in r.out, f"{r.code} {r.out}")
    m.run("rm /etc/bulkhead/guests/bad.cfg; rm -rf /run/bulkhead/guests/bad")
    check("no domain is left", len([g for g in m.json("list")["guests"] if g["running"]]) == 1)
    check("unknown guest is 3", m.call("bhctl start nobody").code == 3)
    check("bad usage is 2", m.call("bhctl start").code == 2)


def commands(m):
    """what the other parts do not use: transient guests, console, top, reboot, mem-max, events."""
    m.run("bhctl events --json >/root/events 2>&1 & echo $! >/root/events.pid")
    m.guest("t1", more="maxmem = 192")
    m.run("mv /etc/bulkhead/guests/t1.cfg /root; bhctl create -f /root/t1.cfg --wait --timeout 500", 560)
    first = field(m, "t1", "id")
    check("creating it twice is refused with 5", m.call("bhctl create -f /root/t1.cfg").code == 5)
    m.run("(echo; echo 'echo con''sole $((40 + 2))'; for i in $(seq 60); do grep -q 'console 42' /root/con && break; "
          "sleep 1; done) | bhctl console t1 >/root/con; grep -q 'console 42' /root/con", 90)
    m.inside("t1", "while :; do :; done & :")
    top = m.json("top --count 1 --delay 5")["guests"]
    check("top shows a busy guest", next(g["cpu_percent"] for g in top if g["name"] == "t1") > 50, top)
    m.run("(sleep 4; printf q) | TERM=linux script -qec 'bhctl top' /dev/null | grep -q t1", 60)
    m.run("bhctl reboot t1 --wait --timeout 300", 360)
    check("it runs as another domain", field(m, "t1", "id") != first)
    seen = "awk '/MemTotal/ { print $2 }' /proc/meminfo"
    before = int(m.inside("t1", seen))
    m.run("bhctl mem-max t1 176")
    check("the hypervisor has the limit", field(m, "t1", "max_memory_mib") == 177)
    check("more than that is refused", m.call("bhctl mem-set t1 190").code == 1)
    m.run("bhctl mem-set t1 176 --wait", 90)
    more = int(m.inside("t1", seen)) - before
    check("it sees 16 MiB more", 15 << 10 <= more <= 17 << 10, more)
    m.run("bhctl pause t1; sleep 2; bhctl unpause t1; sleep 2; bhctl destroy t1; sleep 2", 60)
    check("nothing of a transient guest stays", "t1" not in listed(m) and m.call("bhctl info t1").code == 3)
    events = [json.loads(l) for l in m.run("kill $(cat /root/events.pid); cat /root/events").splitlines()]
    events = [e["event"] for e in events if e["guest"] == "t1"]
    once = ["created", "ready", "destroyed"]
    check("all of that was told", [e for e in events if e in once] == once * 2 and "paused" in events, events)


def names(m):
    """names and autostart of guests."""
    m.run("printf 'kernel = \"/root/crash.elf\"\nextra = \"crash=idle\"\nmemory = 16\n' "
          ">/etc/bulkhead/guests/old.cfg; bhctl enable --now old", 90)
    check("it runs and is enabled", field(m, "old", "running") and field(m, "old", "autostart"))
    check("a running guest keeps its name", m.call("bhctl rename old new").code == 5)
    m.run("bhctl shutdown old --force --timeout 3", 90)
    check("one that does not listen is destroyed by force", not field(m, "old", "running"))
    m.run("bhctl rename old new; systemctl is-enabled -q bulkhead-guest@new")
    check("it has the new name only", "new" in listed(m) and "old" not in listed(m))
    m.run("bhctl start new; bhctl vcpu-pin new 0 1 --soft; bhctl vcpu-list new | grep -q 'all / 1$'; bhctl destroy new; "
          "bhctl disable new; ! systemctl is-enabled -q bulkhead-guest@new; rm /etc/bulkhead/guests/new.cfg", 90)


def run_parts(name, parts):
    with Lab(name) as m:
        for part in parts:
            print(f"-- {part.__name__}: {part.__doc__}", flush=True)
            part(m)


add("life", run_parts, name="life", parts=(life, twenty_years, refusing, names))
add("changing", run_parts, name="changing", parts=(resources, devices, commands))
add("surviving", run_parts, name="surviving", parts=(saving, crashing, killing))


# What has to be there again after a reboot.
KEPT = """set -e
printf '%s\\n' xen-blkback xen-netback xen-gntdev xen-evtchn xen-privcmd loop bridge >/etc/modules-load.d/xen.conf
printf '[NetDev]\\nName=xenbr0\\nKind=bridge\\n' >/etc/systemd/network/10-xenbr0.netdev
printf '[Match]\\nName=xenbr0\\n[Network]\\nAddress=10.9.0.1/24\\nConfigureWithoutCarrier=yes\\n' >/etc/systemd/network/10-xenbr0.network
mkdir -p /var/log/journal
systemctl -q unmask xenstored
systemctl enable bulkhead-store bulkhead-guests.target
"""


def reboot(m):
    m.run("(sleep 1; systemctl reboot) >/dev/null 2>&1 &")
    m.expect(rb"\(BH\)|\(XEN\)|Starting new kernel", 400)
    m.shell.ready = False
    m.login(600)


def come_and_go_with_the_host(m):
    for n in "abcde":
        m.guest(f"s{n}", nets=1, more='bulkhead_after = ["sb"]' if n == "a" else "")
    m.run(KEPT + "bhctl enable sa sb sc sd se; systemctl daemon-reload", 60)
    check("the unit is ordered", "After=bulkhead-guest@sb.service" in m.run("systemctl cat bulkhead-guest@sa"))
    reboot(m)
    m.eventually("for g in sa sb sc sd se; do bhctl info $g --json | grep -q '\"ready\": *true' || exit 1; done", 400)
    up = m.run("for g in sa sb sc; do journalctl -b -u bulkhead-guest@$g -o short-monotonic --no-pager | "
               "grep -E 'runs as domain|is ready' | sed 's/^\\[ *//; s/\\].*guest/ guest/'; done")
    t = {}
    for line in up.splitlines():
        stamp, rest = line.split(" ", 1)
        t[(rest.split()[1], "ready" in rest)] = float(stamp)
    check("sa started after sb was ready", t[("sa", False)] > t[("sb", True)], up)
    check("sc did not wait for sb", t[("sc", False)] < t[("sb", True)], up)
    reboot(m)
    ends = m.run("journalctl -b -1 -t bulkhead-guest --no-pager -o cat | grep -E 'guest s[a-e]' | tail -n 12")
    check("all were shut down in time", ends.count("powered off") == 5 and "destroyed" not in ends, ends)


@case(long=True)
def autostart():
    """Enabled guests come up with the host, one after another where ordered,
    and end cleanly with it."""
    with Lab("autostart", memory=2560, reboot=True) as m:
        come_and_go_with_the_host(m)


def crowd(m, count):
    """Many guests of 48 MiB: the last starts as fast as the first, and the
    hypervisor needs little for each beyond its memory."""
    m.run(f"mkdir -p /etc/bulkhead/guests; for i in $(seq 0 {count}); do printf 'kernel = \"/root/crash.elf\"\\n"
          "extra = \"crash=idle\"\\nmemory = 48\\n' >/etc/bulkhead/guests/m$i.cfg; done; bhctl start m0; bhctl destroy m0", 120)
    free = m.json("info")["free_pages"]
    took = []
    for i in range(1, count + 1):
        a, b = m.run(f"date +%s.%N; bhctl start m{i}; date +%s.%N", 120).split()
        took.append(float(b) - float(a))
    left = m.json("info")["free_pages"]
    check("all run", sum(g["running"] for g in m.json("list")["guests"]) == count + 1)
    own = (free - left) * 4 / count - 48 * 1024
    first, last = statistics.median(took[:5]), statistics.median(took[-5:])
    print(f"hypervisor memory per guest beyond its own: {own:.1f} KiB; start of the first {first:.2f} s, of the last {last:.2f} s")
    check("it is under 64 KiB", own < 64, own)
    check("the last starts in at most 1.3 times the first's time", last <= 1.3 * first, f"{first} {last}")
    m.run(f"bhctl destroy $(seq -f m%g 1 {count})", 300)
    now = m.json("info")["free_pages"]
    check("all memory is back", abs(now - free) <= 4, f"{free} {now}")


@case(long=True)
def many():
    with Lab("many", memory=6144, dom0=1024) as m:
        crowd(m, 64)


def busy_guests(m):
    for n, w in (("w1", 256), ("w2", 512)):
        m.run(f"printf 'kernel = \"/root/crash.elf\"\nextra = \"crash=busy\"\nmemory = 16\ncpu_weight = {w}\n' "
              f">/etc/bulkhead/guests/{n}.cfg; bhctl start {n}", 120)
        m.eventually(f"bhctl info {n} --json | grep -q '\"phase\": *\"running\"'", 120)

    def used(seconds):
        """Processor seconds a second of each guest."""
        look = "cut -d' ' -f1 /proc/uptime; bhctl list --json; echo @@;"
        shots = []
        for text in m.run(f"{look} sleep {seconds}; {look}", 40 * seconds).split("@@")[:2]:
            t, doc = text.strip().split("\n", 1)
            shots.append((float(t), {g["name"]: g["cpu_seconds"] for g in json.loads(doc)["guests"]}))
        (t0, a), (t1, b) = shots
        return {n: (b[n] - a[n]) / (t1 - t0) for n in ("w1", "w2")}

    u = used(12)
    print(f"weights 256 and 512: {u['w1']:.4f} and {u['w2']:.4f} of a processor", flush=True)
    check("weights 256 and 512 get 1 : 2", 1.9 <= u["w2"] / u["w1"] <= 2.1, u)
    m.run("bhctl sched w1 --cap 25; bhctl pause w2")
    u = used(12)
    print(f"a cap of 25: {u['w1']:.4f} of a processor", flush=True)
    check("a cap of 25 holds", 0.2375 <= u["w1"] <= 0.2625, u)
    m.run("bhctl destroy w1 w2", 60)


@case
def shares():
    """Weight and cap show in the processor time that busy guests get. Counted
    instructions are the clock, so that this machine's load plays no part."""
    with TinyLab("shares", icount="shift=1,sleep=off") as m:
        m.login(400)
        busy_guests(m)


def cycling(m, times):
    """Start and destroy: everything is where it began."""
    m.guest("c1", disks=["phy:/dev/vg0/d1,xvda,w"], nets=1)
    m.run("bhctl start c1; bhctl destroy c1; bhctl start c1; bhctl destroy c1", 300)
    before, t0 = m.state(), time.time()
    m.run(f"for i in $(seq {times}); do bhctl start c1 && bhctl destroy c1 || exit 1; done", 60 * times)
    after = m.state()
    check("nothing has grown", after == before, f"{before}\n---\n{after}")
    print(f"{times} cycles, {(time.time() - t0) / times:.2f} s each")


def cycles(times):
    with Lab("cycles") as m:
        cycling(m, times)


add("cycles", cycles, long=True, times=8)
add("cycles-100", cycles, long=True, times=100)


def kills(times):
    with Lab("kills") as m:
        killing(m, times)


add("kills-50", kills, long=True, times=50)

if __name__ == "__main__":
    main()
