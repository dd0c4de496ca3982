/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers and time. All times are nanoseconds of system time, which is one
 * clock for all CPUs that never goes backwards. */
#pragma once

#include <bh/types.h>

struct vcpu;
struct domain;
#define MICROSECS(n) ((s_time_t)(n)*1000)
#define MILLISECS(n) ((s_time_t)(n)*1000000)
#define SECONDS(n)   ((s_time_t)(n)*1000000000)
#define STIME_MAX    ((s_time_t)(~0UL >> 1))

struct timer {
	s_time_t expires;
	void (*fn)(void *); /* softirq context, interrupts on */
	void *arg;
	/* Pairing heap of its CPU: no allocation, O(1) insertion. */
	struct timer *child, *next, *prev;
	u16 cpu;
	bool active, dead;
};
static inline bool timer_active(const struct timer *t)
{
	return t->active;
}
void timer_subsys_init_cpu(unsigned int cpu);
void timer_init(struct timer *t, void (*fn)(void *), void *arg,
		unsigned int cpu);
/* (Re)arms. A time in the past fires at once (from softirq). */
void timer_set(struct timer *t, s_time_t expires);
/* After it returns the timer does not fire (a running handler may finish). */
void timer_stop(struct timer *t);
void timer_kill(struct timer *t); /* stop, and wait for a running handler */
void timer_migrate(struct timer *t, unsigned int cpu);

s_time_t NOW(void);
/* cpu/ calls these: TSC rate known; each CPU once when it comes up. */
void time_init(u64 tsc_hz, bool tsc_reliable);
void time_init_cpu(void);
extern u64 cpu_khz;
void time_start_checks(void); /* sched_init() */
bool time_is_stable(void);    /* one TSC scale for all CPUs: TSC_STABLE */
s_time_t tsc_to_stime(u64 tsc);
u64 stime_to_tsc(s_time_t t);
/* Writes v's pvclock record(s) if the CPU's scale changed or v moved. */
void time_update_vcpu(struct vcpu *v);
/* Wall clock at system time 0; also pushes into d's shared_info. */
void time_set_wallclock(u64 secs, u32 nsecs, s_time_t at);
void time_update_wallclock(struct domain *d);
u64 wallclock_now_ns(void); /* ns since 1970 */
