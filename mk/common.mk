# SPDX-License-Identifier: GPL-2.0-or-later
#
# What every component's Makefile includes: where output goes, the warnings we
# hold ourselves to, and quiet output unless V=1. WERROR= turns warnings back
# into warnings for packagers.

top := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/..)
O   ?= $(top)/build

CC     ?= gcc
WERROR ?= -Werror
WARN   := -std=gnu17 -Wall -Wextra -Wshadow -Wstrict-prototypes \
	  -Wmissing-prototypes -Wundef -Wvla $(WERROR)

# Version: the last git tag plus distance, or the file the packages ship.
VERSION := $(shell cat $(top)/VERSION 2>/dev/null || \
	git -C $(top) describe --tags --match 'v*' 2>/dev/null | sed 's/^v//' || echo 0.1)
ifeq ($(VERSION),)
VERSION := 0.1
endif

prefix     ?= /usr
sbindir    ?= $(prefix)/sbin
bindir     ?= $(prefix)/bin
libexecdir ?= $(prefix)/libexec/bulkhead
datadir    ?= $(prefix)/share/bulkhead
mandir     ?= $(prefix)/share/man
unitdir    ?= /lib/systemd/system
sysconfdir ?= /etc/bulkhead

ifeq ($(V),1)
Q :=
else
Q := @
endif
