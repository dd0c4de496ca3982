# SPDX-License-Identifier: GPL-2.0-or-later
"""A small RPM repository with the names the Fedora and EL recipes ask for.

The packages are ours and nearly empty: just enough of a system that dnf
installs them, the recipes' steps run and vm-bootstrap finds what it changes.
What is shown is our side of the work, not Fedora's.
"""

import glob
import os
import re
import shutil

import images

SYSTEMCTL = """#!/bin/sh
[ "$1" = enable ] || exit 0
shift
mkdir -p /etc/systemd/system/multi-user.target.wants
for u in "$@"; do ln -sf /usr/lib/systemd/system/$u.service /etc/systemd/system/multi-user.target.wants/$u.service; done
"""
FILES = {   # package: {path: text}; the rest have one file that names them
    "systemd": {"/usr/bin/systemctl": SYSTEMCTL, "/etc/machine-id": "", "/etc/systemd/system.conf": "[Manager]\n",
                "/etc/hosts": "127.0.0.1 localhost\n", "/usr/lib/systemd/systemd": "",
                "/etc/os-release": 'ID=test\nNAME="RPM test"\n'},
    "shadow-utils": {"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/shadow": "root:!:19000:0:99999:7:::\n",
                     "/etc/group": "root:x:0:\n", "/etc/gshadow": "root:::\n", "/root/.bashrc": ""},
    "openssh-server": {"/etc/ssh/sshd_config": "PermitRootLogin prohibit-password\n"},
    "NetworkManager": {"/etc/NetworkManager/NetworkManager.conf": "[main]\n",
                       "/etc/NetworkManager/system-connections/.keep": "", "/usr/sbin/NetworkManager": ""},
    # As Fedora's: nothing in /boot, that is kernel-install's work, which is not there.
    "kernel-core": {"/lib/modules/6.0.0-1.x86_64/vmlinuz": "kernel\n"},
    "dracut": {"/usr/bin/dracut": "#!/bin/sh\n[ \"$1 $2\" = '--force --no-hostonly' ] && echo initrd >\"$3\"\n"},
}


def _spec(names, tree):
    out = ["Name: bht", "Version: 1", "Release: 1", "Summary: test", "License: GPLv2+", "%description", "test"]
    for n in names:
        files = dict(FILES.get(n, {f"/usr/share/bht/{n}": n}))
        for path, text in files.items():
            os.makedirs(os.path.dirname(tree + path), exist_ok=True)
            with open(tree + path, "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(tree + path, 0o755 if "/bin/" in path else 0o644)
        if n == "systemd":      # and a shell, of one file
            shutil.copy("/bin/busybox", f"{tree}/usr/bin/busybox")
            os.symlink("busybox", f"{tree}/usr/bin/sh")
            for b in ("ln", "mkdir", "cp", "rm"):
                os.symlink("busybox", f"{tree}/usr/bin/{b}")
            os.symlink("usr/bin", f"{tree}/bin")
            for p in ("/usr/bin/busybox", "/usr/bin/sh", "/usr/bin/ln", "/usr/bin/mkdir", "/usr/bin/cp", "/usr/bin/rm", "/bin"):
                files[p] = ""
        out += [f"%package -n {n}", "Summary: test", "AutoReqProv: no", f"%description -n {n}", "test",
                f"%files -n {n}", *files]
    out += ["%install", f"cp -a {tree}/. %{{buildroot}}/"]
    return "\n".join(out) + "\n"


def make(top, recipes):
    """The repository in top/repo, with the packages of these recipes."""
    names = []
    for r in recipes:
        with open(r, encoding="utf-8") as f:
            text = f.read().replace("\\\n", " ")
        for line in re.findall(r"^(?:boot-)?packages = (.*)", text, re.M):
            names += line.split()
    names = sorted(set(names))
    with open(f"{top}/bht.spec", "w", encoding="utf-8") as f:
        f.write(_spec(names, f"{top}/tree"))
    images.sh("rpmbuild", "-bb", "--define", f"_topdir {top}/rpm", "--define", "_build_id_links none",
              "--define", "debug_package %{nil}", "--define", "__os_install_post %{nil}",
              "--define", "_use_internal_dependency_generator 0", "--nodeps", "--target", "x86_64", f"{top}/bht.spec")
    os.mkdir(f"{top}/repo")
    for p in glob.glob(f"{top}/rpm/RPMS/*/*.rpm"):
        os.rename(p, f"{top}/repo/{os.path.basename(p)}")
    images.sh("createrepo_c", "-q", f"{top}/repo")
    return f"{top}/repo"
