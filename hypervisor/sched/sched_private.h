/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of sched/. */
#pragma once

#include <bh/domain.h>
#include <bh/lib.h>
#include <bh/percpu.h>

#include "runqueue.h"

#define to_vcpu(s) container_of(s, struct vcpu, sched)

/* Clears c's bit without a locked write when it is clear already. */
static inline void cpumask_clear_if(unsigned int c, cpumask_t *m)
{
	if (cpumask_test(c, m))
		cpumask_clear(c, m);
}

static inline struct runqueue *rq_of(unsigned int cpu)
{
	return cpus[cpu]->sched;
}

/* The queue of v's CPU, locked. */
struct runqueue *sched_lock_rq(const struct vcpu *v, unsigned long *flags);
/* Queues s, or takes it off, and counts its load. Lock held. */
void sched_enqueue(struct runqueue *rq, struct sched_vcpu *s);
void sched_dequeue(struct runqueue *rq, struct sched_vcpu *s);
/* What s ran since the last call counts for its domain's cap; parks it when
 * that is used up. Lock of its queue held, interrupts off. */
void sched_cap_account(struct sched_vcpu *s, s_time_t now);
