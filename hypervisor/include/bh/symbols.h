/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Symbol lookup for backtraces (lib/symbols.c, table made by the build). */
#pragma once
#include <bh/types.h>
/* Name and offset of the function around a code address; NULL if none. */
const char *symbol_lookup(unsigned long addr, unsigned long *off);
void backtrace(unsigned long rip, unsigned long rsp, unsigned long rbp);
struct cpu_user_regs;
void show_registers(const struct cpu_user_regs *regs);
