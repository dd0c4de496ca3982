/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Softirqs: work that must not be done in an interrupt handler and need not be
 * done by a particular vCPU. They run with interrupts on, on the way out to a
 * guest and in the idle loop. SCHED goes last because it may switch away for
 * good. Tasklets are one-shot functions on top, per CPU.
 */
#include <bh/cpuops.h>
#include <bh/irq.h>
#include <bh/machine.h>
#include <bh/smp.h>

static softirq_fn *handlers[SOFTIRQ_NR] __read_mostly;
static struct tasklet_queue {
	struct spinlock lock;
	struct list list;
} queues[NR_CPUS];

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

	if (!c || test_and_set_bit(nr, &c->softirq_pending))
		return;
	if (cpu != smp_processor_id())
		smp_send_ipi(cpu, VEC_EVENT_CHECK);
}

void softirq_run(void)
{
	struct cpu *c = this_cpu();

	for (;;) {
		unsigned long p = READ_ONCE(c->softirq_pending);
		unsigned int nr;

		if (!p)
			return;
		/* The scheduler only when nothing else is left. */
		if (p & ~(1UL << SOFTIRQ_SCHED))
			p &= ~(1UL << SOFTIRQ_SCHED);
		nr = __builtin_ctzl(p);
		clear_bit(nr, &c->softirq_pending);
		irq_enable();
		if (handlers[nr])
			handlers[nr]();
	}
}

static void run_tasklets(void)
{
	struct tasklet_queue *q = &queues[smp_processor_id()];
	unsigned long f;

	for (;;) {
		struct tasklet *t;

		f = spin_lock_irqsave(&q->lock);
		if (list_empty(&q->list)) {
			spin_unlock_irqrestore(&q->lock, f);
			return;
		}
		t = list_first(&q->list, struct tasklet, link);
		list_del(&t->link);
		t->queued = false;
		spin_unlock_irqrestore(&q->lock, f);
		t->fn(t->arg);
	}
}

void tasklet_init(struct tasklet *t, void (*fn)(void *), void *arg)
{
	list_init(&t->link);
	t->fn = fn;
	t->arg = arg;
	t->queued = false;
}

void tasklet_schedule(struct tasklet *t)
{
	struct tasklet_queue *q = &queues[smp_processor_id()];
	unsigned long f = spin_lock_irqsave(&q->lock);

	if (!t->queued) {
		t->queued = true;
		list_add_tail(&t->link, &q->list);
	}
	spin_unlock_irqrestore(&q->lock, f);
	softirq_raise(SOFTIRQ_TASKLET);
}

void softirq_init(void)
{
	for (unsigned int i = 0; i < NR_CPUS; i++) {
		spin_init(&queues[i].lock, LOCK_NONE);
		list_init(&queues[i].list);
	}
	softirq_open(SOFTIRQ_TASKLET, run_tasklets);
}
