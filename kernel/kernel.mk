# SPDX-License-Identifier: GPL-2.0-or-later
#
# Kernel targets, included by the top Makefile. Not part of `all`: a kernel
# takes minutes to half an hour.

.PHONY: kernel-domu kernel-dom0 kernel-ci kernel-config kernel-check

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
