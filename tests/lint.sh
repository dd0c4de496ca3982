#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The checks that belong to no single component; the C ones (clang-format, sparse,
# cppcheck, headers alone) are each component's `make lint`. `--list` names the
# pieces; `lint.sh NAME` runs one, `lint.sh` all.
# shellcheck disable=SC2317 # the pieces are called by name
set -eu
cd "$(dirname "$0")/.."
bad=0

# Source files by git, so that generated ones do not matter; without git, by find.
files() {
	if [ -e .git ] && command -v git >/dev/null; then
		git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@"
	else
		local a=() p
		for p in "$@"; do a+=(-o -path "./${p##*/}" -o -name "${p##*/}"); done
		find . -path ./build -prune -o -type f \( "${a[@]:1}" \) -print
	fi | while IFS= read -r f; do [ -f "$f" ] && printf '%s\n' "$f"; done
}

# Scripts without a suffix count too: by their first line.
scripts() {
	files '*' | while IFS= read -r f; do
		case "$f" in *.py | *.c | *.h) continue ;; esac
		if head -c 64 "$f" | head -n 1 | grep -aqE '^#! ?/(usr/)?bin/(env )?(ba|da)?sh'; then echo "$f"; fi
	done
}

fail() { echo "$*"; bad=1; }

spdx() {
	local f
	while IFS= read -r f; do
		head -n 5 "$f" | grep -q 'SPDX-License-Identifier: ' || fail "$f: no SPDX-License-Identifier in its first lines"
	done < <(files '*.c' '*.h' '*.S' '*.py' '*.sh' '*.mk' '*.spec' '*.lds' '*.lds.S' '*.service' '*.socket' \
		'*.target' '*.slice' '*.timer' '*Makefile' '*.[1-8]' '*.[1-8].in'; scripts)
}

shell() {
	local list=()
	mapfile -t list < <(scripts)
	[ ${#list[@]} = 0 ] || shellcheck -S warning "${list[@]}" || bad=1
}

pages() {
	local list=()
	mapfile -t list < <(files '*.[1-8]')
	[ ${#list[@]} = 0 ] || mandoc -Tlint -W warning "${list[@]}" || bad=1
}

units() {
	local list=() tmp f
	mapfile -t list < <(files '*.service' '*.socket' '*.target' '*.slice' '*.timer')
	[ ${#list[@]} != 0 ] || return 0
	# Programs are not installed on the build host; what systemd would say of that is
	# not a fault of the unit. A file that uses @VAR@ is filled in first.
	tmp=$(mktemp -d)
	for f in "${list[@]}"; do
		sed -e 's:^\(Exec[A-Za-z]*=[-+!:@]*\)/[^ ]*:\1/bin/true:' -e 's:@[a-z]*dir@:/usr:g' "$f" >"$tmp/${f##*/}"
	done
	SYSTEMD_UNIT_PATH="$tmp:" systemd-analyze verify --man=no --recursive-errors=no "$tmp"/* 2>&1 |
		grep -F "$tmp" && bad=1
	rm -rf "$tmp"
}

python() {
	local list=()
	mapfile -t list < <(files '*.py'; files '*' | while IFS= read -r f; do
		head -n 1 "$f" | grep -aq '^#!.*python3' && echo "$f"; done | grep -v '\.py$')
	python3 - "${list[@]}" <<-'P' || bad=1
		import ast, sys
		for name in sys.argv[1:]:
		    with open(name, encoding="utf-8") as f:
		        ast.parse(f.read(), name)
	P
}

# No file so long that it needs a map of its own.
length() {
	local f n
	while IFS= read -r f; do
		n=$(wc -l <"$f")
		[ "$n" -le 900 ] || fail "$f: $n lines; split it"
	done < <(files '*.c' '*.h' '*.S' '*.py' '*.sh')
}

all="spdx shell pages units python length"
case "${1:-}" in
--list) echo "$all"; exit 0 ;;
"") pieces=$all ;;
*) pieces=$* ;;
esac
for p in $pieces; do
	case " $all " in *" $p "*) "$p" ;; *) echo "lint.sh: no piece $p; there are: $all"; exit 2 ;; esac
done
exit $bad
