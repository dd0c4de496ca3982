#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# errors.sh VG: what goes wrong outside the command line: a full pool or group,
# no network, damaged files. One line each, the documented exit code, nothing
# left. Runs in the test machine, after life.sh's kind.
set -u
vg=$1
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/expect.sh"

C=(--template tiny --vg "$vg" --no-network)

ok vm-bootstrap -q template build tiny --vg "$vg"
ok vm-bootstrap -q create a "${C[@]}"

# No network, no such mirror, damaged archives.
refuse 7 "mmdebstrap failed.*127.0.0.1:9" vm-bootstrap -q template build debian-12 --vg "$vg" --mirror http://127.0.0.1:9/debian
ok tar -C / -czf /tmp/cut.tgz usr/share/zoneinfo
truncate -s -5000 /tmp/cut.tgz
refuse 7 "cut.tgz" vm-bootstrap -q template import /tmp/cut.tgz --vg "$vg"
head -c 100000 /dev/urandom >/tmp/junk.img
refuse 7 "junk.img" vm-bootstrap -q template import /tmp/junk.img --vg "$vg"
refuse 4 "no-such-file" vm-bootstrap -q template import /tmp/no-such-file.tar --vg "$vg"

# Settings that cannot be read or understood, and a guest's own records.
mv /etc/bulkhead/bootstrap.conf /tmp/conf
mkdir /etc/bulkhead/bootstrap.conf
refuse 4 "cannot read .*bootstrap.conf" vm-bootstrap -q create c "${C[@]}"
rmdir /etc/bulkhead/bootstrap.conf
echo "disk 8G" >/etc/bulkhead/bootstrap.conf
refuse 2 "bootstrap.conf:1" vm-bootstrap -q create c "${C[@]}"
mv /tmp/conf /etc/bulkhead/bootstrap.conf
cp /var/lib/bulkhead/bootstrap/guests/a.json /tmp/a.json
head -c 40 /tmp/a.json >/var/lib/bulkhead/bootstrap/guests/a.json
refuse 1 "a.json" vm-bootstrap -q resize a --disk 2G
refuse 1 "a.json" vm-bootstrap -q clone a a2
cp /tmp/a.json /var/lib/bulkhead/bootstrap/guests/a.json

# No room: a pool past its limit, a group without enough extents.
if [ "$vg" = thin ]; then
	ok lvcreate -q -y --type thin-pool -L 128M -n small thin
	ok lvcreate -q -y -V 120M --thinpool small -n filler thin
	dd if=/dev/zero of=/dev/thin/filler bs=1M count=118 conv=fsync status=none
	refuse 5 "data space is used" vm-bootstrap -q create c "${C[@]}" --pool small
	ok lvremove -q -y thin/small
	# What is to be copied counts: a template, a guest from elsewhere, a file.
	ok lvcreate -q -y --type thin-pool -L 24M -n small thin
	refuse 5 "data space is used" vm-bootstrap -q template build tiny --name t2 --vg "$vg" --pool small
	refuse 5 "data space is used" vm-bootstrap -q create c "${C[@]}" --pool small
	ok vm-bootstrap -q export a /tmp/a.tar.zst
	refuse 5 "data space is used" vm-bootstrap -q import /tmp/a.tar.zst c --vg "$vg" --pool small
	ok lvremove -q -y thin/small
else
	refuse 5 "free" vm-bootstrap -q create c "${C[@]}" --disk 500G
	refuse 5 "free" vm-bootstrap -q resize a --disk 500G
fi
ok vm-bootstrap -q create c "${C[@]}"
ok vm-bootstrap -q destroy a c --yes
echo "errors on $vg: all as expected"
