/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of a test kernel, its Xen notes, trap and event stubs.
 *
 * A bounce frame from the hypervisor, low to high: rcx, r11, [error], rip, cs,
 * rflags, rsp, ss. Each stub brings it into struct trap_frame (lib.h) and calls
 * C; the way back is the iret hypercall.
 */
#define NOTE(type, ...) \
	.pushsection .note.xen, "a", @note; \
	.balign 4; .long 4, 2f - 1f, type; .asciz "Xen"; \
1:	__VA_ARGS__; 2: .balign 4; .popsection

	NOTE(1, .quad _start)			/* ENTRY */
	NOTE(3, .quad 0xffffffff80000000)	/* VIRT_BASE */
	NOTE(4, .quad 0)			/* PADDR_OFFSET */
	NOTE(5, .asciz "xen-3.0")		/* XEN_VERSION */
	NOTE(6, .asciz "bulkhead-test")		/* GUEST_OS */
	NOTE(8, .asciz "generic")		/* LOADER */
	NOTE(9, .asciz "yes")			/* PAE_MODE */
	NOTE(12, .quad 0xffff800000000000)	/* HV_START_LOW */
	NOTE(15, .quad 0x8000000000)		/* INIT_P2M */
	NOTE(16, .long 1)			/* MOD_START_PFN */
	NOTE(17, .long 0x8801)			/* SUPPORTED_FEATURES */

	.section .text.head, "ax"
	.globl _start
_start:
	cld
	mov	%rsi, start_info_ptr
	mov	%rsp, initial_rsp
	lea	boot_stack_top, %rsp
	xor	%ebp, %ebp
	call	guest_main
	ud2

	.text
/* Vectors whose frame carries an error code. */
#define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17)

	.macro	stub v
	.globl	trap_stub_\v
trap_stub_\v:
	.if	(\v == 8) || (\v >= 10 && \v <= 14) || (\v == 17)
	pop	%rcx			/* rcx, r11 as they were */
	pop	%r11
	.else
	pop	%rcx
	pop	%r11
	pushq	$0
	.endif
	pushq	$\v
	jmp	trap_common
	.endm

	.altmacro
	.macro	stubs
	.set	i, 0
	.rept	32
	stub	%i
	.set	i, i + 1
	.endr
	.endm
	stubs
	stub	128

	.globl	event_stub
event_stub:
	pop	%rcx
	pop	%r11
	pushq	$0
	pushq	$256
	jmp	trap_common

	.globl	syscall_stub
syscall_stub:
	pop	%rcx
	pop	%r11
	pushq	$0
	pushq	$257
	jmp	trap_common

	.globl	failsafe_stub
failsafe_stub:
	ud2

trap_common:
	push	%rax; push %rcx; push %rdx; push %rbx; push %rbp
	push	%rsi; push %rdi; push %r8; push %r9; push %r10
	push	%r11; push %r12; push %r13; push %r14; push %r15
	mov	%rsp, %rdi
	call	trap_handler
	pop	%r15; pop %r14; pop %r13; pop %r12; pop %r11
	pop	%r10; pop %r9; pop %r8; pop %rdi; pop %rsi
	pop	%rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax
	add	$16, %rsp
	/* iret hypercall frame: rax, r11, rcx, flags, then rip..ss */
	pushq	$0
	push	%rcx
	push	%r11
	push	%rax
	mov	$23, %eax
	syscall
	ud2

/* long hypercall5(nr, a1..a5): rdi rsi rdx rcx r8 r9 -> rax rdi rsi rdx r10 r8 */
	.globl	hypercall5
hypercall5:
	push	%rbx
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	syscall
	pop	%rbx
	ret

/* Runs user code: user_enter(rip, rsp). Comes back through user_exit. */
	.globl	user_enter
user_enter:
	push	%rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
	mov	%rsp, user_saved_rsp
	pushq	$0xe02b			/* ss, ring 3 */
	push	%rsi
	pushq	$0x202
	pushq	$0xe033
	push	%rdi
	pushq	$0
	pushq	$0
	pushq	$0
	pushq	$0
	mov	$23, %eax
	syscall
	ud2
	.globl	user_exit
user_exit:
	mov	user_saved_rsp, %rsp
	pop	%r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
	ret

	.bss
	.balign 4096
	.globl	boot_stack
boot_stack:
	.skip	32768
boot_stack_top:
user_saved_rsp: .quad 0
	.globl	start_info_ptr, initial_rsp
start_info_ptr: .quad 0
initial_rsp:	.quad 0
	.section .note.GNU-stack, "", @progbits
