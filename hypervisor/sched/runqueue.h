/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run queue of one CPU: who runs next, for how long, and who may move. Pure
 * data structure; time is an argument and the caller holds the lock.
 *
 * Each vCPU carries a virtual time: nanoseconds it ran, scaled by 256/weight.
 * The queued vCPU with the least runs next, so over time everyone's virtual
 * time grows alike and shares follow the weights. The queue's floor follows the
 * least virtual time in it; a vCPU that slept is brought up to the floor less a
 * small credit, so sleep is not saved up.
 *
 * A vCPU that wakes goes ahead of the queue for a millisecond, as long as it has
 * not had much more than its share: so a mostly idle guest answers at once
 * beside a hundred busy ones. What it uses is charged like any other time.
 */
#pragma once

#include <bh/sched.h>

#define SCHED_SLICE_MIN   MILLISECS(1)
#define SCHED_SLICE_MAX   MILLISECS(10)
#define SCHED_WAKE_CREDIT MILLISECS(3)   /* virtual */
#define SCHED_WAKE_GRAIN  MICROSECS(250) /* virtual lead needed to preempt */
#define SCHED_WAKE_DEBT   MILLISECS(10)  /* virtual lag that ends the favour */
#define SCHED_BOOST       MILLISECS(1)
#define SCHED_CAP_PERIOD  MILLISECS(10)
#define SCHED_PUSH_PERIOD MILLISECS(50)

struct runqueue {
	struct spinlock lock; /* rank LOCK_SCHED; guards all below */
	struct list queue;    /* by vtime, least first; not the running one */
	struct sched_vcpu *curr; /* on the CPU; NULL: idle */
	u64 floor;
	u32 nr_queued;
	u32 load; /* weights of queued and running */
	unsigned int cpu;
	bool slice_armed;
	s_time_t last_push;
	struct timer slice_timer;
};

void rq_init(struct runqueue *rq, unsigned int cpu);
void rq_enqueue(struct runqueue *rq, struct sched_vcpu *s);
void rq_dequeue(struct runqueue *rq, struct sched_vcpu *s);
static inline struct sched_vcpu *rq_first(struct runqueue *rq)
{
	return rq->nr_queued ? list_first(&rq->queue, struct sched_vcpu, link)
			     : NULL;
}
/* Accounts s, which runs on rq, up to now. */
void rq_charge(struct runqueue *rq, struct sched_vcpu *s, s_time_t now);
/* s woke up on rq after having slept on `from` (may be rq). */
void rq_place_woken(struct runqueue *rq, const struct runqueue *from,
		    struct sched_vcpu *s);
/* Carries s's lead or lag from one queue to another. */
void rq_carry(struct runqueue *to, const struct runqueue *from,
	      struct sched_vcpu *s);
/* Should s, just woken, take the CPU from curr (accounted up to now)? */
bool rq_preempts(const struct runqueue *rq, const struct sched_vcpu *s);
/* How long may s run before someone else is due; STIME_MAX: for ever. */
s_time_t rq_slice(struct runqueue *rq, const struct sched_vcpu *s,
		  s_time_t now);
/* Is curr better than, or no worse than, everyone queued? */
bool rq_keeps(struct runqueue *rq, const struct sched_vcpu *curr);
/*
 * Someone queued who may run on `cpu` and is not still being switched out (as
 * movable() says); those who prefer it first, then who moved least recently.
 */
struct sched_vcpu *rq_find_movable(struct runqueue *rq, unsigned int cpu,
				   bool (*movable)(const struct sched_vcpu *));

/* Caps. now only grows. dom->cap_lock held for the first two. */
void cap_charge(struct sched_domain *dom, s64 ran, s_time_t now);
/* Budget left after refilling what is due; <= 0: must wait for refill_at. */
s64 cap_left(struct sched_domain *dom, s_time_t now);
