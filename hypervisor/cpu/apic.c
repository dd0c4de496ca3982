/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC: IPIs, the one-shot timer, end of interrupt. In x2APIC mode
 * when the processor offers it (x2apic=off keeps the memory-mapped one), which
 * is cheaper and needs no polling before an IPI. Physical destinations only.
 * The timer uses the TSC deadline where there is one. (Intel SDM vol. 3,
 * chapter 10; AMD APM vol. 2, chapter 16.)
 */
#include <bh/acpi.h>
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/machine.h>
#include <bh/mm.h>
#include <bh/smp.h>
#include <bh/timer.h>

#define REG_ID           0x20
#define REG_VER          0x30
#define REG_TPR          0x80
#define REG_EOI          0xb0
#define REG_LDR          0xd0
#define REG_DFR          0xe0
#define REG_SVR          0xf0
#define REG_ESR          0x280
#define REG_ICR          0x300
#define REG_ICR2         0x310
#define REG_LVTT         0x320
#define REG_LVTTH        0x330
#define REG_LVTPC        0x340
#define REG_LVT0         0x350
#define REG_LVT1         0x360
#define REG_LVTE         0x370
#define REG_TMICT        0x380
#define REG_TMCCT        0x390
#define REG_TDCR         0x3e0
#define LVT_MASKED       0x10000
#define LVT_DEADLINE     0x40000
#define ICR_BUSY         0x1000
#define MSR_X2APIC(r)    (0x800 + ((r) >> 4))
#define MSR_TSC_DEADLINE 0x6e0

bool lapic_x2apic __read_mostly;
u64 lapic_timer_hz __read_mostly; /* after the divider of 16 */
static bool use_deadline __read_mostly;
static volatile u32 *regs __read_mostly;
static bool opt_x2apic = true, opt_tsc_deadline = true;
PARAM_BOOL("x2apic", opt_x2apic);
PARAM_BOOL("tdt", opt_tsc_deadline);

static u32 rd(u32 reg)
{
	return lapic_x2apic ? rdmsr(MSR_X2APIC(reg)) : regs[reg / 4];
}
static void wr(u32 reg, u32 val)
{
	if (lapic_x2apic)
		wrmsr(MSR_X2APIC(reg), val);
	else
		regs[reg / 4] = val;
}

void lapic_init(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	lapic_x2apic = cpu_has.x2apic && (opt_x2apic || (base & 0x400));
	if (!lapic_x2apic) {
		paddr_t pa = base & 0x000ffffffffff000;

		regs = ioremap(pa, PAGE_SIZE, PTE_HV_UC);
		if (!regs)
			panic("cannot map the local APIC at %#lx\n", pa);
	}
	use_deadline = opt_tsc_deadline && (cpuid(1, 0).c >> 24 & 1);
}

void lapic_init_cpu(void)
{
	u64 base = rdmsr(MSR_APIC_BASE) | 0x800;

	wrmsr(MSR_APIC_BASE, base);
	if (lapic_x2apic && !(base & 0x400))
		wrmsr(MSR_APIC_BASE, base | 0x400);
	wr(REG_TPR, 0);
	wr(REG_SVR, 0x100 | VEC_SPURIOUS);
	wr(REG_LVTT, LVT_MASKED | VEC_TIMER);
	wr(REG_LVT0, LVT_MASKED | 0x700); /* ExtINT: the 8259s are masked */
	wr(REG_LVT1, this_cpu()->id ? LVT_MASKED | 0x400 : 0x400); /* NMI */
	if ((rd(REG_VER) >> 16 & 0xff) >= 3)
		wr(REG_LVTE, VEC_ERROR);
	wr(REG_ESR, 0);
	/* Anything left in service by the firmware would block us. */
	for (unsigned int i = 0; i < 8; i++)
		if (rd(0x100 + i * 0x10))
			for (unsigned int n = 0; n < 32; n++)
				wr(REG_EOI, 0);
	if (this_cpu()->id)
		lapic_timer_init();
}

u32 lapic_id(void)
{
	u32 v = rd(REG_ID);

	return lapic_x2apic ? v : v >> 24;
}

void lapic_eoi(void)
{
	wr(REG_EOI, 0);
}

