/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states: how long each vCPU was running, runnable, blocked and offline.
 * Guests read them for steal time, tools for CPU time.
 *
 * A vCPU's record changes under the lock of its run queue only. Readers take
 * no lock: they retry when the time of the last change moved under them.
 */
#include <bh/cpuops.h>
#include <bh/domain.h>

void vcpu_runstate_change(struct vcpu *v, int state, s_time_t now)
{
	struct vcpu_runstate_info *r = &v->runstate;
	s64 delta = now - (s64)r->state_entry_time;

	if (r->state == state)
		return;
	if (delta > 0) {
		r->time[r->state] += delta;
		smp_wmb(); /* pairs with vcpu_runstate_get() */
		WRITE_ONCE(r->state_entry_time, (u64)now);
	}
	WRITE_ONCE(r->state, state);
}

void vcpu_runstate_get(const struct vcpu *v, struct vcpu_runstate_info *out)
{
	const struct vcpu_runstate_info *r = &v->runstate;
	s64 delta;

	do {
		*out = *r;
		barrier();
	} while (READ_ONCE(r->state_entry_time) != out->state_entry_time ||
		 READ_ONCE(r->state) != out->state);
	delta = NOW() - (s64)out->state_entry_time;
	if (delta > 0)
		out->time[out->state & 3] += delta;
}

u64 vcpu_cpu_time(const struct vcpu *v)
{
	struct vcpu_runstate_info r;

	vcpu_runstate_get(v, &r);
	return r.time[RUNSTATE_running];
}

void vcpu_runstate_update_guest(struct vcpu *v)
{
	struct vcpu_runstate_info r;
	const unsigned int at =
		offsetof(struct vcpu_runstate_info, state_entry_time);

	if (!v->runstate_area.va[0])
		return;
	r = v->runstate;
	if (!VM_ASSIST(v->domain, VMASST_TYPE_runstate_update_flag)) {
		guest_area_write(&v->runstate_area, &r, 0, sizeof(r));
		return;
	}
	/* The guest retries while the top bit of the time is set. */
	r.state_entry_time |= XEN_RUNSTATE_UPDATE;
	guest_area_write(&v->runstate_area, &r.state_entry_time, at, 8);
	smp_wmb();
	guest_area_write(&v->runstate_area, &r, 0, sizeof(r));
	smp_wmb();
	r.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
	guest_area_write(&v->runstate_area, &r.state_entry_time, at, 8);
}
