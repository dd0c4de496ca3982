/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the boot loader to C.
 *
 * GRUB (BIOS and UEFI alike) and QEMU enter at start32 in 32-bit protected
 * mode without paging, EAX = the protocol's magic, EBX = its information
 * block. On UEFI the absence of the "EFI boot services" tag makes GRUB leave
 * boot services and hand over the EFI memory map, so one entry serves all.
 *
 * The image may have been moved by multiples of 2 MiB. Everything up to the
 * jump to the link address is therefore relative to ESI, the physical address
 * of _start.
 *
 * The boot page tables map 0..4 GiB one to one and the image at its link
 * address. Application processors come through them as well (trampoline at
 * the end of this file, copied below 1 MiB).
 */
#include <asm-offsets.h>
#include <bh/config.h>

#define MB1_MAGIC 0x1badb002
#define MB1_FLAGS 0x00010003 /* page-aligned modules, memory map, addresses */
#define MB2_MAGIC 0xe85250d6

#define REL(sym) ((sym) - IMAGE_START)(%esi)

#define BOOT_CS64 0x08
#define BOOT_DS	  0x10
#define BOOT_CS32 0x18

	.section .text.head, "ax"
	.code32
	.balign 8
	.globl mb1_header
mb1_header:
	.long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)
	.long mb1_phys_header, mb1_phys_load, mb1_phys_load_end
	.long mb1_phys_bss_end, mb1_phys_entry

	.balign 8
mb2_header:
	.long MB2_MAGIC, 0, mb2_end - mb2_header
	.long -(MB2_MAGIC + 0 + (mb2_end - mb2_header))
	/* What we would like to be told; all optional. */
	.balign 8
1:	.short 1, 1
	.long 2f - 1b
	.long 1, 2, 3, 6, 8, 12, 14, 15, 17
2:	.balign 8
	.short 6, 0 /* modules page-aligned */
	.long 8
	.balign 8
	.short 4, 1 /* console: text is fine */
	.long 12, 2
	.balign 8
	.short 5, 1 /* frame buffer: any mode */
	.long 20, 0, 0, 0
	.balign 8
	.short 10, 0 /* relocatable: 2 MiB..4 GiB, 2 MiB steps, lowest first */
	.long 24, 0x200000, 0xffffffff, 0x200000, 1
	.balign 8
	.short 3, 0 /* entry address */
	.long 12, mb1_phys_entry
	.balign 8
	.short 0, 0
	.long 8
mb2_end:

	.globl start32
start32:
	cli
	cld
	/* Where are we? There is no stack: borrow the first word of EBX. */
	mov %eax, %ebp
	mov (%ebx), %edx
	lea 4(%ebx), %esp
	call 1f
1:	pop %esi
	mov %edx, (%ebx)
	sub $(1b - IMAGE_START), %esi

	lea REL(boot_stack_end), %esp
	mov %ebp, REL(boot_magic)
	mov %ebx, REL(boot_info_pa)
	mov %esi, REL(image_phys)

	/* A 64-bit processor? */
	mov $0x80000000, %eax
	cpuid
	cmp $0x80000001, %eax
	jb no_long_mode
	mov $0x80000001, %eax
	cpuid
	bt $29, %edx
	jnc no_long_mode
	mov %edx, %ebp /* bit 20: NX */

	/* Identity map: four tables of 2 MiB pages. */
	lea REL(boot_l2_id), %edi
	mov $0xe3, %eax /* P W A D PS */
	xor %ecx, %ecx
1:	mov %eax, (%edi, %ecx, 8)
	add $0x200000, %eax
	inc %ecx
	cmp $2048, %ecx
	jb 1b
	lea REL(boot_l2_id), %eax
	or $0x63, %eax
	lea REL(boot_l3_id), %edi
	xor %ecx, %ecx
1:	mov %eax, (%edi, %ecx, 8)
	add $0x1000, %eax
	inc %ecx
	cmp $4, %ecx
	jb 1b
	/* The image: 8 MiB. */
	lea REL(boot_l2_img), %edi
	lea 0xe3(%esi), %eax
	xor %ecx, %ecx
1:	mov %eax, (%edi, %ecx, 8)
	add $0x200000, %eax
	inc %ecx
	cmp $4, %ecx
	jb 1b
	lea REL(boot_l2_img), %eax
	or $0x63, %eax
	mov %eax, REL(boot_l3_img + ((IMAGE_START >> 30) & 511) * 8)
	lea REL(boot_l3_id), %eax
	or $0x63, %eax
	mov %eax, REL(boot_l4)
	lea REL(boot_l3_img), %eax
	or $0x63, %eax
	mov %eax, REL(boot_l4 + ((IMAGE_START >> 39) & 511) * 8)

	/* Temporary GDT; its address has to be computed as well. */
	lea REL(boot_gdt), %eax
	mov %eax, REL(boot_gdtr + 2)
	lgdt REL(boot_gdtr)

	lea REL(boot_l4), %eax
	call enter_long
	push $BOOT_CS64
	lea REL(start64_low), %eax
	push %eax
	lret

