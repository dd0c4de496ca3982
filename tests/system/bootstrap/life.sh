#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# life.sh VG: a guest's life from template to destroy on one volume group, and
# everything that must be refused on the way. Runs in the test machine; the
# first line that is not as expected is printed and ends it.
set -u
vg=$1
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/expect.sh"
uuid() { blkid -p -o value -s UUID "/dev/$vg/$1"; }

# What a guest that was removed may leave on a classic volume group.
leave_secrets() {
	[ "$vg" = plain ] || return 0
	ok lvcreate -q -y -Wn -L 512M -n left "$vg"
	yes "the secret of another guest" | dd of="/dev/$vg/left" bs=1M count=512 iflag=fullblock conv=fsync status=none
	ok lvremove -q -y "$vg/left"
}
no_secrets() { # VOLUME...
	local v
	for v; do
		grep -qa "secret of another" "/dev/$vg/$v" && die "$v holds another guest's data"
	done
	return 0
}

C=(--template tiny --vg "$vg")
# The template is made on the way, once, by whichever of two comes first.
ok vm-bootstrap -q create p1 "${C[@]}" --no-network --dry-run
grep -q "tiny: built first" /tmp/out || die "no plan: $(cat /tmp/out)"
vm-bootstrap -q create p1 "${C[@]}" --no-network 2>/tmp/e1 & p=$!
vm-bootstrap -q create p2 "${C[@]}" --no-network 2>/tmp/e2 || die "p2: $(cat /tmp/e2)"
wait $p || die "p1: $(cat /tmp/e1)"
[ "$(vm-bootstrap template list | grep -c ^tiny)" = 1 ] || die "two templates for two guests"
# The initrd for the host's kernel has modules for other roots than ext4.
[ "$(zcat /var/lib/bulkhead/bootstrap/initrd/*.img | cpio -i --quiet --to-stdout modules.more | grep -c ko)" -gt 1 ] ||
	die "no xfs and btrfs in the initrd"
# One that is made and cannot be started stays, and the message says so.
BULKHEAD_BHCTL=/bin/false vm-bootstrap -q create p3 "${C[@]}" --no-network --start 2>/tmp/err
[ "$?:$(grep -c "p3 is made and stays" /tmp/err)" = 6:1 ] || die "p3 not started: $(cat /tmp/err)"
# A password where there was no place for one; a program to run, with a NUL in it.
echo secret >/tmp/pw
# shellcheck disable=SC2016 # for the guest's shell
printf '#!/bin/sh\n[ "$(wc -c </dev/.hook)" -gt 2000 ]; exit $?\n' >/tmp/hook
head -c 2000 /dev/zero >>/tmp/hook
ok vm-bootstrap -q create p4 "${C[@]}" --no-network --password-file /tmp/pw --run /tmp/hook
[ "$(inside p4-root 'stat -c %a etc/shadow; grep -c "^root:.6." etc/shadow; grep -c "^root:x:" etc/passwd' | xargs)" = "640 1 1" ] ||
	die "no password for p4"
ok vm-bootstrap -q destroy p1 p2 p3 p4 --yes
ok vm-bootstrap -q create a "${C[@]}" --disk 64M --swap 16M --bridge br0 --ip 10.9.0.2/24 --gateway 10.9.0.1 --dns 10.9.0.1
ok vm-bootstrap -q create b "${C[@]}" --disk 64M --no-network --hostname b.example.org
[ "$(uuid a-root)" != "$(uuid b-root)" ] || die "same file-system UUID"
[ "$(uuid a-root)" != "$(uuid 'template+tiny+1')" ] || die "the template's UUID"
[ "$(inside a-root 'cat etc/hostname')" = a ] || die "hostname of a"
[ "$(inside b-root 'cat etc/hostname')" = b ] || die "hostname of b"
inside b-root 'grep -q "b.example.org b" etc/hosts' || die "hosts of b"
inside a-root 'grep -q "10.9.0.2/24 10.9.0.1" etc/bulkhead-net' || die "network of a"
inside a-root "grep -q 'UUID=$(uuid a-swap) none swap' etc/fstab" || die "fstab of a"
mac=$(sed -n "s/.*mac=\([0-9a-f:]*\).*/\1/p" /etc/bulkhead/guests/a.cfg)
inside a-root "grep -q $mac etc/bulkhead-net" || die "mac of a"
[ "$(inside a-root 'df -k . | tail -1' | awk '{print ($2 > 50000)}')" = 1 ] || die "a was not grown"
ok vm-bootstrap list --json
python3 -c 'import json; d=json.load(open("/tmp/out")); assert [g["name"] for g in d["guests"]] == ["a", "b"]' || die "list --json"

