#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The files modules of others are built against, out of a built kernel, as
# DEST/usr/src/linux-headers-RELEASE with the link from /lib/modules.
# usage: kernel/headers.sh SOURCE OBJECTS DEST RELEASE
set -euo pipefail

src=$1 obj=$2 dest=$3 release=$4
dir=$dest/usr/src/linux-headers-$release
rm -rf "$dest"
mkdir -p "$dir" "$dest/lib/modules/$release"
{
	cd "$src"
	find . arch/x86 -maxdepth 1 -name 'Makefile*'
	find . -name 'Kconfig*' -not -path './arch/*' -not -path './Documentation/*'
	find arch/x86 -name 'Kconfig*' -o -name 'Makefile*' -o -name Kbuild
	find include arch/x86/include -type f
	find scripts tools/objtool -name '*.sh' -o -name '*.pl' -o -name 'Makefile*' \
		-o -name 'Kbuild*' -o -name '*.lds' -o -name '*.h' -o -name '*.py'
	find scripts/subarch.include scripts/pahole-version.sh scripts/ld-version.sh \
		scripts/mkcompile_h scripts/depmod.sh -type f
} | sort -u | tar -C "$src" -cf - -T - | tar -C "$dir" -xf -
{
	cd "$obj"
	find arch/x86/include include -type f -not -name '*.cmd'
	find scripts tools/objtool -type f -perm -u+x -not -name '*.so'
	echo .config
	[[ ! -f scripts/module.lds ]] || echo scripts/module.lds
	[[ ! -f Module.symvers ]] || echo Module.symvers
} | tar -C "$obj" -cf - -T - | tar -C "$dir" -xf -
find "$dir" -name .gitignore -delete
find "$dir/scripts" "$dir/tools" -type f -perm -u+x -exec sh -c \
	'for f; do case $(head -c 4 "$f" | tail -c 3) in ELF) strip "$f" ;; esac; done' sh {} +
ln -s "/usr/src/linux-headers-$release" "$dest/lib/modules/$release/build"
