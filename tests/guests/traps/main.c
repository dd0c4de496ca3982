/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions reach the guest with the right vector, error code, RIP and CS, and
 * privileged instructions are emulated or refused as the PV ABI says.
 */
#include "lib.h"

#define ASM(...) __asm__ volatile(__VA_ARGS__)

static bool skip2(struct trap_frame *f)
{
	return false;
}

static void exceptions(void)
{
	u64 here;

	CHECK(TRAPS(ASM("ud2")));
	EQ(last_trap.vector, 6);
	EQ(last_trap.cs & 3, 0); /* the kernel looks like ring 0 to itself */
	EQ(last_trap.ss & 0xfffc, 0xe028);
	EQ(last_trap.rflags & 0x3000, 0);

	CHECK(TRAPS(ASM(
		"xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"
		:
		:
		: "eax", "ecx", "edx")));
	EQ(last_trap.vector, 0);

	CHECK(TRAPS(ASM("int3")));
	EQ(last_trap.vector, 3);

	CHECK(TRAPS(*(volatile u64 *)0x1000));
	EQ(last_trap.vector, 14);
	EQ(last_trap.error, 0); /* read, not present, from the kernel */
	EQ(shared->vcpu_info[0].arch.cr2, 0x1000);

	CHECK(TRAPS(*(volatile u64 *)0x2008 = 1));
	EQ(last_trap.error, 2);
	EQ(shared->vcpu_info[0].arch.cr2, 0x2008);

	/* The hypervisor's memory looks unmapped or forbidden, never readable. */
	CHECK(TRAPS(*(volatile u64 *)HV_ADDR));
	EQ(last_trap.vector, 14);
	EQ(shared->vcpu_info[0].arch.cr2, HV_ADDR);
	CHECK(TRAPS(*(volatile u64 *)0xffff800000000000UL = 0));
	EQ(last_trap.vector, 14);

	CHECK(TRAPS(*(volatile u64 *)BAD_ADDR));
	CHECK(last_trap.vector == 13 || last_trap.vector == 12);
	EQ(last_trap.error, 0);

	CHECK(TRAPS(ASM("lea 1f(%%rip), %0; 1: ud2" : "=r"(here))));
	CHECK(TRAPS(ASM("int $0x42")));
	EQ(last_trap.vector, 13);
	EQ(last_trap.error, 0x42 * 8 + 2);
	CHECK(TRAPS(ASM("int $0x80")));
	EQ(last_trap.vector, 128);
}

static void privileged(void)
{
	struct physdev_set_iopl iopl = { .iopl = 1 };
	u64 cr, msr;
	u32 a, b, c, d;

	ASM("mov %%cr0, %0" : "=r"(cr));
	CHECK(cr & 0x80000001);
	ASM("mov %%cr3, %0" : "=r"(cr));
	EQ(cr >> 12, mfn_of((void *)start_info_ptr->pt_base));
	ASM("mov %%cr4, %0" : "=r"(cr));
	CHECK(cr & 0x20);

	EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
	CHECK(!TRAPS(ASM("cli")));
	CHECK(!TRAPS(ASM("sti")));
	iopl.iopl = 4;
	EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &iopl), -E_INVAL);

	CHECK(!TRAPS(ASM("rdmsr" : "=a"(a), "=d"(d) : "c"(0xc0000101))));
	CHECK(TRAPS(ASM("rdmsr" : "=a"(a), "=d"(d) : "c"(0x12345678))));
	EQ(last_trap.vector, 13);
	CHECK(TRAPS(ASM("wrmsr" : : "a"(0), "d"(0), "c"(0xc0000080))));
	/* A GS base that is not canonical must not reach the processor. */
	CHECK(TRAPS(ASM("wrmsr" : : "a"(0), "d"(0x00900000), "c"(0xc0000101))));
	CHECK(!TRAPS(ASM("wrmsr" : : "a"(0x1234), "d"(0), "c"(0xc0000101))));
	ASM("rdmsr" : "=a"(a), "=d"(d) : "c"(0xc0000101));
	msr = a | (u64)d << 32;
	EQ(msr, 0x1234);

	CHECK(TRAPS(ASM("hlt")));
	CHECK(TRAPS(ASM("lgdt (%0)" : : "r"(&cr))));
	CHECK(TRAPS(ASM("mov %0, %%cr3" : : "r"(HV_ADDR))));
	CHECK(TRAPS(ASM("swapgs")));

	/* Forced emulation: ud2; "xen"; cpuid. */
	a = 0x40000000;
	c = 0;
	ASM(".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2"
	    : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	EQ(b, 0x566e6558);
	EQ(c, 0x65584d4d);
	EQ(d, 0x4d4d566e);
	CHECK(a >= 0x40000002);
}

