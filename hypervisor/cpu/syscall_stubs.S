/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where SYSCALL lands. The instruction leaves the guest's stack pointer in
 * RSP and every other register is the guest's, GS included, so there is no
 * register to find our stack with. Each CPU therefore has its own copy of the
 * first four instructions with its own two words in memory:
 *
 *   syscall_slot[cpu] +0  the guest's RSP, for the moment
 *                     +8  &cpu_info.guest_regs.ss of that CPU
 *
 * On arrival at syscall_entry: RSP = &guest_regs.rsp, which holds the guest's
 * RSP; everything else as the guest left it (desc.h).
 */
#include <bh/config.h>

	.section .text.entry, "ax"
.macro stubs name, target
	.balign 32
	.globl \name
\name:
	.set n, 0
	.rept NR_CPUS
	.balign 32
	mov %rsp, (syscall_slot + n * 64)(%rip)
	mov (syscall_slot + n * 64 + 8)(%rip), %rsp
	push (syscall_slot + n * 64)(%rip)
	jmp \target
	.set n, n + 1
	.endr
.endm

	stubs syscall_stub, syscall_entry
	stubs syscall32_stub, syscall32_entry

	.section .bss.page, "aw", @nobits
	.balign 64
	.globl syscall_slot
syscall_slot:
	.skip NR_CPUS * 64

	.section .note.GNU-stack, "", @progbits