# Refusals: one line, the right code, nothing left.
refuse 3 "exists already" vm-bootstrap create a "${C[@]}" --no-network
refuse 4 "no template" vm-bootstrap create c --template nope --no-network
refuse 4 "no volume group" vm-bootstrap create c --template tiny --vg nope --no-network
refuse 2 "smaller than the template" vm-bootstrap create c "${C[@]}" --disk 4M --no-network
refuse 2 "not a valid host name" vm-bootstrap create c..d "${C[@]}" --no-network
refuse 2 "letters, digits" vm-bootstrap create ../x "${C[@]}" --no-network
refuse 2 "letters, digits" vm-bootstrap create a+b "${C[@]}" --no-network
refuse 2 "reserved" vm-bootstrap create pvmove1 "${C[@]}" --no-network
refuse 2 "digits only" vm-bootstrap create 123 "${C[@]}" --no-network
refuse 4 "cannot read" vm-bootstrap create c "${C[@]}" --no-network --ssh-key /nonexistent
echo junk >/tmp/junk
refuse 2 "not an SSH public key" vm-bootstrap create c "${C[@]}" --no-network --ssh-key /tmp/junk
ok ssh-keygen -q -t ed25519 -N '' -f /tmp/k
refuse 2 "private key" vm-bootstrap create c "${C[@]}" --no-network --ssh-key /tmp/k
refuse 2 "prefix length" vm-bootstrap create c "${C[@]}" --bridge br0 --ip 10.0.0.1
refuse 2 "unknown option" vm-bootstrap create c "${C[@]}" --nope
refuse 4 "no bridge .nobr" vm-bootstrap create c "${C[@]}" --bridge nobr
refuse 2 "none in /boot" vm-bootstrap -q create c "${C[@]}" --no-network --boot disk
refuse 2 "expected a size" vm-bootstrap create c "${C[@]}" --no-network --disk large
refuse 4 "no guest" vm-bootstrap info nope
refuse 4 "no guest" vm-bootstrap destroy nope --yes
refuse 4 "no snapshot" vm-bootstrap rollback a nope --yes
refuse 2 "only grow" vm-bootstrap resize a --disk 32M
refuse 3 "left alone" vm-bootstrap destroy a
head -c 3000 /dev/urandom >/tmp/bad.tar.gz
refuse 7 "bad.tar.gz" vm-bootstrap -q template import /tmp/bad.tar.gz --vg "$vg"
refuse 4 "no recipe" vm-bootstrap template build nope
# shellcheck disable=SC2016 # for the inner shell
refuse 2 "bootstrap.conf:1" env --chdir=/ sh -c 'cp /etc/bulkhead/bootstrap.conf /tmp/c; echo "nope = 1" >/etc/bulkhead/bootstrap.conf; vm-bootstrap list; r=$?; cp /tmp/c /etc/bulkhead/bootstrap.conf; exit $r'
lvcreate -q -y -L 16M -n c-root "$vg" >/dev/null 2>&1
refuse 3 "not vm-bootstrap's" vm-bootstrap create c "${C[@]}" --no-network
lvremove -q -y "$vg/c-root" >/dev/null 2>&1
[ ! -e /etc/bulkhead/guests/c.cfg ] || die "c exists"

# The same name twice at once, then eight names at once.
vm-bootstrap -q create d "${C[@]}" --no-network 2>/tmp/e1 & p=$!
vm-bootstrap -q create d "${C[@]}" --no-network 2>/tmp/e2; r2=$?
wait $p; r1=$?
[ "$r1:$r2" = 0:3 ] || [ "$r1:$r2" = 3:0 ] || die "twice d: $r1 $r2 $(cat /tmp/e1 /tmp/e2)"
grep -qE "in use by|exists already" /tmp/e1 /tmp/e2 || die "no reason for the second d"
ok vm-bootstrap -q destroy d --yes
pids=
for i in 1 2 3 4 5 6 7 8; do
	vm-bootstrap -q create "e$i" "${C[@]}" --no-network 2>"/tmp/e$i" & pids="$pids $!"
done
for p in $pids; do wait "$p" || die "one of eight: $(cat /tmp/e?)"; done
[ "$(blkid -p -o value -s UUID /dev/"$vg"/e?-root | sort -u | wc -l)" = 8 ] || die "UUIDs of eight"
ok vm-bootstrap -q destroy e1 e2 e3 e4 e5 e6 e7 e8 --yes