/* EAX = page table root, EBP bit 20 = NX is there. Turns on long mode; still
 * in a 32-bit code segment on return. Position independent. */
enter_long:
	mov %eax, %cr3
	mov %cr4, %eax
	or $0xa0, %eax /* PAE, PGE */
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x101, %eax /* LME, SCE */
	bt $20, %ebp
	jnc 1f
	or $0x800, %eax
1:	wrmsr
	mov %cr0, %eax
	and $0x9fffffff, %eax /* caches on */
	or $0x80010023, %eax  /* PG WP NE MP PE */
	and $~0xc, %eax	      /* EM TS off */
	mov %eax, %cr0
	ret

no_long_mode:
	lea REL(no_long_mode_msg), %esi
	mov $0xb8000, %edi
1:	lodsb
	test %al, %al
	jz 2f
	mov $0x4f, %ah
	stosw
	mov $0x3f8, %dx
	out %al, %dx
	jmp 1b
2:	hlt
	jmp 2b
no_long_mode_msg:
	.asciz "Bulkhead needs a 64-bit (x86-64) processor; this one has no long mode. "

	.code64
start64_low:
	movabs $start64, %rax
	jmp *%rax
start64:
	mov $BOOT_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	lea boot_stack_end(%rip), %rsp
	and $-16, %rsp /* the decompression libraries use SSE */
	xor %ebp, %ebp
	mov boot_magic(%rip), %edi
	mov boot_info_pa(%rip), %esi
	call boot_main
	ud2

/*
 * Application processors. smp.c copies [ap_tramp_start, ap_tramp_end) to a page
 * below 1 MiB and fills the three words (page table, stack, function) at its end; SIPI enters its first
 * byte in real mode with CS = page >> 4.
 */
	.code16
	.globl ap_tramp_start, ap_tramp_end, ap_tramp_args
ap_tramp_start:
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	movzwl %ax, %ebx
	shl $4, %ebx /* our page */
	lea (tramp_gdt - ap_tramp_start)(%ebx), %eax
	mov %eax, tramp_gdtr - ap_tramp_start + 2
	lea (tramp32 - ap_tramp_start)(%ebx), %eax
	mov %eax, tramp_jmp32 - ap_tramp_start
	lea (tramp64 - ap_tramp_start)(%ebx), %eax
	mov %eax, tramp_jmp64 - ap_tramp_start
	lgdtl tramp_gdtr - ap_tramp_start
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl *(tramp_jmp32 - ap_tramp_start)
	.code32
tramp32:
	mov $BOOT_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %ebx, %edi
	mov $0x80000001, %eax
	cpuid
	mov %edx, %ebp
	mov %edi, %ebx
	mov (tramp_cr3 - ap_tramp_start)(%ebx), %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $0xa0, %eax
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x101, %eax
	bt $20, %ebp
	jnc 1f
	or $0x800, %eax
1:	wrmsr
	mov %cr0, %eax
	and $0x9fffffff, %eax
	or $0x80010023, %eax
	and $~0xc, %eax
	mov %eax, %cr0
	ljmpl *(tramp_jmp64 - ap_tramp_start)(%ebx)
	.code64
tramp64:
	mov (tramp_rsp - ap_tramp_start)(%rbx), %rsp
	xor %ebp, %ebp
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov (tramp_entry - ap_tramp_start)(%rbx), %rax
	call *%rax
	ud2
	.balign 8
tramp_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
tramp_gdtr:
	.word 31
	.long 0
	.balign 4
tramp_jmp32:
	.long 0
	.word BOOT_CS32
	.balign 4
tramp_jmp64:
	.long 0
	.word BOOT_CS64
	.balign 8
ap_tramp_args:
tramp_cr3:   .quad 0
tramp_rsp:   .quad 0
tramp_entry: .quad 0
ap_tramp_end:

	.section .data, "aw"
	.balign 8
boot_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
boot_gdtr:
	.word 31
	.quad 0
	.balign 8
	.globl image_phys
image_phys:   .quad 0
boot_magic:   .long 0
boot_info_pa: .long 0

	.section .bss.page, "aw", @nobits
	.balign 4096
	.globl boot_l4
boot_l4:     .skip 4096
boot_l3_id:  .skip 4096
boot_l3_img: .skip 4096
boot_l2_id:  .skip 4 * 4096
boot_l2_img: .skip 4096

	.section .bss.stack, "aw", @nobits
	.balign 4096 /* link.lds aligns it to STACK_SIZE */
	.globl boot_stack
boot_stack:
	.skip STACK_SIZE - CPU_INFO_SIZE
boot_stack_end:
	.skip CPU_INFO_SIZE

	.section .note.GNU-stack, "", @progbits
