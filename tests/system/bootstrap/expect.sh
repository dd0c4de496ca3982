# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154
#
# Sourced by the scripts beside it, which set vg: what a command does is looked
# at, and the first thing that is not as expected is printed and ends the test.
export LC_ALL=C

die() { echo "FAILED: $*"; exit 1; }
ok() { "$@" </dev/null >/tmp/out 2>/tmp/err || die "$* : exit $? : $(cat /tmp/err)"; }
# All that a command which fails must leave as it was.
look() {
	lvs --noheadings -o lv_name
	find /etc/bulkhead /var/lib/bulkhead/bootstrap
	grep /run/bulkhead/ /proc/mounts
	losetup -a
}
# refuse CODE WORDS COMMAND: that exit code, one line with WORDS, nothing changed
refuse() {
	local code=$1 words=$2 before rc
	shift 2
	before=$(look)
	"$@" </dev/null >/tmp/out 2>/tmp/err
	rc=$?
	[ $rc = "$code" ] || die "$* : exit $rc instead of $code: $(cat /tmp/err)"
	grep -q "^vm-bootstrap: .*$words" /tmp/err || die "$* : no \"$words\" in: $(cat /tmp/err)"
	[ "$(wc -l </tmp/err)" = 1 ] || die "$* : more than one line: $(cat /tmp/err)"
	[ "$before" = "$(look)" ] || die "$* : left something behind: $(look)"
	echo "as expected: $(cat /tmp/err)"
}
inside() { # VOLUME COMMAND with the guest's root at /mnt
	unshare -m sh -c "mount -o ro,noload /dev/$vg/$1 /mnt && cd /mnt && $2"
}
