/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scheduler: per-CPU run queues ordered by weighted virtual time, wake-up
 * preemption, load balancing, hard and soft affinity, weights and caps.
 */
#pragma once

#include <bh/lib.h>
#include <bh/list.h>
#include <bh/spinlock.h>
#include <bh/timer.h>

struct domain;
struct vcpu;
struct vcpu_runstate_info;

struct sched_domain {
	u16 weight, cap; /* credit2's units: 256 default; percent of a CPU */
	/* Cap: budget in ns, shared by the domain's vCPUs. Guarded by lock. */
	struct spinlock cap_lock; /* rank LOCK_SCHED_CAP */
	s64 budget;
	s_time_t refill_at;
	struct timer refill_timer;
};
struct sched_vcpu {
	struct list link;         /* run queue; empty when not queued */
	struct sched_domain *dom; /* NULL: idle vCPU */
	u64 vtime;            /* weighted virtual run time, ns at weight 256 */
	s_time_t run_start;   /* accounted up to here while running */
	s64 cap_ran;          /* ran since the cap was last charged */
	cpumask_t hard, soft; /* soft is only a preference */
	cpumask_t saved_hard; /* SCHEDOP_pin_override */
	bool pinned_override;
	u16 load; /* weight it counts with in its queue's load */
	bool queued, yield, parked; /* parked: over its cap */
	bool has_soft;              /* soft is not a superset of hard */
	bool on_cpu; /* running, or its state is still in the CPU */
	bool boost;  /* just woken: ahead of the queue for boost_left ns */
	s64 boost_left;
	bool needs_move; /* may not run where it is: placed anew once saved */
	s_time_t last_move; /* when it last changed CPU by balancing */
};
void sched_init(void);
void sched_init_cpu(unsigned int cpu);
int sched_vcpu_init(struct vcpu *v, unsigned int cpu_hint);
void sched_vcpu_done(struct vcpu *v);
void sched_domain_init(struct domain *d);
void sched_domain_done(struct domain *d);
bool vcpu_runnable(const struct vcpu *v);
/* Something that may make v runnable happened. Any context. */
void vcpu_wake(struct vcpu *v);
/* v became unrunnable: take it off its CPU soon / and wait until off. */
void vcpu_sleep_nosync(struct vcpu *v);
void vcpu_sleep_sync(struct vcpu *v);
/* Current vCPU blocks until an event is pending / gives up its turn. */
void vcpu_block(void);
void vcpu_yield(void);
/* An event became pending for v: unblocks it and, when it runs in a guest on
 * another CPU, makes that CPU look. */
void vcpu_kick(struct vcpu *v);
void vcpu_unblock(struct vcpu *v);
int vcpu_set_hard_affinity(struct vcpu *v, const cpumask_t *m);
int vcpu_set_soft_affinity(struct vcpu *v, const cpumask_t *m);
/* Pins v to cpu beside its hard affinity, which is kept; -1 undoes it. */
int vcpu_pin_override(struct vcpu *v, int cpu);
/* Weight 1..65535, cap 0..(100 x vCPUs); -EINVAL. */
int sched_set_params(struct domain *d, u16 weight, u16 cap);
u64 vcpu_cpu_time(const struct vcpu *v); /* ns run so far */
void vcpu_runstate_change(struct vcpu *v, int state, s_time_t now);
/* Consistent copy of v's runstate, brought up to now. */
void vcpu_runstate_get(const struct vcpu *v, struct vcpu_runstate_info *out);
/* Copies runstate to v's registered area. */
void vcpu_runstate_update_guest(struct vcpu *v);
void sched_dump(void);
u64 cpu_idle_time(unsigned int cpu);

/*
 * Provided by pv/ (context.c): leaves prev, makes next current and jumps into
 * it (guest, or the idle loop for an idle vCPU). Does not return. Called by
 * schedule() with interrupts off and no lock held. Calls
 * sched_context_switched() when prev runs no more, and sched_state_saved() when
 * its state is in memory, which may be much later if the CPU goes idle.
 */
void context_switch(struct vcpu *prev, struct vcpu *next) __noreturn;
void sched_context_switched(struct vcpu *prev, struct vcpu *next);
void sched_state_saved(struct vcpu *v);
/* The idle loop: halts when nothing is pending (boot CPU enters it last). */
void idle_loop(void) __noreturn;
