/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scheduler: which vCPU runs on which CPU.
 *
 * The order within a CPU is runqueue.c's. Here is what crosses CPUs: a waking
 * vCPU goes to an idle CPU it may use (its last one if that is idle), a CPU
 * about to idle takes work from the others, and a CPU with more load than
 * another pushes some over now and then, so that three busy vCPUs on two CPUs
 * take turns. Parking for caps and moving for affinity (sched_domain.c) happen
 * when a vCPU is taken off its CPU.
 *
 * Locking: a run queue's lock guards the queue and the scheduling state of the
 * vCPUs whose `processor` names its CPU. `processor` changes only under the
 * lock of the old CPU and never while the vCPU runs or is being saved
 * (sched.on_cpu). A second queue lock is only ever tried.
 *
 * Nothing here takes a lock that waits for another CPU, and there are no
 * threads: schedule() either returns, when the same vCPU goes on, or leaves
 * through context_switch() and never comes back.
 */
#include "sched_private.h"

#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/irq.h>
#include <bh/smp.h>

static cpumask_t idle_cpus; /* hint: CPUs that run their idle vCPU */

struct runqueue *sched_lock_rq(const struct vcpu *v, unsigned long *flags)
{
	struct runqueue *rq;
	unsigned int cpu;

	for (;;) {
		cpu = READ_ONCE(v->processor);
		rq = rq_of(cpu);
		*flags = spin_lock_irqsave(&rq->lock);
		if (likely(v->processor == cpu))
			return rq;
		spin_unlock_irqrestore(&rq->lock, *flags);
	}
}

bool vcpu_runnable(const struct vcpu *v)
{
	return !(READ_ONCE(v->pause_flags) | (u32)READ_ONCE(v->pause_count) |
		 (u32)READ_ONCE(v->domain->pause_count));
}

static int runstate_not_running(const struct vcpu *v)
{
	unsigned long f = READ_ONCE(v->pause_flags);

	if (vcpu_runnable(v))
		return RUNSTATE_runnable;
	return (f & (1UL << VPF_BLOCKED)) && !(f & (1UL << VPF_DOWN))
		       ? RUNSTATE_blocked
		       : RUNSTATE_offline;
}

/* ---- placement ------------------------------------------------------------------ */

static unsigned int first_in(const cpumask_t *m)
{
	return find_next_bit(m->bits, NR_CPUS, 0);
}

/* Best CPU for v, which does not run. Only hints are read, without locks. */
static unsigned int pick_cpu(const struct vcpu *v)
{
	const struct sched_vcpu *s = &v->sched;
	unsigned int last = v->processor, cpu, best;
	bool last_ok = cpumask_test(last, &s->hard);
	cpumask_t m;

	if (last_ok && cpumask_test(last, &idle_cpus) &&
	    (!s->has_soft || cpumask_test(last, &s->soft)))
		return last;
	cpumask_and(&m, &idle_cpus, &s->hard);
	if (s->has_soft) {
		cpumask_t soft;

		cpumask_and(&soft, &m, &s->soft);
		if (!cpumask_empty(&soft))
			return first_in(&soft);
	}
	if (last_ok && cpumask_test(last, &m))
		return last;
	if (!cpumask_empty(&m))
		return first_in(&m);
	if (last_ok)
		return last;
	cpumask_and(&m, &cpu_online_map, &s->hard);
	best = first_in(&m);
	if (best >= NR_CPUS)
		return last; /* affinity to CPUs that are gone */
	for_each_cpu(cpu, &m)
		if (READ_ONCE(rq_of(cpu)->load) < READ_ONCE(rq_of(best)->load))
			best = cpu;
	return best;
}

/* The weight may change while it is counted. */
static void load_add(struct runqueue *rq, struct sched_vcpu *s)
{
	s->load = READ_ONCE(s->dom->weight);
	rq->load += s->load;
}

void sched_enqueue(struct runqueue *rq, struct sched_vcpu *s)
{
	rq_enqueue(rq, s);
	load_add(rq, s);
}