static void debug_registers(void)
{
	EQ(HC(__HYPERVISOR_set_debugreg, 0, 0x1000), 0);
	EQ(HC(__HYPERVISOR_get_debugreg, 0), 0x1000);
	EQ(HC(__HYPERVISOR_set_debugreg, 1, HV_ADDR), -E_PERM);
	EQ(HC(__HYPERVISOR_set_debugreg, 9, 0), -E_INVAL);
	EQ(HC(__HYPERVISOR_set_debugreg, 0, 0), 0);
}

static void bases(void)
{
	EQ(HC(__HYPERVISOR_set_segment_base, SEGBASE_FS, BAD_ADDR), -E_INVAL);
	EQ(HC(__HYPERVISOR_set_segment_base, SEGBASE_FS, 0x5000), 0);
	EQ(HC(__HYPERVISOR_set_segment_base, SEGBASE_GS_KERNEL, 0), 0);
	EQ(HC(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER, 0x6000), 0);
	EQ(HC(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 0), 0);
	EQ(HC(__HYPERVISOR_set_segment_base, 17, 0), -E_INVAL);
}

static void descriptors(void)
{
	u64 *gdt = page();
	unsigned long frames[1] = { mfn_of(gdt) };

	gdt[1] = 0x00affb000000ffffUL; /* 64-bit code, DPL 3 */
	gdt[2] = 0x00008b0000000067UL; /* a TSS: forbidden */
	EQ(HC(__HYPERVISOR_set_gdt, frames, 8), -E_INVAL); /* still writable */
	EQ(RO(gdt), 0);
	EQ(HC(__HYPERVISOR_set_gdt, frames, 8), -E_INVAL); /* holds a TSS */
	EQ(RW(gdt), 0);
	gdt[2] = 0;
	EQ(RO(gdt), 0);
	EQ(HC(__HYPERVISOR_set_gdt, frames, 7169), -E_INVAL);
	EQ(HC(__HYPERVISOR_set_gdt, frames, 8), 0);
	CHECK(RW(gdt) < 0); /* a descriptor page is never writable */
	EQ(HC(__HYPERVISOR_update_descriptor, mfn_of(gdt) << 12 | 24,
	      0x00affb000000ffffUL),
	   0);
	EQ(gdt[3], 0x00affb000000ffffUL);
	EQ(HC(__HYPERVISOR_update_descriptor, mfn_of(gdt) << 12 | 32,
	      0x00008b0000000067UL),
	   -E_INVAL);
	EQ(HC(__HYPERVISOR_set_gdt, frames, 0), 0);
	EQ(RW(gdt), 0);
}

/* ---- a process with an LDT --------------------------------------------------------- */

#define LDT_VA 0x40000000UL

void user_ldt_code(void);
__asm__(".text\n"
	"user_ldt_code:\n"
	"	mov $7, %eax\n	mov %eax, %fs\n	ud2\n");

/* The table lies where only the kernel's tables lead; it is mapped when the
 * process first loads one of its descriptors. */
static void user_ldt(void)
{
	u64 *ldt = page(), *l1 = page(), *l2 = page(), *l3 = page();
	u64 *user = page(), *stack = page();
	const u64 *kernel = (const u64 *)start_info_ptr->pt_base;

	ldt[0] = 0x00cff3000000ffffUL; /* data, DPL 3 */
	l1[0] = mfn_of(ldt) << 12 | PTE_P | PTE_U;
	l2[0] = mfn_of(l1) << 12 | PTE_P | PTE_U | PTE_W;
	l3[LDT_VA >> 30] = mfn_of(l2) << 12 | PTE_P | PTE_U | PTE_W;
	user[511] = kernel[511];
	EQ(RO(ldt) | RO(l1) | RO(l2) | RO(l3) | RO(user), 0);
	EQ(mmu_one(mfn_of(kernel) << 12, mfn_of(l3) << 12 | PTE_P | PTE_W), 0);
	EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user), 0), 0);
	EQ(mmuext(MMUEXT_SET_LDT, LDT_VA, 8), 0);
	EQ(HC(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS,
	      (u64)stack + PAGE_SIZE),
	   0);
	CHECK(TRAPS(user_enter((u64)user_ldt_code, (u64)(stack + 64))));
	EQ(last_trap.vector, 6); /* it came to the end */
	ASM("mov %0, %%fs" : : "r"(0));
	EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
	EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	EQ(mmu_one(mfn_of(kernel) << 12, 0), 0);
	EQ(RW(ldt) | RW(l1) | RW(l2) | RW(l3) | RW(user), 0);
}

