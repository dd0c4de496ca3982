#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The whole product on this machine, from source to a guest on a hypervisor, in
# QEMU: `tests/demo.sh --help`. This file only installs what that needs.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
case " $* " in *" --help "* | *" -h "*) ;; *) "$top/tests/deps.sh" ;; esac
exec python3 "$top/tests/system/demo.py" "$@"