void sched_dequeue(struct runqueue *rq, struct sched_vcpu *s)
{
	rq_dequeue(rq, s);
	rq->load -= s->load;
}

/* s was queued on rq: must its CPU look? */
static void poke(struct runqueue *rq, struct sched_vcpu *s)
{
	if (!rq->curr || !rq->slice_armed || rq_preempts(rq, s))
		softirq_raise_on(rq->cpu, SOFTIRQ_SCHED);
}

void vcpu_wake(struct vcpu *v)
{
	struct sched_vcpu *s = &v->sched;
	struct runqueue *rq, *from;
	unsigned long flags;
	unsigned int cpu;
	s_time_t now;

	from = rq = sched_lock_rq(v, &flags);
	if (s->queued || s->parked || rq->curr == s || !vcpu_runnable(v))
		goto out;
	if (!s->on_cpu) {
		cpu = pick_cpu(v);
		if (cpu != rq->cpu) {
			/* Nobody else finds it while it is on no queue. */
			v->processor = cpu;
			spin_unlock(&rq->lock);
			rq = rq_of(cpu);
			spin_lock(&rq->lock);
			if (v->processor != cpu || s->queued || s->parked ||
			    rq->curr == s || !vcpu_runnable(v))
				goto out;
		}
	}
	now = NOW();
	if (rq->curr)
		rq_charge(rq, rq->curr, now);
	rq_place_woken(rq, from, s);
	vcpu_runstate_change(v, RUNSTATE_runnable, now);
	sched_enqueue(rq, s);
	poke(rq, s);
out:
	spin_unlock_irqrestore(&rq->lock, flags);
}

void vcpu_sleep_nosync(struct vcpu *v)
{
	struct sched_vcpu *s = &v->sched;
	unsigned long flags;
	struct runqueue *rq = sched_lock_rq(v, &flags);

	if (!vcpu_runnable(v)) {
		if (s->queued) {
			sched_dequeue(rq, s);
			vcpu_runstate_change(v, runstate_not_running(v), NOW());
		} else if (rq->curr == s) {
			softirq_raise_on(rq->cpu, SOFTIRQ_SCHED);
		} else if (!s->on_cpu) {
			vcpu_runstate_change(v, runstate_not_running(v), NOW());
		}
	}
	spin_unlock_irqrestore(&rq->lock, flags);
}

void vcpu_sleep_sync(struct vcpu *v)
{
	vcpu_sleep_nosync(v);
	while (!vcpu_runnable(v) && READ_ONCE(v->is_running))
		cpu_relax();
	smp_mb(); /* is_running first, then where its state is */
	pv_sync_state(v);
}

void vcpu_unblock(struct vcpu *v)
{
	if (!test_bit(VPF_BLOCKED, &v->pause_flags))
		return;
	if (test_and_clear_bit(VPF_POLL, &v->pause_flags)) {
		clear_bit(v->id, v->domain->evtchn.poll_mask);
		__atomic_sub_fetch(&v->domain->evtchn.nr_polling, 1,
				   __ATOMIC_SEQ_CST);
	}
	if (test_and_clear_bit(VPF_BLOCKED, &v->pause_flags))
		vcpu_wake(v);
}

void vcpu_kick(struct vcpu *v)
{
	/* The event's atomic store is before this: pairs with vcpu_block(). */
	if (READ_ONCE(v->pause_flags) & (1UL << VPF_BLOCKED))
		vcpu_unblock(v);
	else if (READ_ONCE(v->is_running) && v != current)
		smp_send_ipi(v->processor, VEC_EVENT_CHECK);
}

static bool event_deliverable(const struct vcpu *v)
{
	return (READ_ONCE(v->info->evtchn_upcall_pending) &&
		!READ_ONCE(v->info->evtchn_upcall_mask)) ||
	       (v->pv.nmi_pending && !v->pv.nmi_masked);
}

