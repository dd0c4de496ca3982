#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds one kernel flavour from the distribution's source tarball: unpack,
# patch, merge configuration and check it, compile, install into trees that the
# .deb and .rpm packages copy (packaging/build-kernel-*.sh). See docs/kernel.md.
set -euo pipefail
shopt -s nullglob

usage() {
	cat <<-EOF
	usage: kernel/build.sh [--ci] [--source TARBALL] [--out DIR] FLAVOUR STEP
	  FLAVOUR  domu | dom0
	  STEP     prepare  unpack and patch the source
	           config   prepare, then merge and check the configuration
	           menu     config, then menuconfig; writes the difference back
	           objects  config, then compile only what the patches touch
	           build    config, then compile and install into OUT/install
	                    and, for a kernel with modules, OUT/headers
	  --ci     the small cut of domu without modules
	EOF
}

here=$(cd "$(dirname "$0")" && pwd)
ci=0 source="" out=""
while [[ ${1:-} == --* ]]; do
	case $1 in
	--ci) ci=1 ;;
	--source) source=$2; shift ;;
	--out) out=$2; shift ;;
	--help) usage; exit 0 ;;
	*) echo "build.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
	esac
	shift
done
[[ $# == 2 ]] || { usage >&2; exit 2; }
flavour=$1 step=$2
case $flavour in domu | dom0) ;; *)
	echo "build.sh: no flavour '$flavour': domu or dom0" >&2; exit 2 ;;
esac
[[ $ci == 0 || $flavour == domu ]] || {
	echo "build.sh: --ci is a cut of domu only" >&2; exit 2; }

# Newest linux-source-X.Y.tar.xz of the distribution, unless one is named.
if [[ -z $source ]]; then
	source=$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.xz' |
		sort -V | tail -n 1)
