/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All ways into the hypervisor from a running guest, and the one way back.
 *
 * Every entry builds the same record, struct cpu_user_regs, low to high:
 *
 *   r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi
 *   error_code:entry_vector  rip cs rflags rsp ss
 *
 * From ring 3 the record is cpu_info.guest_regs at the top of the stack, so
 * `current` is at a fixed distance from RSP. From ring 0 it is wherever the
 * stack happened to be. DS, ES, FS, GS and their bases stay the guest's.
 *
 * entry_vector has TRAP_SYSCALL set when the guest may go on by SYSRET: it
 * came by SYSCALL or was sent to one of its handlers, so it expects neither
 * RCX nor R11, and its CS and SS are the flat ones.
 *
 * NMI, #DF, #MC and #DB have stacks of their own (IST): the first three can
 * come at any instruction, also before SYSCALL's entry has left the guest's
 * stack; the last can come there after MOV SS (XSA-260).
 */
#include <bh/config.h>
#include "asm-offsets.h"

#define TRAP_SYSCALL 0x100
#define HYPERCALL_IRET 23
/* From guest_regs to its neighbours in struct cpu_info. */
#define CUR (CPU_INFO_CURRENT - CPU_INFO_REGS)
#define CPU (CPU_INFO_CPU - CPU_INFO_REGS)

	.section .text.entry, "ax"

.macro save_gprs
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rax
	push %r8
	push %r9
	push %r10
	push %r11
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
.endm

.macro restore_gprs
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rax
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
.endm

/* A guest may come with AC set, which would open SMAP for all we do. */
.macro close_smap
	cmpb $0, smap_active(%rip)
	jne 7777f
7776:
	.subsection 1
7777:	clac
	jmp 7776b
	.previous
.endm

/* ---- SYSCALL ------------------------------------------------------------- */
/* In: RSP = &guest_regs.rsp, filled; RCX = RIP, R11 = RFLAGS; see desc.h. */
	.globl syscall_entry
	.balign 16
syscall_entry:
	movq $GUEST_DS, 8(%rsp)
	push %r11
	pushq $GUEST_CS64
	push %rcx
	pushq $0
	movl $TRAP_SYSCALL, 4(%rsp)
	save_gprs
	mov CUR(%rsp), %rbx
	mov %rsp, %rsi
	mov %rbx, %rdi
	cmpb $0, VCPU_KERNEL_MODE(%rbx)
	je 1f
	sti
	cmp $HYPERCALL_IRET, %rax /* half of all: no dispatch */
	je 2f
	call pv_hypercall
	jmp ret_to_guest
2:	incq VCPU_NR_IRETS(%rbx)
	call do_iret
	mov %rax, UREGS_rax(%rsp)
	jmp ret_to_guest
1:	call pv_syscall_bounce
	jmp ret_to_guest

	.globl syscall32_entry
	.balign 16
syscall32_entry:
	movq $GUEST_DS, 8(%rsp)
	push %r11
	pushq $GUEST_CS32
	push %rcx
	pushq $0
	movl $TRAP_SYSCALL, 4(%rsp)
	save_gprs
	mov CUR(%rsp), %rdi
	mov %rsp, %rsi
	call pv_syscall32_bounce
	/* fall through */

/* ---- the way back -------------------------------------------------------- */
/* In: RSP = &guest_regs. */
	.globl ret_to_guest
	.balign 16
ret_to_guest:
	cli
	mov CPU(%rsp), %rax
	mov CUR(%rsp), %rbx
	cmpq $0, CPU_SOFTIRQ_PENDING(%rax)
	jne .Lsoftirq
	cmpb $0, VCPU_WORK(%rbx)
	jne .Lwork
	mov VCPU_INFO(%rbx), %rax
	cmpb $0, VINFO_PENDING(%rax)
	jne .Levent
.Lrestore:
	testb $TRAP_SYSCALL >> 8, UREGS_entry_vector + 1(%rsp)
	jz .Liret
	mov UREGS_rip(%rsp), %rcx
	mov %rcx, %rax
	shl $16, %rax
	sar $16, %rax
	cmp %rcx, %rax /* SYSRET to a non-canonical RIP faults in ring 0 */
	jne .Liret
	restore_gprs
	mov 8(%rsp), %rcx
	mov 24(%rsp), %r11
	mov 32(%rsp), %rsp
	sysretq
.Liret:
	restore_gprs
	add $8, %rsp
	.globl guest_iret