void vcpu_block(void)
{
	struct vcpu *v = current;

	set_bit(VPF_BLOCKED, &v->pause_flags); /* full barrier */
	if (event_deliverable(v))
		clear_bit(VPF_BLOCKED, &v->pause_flags);
	else
		softirq_raise(SOFTIRQ_SCHED);
}

void vcpu_yield(void)
{
	current->sched.yield = true;
	softirq_raise(SOFTIRQ_SCHED);
}

/* ---- balancing ------------------------------------------------------------------------ */

static bool movable(const struct sched_vcpu *s)
{
	return !s->on_cpu;
}

static void move(struct runqueue *to, struct runqueue *from,
		 struct sched_vcpu *s, s_time_t now)
{
	sched_dequeue(from, s);
	rq_carry(to, from, s);
	to_vcpu(s)->processor = to->cpu;
	s->last_move = now;
	sched_enqueue(to, s);
}

/* rq has nothing to run: takes someone from another queue. */
static void steal(struct runqueue *rq, s_time_t now)
{
	struct runqueue *from;
	struct sched_vcpu *s;
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		from = rq_of(cpu);
		if (!READ_ONCE(from->nr_queued) || from == rq ||
		    !spin_trylock(&from->lock))
			continue;
		s = rq_find_movable(from, rq->cpu, movable);
		if (s)
			move(rq, from, s, now);
		spin_unlock(&from->lock);
		if (s)
			return;
	}
}

/* rq has someone waiting: hands one to a CPU with clearly less to do. */
static void push(struct runqueue *rq, s_time_t now)
{
	struct runqueue *to = NULL, *o;
	struct sched_vcpu *s;
	unsigned int cpu;

	if (now - rq->last_push < SCHED_PUSH_PERIOD)
		return;
	rq->last_push = now;
	for_each_online_cpu(cpu) {
		o = rq_of(cpu);
		if (o != rq &&
		    (!to || READ_ONCE(o->load) < READ_ONCE(to->load)))
			to = o;
	}
	if (!to || READ_ONCE(to->load) >= rq->load || !spin_trylock(&to->lock))
		return;
	s = rq_find_movable(rq, to->cpu, movable);
	/* An equal swap of the imbalance is worth it: they take turns. But not
	 * with whoever has just been moved while the runner never was. */
	if (s && to->load + s->dom->weight <= rq->load &&
	    (!rq->curr || s->last_move <= rq->curr->last_move ||
	     to->load + s->dom->weight < rq->load ||
	     !cpumask_test(to->cpu, &rq->curr->hard))) {
		move(to, rq, s, now);
		poke(to, s);
	}
	spin_unlock(&to->lock);
}

/* ---- the switch ------------------------------------------------------------------------- */

static void slice_expired(void *arg)
{
	softirq_raise(SOFTIRQ_SCHED);
}

static void arm_slice(struct runqueue *rq, struct sched_vcpu *s, s_time_t now)
{
	s_time_t slice;

	if (!s || (!rq->nr_queued && !s->dom->cap)) {
		if (rq->slice_armed)
			timer_stop(&rq->slice_timer);
		rq->slice_armed = false;
		return;
	}
	slice = rq_slice(rq, s, now);
	rq->slice_armed = true;
	timer_set(&rq->slice_timer, now + slice);
}

/* prev leaves the CPU or asks to stay. True: it goes on the queue. */
static bool prev_stays(struct runqueue *rq, struct vcpu *prev, s_time_t now)
{
	struct sched_vcpu *s = &prev->sched;

	rq_charge(rq, s, now);
	sched_cap_account(s, now);
	if (!vcpu_runnable(prev) || s->parked)
		return false;
	if (unlikely(!cpumask_test(rq->cpu, &s->hard))) {
		s->needs_move = true;
		return false;
	}
	return true;
}

