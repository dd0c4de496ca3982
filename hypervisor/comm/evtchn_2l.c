/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two-level event channels: 4096 ports as bits of shared_info, and one summary
 * word in each vCPU's vcpu_info that says which words of bits to look at.
 *
 * The order is the protocol: pending bit, then (not masked) summary bit, then
 * upcall flag, then the kick. The guest clears from the top down.
 *
 * A domain that went back from FIFO (EVTCHNOP_reset) has records of ports beyond
 * those 4096, and a sender may be on its way to one: they have no bits here.
 */
#include "evtchn_private.h"

void evtchn_2l_set_pending(struct vcpu *v, struct evtchn *c)
{
	struct shared_info *s = v->domain->shared;
	u32 port = c->port;

	if (unlikely(port >= EVTCHN_2L_NR_CHANNELS))
		return;
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

	if (unlikely(port >= EVTCHN_2L_NR_CHANNELS))
		return;
	/* The guest may have unmasked by itself between two CPUs. */
	if (test_and_clear_bit(port, s->evtchn_mask) &&
	    test_bit(port, s->evtchn_pending) &&
	    !test_and_set_bit(port / BITS_PER_LONG,
			      &v->info->evtchn_pending_sel))
		evtchn_mark_upcall(v);
}

bool evtchn_2l_is_pending(const struct domain *d, const struct evtchn *c)
{
	return c->port < EVTCHN_2L_NR_CHANNELS &&
	       test_bit(c->port, d->shared->evtchn_pending);
}

bool evtchn_2l_is_masked(const struct domain *d, const struct evtchn *c)
{
	return c->port >= EVTCHN_2L_NR_CHANNELS ||
	       test_bit(c->port, d->shared->evtchn_mask);
}

void evtchn_2l_clear_pending(struct domain *d, struct evtchn *c)
{
	if (c->port < EVTCHN_2L_NR_CHANNELS)
		clear_bit(c->port, d->shared->evtchn_pending);
}