fi
[[ -f $source ]] || {
	echo "build.sh: no kernel source: install linux-source-6.1, or give --source" >&2
	exit 1
}
name=$flavour
[[ $ci == 0 ]] || name=domu-ci
# What the source package adds to the upstream version, then our own revision
# (raise kernel/revision whenever a fragment or patch changes): 6.1.192-2.1.
owner=$(dpkg-query -S "$source" 2>/dev/null | cut -d: -f1 || true)
rev=$(dpkg-query -W -f '${Version}' "${owner:-none}" 2>/dev/null || echo -0)
rev=${rev##*-}
rev=-${rev%%[~+]*}.$(<"$here/revision")
out=${out:-${O:-$here/../build}/kernel/$name}
mkdir -p "$out"
out=$(cd "$out" && pwd)
src=$out/source
exec 9>"$out/lock" # a second build of the same tree waits for the first
flock 9
say() { echo "kernel $name: $*" >&2; }

# Unpacked afresh whenever tarball or patches change.
prepare() {
	local stamp
	stamp=$(stat -c '%n %s %Y' "$source"; # headers of patches do not count
		{ cat "$here/patches/series"; sed -s -n '/^--- a/,$p' "$here"/patches/*.patch; } | sha256sum)
	[[ -f $out/.prepared && $(<"$out/.prepared") == "$stamp" ]] && return
	say "unpacking $(basename "$source")"
	rm -rf "$src" "$out/.prepared"
	mkdir -p "$src"
	tar -C "$src" --strip-components=1 -xf "$source"
	while read -r p; do
		[[ -n $p && $p != \#* ]] || continue
		say "patch $p"
		patch -d "$src" -p1 --no-backup-if-mismatch -s -F0 \
			<"$here/patches/$p"
	done <"$here/patches/series"
	echo "$stamp" >"$out/.prepared"
}

fragments() {
	echo "$here/common.config"
	echo "$here/$flavour.config"
	if [[ $flavour == domu && $ci == 0 ]]; then
		echo "$here/domu-modules.config"
	elif [[ $ci == 1 ]]; then
		echo "$here/ci.config"
	fi
}

kmake() {
	local cc=gcc
	if command -v ccache >/dev/null; then
		cc="ccache gcc"
		export CCACHE_BASEDIR=$out
		export CCACHE_DIR=${CCACHE_DIR:-${BULKHEAD_CACHE:-/var/cache/bulkhead}/ccache}
		mkdir -p "$CCACHE_DIR" 2>/dev/null || export CCACHE_DISABLE=1
	fi
	# Fixed identity: the same source gives the same kernel.
	make --no-print-directory -C "$src" O="$out/obj" CC="$cc" LOCALVERSION="$rev-bulkhead-$name" \
		KBUILD_BUILD_USER=bulkhead KBUILD_BUILD_HOST=build \
		KBUILD_BUILD_TIMESTAMP="$(date -u -d @"${SOURCE_DATE_EPOCH:-0}")" \
		"$@"
}

# Every line of the fragments must be in the result: a symbol that was renamed
# or lost a dependency shows here, not on a guest that does not boot.
check_config() {
	local lost=0 line want
	declare -A last=()
	# A later fragment overrides an earlier one, so only last words count.
	while read -r line; do
		case $line in
		"# CONFIG_"*" is not set") want=${line#\# } last[${want%% *}]=$line ;;
		CONFIG_*=*) last[${line%%=*}]=$line ;;
		esac
	done < <(fragments | xargs cat)
	for want in "${!last[@]}"; do
		line=${last[$want]}
		case $line in
		"#"*) ! grep -q "^$want=" "$out/obj/.config" ;;
		*) grep -qxF "$line" "$out/obj/.config" ;;
		esac && continue
		echo "kernel $name: asked for '$line', got" \
			"'$(grep -E "^(# )?${want}[= ]" "$out/obj/.config" || echo nothing)'" >&2
		lost=1
	done
	[[ $lost == 0 ]] || {
		echo "kernel $name: configuration did not survive; mend kernel/*.config" >&2
		exit 1
	}
}

config() {
	prepare
	mkdir -p "$out/obj"
	kmake -s allnoconfig
	# shellcheck disable=SC2046
	(cd "$out/obj" && "$src/scripts/kconfig/merge_config.sh" -m .config \
		$(fragments) >/dev/null)
	kmake -s olddefconfig
	check_config
}

menu() {
	config
	cp "$out/obj/.config" "$out/before.config"
	kmake menuconfig
	{ "$src/scripts/diffconfig" -m "$out/before.config" "$out/obj/.config"; } \
		>"$out/changed.config"
	if [[ -s $out/changed.config ]]; then
		cat "$out/changed.config" >>"$here/$flavour.config"
		say "added to kernel/$flavour.config:"
		cat "$out/changed.config"
	fi
}

# The sources the patches change, as objects: what CI can afford of a flavour.
objects() {
	config
	local objs
	mapfile -t objs < <(sed -n 's,^+++ b/\(.*\)\.c$,\1.o,p' "$here"/patches/*.patch | sort -u)
	say "building ${#objs[@]} patched objects"
	kmake -s -j"${JOBS:-$(nproc)}" prepare
	kmake -s -j"${JOBS:-$(nproc)}" "${objs[@]}"
}

build() {
	config
	local jobs release inst=$out/install boot
	jobs=${JOBS:-$(nproc)}
	release=$(kmake -s kernelrelease | tail -n 1)
	say "building $release with $jobs jobs"
	kmake -s -j"$jobs" bzImage
	if grep -q '^CONFIG_MODULES=y' "$out/obj/.config"; then
		kmake -s -j"$jobs" modules
	fi
	rm -rf "$inst" "$out/headers"
	# A domU kernel is nothing the host could boot, so it stays out of /boot,
	# where GRUB would offer it; vm-bootstrap's boot mode `host` looks here.
	boot=$inst/boot
	[[ $flavour == dom0 ]] || boot=$inst/usr/lib/bulkhead/kernels/$release
	mkdir -p "$boot"
	install_boot() { install -m 644 "$1" "$boot/$2$([[ $flavour == domu ]] || echo "-$release")"; }
	install_boot "$out/obj/arch/x86/boot/bzImage" vmlinuz
	install_boot "$out/obj/.config" config
	install_boot "$out/obj/System.map" System.map
	if grep -q '^CONFIG_MODULES=y' "$out/obj/.config"; then
		kmake -s INSTALL_MOD_PATH="$inst" INSTALL_MOD_STRIP=1 modules_install
		rm -f "$inst/lib/modules/$release/"{build,source}
		"$here/headers.sh" "$src" "$out/obj" "$out/headers" "$release"
	fi
	echo "$release" >"$out/release"
	say "done: $(du -sh "$inst" | cut -f1) in $inst"
}

case $step in
prepare | config | menu | objects | build) "$step" ;;
*) usage >&2; exit 2 ;;
esac
