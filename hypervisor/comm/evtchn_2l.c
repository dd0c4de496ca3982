/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two-level event channels: 4096 ports as bits of shared_info, and one summary
 * word in each vCPU's vcpu_info that says which words of bits to look at.
 *
 * The order is the protocol: pending bit, then (not masked) summary bit, then
 * upcall flag, then the kick. The guest clears from the top down.
 */
#include "evtchn_private.h"

void evtchn_2l_set_pending(struct vcpu *v, struct evtchn *c)
{
	struct shared_info *s = v->domain->shared;
	u32 port = c->port;

	if (test_and_set_bit(port, s->evtchn_pending))
		return;
	if (!test_bit(port, s->evtchn_mask) &&
	    !test_and_set_bit(port / BITS_PER_LONG,
			      &v->info->evtchn_pending_sel))
		evtchn_mark_upcall(v);
}

void evtchn_2l_unmask(struct vcpu *v, struct evtchn *c)
{
	struct shared_info *s = v->domain->shared;
	u32 port = c->port;

	/* The guest may have unmasked by itself between two CPUs. */
	if (test_and_clear_bit(port, s->evtchn_mask) &&
	    test_bit(port, s->evtchn_pending) &&
	    !test_and_set_bit(port / BITS_PER_LONG,
			      &v->info->evtchn_pending_sel))
		evtchn_mark_upcall(v);
}
