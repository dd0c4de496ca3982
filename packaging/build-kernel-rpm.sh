#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes RPM packages of a kernel that kernel/build.sh has built, the same split
# as build-kernel-deb.sh. usage: build-kernel-rpm.sh domu|domu-ci|dom0 [OUTPUT-DIR]
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
flavour=${1:?usage: build-kernel-rpm.sh domu|domu-ci|dom0 [OUTPUT-DIR]}
tree=$(cd "${O:-$top/build}" && pwd)/kernel/$flavour
[[ -f $tree/release && -d $tree/install ]] || {
	echo "build-kernel-rpm.sh: no kernel in $tree; make kernel-${flavour/domu-ci/ci} first" >&2
	exit 1
}
out=$(mkdir -p "${2:-$top/build/rpm}" && cd "${2:-$top/build/rpm}" && pwd)
release=$(<"$tree/release")
version=${release%-bulkhead-*}
kind=${flavour%-ci}
# shellcheck source=/dev/null
. "$top/kernel/about-$kind"

work=$(mktemp -d "$tree/rpm.XXXXXX") # beside the tree: files are linked, not copied
trap 'rm -rf "$work"' EXIT
{ cat "$top/rpm/macros"; echo "%_topdir $work"; } >"$work/.rpmmacros"
HOME=$work rpmbuild --nodeps -bb \
	--define "kernel_tree $tree" --define "kernel_release $release" \
	--define "kernel_version ${version%%-*}" --define "kernel_revision ${version#*-}" \
	--define "flavour $flavour" --define "kind $kind" \
	--define "what $WHAT" --define "about $ABOUT" \
	--define "has_headers $([[ -d $tree/headers ]] && echo 1 || echo 0)" \
	"$top/rpm/kernel.spec" >"$work/log" 2>&1 || {
	tail -n 40 "$work/log" >&2
	echo "build-kernel-rpm.sh: rpmbuild failed" >&2
	exit 1
}
find "$work/RPMS" -name '*.rpm' -exec cp {} "$out/" \;
(cd "$out" && ls -1 ./linux-*"$flavour"-"${version}".*.rpm)
