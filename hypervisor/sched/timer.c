/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers: one heap and one one-shot timer interrupt for each CPU.
 *
 * The interrupt raises SOFTIRQ_TIMER; the softirq runs what is due, with
 * interrupts on and no lock held, and programs the interrupt for the next one.
 * A timer armed on the own CPU programs the interrupt at once if it has become
 * the first. Stopping never reprograms: an early interrupt costs less.
 *
 * Locking: a heap's lock (LOCK_TIMER, interrupts off) guards the heap and the
 * fields of the timers whose `cpu` names it. A timer's `cpu` changes only under
 * the lock of the old CPU.
 */
#include "timer_heap.h"

#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/lib.h>
#include <bh/mm.h>
#include <bh/percpu.h>
#include <bh/smp.h>

struct timer_cpu {
	struct spinlock lock;
	struct timer *root;
	struct timer *running; /* handler in progress */
	s_time_t programmed;   /* deadline given to the hardware */
	u64 nr_fired;
};

static struct timer_cpu *timers_of(unsigned int cpu)
{
	return cpus[cpu]->timers;
}

static struct timer_cpu *lock_timer(struct timer *t, unsigned long *flags)
{
	struct timer_cpu *tc;
	unsigned int cpu;

	for (;;) {
		cpu = READ_ONCE(t->cpu);
		tc = timers_of(cpu);
		*flags = spin_lock_irqsave(&tc->lock);
		if (likely(t->cpu == cpu))
			return tc;
		spin_unlock_irqrestore(&tc->lock, *flags);
	}
}

static void reprogram(struct timer_cpu *tc)
{
	s_time_t next = tc->root ? tc->root->expires : STIME_MAX;

	if (next < tc->programmed) {
		tc->programmed = next;
		lapic_timer_set(next);
	}
}

static void insert(struct timer_cpu *tc, struct timer *t)
{
	t->active = true;
	tc->root = timer_heap_insert(tc->root, t);
	if (tc->root != t)
		return;
	if (t->cpu == smp_processor_id())
		reprogram(tc);
	else if (t->expires < tc->programmed)
		softirq_raise_on(t->cpu, SOFTIRQ_TIMER);
}

static void remove(struct timer_cpu *tc, struct timer *t)
{
	tc->root = timer_heap_remove(tc->root, t);
	t->active = false;
}

void timer_init(struct timer *t, void (*fn)(void *), void *arg,
		unsigned int cpu)
{
	*t = (struct timer){ .fn = fn, .arg = arg, .cpu = cpu };
}

void timer_set(struct timer *t, s_time_t expires)
{
	unsigned long flags;
	struct timer_cpu *tc = lock_timer(t, &flags);

	if (t->active)
		remove(tc, t);
	t->expires = expires;
	if (!t->dead)
		insert(tc, t);
	spin_unlock_irqrestore(&tc->lock, flags);
}

void timer_stop(struct timer *t)
{
	struct timer_cpu *tc;
	unsigned long flags;

	if (!READ_ONCE(t->active))
		return;
	tc = lock_timer(t, &flags);
	if (t->active)
		remove(tc, t);
	spin_unlock_irqrestore(&tc->lock, flags);
}

void timer_kill(struct timer *t)
{
	struct timer_cpu *tc;
	unsigned long flags;
	unsigned int cpu;

	if (!t->fn)
		return; /* never initialised */
	tc = lock_timer(t, &flags);
	if (t->active)
		remove(tc, t);
	t->dead = true;
	spin_unlock_irqrestore(&tc->lock, flags);
	/* Its handler may run where the timer was before it moved. */
	for_each_online_cpu(cpu) {
		tc = timers_of(cpu);
		while (READ_ONCE(tc->running) == t && tc != this_cpu()->timers)
			cpu_relax();
	}
}

void timer_migrate(struct timer *t, unsigned int cpu)
{
	struct timer_cpu *from, *to = timers_of(cpu);
	unsigned long flags;
	unsigned int old;

	for (;;) {
		old = READ_ONCE(t->cpu);
		if (old == cpu)
			return;
		from = timers_of(old);
		/* Two locks of one rank: lower CPU first. */
		flags = spin_lock_irqsave(old < cpu ? &from->lock : &to->lock);
		spin_lock_nested(old < cpu ? &to->lock : &from->lock);
		if (likely(t->cpu == old))
			break;
		spin_unlock(&to->lock);
		spin_unlock_irqrestore(&from->lock, flags);
	}
	if (t->active) {
		remove(from, t);
		t->cpu = cpu;
		insert(to, t);
	} else {
		t->cpu = cpu;
	}
	spin_unlock(&to->lock);
	spin_unlock_irqrestore(&from->lock, flags);
}

static void timer_softirq(void)
{
	struct timer_cpu *tc = this_cpu()->timers;
	unsigned long flags = spin_lock_irqsave(&tc->lock);
	s_time_t now = NOW();
	struct timer *t;
	void (*fn)(void *);
	void *arg;

	while ((t = tc->root) != NULL && t->expires <= now) {
		remove(tc, t);
		tc->running = t;
		tc->nr_fired++;
		fn = t->fn;
		arg = t->arg;
		spin_unlock_irqrestore(&tc->lock, flags);
		fn(arg);
		flags = spin_lock_irqsave(&tc->lock);
		tc->running = NULL;
		now = NOW();
	}
	tc->programmed = STIME_MAX;
	reprogram(tc);
	spin_unlock_irqrestore(&tc->lock, flags);
}

static void timers_dump(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		const struct timer_cpu *tc = timers_of(cpu);
		const struct timer *t = READ_ONCE(tc->root);

		printk("CPU%u: now %ld ns, %lu timers fired", cpu, NOW(),
		       tc->nr_fired);
		if (t)
			printk(", next in %ld ns: %pS", t->expires - NOW(),
			       (void *)t->fn);
		printk("\n");
	}
}

void timer_subsys_init_cpu(unsigned int cpu)
{
	struct timer_cpu *tc;

	if (cpus[cpu]->timers)
		return;
	tc = xzalloc(sizeof(*tc));
	if (!tc)
		panic("no memory for the timers of CPU %u\n", cpu);
	spin_init(&tc->lock, LOCK_TIMER);
	tc->programmed = STIME_MAX;
	cpus[cpu]->timers = tc;
	softirq_open(SOFTIRQ_TIMER, timer_softirq);
	if (cpu == 0)
		keyhandler_register('a', timers_dump, "dump timers");
}
