/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain or its administrator says about scheduling: weights, caps,
 * affinity; the beginning and end of a vCPU's scheduling state; the debug key.
 *
 * Locking as in sched.c. cap_lock guards a domain's budget and is taken inside
 * a run queue's lock.
 */
#include "sched_private.h"

#include <bh/console.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/smp.h>

/* ---- caps --------------------------------------------------------------------------- */

void sched_cap_account(struct sched_vcpu *s, s_time_t now)
{
	struct sched_domain *dom = s->dom;
	s64 ran = s->cap_ran;

	s->cap_ran = 0;
	if (likely(!dom->cap))
		return;
	spin_lock(&dom->cap_lock); /* interrupts are off */
	cap_charge(dom, ran, now);
	s->parked = dom->budget <= 0;
	if (s->parked && !timer_active(&dom->refill_timer))
		timer_set(&dom->refill_timer, dom->refill_at);
	spin_unlock(&dom->cap_lock);
}

static void unpark_all(struct domain *d)
{
	unsigned long flags;
	struct runqueue *rq;
	struct vcpu *v;
	bool was;

	for_each_vcpu(d, v) {
		if (!READ_ONCE(v->sched.parked))
			continue;
		rq = sched_lock_rq(v, &flags);
		was = v->sched.parked;
		v->sched.parked = false;
		spin_unlock_irqrestore(&rq->lock, flags);
		if (was)
			vcpu_wake(v);
	}
}

static void cap_refill(void *arg)
{
	struct domain *d = arg;
	unsigned long flags = spin_lock_irqsave(&d->sched.cap_lock);
	bool open = !d->sched.cap || cap_left(&d->sched, NOW()) > 0;

	if (!open)
		timer_set(&d->sched.refill_timer, d->sched.refill_at);
	spin_unlock_irqrestore(&d->sched.cap_lock, flags);
	if (open)
		unpark_all(d);
}

int sched_set_params(struct domain *d, u16 weight, u16 cap)
{
	unsigned long flags;
	struct vcpu *v;

	if (!weight || cap > 100 * d->max_vcpus)
		return -EINVAL;
	flags = spin_lock_irqsave(&d->sched.cap_lock);
	if (cap != d->sched.cap) {
		d->sched.budget = 0;
		d->sched.refill_at = NOW();
	}
	d->sched.cap = cap;
	WRITE_ONCE(d->sched.weight, weight);
	spin_unlock_irqrestore(&d->sched.cap_lock, flags);
	if (!cap)
		unpark_all(d);
	/* Whoever runs computes its slice anew. */
	for_each_vcpu(d, v)
		if (READ_ONCE(v->is_running))
			softirq_raise_on(v->processor, SOFTIRQ_SCHED);
	return 0;
}

/* ---- affinity ----------------------------------------------------------------------------- */

static int set_hard(struct vcpu *v, const cpumask_t *m, bool override)
{
	struct sched_vcpu *s = &v->sched;
	struct runqueue *rq;
	unsigned long flags;
	cpumask_t online;
	bool again = false;

	cpumask_and(&online, m, &cpu_online_map);
	if (cpumask_empty(&online))
		return -EINVAL;
	rq = sched_lock_rq(v, &flags);
	if (s->pinned_override && !override) {
		s->saved_hard = *m; /* in force when the pin goes */
		goto out;
	}
	s->hard = *m;
	if (!cpumask_test(rq->cpu, m)) {
		if (s->queued) {
			sched_dequeue(rq, s);
			again = true;
		} else if (rq->curr == s) {
			softirq_raise_on(rq->cpu, SOFTIRQ_SCHED);
		}
	}
out:
	spin_unlock_irqrestore(&rq->lock, flags);
	if (again)
		vcpu_wake(v);
	return 0;
}

int vcpu_set_hard_affinity(struct vcpu *v, const cpumask_t *m)
{
	return set_hard(v, m, false);
}

