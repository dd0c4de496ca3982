/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor tables of the processors: GDT, TSS, IDT, and where SYSCALL goes.
 *
 * All our selectors lie in page 14 of the GDT (entries from 7168 on), because
 * the PV ABI leaves pages 0..13 to the guest. Every CPU has one page of these
 * entries. While no guest runs, GDTR is set so far below that page that our
 * selectors hit it; while vCPU v runs, GDTR points to v's PERDOMAIN window,
 * whose 15th entry maps the page of the CPU v runs on. A CPU only ever loads
 * windows that map its own page, so no stale translation can matter.
 *
 * The IDT is one for all: stubs are the same and stacks come from the TSS.
 */
#include <bh/cpuops.h>
#include <bh/desc.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/smp.h>

#define SEL_IDX(sel) (((sel)-0xe000) / 8)
#define GDT_LIMIT    0xefff

struct tss64 {
	u32 rsvd0;
	u64 rsp[3];
	u64 rsvd1;
	u64 ist[7]; /* [0] = IST1 */
	u64 rsvd2;
	u16 rsvd3, iobase;
} __packed;

struct gate {
	u16 off_lo, sel;
	u8 ist, attr;
	u16 off_mid;
	u32 off_hi, rsvd;
} __packed;

struct table_reg {
	u16 limit;
	u64 base;
} __packed;

static struct gate idt[256] __aligned(4096);
static u64 boot_gdt_page[512] __aligned(4096);
static struct tss64 tss[NR_CPUS] __aligned(64);

extern struct {
	u64 guest_rsp, stack;
	u64 pad[6];
} syscall_slot[NR_CPUS];
extern char syscall_stub[], syscall32_stub[];

#define IST_NMI 1
#define IST_DF  2
#define IST_MC  3
#define IST_DB  4

static void lgdt(unsigned long base)
{
	struct table_reg r = { GDT_LIMIT, base };

	__asm__ volatile("lgdt %0" ::"m"(r));
}

static void idt_init(void)
{
	for (unsigned int i = 0; i < 256; i++) {
		u64 a = trap_entry_table[i];
		/* int3, into, and Linux' int 0x80 come from ring 3. */
		unsigned int dpl = i == 3 || i == 4 || i == 0x80 ? 3 : 0;

		idt[i] = (struct gate){
			.off_lo = a,
			.sel = HV_CS,
			.ist = i == 2    ? IST_NMI
			       : i == 8  ? IST_DF
			       : i == 18 ? IST_MC
			       : i == 1  ? IST_DB
					 : 0,
			.attr = 0x8e | dpl << 5, /* interrupt gate */
			.off_mid = a >> 16,
			.off_hi = a >> 32,
		};
	}
}

/* 16-byte system descriptor: type 9 TSS, 2 LDT. */
static void set_sysdesc(u64 *d, unsigned long base, u32 limit, u8 type)
{
	d[0] = (limit & 0xffff) | (base & 0xffffff) << 16 |
	       (u64)(0x80 | type) << 40 | (u64)(limit >> 16 & 0xf) << 48 |
	       (base >> 24 & 0xff) << 56;
	d[1] = base >> 32;
}

int desc_prepare_cpu(struct cpu *c)
{
	unsigned long stack = ((unsigned long)c->info & ~(STACK_SIZE - 1));
	struct tss64 *t = &tss[c->id];
	u64 *g = boot_gdt_page;

	if (c->id == 0) {
		idt_init();
	} else {
		g = c->gdt ? c->gdt : alloc_page();
		if (!g)
			return -ENOMEM;
	}
	g[SEL_IDX(HV_CS)] = 0x00af9b000000ffff;
	g[SEL_IDX(HV_DS)] = 0x00cf93000000ffff;
	g[SEL_IDX(GUEST_CS32)] = 0x00cffb000000ffff;
	g[SEL_IDX(GUEST_DS)] = 0x00cff3000000ffff;
	g[SEL_IDX(GUEST_CS64)] = 0x00affb000000ffff;

	memset(t, 0, sizeof(*t));
	t->rsp[0] = (unsigned long)&c->info->guest_regs.es;
	t->ist[IST_DF - 1] = stack + PAGE_SIZE;
	t->ist[IST_NMI - 1] = stack + 2 * PAGE_SIZE;
	t->ist[IST_MC - 1] = stack + 3 * PAGE_SIZE;
	t->ist[IST_DB - 1] = stack + 4 * PAGE_SIZE;
	t->iobase = sizeof(*t);
	set_sysdesc(&g[SEL_IDX(TSS_SEL)], (unsigned long)t, sizeof(*t) - 1, 9);
	c->gdt = g;
	c->tss = t;
	return 0;
}

