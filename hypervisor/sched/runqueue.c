/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run queue proper: see runqueue.h for the idea. No privileged
 * instruction, no guest, no clock: tests/unit/test_runqueue.c simulates years.
 *
 * The queue is a sorted list. Who stops running has the most virtual time and
 * who wakes has the least, so an insertion starts from the nearer end and takes
 * a step or two even with a hundred queued.
 */
#include "runqueue.h"

static s64 vdiff(u64 a, u64 b)
{
	return (s64)(a - b);
}

static u32 weight_of(const struct sched_vcpu *s)
{
	u32 w = READ_ONCE(s->dom->weight);

	return w ? w : 256;
}

void rq_init(struct runqueue *rq, unsigned int cpu)
{
	*rq = (struct runqueue){ .cpu = cpu };
	spin_init(&rq->lock, LOCK_SCHED);
	list_init(&rq->queue);
}

/* Least virtual time in the queue; who is boosted stands outside the order. */
static const struct sched_vcpu *least_queued(struct runqueue *rq)
{
	const struct sched_vcpu *s, *best = NULL;

	list_for_each_entry(s, &rq->queue, link) {
		if (!best || vdiff(s->vtime, best->vtime) < 0)
			best = s;
		if (!s->boost)
			break;
	}
	return best;
}

/* The floor never falls: it follows the least virtual time present. */
static void raise_floor(struct runqueue *rq)
{
	const struct sched_vcpu *first = least_queued(rq);
	u64 least;

	if (rq->curr && first)
		least = vdiff(rq->curr->vtime, first->vtime) < 0
				? rq->curr->vtime
				: first->vtime;
	else if (rq->curr)
		least = rq->curr->vtime;
	else if (first)
		least = first->vtime;
	else
		return;
	if (vdiff(least, rq->floor) > 0)
		rq->floor = least;
}

void rq_enqueue(struct runqueue *rq, struct sched_vcpu *s)
{
	struct list *at = &rq->queue;
	struct sched_vcpu *first = rq_first(rq), *last, *o;

	if (s->boost || !first)
		goto front;
	last = list_entry(rq->queue.prev, struct sched_vcpu, link);
	if (vdiff(s->vtime, first->vtime) < vdiff(last->vtime, s->vtime))
		goto front;
	for (; at->prev != &rq->queue; at = at->prev) {
		o = list_entry(at->prev, struct sched_vcpu, link);
		if (o->boost || vdiff(o->vtime, s->vtime) <= 0)
			break;
	}
	goto add;
front:
	/* Behind those boosted already; behind equals. */
	for (at = rq->queue.next; at != &rq->queue; at = at->next) {
		o = list_entry(at, struct sched_vcpu, link);
		if (!o->boost && (s->boost || vdiff(o->vtime, s->vtime) > 0))
			break;
	}
add:
	list_add_before(&s->link, at);
	s->queued = true;
	rq->nr_queued++;
}

void rq_dequeue(struct runqueue *rq, struct sched_vcpu *s)
{
	list_del(&s->link);
	s->queued = false;
	rq->nr_queued--;
}

void rq_charge(struct runqueue *rq, struct sched_vcpu *s, s_time_t now)
{
	s64 ran = now - s->run_start;
	u32 w = weight_of(s);

	if (ran <= 0)
		return;
	s->run_start = now;
	s->cap_ran += ran;
	s->vtime += w == 256 ? (u64)ran : (u64)ran * 256 / w;
	if (s->boost) {
		s->boost_left -= ran;
		s->boost = s->boost_left > 0;
	}
	raise_floor(rq);
}

void rq_carry(struct runqueue *to, const struct runqueue *from,
	      struct sched_vcpu *s)
{
	s->vtime += to->floor - from->floor;
}

void rq_place_woken(struct runqueue *rq, const struct runqueue *from,
		    struct sched_vcpu *s)
{
	u64 least = rq->floor - SCHED_WAKE_CREDIT;

	if (from != rq)
		rq_carry(rq, from, s);
	if (vdiff(s->vtime, least) < 0)
		s->vtime = least;
	s->boost = vdiff(s->vtime, rq->floor) < (s64)SCHED_WAKE_DEBT;
	s->boost_left = SCHED_BOOST;
}

bool rq_preempts(const struct runqueue *rq, const struct sched_vcpu *s)
{
	if (!rq->curr)
		return true;
	if (s->boost != rq->curr->boost)
		return s->boost;
	return vdiff(rq->curr->vtime, s->vtime) > (s64)SCHED_WAKE_GRAIN;
}

bool rq_keeps(struct runqueue *rq, const struct sched_vcpu *curr)
{
	const struct sched_vcpu *first = rq_first(rq);

	if (!first)
		return true;
	if (first->boost != curr->boost)
		return curr->boost;
	return vdiff(curr->vtime, first->vtime) <= 0;
}

s_time_t rq_slice(struct runqueue *rq, const struct sched_vcpu *s, s_time_t now)
{
	const struct sched_vcpu *first = rq_first(rq);
	s_time_t slice = STIME_MAX;
	s64 lead;

	if (first) {
		/* Until s has overtaken the next by a minimal slice. */
		lead = vdiff(first->vtime, s->vtime);
		slice = lead > (s64)SECONDS(1)
				? SCHED_SLICE_MAX
				: lead * weight_of(s) / 256 + SCHED_SLICE_MIN;
		slice = max(slice, (s_time_t)SCHED_SLICE_MIN);
		slice = min(slice, (s_time_t)SCHED_SLICE_MAX);
	}
	if (s->dom->cap) {
		s64 left = cap_left(s->dom, now);

		left = max(left, (s64)MICROSECS(50));
		slice = min(slice, (s_time_t)left);
	}
	return slice;
}

struct sched_vcpu *rq_find_movable(struct runqueue *rq, unsigned int cpu,
				   bool (*movable)(const struct sched_vcpu *))
{
	struct sched_vcpu *s, *best = NULL;
	bool likes, best_likes = false;

	list_for_each_entry(s, &rq->queue, link) {
		if (!cpumask_test(cpu, &s->hard) || !movable(s))
			continue;
		likes = !s->has_soft || cpumask_test(cpu, &s->soft);
		if (best &&
		    (likes < best_likes ||
		     (likes == best_likes && s->last_move >= best->last_move)))
			continue;
		best = s;
		best_likes = likes;
	}
	return best;
}

/* cap percent of one CPU, granted every SCHED_CAP_PERIOD. */
static s64 cap_quota(const struct sched_domain *dom)
{
	return (s64)dom->cap * (SCHED_CAP_PERIOD / 100);
}

void cap_charge(struct sched_domain *dom, s64 ran, s_time_t now)
{
	(void)cap_left(dom, now);
	dom->budget -= ran;
}

s64 cap_left(struct sched_domain *dom, s_time_t now)
{
	s64 periods, quota = cap_quota(dom);

	if (now >= dom->refill_at) {
		periods = (now - dom->refill_at) / SCHED_CAP_PERIOD + 1;
		dom->refill_at += periods * SCHED_CAP_PERIOD;
		/* Debt is paid back. What could not be used, because others
		 * ran, is kept for one more period and no longer. */
		if (periods > 100000 || dom->refill_at < 0)
			dom->budget = quota;
		else
			dom->budget += periods * quota;
		dom->budget = min(dom->budget, 2 * quota);
	}
	return dom->budget;
}
