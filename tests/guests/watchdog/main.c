/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watchdogs, those of a domain and that of the boot (options in `args`): the
 * calls and their errors; a boot that was declared good outlives the time it
 * was given, busy all the while; no CPU is taken for hanging.
 */
#include "lib.h"

static long watchdog(u32 id, u32 timeout)
{
	struct sched_watchdog w = { .id = id, .timeout = timeout };

	return HC(__HYPERVISOR_sched_op, SCHEDOP_watchdog, &w);
}

void test_main(void)
{
	u64 end;

	EQ(watchdog(1, 30), -E_INVAL); /* none taken yet */
	EQ(watchdog(3, 30), -E_INVAL);
	EQ(watchdog(0, 30), 1);
	EQ(watchdog(0, 30), 2);
	EQ(watchdog(0, 30), -E_NOSPC);
	EQ(watchdog(2, 1), 0);
	EQ(watchdog(2, 0), 0);
	EQ(watchdog(2, 0), -E_INVAL);
	EQ(watchdog(0, 1), 2); /* free again */
	EQ(watchdog(2, 30), 0);
	EQ(HC(__HYPERVISOR_sched_op, SCHEDOP_watchdog, HV_ADDR), -E_FAULT);

	EQ(watchdog(0, 0), 0); /* ends the boot watchdog */
	EQ(watchdog(0, 0), -E_INVAL);
	end = now() + 6000000000UL;
	while (now() < end)
		;
	CHECK(true);
}
