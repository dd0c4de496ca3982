# SPDX-License-Identifier: GPL-2.0-or-later
"""compile_commands.json for editors and clang tools, from what make would do.

make compile_commands.json runs it: `make -Bn` of each component prints every
compiler call without running any.
"""
import json
import os
import shlex
import subprocess
import sys

out, top, *components = sys.argv[1:]
found = []
for c in components:
    r = subprocess.run(["make", "--no-print-directory", "-BnC", f"{top}/{c}", "all", "V=1"],
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    for line in r.stdout.replace("\\\n", " ").splitlines():
        if " -c " not in line:
            continue
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        for w in words:
            if w.endswith((".c", ".S")) and not w.startswith("-"):
                found.append({"directory": f"{top}/{c}", "file": os.path.normpath(f"{top}/{c}/{w}"),
                              "arguments": words})
with open(out, "w", encoding="ascii") as f:
    json.dump(found, f, indent=1)
print(f"{out}: {len(found)} files")
