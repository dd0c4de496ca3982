/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of the event channel code. */
#pragma once

#include <bh/config.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/evtchn.h>

/* States are the ABI's EVTCHNSTAT_* and one of our own. */
#define EVTCHN_FREE     EVTCHNSTAT_closed
#define EVTCHN_RESERVED 6 /* port 0; being bound or closed */

/*
 * What a port is bound to, in one word, so that a sender, which takes no lock,
 * sees it whole or not at all. `dom` and `port` are the other end (unbound: who
 * may connect); `port` is the number of a VIRQ or PIRQ.
 */
union evtchn_bind {
	u64 word;
	struct {
		u8 state;
		u8 pad;
		u16 dom;
		u32 port;
	};
};
_Static_assert(sizeof(union evtchn_bind) == 8, "read at once");

struct evtchn {
	union evtchn_bind bind;
	u32 port;
	u32 pirq_next; /* next port in vcpu.pirq_head's chain */
	u16 vcpu;      /* whom it notifies */
	u16 last_vcpu; /* FIFO: queue it was last put on */
	u8 last_priority, priority;
	bool early; /* FIFO: became pending before its word existed */
} __aligned(32);    /* finding one takes no multiplication */

#define EVTCHNS_PER_BUCKET (PAGE_SIZE / sizeof(struct evtchn))
#define NR_VIRQS_MAX       24

/*
 * A port's record. Records are never freed while the domain lives, so the
 * pointer stays good without a lock. NULL beyond the ports allocated so far.
 */
static inline struct evtchn *evtchn_of(const struct domain *d, u32 port)
{
	u32 nr = READ_ONCE(d->evtchn.nr_valid);
	unsigned long i;

	if (port >= nr)
		return NULL;
	i = index_nospec(port, nr);
	return d->evtchn.bucket[i / EVTCHNS_PER_BUCKET] +
	       i % EVTCHNS_PER_BUCKET;
}

static inline union evtchn_bind evtchn_bind_of(const struct evtchn *c)
{
	return (union evtchn_bind){ .word = READ_ONCE(c->bind.word) };
}

static inline struct vcpu *evtchn_vcpu(const struct domain *d,
				       const struct evtchn *c)
{
	/* The number is ours, not a guest's. */
	return READ_ONCE(d->vcpu[READ_ONCE(c->vcpu)]);
}

/* Sets v's upcall flag and makes v look, unless it was set already. */
static inline void evtchn_mark_upcall(struct vcpu *v)
{
	if (!__atomic_exchange_n(&v->info->evtchn_upcall_pending, 1,
				 __ATOMIC_SEQ_CST))
		vcpu_kick(v);
}

/* 2-level and FIFO forms. Interrupts off for all but the set-up calls. */
void evtchn_2l_set_pending(struct vcpu *v, struct evtchn *c);
void evtchn_2l_unmask(struct vcpu *v, struct evtchn *c);
bool evtchn_2l_is_pending(const struct domain *d, const struct evtchn *c);
bool evtchn_2l_is_masked(const struct domain *d, const struct evtchn *c);
void evtchn_2l_clear_pending(struct domain *d, struct evtchn *c);
void evtchn_fifo_set_pending(struct vcpu *v, struct evtchn *c);
void evtchn_fifo_unmask(struct vcpu *v, struct evtchn *c);
bool evtchn_fifo_is_pending(const struct domain *d, const struct evtchn *c);
bool evtchn_fifo_is_masked(const struct domain *d, const struct evtchn *c);
bool evtchn_fifo_is_linked(const struct domain *d, const struct evtchn *c);
void evtchn_fifo_clear_pending(struct domain *d, struct evtchn *c);
/* Hypercalls. */
int evtchn_fifo_init_control(struct domain *d, struct evtchn_init_control *op);
int evtchn_fifo_expand_array(struct domain *d,
			     const struct evtchn_expand_array *op);
int evtchn_fifo_set_priority(struct domain *d,
			     const struct evtchn_set_priority *op);
/* Detaches and gives back all FIFO memory; the domain is 2-level again. */
void evtchn_fifo_done(struct domain *d);

/* By the domain's ABI. Interrupts off. */
static inline void evtchn_raise(struct domain *d, struct vcpu *v,
				struct evtchn *c)
{
	if (d->evtchn.fifo)
		evtchn_fifo_set_pending(v, c);
	else
		evtchn_2l_set_pending(v, c);
}
void evtchn_wake_pollers(struct domain *d, u32 port);
/* Makes c pending for whom it notifies, pollers too. Interrupts off. */
static inline void evtchn_deliver(struct domain *d, struct evtchn *c)
{
	struct vcpu *v = evtchn_vcpu(d, c);

	if (unlikely(!v))
		return;
	evtchn_raise(d, v, c);
	if (unlikely(READ_ONCE(d->evtchn.nr_polling)))
		evtchn_wake_pollers(d, c->port);
}

bool evtchn_is_pending(const struct domain *d, const struct evtchn *c);
bool evtchn_is_masked(const struct domain *d, const struct evtchn *c);
void evtchn_clear_pending(struct domain *d, struct evtchn *c);

/* A free port, made RESERVED, or -ENOSPC, -ENOMEM, -EINVAL (dying). */
int evtchn_get_free(struct domain *d) __must_hold(&d->evtchn.lock);
void evtchn_put_free(struct domain *d, struct evtchn *c)
	__must_hold(&d->evtchn.lock);
void evtchn_pirq_link(struct domain *d, struct evtchn *c, struct vcpu *v)
	__must_hold(&d->evtchn.lock);
int evtchn_close(struct domain *d, u32 port, bool guest);
int evtchn_bind_virq(struct domain *d, struct evtchn_bind_virq *b);
int evtchn_bind_ipi(struct domain *d, struct evtchn_bind_ipi *b);
int evtchn_bind_pirq(struct domain *d, struct evtchn_bind_pirq *b);
int evtchn_bind_vcpu(struct domain *d, const struct evtchn_bind_vcpu *b);
int evtchn_bind_interdomain(struct domain *ld,
			    struct evtchn_bind_interdomain *b);
int evtchn_alloc_unbound(struct vcpu *v, struct evtchn_alloc_unbound *a);
int evtchn_status(struct vcpu *v, struct evtchn_status *s);
