/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds of the image's sections, defined by boot/link.lds. The image is, in
 * this order and each part page-aligned: text (RX), read-only data (RO),
 * init text and data (freed after boot), data and bss (RW).
 */
#pragma once

#include <bh/types.h>

extern char _start[], _end[];             /* the whole image */
extern char _stext[], _etext[];           /* text: execute */
extern char _srodata[], _erodata[];       /* constants: read only */
extern char __init_begin[], __init_end[]; /* boot only: RWX, then freed */
extern char _sinittext[], _einittext[];
extern char _sdata[], _edata[];
extern char __bss_start[], __bss_end[];

struct ex_entry {        /* cpuops.h, EX_TABLE */
	s32 insn, fixup; /* relative to the field itself */
};
extern const struct ex_entry __ex_table_start[], __ex_table_end[];