int vcpu_set_soft_affinity(struct vcpu *v, const cpumask_t *m)
{
	unsigned long flags;
	struct runqueue *rq;

	if (cpumask_empty(m))
		return -EINVAL;
	rq = sched_lock_rq(v, &flags);
	v->sched.soft = *m;
	v->sched.has_soft = false;
	for (int i = 0; i < 4; i++)
		if (cpu_online_map.bits[i] & ~m->bits[i])
			v->sched.has_soft = true;
	spin_unlock_irqrestore(&rq->lock, flags);
	return 0;
}

int vcpu_pin_override(struct vcpu *v, int cpu)
{
	struct sched_vcpu *s = &v->sched;
	cpumask_t m = { { 0 } };

	if (cpu < 0) {
		if (!s->pinned_override)
			return -EINVAL;
		s->pinned_override = false;
		m = s->saved_hard;
	} else {
		if (s->pinned_override)
			return -EBUSY;
		if ((unsigned int)cpu >= nr_cpu_ids ||
		    !cpumask_test(cpu, &cpu_online_map))
			return -EINVAL;
		s->saved_hard = s->hard;
		s->pinned_override = true;
		cpumask_set(cpu, &m);
	}
	return set_hard(v, &m, true);
}

/* ---- life -------------------------------------------------------------------------------------- */

int sched_vcpu_init(struct vcpu *v, unsigned int cpu_hint)
{
	struct sched_vcpu *s = &v->sched;

	list_init(&s->link);
	v->processor = cpu_hint;
	memset(&s->hard, 0xff, sizeof(s->hard));
	memset(&s->soft, 0xff, sizeof(s->soft));
	if (!is_idle_vcpu(v)) {
		s->dom = &v->domain->sched;
		s->vtime = rq_of(cpu_hint)->floor;
	}
	v->runstate.state =
		is_idle_vcpu(v) ? RUNSTATE_running : RUNSTATE_offline;
	v->runstate.state_entry_time = NOW();
	return 0;
}

/* v is not runnable and off its CPU. */
void sched_vcpu_done(struct vcpu *v)
{
	unsigned long flags;
	struct runqueue *rq;

	if (!v->sched.link.next)
		return;
	rq = sched_lock_rq(v, &flags);
	if (v->sched.queued)
		sched_dequeue(rq, &v->sched);
	spin_unlock_irqrestore(&rq->lock, flags);
}

void sched_domain_init(struct domain *d)
{
	d->sched.weight = 256;
	d->sched.cap = 0;
	spin_init(&d->sched.cap_lock, LOCK_SCHED_CAP);
	timer_init(&d->sched.refill_timer, cap_refill, d, smp_processor_id());
}

void sched_domain_done(struct domain *d)
{
	timer_kill(&d->sched.refill_timer);
}

u64 cpu_idle_time(unsigned int cpu)
{
	return vcpu_cpu_time(cpus[cpu]->idle);
}

void sched_dump(void)
{
	const struct sched_vcpu *s;
	struct runqueue *rq;
	unsigned long flags;
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		rq = rq_of(cpu);
		flags = spin_lock_irqsave(&rq->lock);
		printk("CPU%u: %u queued, load %u, idle %lu ms, runs ", cpu,
		       rq->nr_queued, rq->load, cpu_idle_time(cpu) / 1000000);
		if (rq->curr)
			printk("d%uv%u\n", to_vcpu(rq->curr)->domain->id,
			       to_vcpu(rq->curr)->id);
		else
			printk("nobody\n");
		list_for_each_entry(s, &rq->queue, link)
			printk("  d%uv%u: weight %u, %ld us behind the first\n",
			       to_vcpu(s)->domain->id, to_vcpu(s)->id,
			       s->dom->weight,
			       (s64)(s->vtime - rq->floor) / 1000);
		spin_unlock_irqrestore(&rq->lock, flags);
	}
}