void desc_load_cpu(void)
{
	struct cpu *c = this_cpu();
	struct table_reg r = { sizeof(idt) - 1, (unsigned long)idt };
	u64 *g = c->gdt;

	desc_load_idle();
	/* CS by a far return, then the data segments. */
	__asm__ volatile("pushq %0\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmov %1, %%ss\n\t"
			 "mov %1, %%ds\n\t"
			 "mov %1, %%es\n\t"
			 "mov %2, %%fs\n\t"
			 "mov %2, %%gs"
			 :
			 : "i"(HV_CS), "r"(HV_DS), "r"(0)
			 : "rax", "memory");
	/* LTR wants an available TSS; it may be loaded a second time. */
	g[SEL_IDX(TSS_SEL)] &= ~(2UL << 40);
	__asm__ volatile("ltr %w0" ::"r"(TSS_SEL) : "memory");
	__asm__ volatile("lidt %0" ::"m"(r));
	__asm__ volatile("lldt %w0" ::"r"(0));
}

void desc_load_idle(void)
{
	lgdt((unsigned long)this_cpu()->gdt - 14 * PAGE_SIZE);
}

void desc_load_for_vcpu(struct vcpu *v)
{
	/* Read-only: all accessed bits are set, TSS and LDT descriptors are
	 * written through the CPU's own mapping. Not global: windows of
	 * different domains share their addresses. */
	u64 pte = virt_to_maddr(this_cpu()->gdt) | PTE_P | PTE_A |
		  (cpu_has.nx ? PTE_NX : 0);
	u64 *slot = &v->pv.gdt_ldt_ptes[14];

	if (*slot != pte)
		WRITE_ONCE(*slot, pte);
	lgdt(GDT_VIRT(v));
}

void desc_load_ldt(unsigned long base, unsigned int nr_ents)
{
	u64 *g = this_cpu()->gdt;

	if (nr_ents)
		set_sysdesc(&g[SEL_IDX(LDT_SEL)], base, nr_ents * 8 - 1, 2);
	__asm__ volatile("lldt %w0" ::"r"(nr_ents ? LDT_SEL : 0) : "memory");
}

void syscall_init_cpu(void)
{
	struct cpu *c = this_cpu();

	syscall_slot[c->id].stack = (unsigned long)&c->info->guest_regs.ss;
	/* SYSCALL: CS, SS = HV_CS, +8. SYSRET: CS = +16, SS = +8, 32: +0. */
	wrmsr(MSR_STAR, (u64)GUEST_CS32 << 48 | (u64)HV_CS << 32);
	wrmsr(MSR_LSTAR, (unsigned long)syscall_stub + 32UL * c->id);
	wrmsr(MSR_CSTAR, (unsigned long)syscall32_stub + 32UL * c->id);
	wrmsr(MSR_SYSCALL_MASK, RFLAGS_IF | RFLAGS_DF | RFLAGS_TF | RFLAGS_NT |
					RFLAGS_AC | RFLAGS_RF | RFLAGS_VM |
					RFLAGS_IOPL);
	/* SYSENTER from a 32-bit guest process must not land in nowhere. */
	if (cpu_has.intel) {
		(void)wrmsr_safe(0x174, 0);
		(void)wrmsr_safe(0x175, 0);
		(void)wrmsr_safe(0x176, 0);
	}
}