static struct sched_vcpu *choose(struct runqueue *rq, struct vcpu *prev,
				 s_time_t now)
{
	struct sched_vcpu *s = is_idle_vcpu(prev) ? NULL : &prev->sched, *next;
	bool stay = s && prev_stays(rq, prev, now);

	if (stay && rq->nr_queued)
		push(rq, now);
	if (stay && !s->yield && rq_keeps(rq, s))
		return s;
	if (s && s->yield)
		s->yield = s->boost = false;
	if (!rq->nr_queued && !stay)
		steal(rq, now);
	next = rq_first(rq);
	if (!next)
		return stay ? s : NULL;
	sched_dequeue(rq, next);
	if (stay)
		sched_enqueue(rq, s);
	return next;
}

static void schedule(void)
{
	struct vcpu *prev = current, *next;
	struct runqueue *rq = this_cpu()->sched;
	struct sched_vcpu *s;
	unsigned int old_cpu;
	u32 was_load;
	s_time_t now;

	irq_disable();
	spin_lock(&rq->lock);
	now = NOW();
	was_load = rq->curr ? rq->curr->load : 0;
	s = choose(rq, prev, now);
	next = s ? to_vcpu(s) : this_cpu()->idle;
	arm_slice(rq, s, now);
	if (next == prev) {
		spin_unlock(&rq->lock);
		irq_enable();
		return;
	}
	rq->load -= was_load;
	rq->curr = s;
	if (s) {
		load_add(rq, s);
		s->run_start = now;
		s->on_cpu = true;
		cpumask_clear_if(rq->cpu, &idle_cpus);
	} else {
		cpumask_set(rq->cpu, &idle_cpus);
	}
	vcpu_runstate_change(prev,
			     is_idle_vcpu(prev) ? RUNSTATE_runnable
						: runstate_not_running(prev),
			     now);
	vcpu_runstate_change(next, RUNSTATE_running, now);
	next->is_running = true;
	spin_unlock(&rq->lock);

	/* With the lock gone nobody moves next: it counts as running. */
	if (prev->runstate.state == RUNSTATE_runnable)
		vcpu_runstate_update_guest(prev);
	if (s) {
		old_cpu = next->singleshot_timer.cpu;
		if (unlikely(old_cpu != rq->cpu)) {
			timer_migrate(&next->singleshot_timer, rq->cpu);
			timer_migrate(&next->periodic_timer, rq->cpu);
			timer_migrate(&next->poll_timer, rq->cpu);
			evtchn_move_pirqs(next);
		}
		if (unlikely(!cpumask_test(rq->cpu, &s->hard)))
			softirq_raise(SOFTIRQ_SCHED); /* moves it at once */
		vcpu_runstate_update_guest(next);
		time_update_vcpu(next);
	}
	context_switch(prev, next);
}

void sched_context_switched(struct vcpu *prev, struct vcpu *next)
{
	smp_mb(); /* pairs with vcpu_sleep_sync() */
	WRITE_ONCE(prev->is_running, false);
}

void sched_state_saved(struct vcpu *v)
{
	WRITE_ONCE(v->sched.on_cpu, false);
	if (unlikely(v->sched.needs_move)) {
		v->sched.needs_move = false;
		vcpu_wake(v);
	}
}

void idle_loop(void)
{
	for (;;) {
		softirq_run();
		if (heap_scrub_some())
			continue;
		irq_disable();
		if (softirq_pending())
			irq_enable();
		else
			safe_halt();
	}
}

/* ---- start ---------------------------------------------------------------- */

void sched_init_cpu(unsigned int cpu)
{
	struct runqueue *rq;

	timer_subsys_init_cpu(cpu);
	if (cpus[cpu]->sched)
		return;
	rq = xzalloc(sizeof(*rq));
	if (!rq)
		panic("no memory for the run queue of CPU %u\n", cpu);
	rq_init(rq, cpu);
	timer_init(&rq->slice_timer, slice_expired, NULL, cpu);
	cpumask_set(cpu, &idle_cpus);
	cpus[cpu]->sched = rq;
}

void sched_init(void)
{
	sched_init_cpu(smp_processor_id());
	softirq_open(SOFTIRQ_SCHED, schedule);
	keyhandler_register('r', sched_dump, "dump run queues");
	time_start_checks();
}
