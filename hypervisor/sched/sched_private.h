/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of sched/. */
#pragma once

#include <bh/lib.h>
#include <bh/percpu.h>

/* Clears c's bit without a locked write when it is clear already. */
static inline void cpumask_clear_if(unsigned int c, cpumask_t *m)
{
	if (cpumask_test(c, m))
		cpumask_clear(c, m);
}
