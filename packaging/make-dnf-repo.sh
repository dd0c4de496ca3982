#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a dnf repository of the .rpm files in a directory, in place; with a key
# the metadata is signed and the key exported beside the .repo file a user
# installs. usage: make-dnf-repo.sh DIR [KEYID [URL]]
set -euo pipefail

dir=$(cd "${1:?usage: make-dnf-repo.sh DIR [KEYID [URL]]}" && pwd)
key=${2:-}
url=${3:-file://$dir}
createrepo_c --quiet "$dir"
check=0
if [ -n "$key" ]; then
	gpg --batch --yes -u "$key" --detach-sign --armor "$dir/repodata/repomd.xml"
	gpg --export --armor "$key" >"$dir/RPM-GPG-KEY-bulkhead"
	check=1
fi
cat >"$dir/bulkhead.repo" <<-EOF
	[bulkhead]
	name=Bulkhead
	baseurl=$url
	enabled=1
	gpgcheck=0
	repo_gpgcheck=$check
	gpgkey=$url/RPM-GPG-KEY-bulkhead
EOF
