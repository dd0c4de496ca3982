/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor of the hypervisor's hangs, here the second, which gets its NMIs
 * from the first: the watchdog says which, where, and restarts (`expect`).
 */
#include "lib.h"

void test_main(void)
{
	struct sched_pin_override pin = { .pcpu = 1 };

	EQ(HC(__HYPERVISOR_sched_op, SCHEDOP_pin_override, &pin), 0);
	debug_key('H');
	CHECK(!"the processor to hang");
}
