#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# options.sh VG: templates from every kind of file, made here of the tiny root,
# and what create can be told beside the usual. The guests are looked at, not
# run. qemu-img is a stand-in that hands out the raw disk: ours is what comes
# before and after it. Runs in the test machine.
set -u
vg=$1
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/expect.sh"
w=/tmp/options
state=/var/lib/bulkhead/bootstrap

import() { ok vm-bootstrap -q template import "$@" --vg "$vg"; }
create() { # NAME TEMPLATE OPTIONS
	local name=$1 template=$2
	shift 2
	ok vm-bootstrap -q create "$name" --template "$template" --vg "$vg" "$@"
}

rm -rf $w
mkdir -p $w/root /etc/bulkhead/roles.d
ok vm-bootstrap -q template build tiny --vg "$vg"
ok vm-bootstrap -q template export tiny $w/tiny.tar
[ "$(stat -c %a $w/tiny.tar)" = 600 ] || die "others can read an exported template"

# A container image, as docker saves it and as OCI lays it out: the second layer
# takes a file of the first away.
python3 - $w <<'P' || die "making images"
import gzip, hashlib, io, json, sys, tarfile
w = sys.argv[1]
def tar(files, base=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        if base:
            with tarfile.open(base) as b:
                for m in b:
                    t.addfile(m, b.extractfile(m) if m.isreg() else None)
        for name, data in files.items():
            i = tarfile.TarInfo(name)
            i.size = len(data)
            t.addfile(i, io.BytesIO(data))
    return out.getvalue()
one = tar({"etc/gone": b"1", "etc/stays": b"1"}, w + "/tiny.tar")
two = tar({"etc/.wh.gone": b"", "etc/stays": b"2"})
blobs = {}
def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    blobs["blobs/sha256/" + digest] = data
    return {"digest": "sha256:" + digest, "size": len(data)}
layers = [blob(gzip.compress(one)), blob(two)]
manifest = blob(json.dumps({"schemaVersion": 2, "config": blob(b"{}"), "layers": layers}).encode())
with open(w + "/oci.tar", "wb") as f:
    f.write(tar({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
                 "index.json": json.dumps({"manifests": [manifest]}).encode(), **blobs}))
with open(w + "/docker.tar", "wb") as f:
    f.write(tar({"a/layer.tar": one, "b/layer.tar": two,
                 "manifest.json": b'[{"Layers":["a/layer.tar","b/layer.tar"]}]'}))
P
for kind in oci docker; do
	import $w/$kind.tar --name $kind
	[ "$(inside template+$kind+1 'cat etc/stays; ls etc | grep -c gone; ls -d .import 2>/dev/null')" = 20 ] ||
		die "layers of $kind: $(inside template+$kind+1 'cat etc/stays; ls -a . etc')"
done

# A disk image with a partition table, a menu that names its root by partition,
# networkd, cloud-init, and accounts.
tar -C $w/root -xf $w/tiny.tar
(
	cd $w/root || exit 1
	# busybox's ifup would pass for ifupdown.
	rm -f etc/bulkhead-tiny sbin/ifup usr/sbin/ifup bin/ifup usr/bin/ifup
	mkdir -p boot/grub usr/lib/systemd etc/systemd/network etc/cloud root
	echo ID=test >etc/os-release
	echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
	echo 'root:*:19000:0:99999:7:::' >etc/shadow
	echo 'root:x:0:' >etc/group
	: >etc/cloud/cloud.cfg
	: >usr/lib/systemd/systemd-networkd
	printf "set root='hd0,msdos1'\nmenuentry 'x' {\n\tlinux /boot/vmlinuz root=PARTUUID=0-1 ro quiet\n}\n" >boot/grub/grub.cfg
) || die "making the disk's root"
truncate -s 49M $w/disk.raw
ok mke2fs -q -t ext4 -d $w/root -E offset=1048576 $w/disk.raw 48M
python3 -c 'import struct, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(446)
    f.write(struct.pack("<8BII", 0x80, 0, 0, 0, 0x83, 0, 0, 0, 2048, 98304))
    f.seek(510)
    f.write(b"\x55\xaa")' $w/disk.raw || die "a partition table"
import $w/disk.raw --name disk

# Everything create can be told, in one guest.
printf 'secret\n' >$w/password
printf '#cloud-config\n# mine\n' >$w/user-data
# shellcheck disable=SC2016 # for the script
printf '#!/bin/sh\necho "ran in $(cat /etc/hostname)" >/root/ran\n' >$w/run.sh
# shellcheck disable=SC2016 # for the role
printf '#!/bin/sh\necho "role" >"$1/root/role"\n' >/etc/bulkhead/roles.d/mark
chmod 755 $w/run.sh /etc/bulkhead/roles.d/mark
create f disk --run $w/run.sh --role mark --password-file $w/password --user-data $w/user-data \
	--bridge br0 --ip 10.9.0.7/24 --nic bridge=br0,vlan=7,ip=10.9.7.2/24
[ "$(inside f-root 'cat root/ran root/role')" = "ran in f
role" ] || die "--run and --role: $(inside f-root 'ls root')"
# shellcheck disable=SC2016 # a regular expression
inside f-root 'grep -q "^root:[$]6[$]" etc/shadow' || die "--password-file"
inside f-root 'grep -q mine var/lib/cloud/seed/nocloud/user-data && grep -q "local-hostname: f" var/lib/cloud/seed/nocloud/meta-data' ||
	die "--user-data"
inside f-root 'cd etc/systemd/network && grep -qx Id=7 *.netdev && grep -qx Address=10.9.7.2/24 *.network && grep -qx Address=10.9.0.7/24 *.network' ||
	die "--nic with a VLAN: $(inside f-root 'tail -n 99 etc/systemd/network/*')"
id=$(blkid -p -o value -s UUID "/dev/$vg/f-root")
inside f-root "grep -q 'root=UUID=$id ro quiet' boot/grub/grub.cfg && grep -q \"set root='hd0,msdos1'\" boot/grub/grub.cfg" ||
	die "the menu of a disk image: $(inside f-root 'cat boot/grub/grub.cfg')"

ok vm-bootstrap -q snapshot f one
ok vm-bootstrap -q snapshot f two
ok vm-bootstrap -q snapshot --delete f one
ok vm-bootstrap snapshots f
grep -q two /tmp/out || die "snapshot --delete: $(cat /tmp/out)"
[ "$(lvs --noheadings -o lv_name "$vg" | grep -c 'f-root+')" = 1 ] || die "volumes: $(lvs "$vg")"
refuse 2 "cloud-init" vm-bootstrap -q create n --template tiny --vg "$vg" --no-network --user-data $w/user-data

# qcow2: unpacked beside the state, for root alone, and gone afterwards, also
# when the import is killed meanwhile.
printf 'QFI\373\0\0\0\3' >$w/disk.qcow2
head -c 104 /dev/zero >>$w/disk.qcow2
q=/usr/local/bin/qemu-img
[ ! -e $q ] || die "there is a qemu-img"
refuse 4 "install qemu-utils" vm-bootstrap -q template import $w/disk.qcow2 --name packed --vg "$vg"
# shellcheck disable=SC2016 # for the stand-in
printf '#!/bin/sh\ncat %s/disk.raw >"$7"\nstat -c %%a "$7" >%s/mode\n[ ! -e %s/slow ] || exec sleep 100\n' $w $w $w >$q
chmod 755 $q
import $w/disk.qcow2 --name packed
[ "$(cat $w/mode)" = 600 ] || die "others can read the unpacked image"
inside template+packed+1 'test -e usr/lib/systemd/systemd-networkd' || die "files of the qcow2 image"
[ -z "$(find $state -name 'import.*')" ] || die "left: $(find $state -name 'import.*')"
touch $w/slow
rm $w/mode
vm-bootstrap -q template import $w/disk.qcow2 --name killed --vg "$vg" 2>/dev/null & p=$!
for _ in $(seq 300); do [ ! -s $w/mode ] || break; sleep 0.2; done
[ -n "$(find $state -name 'import.*')" ] || die "no unpacked image"
kill -9 $p
wait $p 2>/dev/null
ok vm-bootstrap recover
[ -z "$(find $state -name 'import.*')" ] || die "left when killed: $(find $state -name 'import.*')"

ok vm-bootstrap -q destroy f --yes
for t in tiny oci docker disk packed; do ok vm-bootstrap -q template remove $t; done
rm -rf $w $q /etc/bulkhead/roles.d/mark
left=$(lvs --noheadings -o lv_name,lv_tags "$vg" | grep bulkhead; find /etc/bulkhead/guests $state -type f ! -path "*/initrd/*"; grep /run/bulkhead /proc/mounts)
[ -z "$left" ] || die "left at the end: $left"
echo "options on $vg: all as expected, in $SECONDS s"
