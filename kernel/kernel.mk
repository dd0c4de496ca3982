# SPDX-License-Identifier: GPL-2.0-or-later
#
# Kernel targets, included by the top Makefile. Not part of `all`: a kernel
# takes minutes to half an hour.

.PHONY: kernel-domu kernel-dom0 kernel-ci kernel-config kernel-check \
	kernel-packages kernel-update

kernel-domu kernel-dom0: kernel-%:
	kernel/build.sh $* build

kernel-ci:
	kernel/build.sh --ci domu build

FLAVOUR ?= domu
kernel-config:
	kernel/build.sh $(FLAVOUR) menu

# Patches apply, every requested option survives: both flavours and the CI cut.
kernel-check:
	kernel/build.sh --ci domu config
	kernel/build.sh domu config
	kernel/build.sh dom0 config

# .deb and .rpm of every flavour that has been built.
kernel-packages:
	@for f in domu dom0; do \
		[ ! -f $(O)/kernel/$$f/release ] || { \
		packaging/build-kernel-deb.sh $$f && \
		packaging/build-kernel-rpm.sh $$f; } || exit 1; done

# Follows the distribution's security update: new source, checked, built, packaged.
kernel-update:
	apt-get -q update
	apt-get -q -y install --only-upgrade 'linux-source-6.*'
	$(MAKE) kernel-check
	$(MAKE) kernel-domu
	$(MAKE) kernel-dom0
	$(MAKE) kernel-packages
