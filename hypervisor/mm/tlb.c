/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLB flushes, local and on other CPUs, and the clock that makes most of them
 * unnecessary.
 *
 * tlb_clock counts full flushes. A CPU notes the value it advanced the clock to
 * before flushing; a frame notes the clock when its last mapping went away. A
 * CPU whose note is greater than the frame's flushed later, so it holds nothing
 * of the frame. Frames keep the low 32 bits; the missing ones are taken so that
 * the stamp is as young as it can be, which can only cause a flush too many.
 *
 * Guest user mappings are global (they must survive the switch between the two
 * modes of a vCPU), so a full flush toggles CR4.PGE.
 *
 * Shootdowns are serialised by one lock. Whoever waits, for the lock or for
 * answers, answers requests to itself: so it works with interrupts off as well.
 */
#include <bh/cpuops.h>
#include <bh/irq.h>
#include <bh/page.h>
#include <bh/percpu.h>
#include <bh/pv.h>
#include <bh/smp.h>

u64 tlb_clock = 1;

static struct {
	u32 lock;
	unsigned long va; /* 0: everything */
	cpumask_t pending;
} shootdown;

static u64 tick(void)
{
	return __atomic_add_fetch(&tlb_clock, 1, __ATOMIC_SEQ_CST);
}

/* Between tick() and here everything was flushed; interrupts off. */
static void flushed(struct cpu *c, u64 t)
{
	if (c->tlb_clock != ~0UL)
		WRITE_ONCE(c->tlb_clock, t);
}

void tlb_write_cr3(unsigned long cr3)
{
	write_cr3(cr3);
}

void tlb_switch_cr3(unsigned long cr3)
{
	unsigned long f = irq_save();
	struct cpu *c = this_cpu();
	unsigned long cr4 = c->cr4;
	u64 t = tick();

	c->tlb_clock = 0; /* not empty any more, if it was */
	if (cr4 & CR4_PGE) {
		write_cr4(cr4 & ~CR4_PGE);
		write_cr3(cr3);
		write_cr4(cr4);
	} else {
		write_cr3(cr3);
	}
	flushed(c, t);
	irq_restore(f);
}

void tlb_leave_guest(void)
{
	tlb_switch_cr3(virt_to_maddr(hv_l4));
	/* "Flushed later than anything": holds until tlb_enter_guest(). */
	WRITE_ONCE(this_cpu()->tlb_clock, ~0UL);
}

void tlb_enter_guest(unsigned long cr3)
{
	/*
	 * First the clock, then the tables: whoever still saw us as empty had
	 * removed his entry from the tables before we began to read them.
	 */
	__atomic_store_n(&this_cpu()->tlb_clock, tick(), __ATOMIC_SEQ_CST);
	write_cr3(cr3);
}

void tlb_flush_local(void)
{
	unsigned long f = irq_save();
	struct cpu *c = this_cpu();
	unsigned long cr4 = c->cr4;
	u64 t = tick();

	if (cr4 & CR4_PGE) {
		write_cr4(cr4 & ~CR4_PGE);
		write_cr4(cr4);
	} else {
		write_cr3(read_cr3());
	}
	flushed(c, t);
	irq_restore(f);
}

void tlb_flush_one_local(unsigned long va)
{
	invlpg(va);
}

static void flush_what(unsigned long va)
{
	if (va)
		invlpg(va);
	else
		tlb_flush_local();
}

void tlb_shootdown_ipi(void)
{
	unsigned int me = smp_processor_id();
	unsigned long f = irq_save();

	if (cpumask_test(me, &shootdown.pending)) {
		/* An idle CPU would be asked again and again, and each time
		 * be woken: it leaves the guest's tables instead. */
		if (!pv_idle_leave())
			flush_what(READ_ONCE(shootdown.va));
		/* Releases the requester: after the flush. */
		cpumask_clear(me, &shootdown.pending);
	}
	irq_restore(f);
}

static void lock_answering(void)
{
	while (__atomic_exchange_n(&shootdown.lock, 1, __ATOMIC_ACQUIRE))
		while (READ_ONCE(shootdown.lock)) {
			tlb_shootdown_ipi();
			cpu_relax();
		}
}

static void flush_mask(const cpumask_t *mask, unsigned long va)
{
	unsigned int me = smp_processor_id();
	cpumask_t others;

	cpumask_and(&others, mask, &cpu_online_map);
	if (cpumask_test(me, mask)) {
		others.bits[me / 64] &= ~(1UL << (me % 64));
		if (cpumask_empty(&others)) {
			flush_what(va);
			return;
		}
	}
	if (cpumask_empty(&others))
		return;
	lock_answering();
	WRITE_ONCE(shootdown.va, va);
	for (int i = 0; i < 4; i++)
		__atomic_store_n(&shootdown.pending.bits[i], others.bits[i],
				 __ATOMIC_SEQ_CST);
	smp_send_ipi_mask(&others, VEC_INVALIDATE);
	if (cpumask_test(me, mask))
		flush_what(va);
	while (!cpumask_empty((const cpumask_t *)&shootdown.pending)) {
		barrier();
		cpu_relax();
	}
	__atomic_store_n(&shootdown.lock, 0, __ATOMIC_RELEASE);
}

void tlb_flush_mask(const cpumask_t *mask)
{
	flush_mask(mask, 0);
}

void tlb_flush_one_mask(const cpumask_t *mask, unsigned long va)
{
	/* Page 0 has no way to be named; it is rare enough. */
	flush_mask(mask, va & PAGE_MASK);
}

void tlb_flush_all(void)
{
	flush_mask(&cpu_online_map, 0);
}

u32 tlb_clock_now(void)
{
	return READ_ONCE(tlb_clock);
}

void tlb_filter(cpumask_t *mask, u32 stamp)
{
	u64 now = READ_ONCE(tlb_clock);
	u64 s = (now & ~0xffffffffUL) | stamp;
	unsigned int c;

	if (s > now)
		s -= 1UL << 32;
	for_each_cpu(c, mask)
		if (!cpus[c] || READ_ONCE(cpus[c]->tlb_clock) > s)
			mask->bits[c / 64] &= ~(1UL << (c % 64));
}
