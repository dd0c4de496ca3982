/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels: binding a port to another domain, an IPI or a physical
 * interrupt, and closing. See evtchn.c for the rules that let senders go
 * without a lock.
 *
 * The pirq code has locks that rank before ours, so around calls into it the
 * port is RESERVED and the lock is dropped: a RESERVED port can be neither
 * closed nor bound by anyone else.
 */
#include "evtchn_private.h"

#include <bh/irq.h>

static void bind_set(struct evtchn *c, u8 state, u16 dom, u32 port)
{
	union evtchn_bind b = { .state = state, .dom = dom, .port = port };

	WRITE_ONCE(c->bind.word, b.word);
}

static void lock_pair(struct domain *a, struct domain *b)
{
	struct domain *first = a->id < b->id ? a : b;
	struct domain *second = a->id < b->id ? b : a;

	spin_lock(&first->evtchn.lock);
	if (first != second)
		spin_lock_nested(&second->evtchn.lock);
}

static void unlock_pair(struct domain *a, struct domain *b)
{
	spin_unlock(&a->evtchn.lock);
	if (a != b)
		spin_unlock(&b->evtchn.lock);
}

/* The domain named by an operation: own, or another's for the privileged. */
static struct domain *target(struct vcpu *v, domid_t id, int *rc)
{
	struct domain *d = domain_by_any_id(id);

	*rc = -ESRCH;
	if (d && d != v->domain && !is_control_domain(v->domain)) {
		domain_put(d);
		*rc = -EPERM;
		return NULL;
	}
	return d;
}

int evtchn_alloc_unbound(struct vcpu *v, struct evtchn_alloc_unbound *a)
{
	struct domain *d;
	int port, rc;

	d = target(v, a->dom, &rc);
	if (!d)
		return rc;
	spin_lock(&d->evtchn.lock);
	port = evtchn_get_free(d);
	if (port >= 0) {
		bind_set(evtchn_of(d, port), EVTCHNSTAT_unbound,
			 a->remote_dom == DOMID_SELF ? v->domain->id
						     : a->remote_dom,
			 0);
		a->port = port;
	}
	spin_unlock(&d->evtchn.lock);
	domain_put(d);
	return port < 0 ? port : 0;
}

int evtchn_bind_interdomain(struct domain *ld,
			    struct evtchn_bind_interdomain *b)
{
	struct domain *rd = domain_by_any_id(b->remote_dom);
	struct evtchn *lc, *rc;
	unsigned long flags;
	int port;

	if (!rd)
		return -ESRCH;
	lock_pair(ld, rd);
	rc = evtchn_of(rd, b->remote_port);
	if (!rc || rc->bind.state != EVTCHNSTAT_unbound ||
	    rc->bind.dom != ld->id) {
		port = -EINVAL;
		goto out;
	}
	port = evtchn_get_free(ld);
	if (port < 0)
		goto out;
	lc = evtchn_of(ld, port);
	bind_set(lc, EVTCHNSTAT_interdomain, rd->id, rc->port);
	bind_set(rc, EVTCHNSTAT_interdomain, ld->id, port);
	b->local_port = port;
	/* What the other end sent while nobody was there was dropped. */
	flags = irq_save();
	evtchn_deliver(ld, lc);
	irq_restore(flags);
out:
	unlock_pair(ld, rd);
	domain_put(rd);
	return port < 0 ? port : 0;
}

int evtchn_bind_ipi(struct domain *d, struct evtchn_bind_ipi *b)
{
	struct vcpu *v = domain_vcpu(d, b->vcpu);
	int port;

	if (!v)
		return -ENOENT;
	spin_lock(&d->evtchn.lock);
	port = evtchn_get_free(d);
	if (port >= 0) {
		struct evtchn *c = evtchn_of(d, port);

		c->vcpu = v->id;
		bind_set(c, EVTCHNSTAT_ipi, 0, 0);
		b->port = port;
	}
	spin_unlock(&d->evtchn.lock);
	return port < 0 ? port : 0;
}

/* ---- physical interrupts ---------------------------------------------------------- */

static void pirq_unlink(struct domain *d, struct evtchn *c)
{
	struct vcpu *v = domain_vcpu(d, c->vcpu);
	u32 *at = v ? &v->pirq_head : NULL;
	struct evtchn *o;

	while (at && *at) {
		if (*at == c->port) {
			WRITE_ONCE(*at, c->pirq_next);
			break;
		}
		o = evtchn_of(d, *at);
		at = o ? &o->pirq_next : NULL;
	}
}

/* Makes c notify v and be found by evtchn_move_pirqs(v). */
void evtchn_pirq_link(struct domain *d, struct evtchn *c, struct vcpu *v)
{
	pirq_unlink(d, c);
	WRITE_ONCE(c->vcpu, (u16)v->id);
	c->pirq_next = v->pirq_head;
	smp_wmb(); /* pairs with evtchn_move_pirqs(), which takes no lock */
	WRITE_ONCE(v->pirq_head, c->port);
}

void evtchn_move_pirqs(struct vcpu *v)
{
	u32 port = READ_ONCE(v->pirq_head);
	struct evtchn *c;

	/* Without the lock a chain may change under us: it stays finite. */
	for (unsigned int i = 0; port && i < NR_IRQS; i++) {
		c = evtchn_of(v->domain, port);
		if (!c)
			break;
		if (evtchn_bind_of(c).state == EVTCHNSTAT_pirq)
			pirq_set_affinity(v->domain, evtchn_bind_of(c).port,
					  v->processor);
		port = READ_ONCE(c->pirq_next);
	}
}

