/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System time where the time-stamp counters are not trusted (`args`): the guest
 * is told so, its record is steered once a second, time never runs backwards
 * through all that, and timers still end when they should.
 */
#include "domu.h"

void test_main(void)
{
	volatile struct vcpu_time_info *t = &shared->vcpu_info[0].time;
	u64 last = now(), x, start = last, worst = 0;
	u32 records = 0, version = t->version;
	bool ok = true;

	EQ(t->flags & XEN_PVCLOCK_TSC_STABLE_BIT, 0);
	while (last < start + 3500000000UL) {
		x = now();
		ok &= x >= last;
		if (x - last > worst)
			worst = x - last;
		last = x;
		if (t->version != version) {
			version = t->version;
			records++;
		}
	}
	CHECK(ok);
	CHECK(records >= 2);
	EQ(t->flags & XEN_PVCLOCK_TSC_STABLE_BIT, 0);
	printk("records %d, largest step %lu us\n", (int)records, worst / 1000);
	for (int i = 1; i < 5; i++) {
		start = now();
		sleep_ms(20 * i);
		x = now();
		printk("slept %ld us\n", (long)(x - start) / 1000);
		CHECK(x >= start + (20 * i - 1) * 1000000UL);
	}
}
