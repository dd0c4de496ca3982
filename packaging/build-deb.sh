#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the Debian packages from a clean copy of the tree into an output
# directory: stamps the version (git tag, or VERSION), fills in debian/*.in, and
# runs dpkg-buildpackage. usage: packaging/build-deb.sh [OUTPUT-DIR [VERSION]]
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
out=$(mkdir -p "${1:-$top/build/deb}" && cd "${1:-$top/build/deb}" && pwd)
version=${2:-$(cat "$top/VERSION" 2>/dev/null ||
	git -C "$top" describe --tags --match 'v*' 2>/dev/null | sed 's/^v//' || true)}
version=${version:-0.1}
version=${version//-/.}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
src=$work/bulkhead-$version
mkdir "$src"
(cd "$top" && git ls-files -z --cached --others --exclude-standard |
	xargs -0 tar cf - --ignore-failed-read 2>/dev/null) | tar xf - -C "$src"
echo "$version" >"$src/VERSION"

cd "$src"
fill() { sed "s/@VERSION@/$version/g" "$1" >"$2"; }
fill debian/control.in debian/control
for f in debian/hypervisor.*.in; do
	name=${f#debian/hypervisor.}
	fill "$f" "debian/bulkhead-hypervisor-$version.${name%.in}"
done
date=$(git -C "$top" log -1 --format=%cD 2>/dev/null || date -R -d @0)
cat >debian/changelog <<-EOF
	bulkhead ($version) stable; urgency=medium

	  * Version $version; the changes are in the git history.

	 -- Bulkhead maintainers <maintainers@bulkhead.invalid>  $date
EOF
SOURCE_DATE_EPOCH=$(date -d "$date" +%s)
export SOURCE_DATE_EPOCH
# -d: tests/deps.sh installed what is needed, under names that may differ.
# V=1 shows what is going on.
dpkg-buildpackage -b -us -uc -d -j"$(nproc)" 2>&1 | if [ -n "${V:-}" ]; then tee "$work/log"; else
	cat >"$work/log"; fi || {
	tail -n 40 "$work/log" >&2
	echo "build-deb.sh: dpkg-buildpackage failed" >&2
	exit 1
}
cp "$work"/*.deb "$out/"
(cd "$out" && ls -1 ./*"_${version}_"*.deb)
