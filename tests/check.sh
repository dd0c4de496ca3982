#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every test of the project: builds it, then runs the four rings (check.py does
# the work; --help lists the options). The last line is the result.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
case " $* " in
*" --list "* | *" --help "* | *" -h "*) ;;
*) "$top/tests/deps.sh" ;;
esac
exec python3 "$top/tests/check.py" "$@"