void lapic_wait_idle(void)
{
	if (lapic_x2apic)
		return;
	for (unsigned int i = 0; i < 1000000; i++) {
		if (!(rd(REG_ICR) & ICR_BUSY))
			return;
		cpu_relax();
	}
}

/* An interrupt handler may send IPIs too: both halves with interrupts off. */
static void icr_write(u32 dest, u32 lo)
{
	unsigned long f;

	if (lapic_x2apic) {
		/* The MSR write is not serialising: earlier stores first. */
		mb();
		wrmsr(MSR_X2APIC(REG_ICR), (u64)dest << 32 | lo);
		return;
	}
	f = irq_save();
	lapic_wait_idle();
	wr(REG_ICR2, dest << 24);
	wr(REG_ICR, lo);
	irq_restore(f);
}

void lapic_send_init(u32 apic_id)
{
	icr_write(apic_id, 0x4500); /* INIT, assert */
	lapic_wait_idle();
}

void lapic_send_sipi(u32 apic_id, u8 page)
{
	icr_write(apic_id, 0x4600 | page);
	lapic_wait_idle();
}

/* Whoever the NMI interrupted may be between the two halves: it finds the
 * register as it left it. */
void lapic_send_nmi(u32 apic_id)
{
	u32 high;

	if (lapic_x2apic) {
		wrmsr(MSR_X2APIC(REG_ICR), (u64)apic_id << 32 | 0x4400);
		return;
	}
	lapic_wait_idle();
	high = rd(REG_ICR2);
	wr(REG_ICR2, apic_id << 24);
	wr(REG_ICR, 0x4400);
	lapic_wait_idle();
	wr(REG_ICR2, high);
}

void smp_send_ipi(unsigned int cpu, u8 vector)
{
	if (cpu < NR_CPUS && cpus[cpu])
		icr_write(cpus[cpu]->apic_id, 0x4000 | vector);
}

void smp_send_ipi_mask(const cpumask_t *mask, u8 vector)
{
	unsigned int c, self = smp_processor_id();

	for_each_cpu(c, mask)
		if (c != self)
			smp_send_ipi(c, vector);
}

u32 lapic_timer_count(void)
{
	return rd(REG_TMCCT);
}

void lapic_timer_start_raw(u32 count)
{
	wr(REG_TDCR, 3); /* by 16 */
	wr(REG_TMICT, count);
}

void lapic_timer_init(void)
{
	if (use_deadline) {
		wr(REG_LVTT, LVT_DEADLINE | VEC_TIMER);
		mb(); /* the mode before the first deadline (SDM 10.5.4.1) */
		wrmsr(MSR_TSC_DEADLINE, 0);
		return;
	}
	wr(REG_TDCR, 3);
	wr(REG_LVTT, VEC_TIMER);
	wr(REG_TMICT, 0);
}

/* Times come from guests: the past is now, and beyond 18 years the sums below
 * would overflow. An interrupt that early is only programmed again. */
#define TIMER_LAST ((s_time_t)1 << 59)

void lapic_timer_set(s_time_t t)
{
	s_time_t delta;
	u64 count;

	if (t == STIME_MAX) {
		if (use_deadline)
			wrmsr(MSR_TSC_DEADLINE, 0);
		else
			wr(REG_TMICT, 0);
		return;
	}
	t = max(t, (s_time_t)0);
	t = min(t, TIMER_LAST);
	if (use_deadline) {
		u64 tsc = stime_to_tsc(t);

		wrmsr(MSR_TSC_DEADLINE, tsc ? tsc : 1);
		return;
	}
	delta = t - NOW();
	if (delta <= 0) {
		count = 1;
	} else if (delta > SECONDS(2)) {
		/* Fires early and is set again. */
		count = min(lapic_timer_hz * 2, (u64)0xffffffff);
	} else {
		count = (u64)delta * lapic_timer_hz / 1000000000 + 1;
		if (count > 0xffffffff)
			count = 0xffffffff;
	}
	wr(REG_TMICT, count);
}

void lapic_error_irq(void)
{
	u32 esr;

	wr(REG_ESR, 0);
	esr = rd(REG_ESR);
	printk(LVL_WARN "CPU%u: local APIC error %#x\n", smp_processor_id(),
	       esr);
}
