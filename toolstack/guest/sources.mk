# SPDX-License-Identifier: GPL-2.0-or-later
# The supervisor, and the generator that orders its units.
programs += bulkhead-guest
bulkhead-guest-srcs := guest/main.c guest/start.c guest/life.c guest/console.c \
	guest/sockets.c guest/control.c guest/adopt.c guest/boot.c \
	guest/dump.c guest/systemd.c guest/save.c
bulkhead-guest-libs = $(LIBSYSTEMD) $(LIBJSON) $(LIBGUEST)

programs += bulkhead-guest-generator
bulkhead-guest-generator-srcs := guest/generator.c
bulkhead-guest-generator-dir := $(or $(generatordir),/lib/systemd/system-generators)