# Snapshot, change, roll back; resize; clone; export and import.
ok vm-bootstrap -q snapshot b before
unshare -m sh -c "mount /dev/$vg/b-root /mnt && echo changed >/mnt/new"
ok vm-bootstrap -q rollback b before --yes
inside b-root '! test -e new' || die "rollback kept the change"
ok vm-bootstrap snapshots b
grep -q before /tmp/out || die "the snapshot is gone after the rollback"
ok vm-bootstrap -q resize b --disk 96M
inside b-root 'df -k . | tail -1' | awk '{exit !($2 > 80000)}' || die "b was not grown"
ok vm-bootstrap -q rollback b before --yes
inside b-root 'df -k . | tail -1' | awk '{exit !($2 > 80000)}' || die "b was not grown again after the rollback"
# The configuration is the administrator's to edit, and what they wrote counts.
sed -i 's/^memory = .*/memory = 96/; s/^on_crash.*/on_crash = "preserve"/' /etc/bulkhead/guests/b.cfg
vm-bootstrap -q clone b bb 2>/tmp/e1 & p=$!
ok vm-bootstrap -q clone b b2
wait $p || die "one of two clones at once: $(cat /tmp/e1)"
grep -q '^memory = 96$' /etc/bulkhead/guests/b2.cfg || die "memory of the clone"
grep -q '^on_crash = "preserve"$' /etc/bulkhead/guests/b2.cfg || die "on_crash of the clone"
[ "$(uuid b-root)" != "$(uuid b2-root)" ] || die "clone has the same UUID"
[ "$(inside b2-root 'cat etc/hostname')" = b2 ] || die "hostname of the clone"
# An import onto what another guest has left, of a disk with zeros in use.
unshare -m sh -c "mount /dev/$vg/b-root /mnt && { cat /bin/bash; head -c 5000000 /dev/zero; cat /bin/bash; } >/mnt/zeros"
sum=$(inside b-root 'sha256sum zeros')
leave_secrets
refuse 2 "is a directory" vm-bootstrap -q export b /tmp
ok vm-bootstrap -q export b /tmp/b.tar.zst
refuse 3 "exists already" vm-bootstrap -q export b /tmp/b.tar.zst
ok vm-bootstrap -q import /tmp/b.tar.zst b3 --vg "$vg"
[ "$(inside b3-root 'cat etc/hostname')" = b3 ] || die "hostname of the import"
[ "$(inside b3-root 'sha256sum zeros')" = "$sum" ] || die "the import's file is not what was exported"
no_secrets b3-root
leave_secrets
ok vm-bootstrap -q create b5 "${C[@]}" --no-network --disk 160M --swap 32M
ok vm-bootstrap -q clone b5 b6
no_secrets b5-root b5-swap b6-root b6-swap
leave_secrets
ok vm-bootstrap -q resize b6 --disk 256M
no_secrets b6-root
[ "$(inside b6-root 'df -m --output=size . | tail -n 1')" -gt 200 ] || die "b6 did not grow"
ok vm-bootstrap -q destroy b5 b6 --yes
head -c 20000 /tmp/b.tar.zst >/tmp/cut.tar.zst
refuse 7 "cut.tar.zst" vm-bootstrap -q import /tmp/cut.tar.zst b4 --vg "$vg"

# An import is a guest of its own, or with --keep-identity the same one again.
unshare -m sh -c "mount /dev/$vg/a-root /mnt && echo mine >/mnt/etc/hostname"
was=$(uuid a-root)
ok vm-bootstrap -q export a /tmp/a.tar.zst
ok vm-bootstrap -q import /tmp/a.tar.zst a2 --vg "$vg"
inside a2-root '! grep 10.9.0.2 etc/bulkhead-net' || die "a2 took the address of a"
refuse 3 "belongs to another guest" vm-bootstrap -q import /tmp/a.tar.zst a3 --vg "$vg" --keep-identity
ok vm-bootstrap -q destroy a --yes
ok vm-bootstrap -q import /tmp/a.tar.zst --vg "$vg" --keep-identity
[ "$(inside a-root 'cat etc/hostname')" = mine ] || die "a has lost its identity"
[ "$(uuid a-root)" = "$was" ] || die "a has lost its UUID"
inside a-root "grep -q 'UUID=$(uuid a-swap) none swap' etc/fstab" || die "fstab of a after the import"
grep -q "$mac" /etc/bulkhead/guests/a.cfg || die "a has lost its MAC"

# What is not vm-bootstrap's stays: another's snapshot in a plain volume, and
# volumes of another host's guest of the same name. Nothing is half removed.
refuse 4 "no guest" vm-bootstrap snapshots nope
refuse 3 "is in use" unshare -m sh -c "mount /dev/$vg/b2-root /mnt && vm-bootstrap -q destroy b2 --yes"
if [ "$vg" = plain ]; then
	other=thin
	ok lvcreate -q -y -s -L 8M -n mine plain/b2-root
	refuse 3 "snapshot, mine, that is not" vm-bootstrap -q destroy b2 --yes
	ok lvremove -q -y plain/mine
	ok lvcreate -q -y -s -L 8M --addtag bulkhead.guest=b2 --addtag bulkhead.role=snapshot -n b2-root+full plain/b2-root
	dd if=/dev/urandom of=/dev/plain/b2-root bs=1M count=16 seek=40 conv=fsync status=none
	ok vm-bootstrap snapshots b2
	grep -q "full .* lost" /tmp/out || die "no word of the lost snapshot: $(cat /tmp/out)"
	refuse 5 "ran out of room" vm-bootstrap -q rollback b2 full --yes
	ok vm-bootstrap -q snapshot --delete b2 full
