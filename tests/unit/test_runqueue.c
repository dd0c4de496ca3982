/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run queue, driven by a simulated clock the way sched.c drives it: shares
 * follow weights, caps hold, a sleeper gets the CPU soon after it wakes, nobody
 * starves, and random operations leave the queue in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypervisor/sched/runqueue.h"

#define MAX 128

struct sim {
	struct sched_domain dom[MAX];
	struct sched_vcpu v[MAX];
	s64 ran[MAX];
	struct runqueue rq;
	s_time_t now, slice_end;
	int n;
};

static void sim_init(struct sim *s, int n)
{
	memset(s, 0, sizeof(*s));
	rq_init(&s->rq, 0);
	s->n = n;
	s->now = 1000;
	for (int i = 0; i < n; i++) {
		s->dom[i].weight = 256;
		s->v[i].dom = &s->dom[i];
		list_init(&s->v[i].link);
		memset(&s->v[i].hard, 0xff, sizeof(cpumask_t));
		memset(&s->v[i].soft, 0xff, sizeof(cpumask_t));
	}
}

static void charge(struct sim *s)
{
	struct sched_vcpu *c = s->rq.curr;

	if (!c)
		return;
	s64 ran = s->now - c->run_start;

	s->ran[c - s->v] += ran;
	rq_charge(&s->rq, c, s->now);
	if (c->dom->cap) {
		cap_charge(c->dom, ran, s->now);
		c->parked = c->dom->budget <= 0;
	}
}

/* As schedule(): keep is whether the running one wants to go on. */
static void resched(struct sim *s, bool keep)
{
	struct sched_vcpu *c = s->rq.curr, *next;

	charge(s);
	for (int i = 0; i < s->n; i++)
		if (s->v[i].parked && cap_left(s->v[i].dom, s->now) > 0) {
			s->v[i].parked = false;
			if (&s->v[i] != c) {
				rq_place_woken(&s->rq, &s->rq, &s->v[i]);
				rq_enqueue(&s->rq, &s->v[i]);
			}
		}
	if (c && c->parked)
		keep = false;
	if (c && keep && rq_keeps(&s->rq, c)) {
		next = c;
	} else {
		next = rq_first(&s->rq);
		if (next)
			rq_dequeue(&s->rq, next);
		if (c && keep)
			rq_enqueue(&s->rq, c);
		s->rq.curr = next;
		if (next)
			next->run_start = s->now;
	}
	s->slice_end = STIME_MAX;
	if (next) {
		s_time_t sl = rq_slice(&s->rq, next, s->now);

		if (sl != STIME_MAX)
			s->slice_end = s->now + sl;
	}
	for (int i = 0; i < s->n; i++)
		if (s->v[i].parked && s->v[i].dom->refill_at < s->slice_end)
			s->slice_end = s->v[i].dom->refill_at;
}

static void wake(struct sim *s, int i)
{
	charge(s);
	rq_place_woken(&s->rq, &s->rq, &s->v[i]);
	rq_enqueue(&s->rq, &s->v[i]);
	if (rq_preempts(&s->rq, &s->v[i]) || s->slice_end == STIME_MAX)
		resched(s, true);
}

static void run_for(struct sim *s, s_time_t t)
{
	s_time_t end = s->now + t;

	while (s->slice_end < end) {
		s->now = s->slice_end;
		resched(s, true);
	}
	s->now = end;
	charge(s);
}

static void near(s64 got, s64 want, int percent)
{
	if (llabs(got - want) * 100 > want * percent)
		fail_msg("%lld is not within %d%% of %lld", (long long)got,
			 percent, (long long)want);
}

static void equal_weights_share_equally(void **state)
{
	static struct sim s;

	sim_init(&s, 3);
	for (int i = 0; i < 3; i++)
		wake(&s, i);
	run_for(&s, SECONDS(3));
	for (int i = 0; i < 3; i++)
		near(s.ran[i], SECONDS(1), 2);
}

static void double_weight_gets_double(void **state)
{
	static struct sim s;

	sim_init(&s, 2);
	s.dom[1].weight = 512;
	wake(&s, 0);
	wake(&s, 1);
	run_for(&s, SECONDS(3));
	near(s.ran[0], SECONDS(1), 3);
	near(s.ran[1], SECONDS(2), 3);
}

static void extreme_weights_hold(void **state)
{
	static struct sim s;

	sim_init(&s, 2);
	s.dom[0].weight = 64;
	s.dom[1].weight = 4096;
	wake(&s, 0);
	wake(&s, 1);
	run_for(&s, SECONDS(65));
	near(s.ran[0], SECONDS(1), 5);
}

static void cap_holds_on_an_idle_cpu(void **state)
{
	static struct sim s;
	static const int caps[] = { 5, 25, 50, 90 };

	for (unsigned int i = 0; i < 4; i++) {
		sim_init(&s, 1);
		s.dom[0].cap = caps[i];
		wake(&s, 0);
		run_for(&s, SECONDS(10));
		near(s.ran[0], SECONDS(10) / 100 * caps[i], 5);
	}
}