/* ---- frames, to the byte --------------------------------------------------------- */

/* The handlers keep the frame as it lies on the stack, then go on at frame_next
 * with everything as it was. */
void frame_plain(void), frame_error(void);
u64 frame_words[8], frame_at, frame_rax, frame_next, frame_sp;
__asm__(".macro keep_frame\n"
	"	mov %rax, frame_rax\n	mov %rsp, frame_at\n"
	"	.irp i, 0, 1, 2, 3, 4, 5, 6, 7\n"
	"	mov 8 * \\i(%rsp), %rax\n	mov %rax, frame_words + 8 * \\i\n"
	"	.endr\n"
	".endm\n"
	".macro leave_frame\n"
	"	mov frame_next, %rax\n	mov %rax, (%rsp)\n	mov frame_rax, %rax\n"
	"	pushq $0\n	push %rcx\n	push %r11\n	push %rax\n"
	"	mov $23, %eax\n	syscall\n"
	".endm\n"
	".text\n"
	"frame_plain: keep_frame\n	pop %rcx\n	pop %r11\n	leave_frame\n"
	"frame_error: keep_frame\n	pop %rcx\n	pop %r11\n"
	"	add $8, %rsp\n	leave_frame\n");

/* insn with known registers; the address behind it. */
#define FRAME(insn, rip_is)                                            \
	__asm__ volatile("lea 2f(%%rip), %%rax\n\t"                    \
			 "mov %%rax, frame_next\n\t"                   \
			 "lea 1f(%%rip), %0\n\t"                       \
			 "pushf\n\tpop %1\n\t"                         \
			 "mov %%rsp, frame_sp\n\t"                     \
			 "mov $0x1111, %%ecx\n\tmov $0x2222, %%r11d\n" \
			 "1: " insn "\n2:"                             \
			 : "=&r"(rip_is), "=&r"(flags)                 \
			 :                                             \
			 : "rax", "rcx", "r11", "memory", "cc")

static void frame_is(const u64 *w, u64 rip, u64 flags, u64 mask)
{
	EQ(w[0], rip);
	EQ(w[1], 0xe030 | mask << 32); /* our ring, and the upcall mask */
	EQ(w[2], (flags & ~0x200UL) | (mask ? 0 : 0x200));
	EQ(w[3], frame_sp);
	EQ(w[4], FLAT_KERNEL_SS);
}

static void frames(void)
{
	static struct trap_info ti[] = {
		{ 3, 3, FLAT_KERNEL_CS, (u64)frame_plain },
		{ 14, 0, FLAT_KERNEL_CS, (u64)frame_error },
		{ 0, 0, 0, 0 }
	};
	u64 rip, flags;

	EQ(HC(__HYPERVISOR_set_trap_table, ti), 0);
	for (u64 mask = 0; mask < 2; mask++) {
		shared->vcpu_info[0].evtchn_upcall_mask = mask;
		FRAME("int3", rip);
		EQ(frame_at, (frame_sp & ~15UL) - 56);
		EQ(frame_words[0], 0x1111);
		EQ(frame_words[1], 0x2222);
		frame_is(frame_words + 2, rip + 1, flags, mask);

		FRAME("movb $0, 0x3000", rip);
		EQ(frame_at, (frame_sp & ~15UL) - 64);
		EQ(frame_words[0], 0x1111);
		EQ(frame_words[1], 0x2222);
		EQ(frame_words[2], 2); /* the whole word of the error code */
		frame_is(frame_words + 3, rip, flags, mask);
		EQ(shared->vcpu_info[0].arch.cr2, 0x3000);
		EQ(shared->vcpu_info[0].evtchn_upcall_mask, mask);
	}
	shared->vcpu_info[0].evtchn_upcall_mask = 1;
}

void test_main(void)
{
	trap_on(3, skip2);
	exceptions();
	privileged();
	debug_registers();
	bases();
	descriptors();
	user_ldt();
	frames();
}
