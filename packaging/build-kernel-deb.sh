#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes Debian packages of a kernel that kernel/build.sh has built: the image,
# its headers where it has modules, and metapackages that follow the newest.
# usage: packaging/build-kernel-deb.sh domu|domu-ci|dom0 [OUTPUT-DIR]
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
flavour=${1:?usage: build-kernel-deb.sh domu|domu-ci|dom0 [OUTPUT-DIR]}
tree=${O:-$top/build}/kernel/$flavour
[[ -f $tree/release && -d $tree/install ]] || {
	echo "build-kernel-deb.sh: no kernel in $tree; make kernel-${flavour/domu-ci/ci} first" >&2
	exit 1
}
out=$(mkdir -p "${2:-$top/build/deb}" && cd "${2:-$top/build/deb}" && pwd)
release=$(<"$tree/release")
version=${release%-bulkhead-*}
kind=${flavour%-ci}
# shellcheck source=/dev/null
. "$top/kernel/about-$kind"

work=$(mktemp -d "$tree/deb.XXXXXX") # beside the tree: files are linked, not copied
trap 'rm -rf "$work"' EXIT
src=$work/src
mkdir -p "$src/debian/source"
cp -al "$tree/install" "$src/image"
echo "$release" >"$src/release"
fill() {
	sed -e "s|@RELEASE@|$release|g" -e "s|@FLAVOUR@|$flavour|g" \
		-e "s|@UPSTREAM@|${version%%-*}|g" -e "s|@WHAT@|$WHAT|g" \
		-e "s|@ABOUT@|$ABOUT|g" "$1"
}
d=$top/kernel/debian
fill "$d/control.in" >"$src/debian/control"
if [[ -d $tree/headers ]]; then
	cp -al "$tree/headers" "$src/headers"
	fill "$d/headers.in" >>"$src/debian/control"
fi
for s in prerm postinst postrm; do
	fill "$d/$kind.$s.in" >"$src/debian/linux-image-$release.$s"
done
cp "$d/rules" "$d/copyright" "$src/debian/"
echo "3.0 (native)" >"$src/debian/source/format"
echo "$DEB_DEPENDS" >"$src/depends"
if [[ $kind == domu ]]; then
	# Guests may still use an old one: nothing removes it by itself.
	mkdir -p "$src/image/etc/apt/apt.conf.d"
	echo "APT::NeverAutoRemove { \"^linux-image-${release//./\\\\.}\$\"; };" \
		>"$src/image/etc/apt/apt.conf.d/60keep-$release"
fi
date=$(git -C "$top" log -1 --format=%cD 2>/dev/null || date -R -d @0)
cat >"$src/debian/changelog" <<-EOF
	bulkhead-kernel-$flavour ($version) stable; urgency=medium

	  * Linux $version; the changes are in the git history.

	 -- Bulkhead maintainers <maintainers@bulkhead.invalid>  $date
EOF
SOURCE_DATE_EPOCH=$(date -d "$date" +%s)
export SOURCE_DATE_EPOCH
(cd "$src" && dpkg-buildpackage -b -us -uc -d) >"$work/log" 2>&1 || {
	tail -n 40 "$work/log" >&2
	echo "build-kernel-deb.sh: dpkg-buildpackage failed" >&2
	exit 1
}
cp "$work"/*.deb "$out/"
(cd "$out" && ls -1 ./linux-*"$flavour"_"$version"_*.deb)
