# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y += boot/start.S boot/main.c boot/multiboot.c boot/e820.c boot/acpi.c boot/acpi_init.c
srcs-y += boot/dom0.c boot/decompress.c boot/declib.c boot/lz4.c
