#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes an apt repository of the .deb files in a directory, in place: Packages,
# Release, and with a key Release.gpg, InRelease and the key itself, plus the
# source file a user installs. usage: make-apt-repo.sh DIR [KEYID [URL]]
set -euo pipefail

dir=$(cd "${1:?usage: make-apt-repo.sh DIR [KEYID [URL]]}" && pwd)
key=${2:-}
url=${3:-file:$dir}
cd "$dir"
apt-ftparchive packages . >Packages
gzip -9nkf Packages
apt-ftparchive -o APT::FTPArchive::Release::Origin=Bulkhead \
	-o APT::FTPArchive::Release::Label=Bulkhead \
	-o APT::FTPArchive::Release::Suite=stable release . >Release.new
mv Release.new Release
signed='trusted=yes'
if [ -n "$key" ]; then
	gpg --batch --yes -u "$key" -abo Release.gpg Release
	gpg --batch --yes -u "$key" --clearsign -o InRelease Release
	gpg --export "$key" >bulkhead.gpg
	signed='signed-by=/usr/share/keyrings/bulkhead.gpg'
fi
echo "deb [$signed] $url ./" >bulkhead.list
