/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single machine instructions as inline functions (AMD64 APM vol. 2 and 3,
 * Intel SDM vol. 2). No other C file contains asm for these.
 */
#pragma once

#include <bh/types.h>

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}
static inline void mb(void)
{
	__asm__ volatile("mfence" ::: "memory");
}
static inline void smp_mb(void)
{
	__asm__ volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
}
#define smp_rmb() barrier()
#define smp_wmb() barrier()
static inline void irq_disable(void)
{
	__asm__ volatile("cli" ::: "memory");
}
static inline void irq_enable(void)
{
	__asm__ volatile("sti" ::: "memory");
}
static inline unsigned long irq_save(void)
{
	unsigned long f;

	__asm__ volatile("pushf; pop %0; cli" : "=r"(f)::"memory");
	return f;
}
static inline bool irq_enabled(void)
{
	unsigned long f;

	__asm__ volatile("pushf; pop %0" : "=r"(f)::"memory");
	return f & 0x200;
}
static inline void irq_restore(unsigned long f)
{
	if (f & 0x200)
		irq_enable();
	else
		irq_disable();
}
/* Enables interrupts and halts with no window between the two. */
static inline void safe_halt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}
static inline void cpu_halt(void)
{
	__asm__ volatile("hlt" ::: "memory");
}
static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (u64)hi << 32;
}
static inline void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)(v & ~0U)),
			 "d"((u32)(v >> 32))
			 : "memory");
}
/* Fault-safe forms: 0, or -EFAULT when the MSR raises #GP. */
int rdmsr_safe(u32 msr, u64 *v);
int wrmsr_safe(u32 msr, u64 v);
static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}
static inline u64 rdtsc_ordered(void)
{
	u32 lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return lo | (u64)hi << 32;
}
struct cpuid_regs {
	u32 a, b, c, d;
};
static inline struct cpuid_regs cpuid(u32 leaf, u32 sub)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "a"(leaf), "c"(sub));
	return r;
}
#define DEFINE_CR(n)                                                     \
	static inline unsigned long read_cr##n(void)                     \
	{                                                                \
		unsigned long v;                                         \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v));        \
		return v;                                                \
	}                                                                \
	static inline void write_cr##n(unsigned long v)                  \
	{                                                                \
		__asm__ volatile("mov %0, %%cr" #n ::"r"(v) : "memory"); \
	}
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3) /* raw: TLB bookkeeping wants tlb_write_cr3() (mm.h) */
DEFINE_CR(4)
#define DEFINE_DR(n)                                              \
	static inline unsigned long read_dr##n(void)              \
	{                                                         \
		unsigned long v;                                  \
		__asm__ volatile("mov %%db" #n ", %0" : "=r"(v)); \
		return v;                                         \
	}                                                         \
	static inline void write_dr##n(unsigned long v)           \
	{                                                         \
		__asm__ volatile("mov %0, %%db" #n ::"r"(v));     \
	}
DEFINE_DR(0)
DEFINE_DR(1)
DEFINE_DR(2)
DEFINE_DR(3)
DEFINE_DR(6)
DEFINE_DR(7)
static inline void clts(void)
{
	__asm__ volatile("clts");
}
static inline void invlpg(unsigned long va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}
static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" ::: "memory");
}
static inline void stac(void)
{
	__asm__ volatile(".byte 0x0f, 0x01, 0xcb" ::: "memory");
}
static inline void clac(void)
{
	__asm__ volatile(".byte 0x0f, 0x01, 0xca" ::: "memory");
}
static inline void swapgs(void)
{
	__asm__ volatile("swapgs" ::: "memory");
}
static inline u8 inb(u16 p)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p));
	return v;
}
static inline u16 inw(u16 p)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p));
	return v;
}
static inline u32 inl(u16 p)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p));
	return v;
}
static inline void outb(u8 v, u16 p)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(p));
}
static inline void outw(u16 v, u16 p)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(p));
}
static inline void outl(u32 v, u16 p)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(p));
}
static inline void xsetbv(u32 i, u64 v)
{
	__asm__ volatile(".byte 0x0f, 0x01, 0xd1" ::"c"(i), "a"((u32)v),
			 "d"((u32)(v >> 32))
			 : "memory");
}
static inline u64 xgetbv(u32 i)
{
	u32 lo, hi;

	__asm__ volatile(".byte 0x0f, 0x01, 0xd0"
			 : "=a"(lo), "=d"(hi)
			 : "c"(i));
	return lo | (u64)hi << 32;
}

/*
 * Exception table: when the instruction at `insn` faults in the hypervisor,
 * execution goes on at `fixup`. Used inside asm statements.
 */
#define EX_TABLE(insn, fixup)                     \
	".pushsection .ex_table, \"a\"\n\t"       \
	".balign 4\n\t"                           \
	".long " #insn " - ., " #fixup " - .\n\t" \
	".popsection\n\t"
/* The same for asm goto: execution goes on at a C label. */
#define EX_GOTO(insn, label)                          \
	".pushsection .ex_table, \"a\"\n\t"           \
	".balign 4\n\t"                               \
	".long " #insn " - ., %l[" #label "] - .\n\t" \
	".popsection\n\t"
struct cpu_user_regs;
/* If regs->rip has an entry, moves rip there and returns true. */
bool extable_fixup(struct cpu_user_regs *regs);

#define MSR_APIC_BASE      0x1b
#define MSR_PAT            0x277
#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_SYSCALL_MASK   0xc0000084
#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103
#define EFER_SCE           0x001
#define EFER_LME           0x100
#define EFER_LMA           0x400
#define EFER_NX            0x800
#define EFER_SVME          0x1000
#define CR0_PE             0x1UL
#define CR0_MP             0x2UL
#define CR0_EM             0x4UL
#define CR0_TS             0x8UL
#define CR0_ET             0x10UL
#define CR0_NE             0x20UL
#define CR0_WP             0x10000UL
#define CR0_AM             0x40000UL
#define CR0_PG             0x80000000UL
#define CR4_TSD            0x4UL
#define CR4_DE             0x8UL
#define CR4_PSE            0x10UL
#define CR4_PAE            0x20UL
#define CR4_MCE            0x40UL
#define CR4_PGE            0x80UL
#define CR4_OSFXSR         0x200UL
#define CR4_OSXMMEXC       0x400UL
#define CR4_UMIP           0x800UL
#define CR4_FSGSBASE       0x10000UL
#define CR4_OSXSAVE        0x40000UL
#define CR4_SMEP           0x100000UL
#define CR4_SMAP           0x200000UL
#define RFLAGS_CF          0x1UL
#define RFLAGS_MBS         0x2UL
#define RFLAGS_TF          0x100UL
#define RFLAGS_IF          0x200UL
#define RFLAGS_DF          0x400UL
#define RFLAGS_IOPL        0x3000UL
#define RFLAGS_NT          0x4000UL
#define RFLAGS_RF          0x10000UL
#define RFLAGS_VM          0x20000UL
#define RFLAGS_AC          0x40000UL
