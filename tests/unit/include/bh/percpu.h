/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host stand-in: the real header, but "this CPU" is a plain variable. */
#pragma once

#define cpu_info hv_cpu_info
#define this_cpu hv_this_cpu
#include_next <bh/percpu.h>
#undef cpu_info
#undef this_cpu
#undef current

extern struct cpu host_cpu;
extern struct vcpu *host_current;
static inline struct cpu *this_cpu(void)
{
	return &host_cpu;
}
#define current host_current
