/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Soft interrupts and tasklets: work that interrupt handlers and other CPUs
 * ask for, done with interrupts on where the stack holds nothing else: on the
 * way back to a guest and in the idle loop.
 *
 * Each CPU has one word of pending bits. Setting a bit on another CPU sends it
 * an interrupt, but only when the bit was clear: whoever set it first either
 * sent one or is that CPU itself, which looks before it leaves.
 *
 * SOFTIRQ_SCHED is handled when nothing else is pending, because the handler
 * may switch away and never come back here.
 */
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/hypercall.h>
#include <bh/irq.h>
#include <bh/smp.h>

static softirq_fn *handlers[SOFTIRQ_NR];
static struct list tasklets[NR_CPUS]; /* own CPU only, interrupts off */

void softirq_open(enum softirq nr, softirq_fn *fn)
{
	handlers[nr] = fn;
}

void softirq_raise(enum softirq nr)
{
	set_bit(nr, &this_cpu()->softirq_pending);
}

void softirq_raise_on(unsigned int cpu, enum softirq nr)
{
	struct cpu *c = cpus[cpu];

	if (!test_and_set_bit(nr, &c->softirq_pending) && c != this_cpu())
		smp_send_ipi(cpu, VEC_EVENT_CHECK);
}

/* Leaves interrupts on: the caller turns them off and looks again. */
void softirq_run(void)
{
	struct cpu *c = this_cpu();
	unsigned long p;
	unsigned int nr;

	irq_enable();
	while ((p = READ_ONCE(c->softirq_pending)) != 0) {
		if (p & ~(1UL << SOFTIRQ_SCHED))
			p &= ~(1UL << SOFTIRQ_SCHED);
		nr = __builtin_ctzl(p);
		clear_bit(nr, &c->softirq_pending);
		if (likely(handlers[nr]))
			handlers[nr]();
	}
}

bool hypercall_preempt(void)
{
	const struct vcpu *v = current;

	return softirq_pending() ||
	       (v->info && READ_ONCE(v->info->evtchn_upcall_pending) &&
		!READ_ONCE(v->info->evtchn_upcall_mask));
}

static void tasklet_softirq(void)
{
	struct list *head = &tasklets[smp_processor_id()];
	struct tasklet *t;

	irq_disable();
	while (head->next && !list_empty(head)) {
		t = list_first(head, struct tasklet, link);
		list_del(&t->link);
		t->queued = false;
		irq_enable();
		t->fn(t->arg);
		irq_disable();
	}
	irq_enable();
}

void tasklet_init(struct tasklet *t, void (*fn)(void *), void *arg)
{
	list_init(&t->link);
	t->fn = fn;
	t->arg = arg;
	t->queued = false;
}

/* Any context. A tasklet is only ever scheduled by one CPU at a time. */
void tasklet_schedule(struct tasklet *t)
{
	unsigned long flags = irq_save();
	struct list *head = &tasklets[smp_processor_id()];

	if (!handlers[SOFTIRQ_TASKLET])
		softirq_open(SOFTIRQ_TASKLET, tasklet_softirq);
	if (!head->next)
		list_init(head);
	if (!t->queued) {
		t->queued = true;
		list_add_tail(&t->link, head);
		softirq_raise(SOFTIRQ_TASKLET);
	}
	irq_restore(flags);
}

static void nothing(void *unused)
{
}

void smp_quiesce(void)
{
	smp_call(&cpu_online_map, nothing, NULL);
}