static void cap_leaves_the_rest_to_others(void **state)
{
	static struct sim s;

	sim_init(&s, 2);
	s.dom[0].cap = 25;
	wake(&s, 0);
	wake(&s, 1);
	run_for(&s, SECONDS(10));
	near(s.ran[0], MILLISECS(2500), 5);
	near(s.ran[1], MILLISECS(7500), 5);
}

static void sleeper_preempts_a_hundred_busy(void **state)
{
	static struct sim s;

	sim_init(&s, 101);
	for (int i = 0; i < 100; i++)
		wake(&s, i);
	run_for(&s, SECONDS(1));
	for (int k = 0; k < 100; k++) {
		run_for(&s, MILLISECS(7) + random() % 1000000);
		wake(&s, 100);
		/* It has the CPU at once, and for what it needs. */
		assert_ptr_equal(s.rq.curr, &s.v[100]);
		run_for(&s, MICROSECS(100));
		assert_ptr_equal(s.rq.curr, &s.v[100]);
		resched(&s, false); /* sleeps again */
	}
}

static void sleep_is_not_saved_up(void **state)
{
	static struct sim s;

	sim_init(&s, 2);
	wake(&s, 0);
	run_for(&s, SECONDS(100));
	wake(&s, 1);
	s.ran[0] = s.ran[1] = 0;
	run_for(&s, SECONDS(1));
	near(s.ran[0], MILLISECS(500), 5);
}

static void no_one_starves(void **state)
{
	static struct sim s;

	sim_init(&s, MAX);
	for (int i = 0; i < MAX; i++) {
		s.dom[i].weight = 1 + random() % 65535;
		wake(&s, i);
	}
	run_for(&s, SECONDS(3600));
	for (int i = 0; i < MAX; i++)
		assert_true(s.ran[i] > 0);
}

static void check(struct sim *s)
{
	u32 n = 0;
	const struct sched_vcpu *v, *prev = NULL;

	list_for_each_entry(v, &s->rq.queue, link) {
		assert_true(v->queued);
		if (prev && v->boost)
			assert_true(prev->boost);
		else if (prev && !prev->boost)
			assert_true((s64)(v->vtime - prev->vtime) >= 0);
		prev = v;
		n++;
	}
	assert_int_equal(n, s->rq.nr_queued);
}

static void random_life_keeps_order(void **state)
{
	static struct sim s;

	srandom(7);
	sim_init(&s, 40);
	for (int step = 0; step < 100000; step++) {
		int i = random() % s.n;

		switch (random() % 4) {
		case 0:
			if (!s.v[i].queued && s.rq.curr != &s.v[i] &&
			    !s.v[i].parked)
				wake(&s, i);
			break;
		case 1:
			if (s.v[i].queued) {
				rq_dequeue(&s.rq, &s.v[i]);
			} else if (s.rq.curr == &s.v[i]) {
				resched(&s, false);
				s.v[i].parked = false;
			}
			break;
		case 2:
			s.dom[i].weight = 1 + random() % 1000;
			break;
		default:
			run_for(&s, random() % MILLISECS(5));
		}
		check(&s);
	}
}

static bool any(const struct sched_vcpu *v)
{
	return !v->on_cpu;
}

static void stealing_respects_affinity(void **state)
{
	static struct sim s;

	sim_init(&s, 3);
	for (int i = 0; i < 3; i++)
		rq_enqueue(&s.rq, &s.v[i]);
	memset(&s.v[0].hard, 0, sizeof(cpumask_t));
	cpumask_set(0, &s.v[0].hard);
	s.v[1].on_cpu = true;
	assert_ptr_equal(rq_find_movable(&s.rq, 1, any), &s.v[2]);
	s.v[1].on_cpu = false;
	s.v[2].has_soft = true;
	memset(&s.v[2].soft, 0, sizeof(cpumask_t));
	cpumask_set(0, &s.v[2].soft);
	assert_ptr_equal(rq_find_movable(&s.rq, 1, any), &s.v[1]);
	rq_dequeue(&s.rq, &s.v[1]);
	assert_ptr_equal(rq_find_movable(&s.rq, 1, any), &s.v[2]);
	rq_dequeue(&s.rq, &s.v[2]);
	assert_null(rq_find_movable(&s.rq, 1, any));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_weights_share_equally),
		cmocka_unit_test(double_weight_gets_double),
		cmocka_unit_test(extreme_weights_hold),
		cmocka_unit_test(cap_holds_on_an_idle_cpu),
		cmocka_unit_test(cap_leaves_the_rest_to_others),
		cmocka_unit_test(sleeper_preempts_a_hundred_busy),
		cmocka_unit_test(sleep_is_not_saved_up),
		cmocka_unit_test(no_one_starves),
		cmocka_unit_test(random_life_keeps_order),
		cmocka_unit_test(stealing_respects_affinity),
	};

	return cmocka_run_group_tests_name("runqueue", tests, NULL, NULL);
}