guest_iret:
	iretq
	.pushsection .ex_table, "a"
	.balign 4
	.long guest_iret - ., guest_iret_fault - .
	.popsection

.Lsoftirq:
	sti
	call softirq_run
	jmp ret_to_guest
.Lwork:
	mov %rbx, %rdi
	mov %rsp, %rsi
	call pv_deliver_work
	jmp ret_to_guest
.Levent:
	cmpb $0, VINFO_MASK(%rax)
	jne .Lrestore
	mov %rbx, %rdi
	mov %rsp, %rsi
	call pv_deliver_event
	test %al, %al
	jnz .Lrestore
	jmp ret_to_guest

/* IRETQ refused the guest's CS, SS or RIP. The fault's own record has clobbered
 * the general registers' part of guest_regs, but they are all back in place in
 * the processor: build it again, then tell the guest. */
guest_iret_fault:
	pushq $0
	save_gprs
	mov CUR(%rsp), %rdi
	mov %rsp, %rsi
	call pv_iret_fault
	jmp ret_to_guest

/* ---- exceptions and interrupts -------------------------------------------- */
	.balign 16
trap_common:
	save_gprs
	cld
	close_smap
	mov %rsp, %rdi
	testb $3, UREGS_cs(%rsp)
	jz 1f
	mov CUR(%rsp), %rsi
	call do_guest_trap
	jmp ret_to_guest
1:	call do_hv_trap
restore_hv:
	restore_gprs
	add $8, %rsp
	iretq

	.balign 16
irq_common:
	save_gprs
	cld
	close_smap
	mov %rsp, %rdi
	movzbl UREGS_entry_vector(%rsp), %esi
	call do_irq
	testb $3, UREGS_cs(%rsp)
	jnz ret_to_guest
	jmp restore_hv

/* On their own stacks; never leave through ret_to_guest. */
.macro ist_entry handler
	save_gprs
	cld
	close_smap
	mov %rsp, %rdi
	call \handler
	jmp restore_hv
.endm
trap_nmi:
	ist_entry do_nmi
trap_double_fault:
	ist_entry do_double_fault
trap_machine_check:
	ist_entry do_machine_check

/* #DB. From a guest: go on on the normal stack. */
trap_debug:
	testb $3, 16(%rsp)
	jz trap_common
	push %rax
	mov %rsp, %rax
	or $(STACK_SIZE - 1), %rax
	lea 1 - CPU_INFO_SIZE + CPU_INFO_REGS + UREGS_es(%rax), %rax
	xchg %rax, %rsp
	pushq 48(%rax)
	pushq 40(%rax)
	pushq 32(%rax)
	pushq 24(%rax)
	pushq 16(%rax)
	pushq 8(%rax)
	mov (%rax), %rax
	jmp trap_common

/* ---- leaving for good ------------------------------------------------------ */
/* Both drop whatever is on this CPU's stack. */
.macro reset_stack
	mov %rsp, %rax
	or $(STACK_SIZE - 1), %rax
	lea 1 - CPU_INFO_SIZE + CPU_INFO_REGS(%rax), %rsp
.endm
	.globl resume_guest
resume_guest:
	reset_stack
	jmp ret_to_guest
	.globl enter_idle
enter_idle:
	reset_stack
	and $-16, %rsp
	xor %ebp, %ebp
	sti
	call idle_loop
	ud2

/* ---- IDT stubs --------------------------------------------------------------- */
/* The error code is the low half of the word, the vector the high half. */
	.set vec, 0
	.rept 256
	.balign 16
	.if vec == 8 || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21 || vec == 29 || vec == 30
	.else
	pushq $0
	.endif
	movl $vec, 4(%rsp)
	.if vec == 1
	jmp trap_debug
	.elseif vec == 2
	jmp trap_nmi
	.elseif vec == 8
	jmp trap_double_fault
	.elseif vec == 18
	jmp trap_machine_check
	.elseif vec < 32 || vec == 0x80
	jmp trap_common
	.else
	jmp irq_common
	.endif
	.set vec, vec + 1
	.endr
	.balign 16
.Lstubs_end:

	.section .rodata
	.balign 8
	.globl trap_entry_table
trap_entry_table:
	.set vec, 0
	.rept 256
	.quad .Lstubs_end - (256 - vec) * 16
	.set vec, vec + 1
	.endr

	.section .note.GNU-stack, "", @progbits
