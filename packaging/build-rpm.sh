#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the RPM packages into an output directory; on Debian too (rpm/macros
# stands in for what Fedora defines). usage: build-rpm.sh [OUTPUT-DIR [VERSION]]
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
out=$(mkdir -p "${1:-$top/build/rpm}" && cd "${1:-$top/build/rpm}" && pwd)
version=${2:-$(cat "$top/VERSION" 2>/dev/null ||
	git -C "$top" describe --tags --match 'v*' 2>/dev/null | sed 's/^v//' || true)}
version=${version:-0.1}
version=${version//-/.}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{BUILD,RPMS,SOURCES,SPECS,SRPMS} "$work/bulkhead-$version"
(cd "$top" && git ls-files -z --cached --others --exclude-standard |
	xargs -0 tar cf - --ignore-failed-read 2>/dev/null) | tar xf - -C "$work/bulkhead-$version"
echo "$version" >"$work/bulkhead-$version/VERSION"
tar -C "$work" -czf "$work/SOURCES/bulkhead-$version.tar.gz" "bulkhead-$version"
{ cat "$top/rpm/macros"; echo "%_topdir $work"; } >"$work/.rpmmacros"
HOME=$work rpmbuild --nodeps -bb --define "bh_version $version" \
	"$top/rpm/bulkhead.spec" >"$work/log" 2>&1 || {
	tail -n 40 "$work/log" >&2
	echo "build-rpm.sh: rpmbuild failed" >&2
	exit 1
}
find "$work/RPMS" -name '*.rpm' -exec cp {} "$out/" \;
(cd "$out" && ls -1 ./*"-${version}-"*.rpm)
