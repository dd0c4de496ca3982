/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timers' pairing heap against a plain array: the root is always the
 * earliest, and every timer that went in comes out once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypervisor/sched/timer_heap.h"

#define N 500

static struct timer t[N];

static const struct timer *earliest(void)
{
	const struct timer *e = NULL;

	for (int i = 0; i < N; i++)
		if (t[i].active && (!e || t[i].expires < e->expires))
			e = &t[i];
	return e;
}

static void random_operations_keep_the_first_first(void **state)
{
	struct timer *root = NULL;

	srandom(1);
	memset(t, 0, sizeof(t));
	for (int step = 0; step < 200000; step++) {
		struct timer *x = &t[random() % N];

		if (x->active) {
			if (random() % 3)
				x = root;
			root = timer_heap_remove(root, x);
			x->active = false;
		} else {
			x->expires = random() % 1000;
			root = timer_heap_insert(root, x);
			x->active = true;
		}
		if (step % 16)
			continue;
		const struct timer *e = earliest();

		assert_true(!e == !root);
		if (e)
			assert_int_equal(e->expires, root->expires);
	}
}

static void timers_come_out_in_order(void **state)
{
	struct timer *root = NULL;
	s_time_t last = 0;
	int n = 0;

	memset(t, 0, sizeof(t));
	for (int i = 0; i < N; i++) {
		t[i].expires = random();
		root = timer_heap_insert(root, &t[i]);
	}
	while (root) {
		assert_true(root->expires >= last);
		last = root->expires;
		root = timer_heap_remove(root, root);
		n++;
	}
	assert_int_equal(n, N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_keep_the_first_first),
		cmocka_unit_test(timers_come_out_in_order),
	};

	return cmocka_run_group_tests_name("timer_heap", tests, NULL, NULL);
}
