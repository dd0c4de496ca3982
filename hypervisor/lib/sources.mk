# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y += lib/string.c lib/printf.c lib/bitmap.c lib/spinlock.c
srcs-y += lib/rangeset.c lib/symbols.c lib/param.c lib/panic.c
srcs-y += lib/elf.c
