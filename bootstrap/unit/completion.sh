#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# completion.sh VM-BOOTSTRAP: the completion offers the commands and options the
# program has, no more and no fewer; each option offered is one it takes.
set -eu
bin=$1
# shellcheck source=/dev/null
. "$(dirname "$0")/../completion/vm-bootstrap"

# offers WORD...: what is offered for the last word
offers() {
	COMP_WORDS=(vm-bootstrap "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_vm_bootstrap
	printf '%s\n' "${COMPREPLY[@]}" | sort -u
}
same() { # WHAT EXPECTED OFFERED
	[ "$2" = "$3" ] || { echo "completion of $1:"; diff <(echo "$2") <(echo "$3"); exit 1; }
}

same commands "$("$bin" --help | sed -n 's/^  \([a-z]*\) .*/\1/p' | sort)" "$(offers '')"
same "create's options" "$({ "$bin" create --help | sed '/^As in xen/,$d' | grep -oE -e '--[a-z-]+'; echo --help; } | sort -u)" \
	"$(offers create --)"
same "template's commands" "build
export
import
info
list
remove" "$(offers template '')"
same "--boot" "disk
host
pvgrub" "$(offers create x --boot '')"
same "a file" "$0" "$(offers import "${0%.sh}")"
same "a file to export to" "$0" "$(offers template export x "${0%.sh}")"
lvs() { printf '  g-root\n  g-root+one\n  g-root+two\n  g-root+.copy\n'; }
same "snapshots" "one
two" "$(offers rollback g '' | grep -v -- --yes)"
same "snapshots to delete" "one
two" "$(offers snapshot --delete g '')"

# The other commands print no list of theirs; their tables have every option offered.
for cmd in create clone snapshot snapshots rollback resize destroy import list info; do
	for o in $(offers $cmd --); do
		grep -qE "\"${o#--}\"" "$(dirname "$0")"/../cmd_*.c || { echo "$cmd: no option $o"; exit 1; }
	done
done

# Asked for help, every command gives it on standard output, to anybody.
while read -r -a cmd; do
	err=$("$bin" "${cmd[@]}" --help 2>&1 >/dev/null) || err=failed
	[ -z "$err" ] || { echo "${cmd[*]} --help: $err"; exit 1; }
done < <(offers ''; offers template '' | sed 's/^/template /')
echo "completion: as the program is"