int evtchn_bind_pirq(struct domain *d, struct evtchn_bind_pirq *b)
{
	struct vcpu *v = domain_vcpu(d, 0);
	u32 *map = NULL;
	struct evtchn *c;
	int port, rc;

	if (b->pirq >= NR_IRQS || !v)
		return -EINVAL;
	b->pirq = index_nospec(b->pirq, NR_IRQS);
	if (!READ_ONCE(d->evtchn.pirq_port)) {
		map = xzalloc(NR_IRQS * sizeof(*map));
		if (!map)
			return -ENOMEM;
	}

	spin_lock(&d->evtchn.lock);
	if (!d->evtchn.pirq_port) {
		WRITE_ONCE(d->evtchn.pirq_port, map);
		map = NULL;
	}
	port = -EEXIST;
	/* cppcheck-suppress nullPointerRedundantCheck -- map is there if need be */
	if (!d->evtchn.pirq_port[b->pirq])
		port = evtchn_get_free(d);
	if (port >= 0)
		WRITE_ONCE(d->evtchn.pirq_port[b->pirq], (u32)port);
	spin_unlock(&d->evtchn.lock);
	xfree(map);
	if (port < 0)
		return port;

	/* The interrupt may come from here on: it finds the port. */
	c = evtchn_of(d, port);
	rc = pirq_guest_bind(v, b->pirq, b->flags & BIND_PIRQ__WILL_SHARE);

	spin_lock(&d->evtchn.lock);
	if (rc) {
		WRITE_ONCE(d->evtchn.pirq_port[b->pirq], 0);
		evtchn_put_free(d, c);
	} else {
		bind_set(c, EVTCHNSTAT_pirq, 0, b->pirq);
		evtchn_pirq_link(d, c, v);
		b->port = port;
	}
	spin_unlock(&d->evtchn.lock);
	return rc;
}

/* ---- closing ------------------------------------------------------------------------ */

static void close_virq(struct domain *d, struct evtchn *c)
{
	struct vcpu *v;

	/* A global VIRQ may have been moved: it is listed at vCPU 0. */
	for_each_vcpu(d, v)
		if (v->virq_port[c->bind.port] == c->port)
			WRITE_ONCE(v->virq_port[c->bind.port], 0);
}

static void close_pirq(struct domain *d, struct evtchn *c)
{
	u32 pirq = c->bind.port;

	bind_set(c, EVTCHN_RESERVED, 0, pirq);
	pirq_unlink(d, c);
	spin_unlock(&d->evtchn.lock);
	pirq_guest_unbind(d, pirq);
	spin_lock(&d->evtchn.lock);
	WRITE_ONCE(d->evtchn.pirq_port[pirq], 0);
}

/* d's lock held on entry and return; dropped between to take both in order.
 * False: the port changed meanwhile, look again. */
static bool close_interdomain(struct domain *d, struct evtchn *c)
{
	union evtchn_bind b = c->bind;
	struct domain *rd = domain_by_id(b.dom);
	struct evtchn *rc;
	bool same = true;

	if (rd && rd != d) {
		spin_unlock(&d->evtchn.lock);
		lock_pair(d, rd);
		same = c->bind.word == b.word;
	}
	rc = rd ? evtchn_of(rd, b.port) : NULL;
	if (same && rc && rc->bind.state == EVTCHNSTAT_interdomain &&
	    rc->bind.dom == d->id && rc->bind.port == c->port)
		bind_set(rc, EVTCHNSTAT_unbound, d->id, 0);
	if (rd && rd != d)
		spin_unlock(&rd->evtchn.lock);
	if (rd) {
		/* The last reference may go here: not under a lock. */
		if (same)
			bind_set(c, EVTCHN_RESERVED, 0, 0);
		spin_unlock(&d->evtchn.lock);
		domain_put(rd);
		spin_lock(&d->evtchn.lock);
	}
	return same;
}

int evtchn_close(struct domain *d, u32 port, bool guest)
{
	struct evtchn *c = evtchn_of(d, port);
	int rc = 0;

	if (!c || !port)
		return -EINVAL;
	spin_lock(&d->evtchn.lock);
again:
	switch (c->bind.state) {
	case EVTCHN_FREE:
	case EVTCHN_RESERVED:
		rc = -EINVAL;
		goto out;
	case EVTCHNSTAT_virq:
		close_virq(d, c);
		break;
	case EVTCHNSTAT_pirq:
		close_pirq(d, c);
		break;
	case EVTCHNSTAT_interdomain:
		if (!close_interdomain(d, c))
			goto again;
		break;
	default:
		break;
	}
	evtchn_put_free(d, c);
out:
	spin_unlock(&d->evtchn.lock);
	return rc;
}

int evtchn_status(struct vcpu *v, struct evtchn_status *s)
{
	struct domain *d;
	struct evtchn *c;
	union evtchn_bind b;
	int rc;

	d = target(v, s->dom, &rc);
	if (!d)
		return rc;
	c = evtchn_of(d, s->port);
	if (!c) {
		domain_put(d);
		return -EINVAL;
	}
	spin_lock(&d->evtchn.lock);
	b = c->bind;
	s->vcpu = c->vcpu;
	spin_unlock(&d->evtchn.lock);

	s->status = b.state == EVTCHN_RESERVED ? EVTCHNSTAT_closed : b.state;
	switch (b.state) {
	case EVTCHNSTAT_unbound:
		s->u.unbound.dom = b.dom;
		break;
	case EVTCHNSTAT_interdomain:
		s->u.interdomain.dom = b.dom;
		s->u.interdomain.port = b.port;
		break;
	case EVTCHNSTAT_pirq:
		s->u.pirq = b.port;
		break;
	case EVTCHNSTAT_virq:
		s->u.virq = b.port;
		break;
	default:
		break;
	}
	domain_put(d);
	return 0;
}