else
	other=plain
fi
ok lvcreate -q -y -L 4M --addtag bulkhead.guest=b2 --addtag bulkhead.role=root -n b2-root "$other"
mkdir -p /var/lib/bulkhead/guests/b2/boot
ok vm-bootstrap -q destroy b2 --yes
lvs "$other/b2-root" >/dev/null 2>&1 || die "another host's volume is gone"
ok lvremove -q -y "$other/b2-root"
[ ! -e /var/lib/bulkhead/guests/b2 ] || die "the kernels of b2 are kept"

# Template: second version, export, import of what was exported, removal.
ok vm-bootstrap -q template build tiny --vg "$vg"
ok vm-bootstrap -q create v2 "${C[@]}" --bridge br0 --network none
grep -q 'tiny@2' /etc/bulkhead/guests/v2.cfg || die "not from the new version"
# Whose network is its administrator's is left alone, in a clone too.
ok vm-bootstrap -q clone v2 v3
for g in v2 v3; do inside $g-root '! test -e etc/bulkhead-net' || die "the network of $g"; done
ok vm-bootstrap -q template export tiny /tmp/t.tar.gz
ok vm-bootstrap -q template import /tmp/t.tar.gz --name again --vg "$vg"
inside template+again+1 "test -d dev && test -d proc && test -d sys" || die "an imported root without /dev"
ok vm-bootstrap -q create w --template again --vg "$vg" --no-network
ok vm-bootstrap -q template remove tiny@1
inside a-root 'test -x bin/busybox' || die "a lost its disk with the template"

# xen-create-image's spellings; --dist is a suite, of a template made on the way.
printf '%s\n' 'name = suited' 'builder = tiny' 'suite = tinysuite' 'build-size = 32M' 'network = tiny' \
	'kernel-args = init=/sbin/init' >/etc/bulkhead/templates/suited.recipe
ok vm-bootstrap -q --hostname=x1 --dist=tinysuite --lvm="$vg" --size=64M --swap=16M --memory=64M --vcpus=2 --ip=10.9.0.9 --netmask=255.255.255.0 --gateway=10.9.0.1 --bridge=br0
grep -q '^vcpus = 2' /etc/bulkhead/guests/x1.cfg || die "xen-create-image options"
grep -q 'from suited@1' /etc/bulkhead/guests/x1.cfg || die "--dist of a suite"
rm /etc/bulkhead/templates/suited.recipe
ok vm-bootstrap -q create x2 "${C[@]}" --no-network --dry-run --json
python3 -c 'import json; assert json.load(open("/tmp/out"))["name"] == "x2"' || die "--dry-run --json"
ok vm-bootstrap -q create x1 "${C[@]}" --force --no-network --dry-run
ok vm-bootstrap -q snapshot x1 s
was=$(uuid x1-root)
printf '#!/bin/sh\nexit 1\n' >/etc/bulkhead/roles.d/fails
chmod 755 /etc/bulkhead/roles.d/fails
refuse 1 "role .*fails failed" vm-bootstrap -q create x1 "${C[@]}" --force --no-network --role fails
[ "$(uuid x1-root)" = "$was" ] || die "x1 is gone with what was to replace it"
ok vm-bootstrap -q create x1 "${C[@]}" --force --no-network
[ "$(uuid x1-root)" != "$was" ] || die "x1 was not replaced"
ok lvs --noheadings -o lv_name "$vg"
[ "$(grep -c x1 /tmp/out)" = 1 ] || die "more than its disk of the new x1: $(cat /tmp/out)"
rm /etc/bulkhead/roles.d/fails

ok vm-bootstrap -q destroy a a2 b bb b3 v2 v3 w x1 --yes
ok vm-bootstrap -q template remove tiny
ok vm-bootstrap -q template remove again
ok vm-bootstrap -q template remove suited
# (The initrd made for a host's kernel serves all guests and stays.)
left=$(lvs --noheadings -o lv_name,lv_tags "$vg" | grep bulkhead; find /etc/bulkhead/guests /var/lib/bulkhead/bootstrap -type f ! -path "*/initrd/*"; grep /run/bulkhead /proc/mounts)
[ -z "$left" ] || die "left at the end: $left"
echo "life on $vg: all as expected"
