/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels: one-bit signals between domains, from virtual and physical
 * interrupts, and between a domain's own vCPUs. This file: the port table,
 * sending, and the hypercall. Binding and closing: evtchn_bind.c.
 *
 * Sending takes no lock of either domain. What makes that safe:
 *  - a port's record is never freed while its domain lives, and what it is
 *    bound to is one word (union evtchn_bind), read once;
 *  - a sender runs with interrupts off from looking the other domain up to the
 *    last touch of its memory, and whoever frees such memory unpublishes it and
 *    then calls smp_quiesce();
 *  - the other end must name us back, so a sender that loses a race with a
 *    close and a new binding signals nobody.
 *
 * Locking: evtchn_domain.lock (LOCK_EVTCHN) guards allocating, binding and
 * closing; of two domains, lower id first. It is not held over smp_quiesce()
 * nor over calls into the pirq code.
 */
#include "evtchn_private.h"

#include <bh/console.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/irq.h>
#include <bh/smp.h>

static domid_t virq_handler[NR_VIRQS_MAX]; /* 0: dom0 */

/* ---- state, whatever the ABI ---------------------------------------------------- */

bool evtchn_is_pending(const struct domain *d, const struct evtchn *c)
{
	if (d->evtchn.fifo)
		return evtchn_fifo_is_pending(d, c);
	return evtchn_2l_is_pending(d, c);
}

bool evtchn_is_masked(const struct domain *d, const struct evtchn *c)
{
	if (d->evtchn.fifo)
		return evtchn_fifo_is_masked(d, c);
	return evtchn_2l_is_masked(d, c);
}

void evtchn_clear_pending(struct domain *d, struct evtchn *c)
{
	if (d->evtchn.fifo)
		evtchn_fifo_clear_pending(d, c);
	else
		evtchn_2l_clear_pending(d, c);
}

bool evtchn_port_valid(struct domain *d, u32 port)
{
	const struct evtchn *c = evtchn_of(d, port);

	return c && evtchn_bind_of(c).state != EVTCHN_FREE;
}

bool evtchn_port_pending(struct domain *d, u32 port)
{
	const struct evtchn *c = evtchn_of(d, port);
	unsigned long flags = irq_save(); /* it looks at the guest's pages */
	bool is = c && evtchn_is_pending(d, c);

	irq_restore(flags);
	return is;
}

/* ---- port table -------------------------------------------------------------------- */

static u32 port_limit(const struct domain *d)
{
	u32 abi = d->evtchn.fifo ? EVTCHN_FIFO_NR_CHANNELS
				 : EVTCHN_2L_NR_CHANNELS;

	return min(abi - 1, d->evtchn.max_port);
}

static int grow(struct domain *d)
{
	struct evtchn_domain *e = &d->evtchn;
	u32 base = e->nr_valid;
	struct evtchn *b;

	if (base > port_limit(d))
		return -ENOSPC;
	b = xzalloc(EVTCHNS_PER_BUCKET * sizeof(*b));
	if (!b)
		return -ENOMEM;
	for (u32 i = 0; i < EVTCHNS_PER_BUCKET; i++) {
		b[i].port = base + i;
		b[i].priority = b[i].last_priority =
			EVTCHN_FIFO_PRIORITY_DEFAULT;
	}
	e->bucket[base / EVTCHNS_PER_BUCKET] = b;
	smp_wmb(); /* pairs with evtchn_of(): bucket before count */
	WRITE_ONCE(e->nr_valid, base + EVTCHNS_PER_BUCKET);
	return 0;
}

int evtchn_get_free(struct domain *d)
{
	struct evtchn_domain *e = &d->evtchn;
	struct evtchn *c;
	bool skipped = false;
	u32 port;
	int rc;

	if (d->dying != DOMDYING_ALIVE)
		return -EINVAL;
	for (port = e->lowest_free; port <= port_limit(d); port++) {
		if (port >= e->nr_valid) {
			rc = grow(d);
			if (rc)
				return rc;
		}
		c = evtchn_of(d, port);
		if (evtchn_bind_of(c).state != EVTCHN_FREE)
			continue;
		/* Closed, but still on a queue the guest has to walk. */
		if (e->fifo && evtchn_fifo_is_linked(d, c)) {
			skipped = true;
			continue;
		}
		c->vcpu = 0;
		c->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
		c->bind = (union evtchn_bind){ .state = EVTCHN_RESERVED };
		if (!skipped)
			e->lowest_free = port + 1;
		e->nr_open++;
		return port;
	}
	return -ENOSPC;
}

void evtchn_put_free(struct domain *d, struct evtchn *c)
{
	struct evtchn_domain *e = &d->evtchn;

	/* Before the port is free: a new owner must not see the old event. */
	if (d->shared)
		evtchn_clear_pending(d, c);
	WRITE_ONCE(c->bind.word, 0);
	c->vcpu = 0;
	e->lowest_free = min(e->lowest_free, c->port);
	e->nr_open--;
}

int evtchn_init(struct domain *d, u32 max_port)
{
	struct evtchn_domain *e = &d->evtchn;
	u32 buckets;

	spin_init(&e->lock, LOCK_EVTCHN);
	e->max_port = min(max_port, (u32)EVTCHN_FIFO_NR_CHANNELS - 1);
	buckets = e->max_port / EVTCHNS_PER_BUCKET + 1;
	e->bucket = xzalloc(buckets * sizeof(e->bucket[0]));
	if (!e->bucket)
		return -ENOMEM;
	if (grow(d)) {
		evtchn_free(d);
		return -ENOMEM;
	}
	evtchn_of(d, 0)->bind.state = EVTCHN_RESERVED;
	e->lowest_free = 1;
	return 0;
}

int evtchn_vcpu_init(struct vcpu *v)
{
	return 0; /* nothing until it starts FIFO */
}

int evtchn_destroy(struct domain *d)
{
	struct evtchn_domain *e = &d->evtchn;
	u32 port;

	for (port = max(e->next_close, 1U); port < e->nr_valid; port++) {
		(void)evtchn_close(d, port, false);
		if (!(port & 31) && hypercall_preempt()) {
			e->next_close = port + 1;
			return -ERESTART;
		}
	}
	e->next_close = port;
	for (unsigned int i = 0; i < NR_VIRQS_MAX; i++)
		if (virq_handler[i] == d->id && d->id)
			virq_handler[i] = 0;
	evtchn_fifo_done(d);
	return 0;
}

void evtchn_free(struct domain *d)
{
	struct evtchn_domain *e = &d->evtchn;

	if (!e->bucket)
		return;
	for (u32 i = 0; i * EVTCHNS_PER_BUCKET < e->nr_valid; i++)
		xfree(e->bucket[i]);
	xfree(e->bucket);
	xfree(e->pirq_port);
	e->bucket = NULL;
	e->nr_valid = 0;
}

int evtchn_reset(struct domain *d)
{
	struct evtchn_domain *e = &d->evtchn;
	struct vcpu *v;

	/* Two at once share the place and hurry each other. */
	for (u32 port = max(READ_ONCE(e->next_reset), 1U);
	     port < READ_ONCE(e->nr_valid); port++) {
		(void)evtchn_close(d, port, false);
		if (!(port & 31) && hypercall_preempt()) {
			WRITE_ONCE(e->next_reset, port + 1);
			return -ERESTART;
		}
	}
	WRITE_ONCE(e->next_reset, 0);
	evtchn_fifo_done(d);
	spin_lock(&e->lock);
	e->lowest_free = 1;
	spin_unlock(&e->lock);
	for_each_vcpu(d, v)
		memset(v->virq_port, 0, sizeof(v->virq_port));
	return 0;
}

/* ---- sending ------------------------------------------------------------------------- */

void evtchn_wake_pollers(struct domain *d, u32 port)
{
	unsigned long id;
	struct vcpu *v;
	u32 want;

	for_each_set_bit(id, d->evtchn.poll_mask, MAX_VCPUS)
	{
		v = domain_vcpu(d, id);
		if (!v)
			continue;
		want = READ_ONCE(v->poll_port);
		if (want == ~0U || want == port)
			vcpu_unblock(v);
	}
}

/* Interrupts off: they send too, and no lock keeps the two apart. */
static inline int send(struct domain *d, u32 port)
{
	struct evtchn *c = evtchn_of(d, port), *rc;
	union evtchn_bind b, back;
	struct domain *rd;

	if (unlikely(!c))
		return -EINVAL;
	b = evtchn_bind_of(c);
	switch (b.state) {
	case EVTCHNSTAT_interdomain:
		rd = b.dom == d->id ? d : domain_find(b.dom);
		rc = rd ? evtchn_of(rd, b.port) : NULL;
		if (unlikely(!rc))
			return 0;
		back = (union evtchn_bind){ .state = EVTCHNSTAT_interdomain,
					    .dom = d->id,
					    .port = port };
		if (likely(evtchn_bind_of(rc).word == back.word))
			evtchn_deliver(rd, rc);
		return 0;
	case EVTCHNSTAT_ipi:
		evtchn_deliver(d, c);
		return 0;
	case EVTCHNSTAT_unbound:
		return 0; /* nobody there: dropped */
	default:
		return -EINVAL;
	}
}

int evtchn_send(struct domain *d, u32 port)
{
	unsigned long flags = irq_save();
	int rc = send(d, port);

	irq_restore(flags);
	return rc;
}

void evtchn_send_virq(struct vcpu *v, u32 virq)
{
	unsigned long flags = irq_save();
	u32 port = READ_ONCE(v->virq_port[virq]);
	struct evtchn *c;

	if (port) {
		c = evtchn_of(v->domain, port);
		if (c && evtchn_bind_of(c).state == EVTCHNSTAT_virq)
			evtchn_deliver(v->domain, c);
	}
	irq_restore(flags);
}

void evtchn_send_global_virq(u32 virq)
{
	unsigned long flags = irq_save();
	struct domain *d = domain_find(READ_ONCE(virq_handler[virq]));
	struct vcpu *v;

	if (!d)
		d = hardware_domain;
	v = d ? domain_vcpu(d, 0) : NULL;
	if (v)
		evtchn_send_virq(v, virq);
	irq_restore(flags);
}

void evtchn_send_pirq(struct domain *d, u32 pirq)
{
	unsigned long flags = irq_save();
	const u32 *map = READ_ONCE(d->evtchn.pirq_port);
	struct evtchn *c;
	u32 port;

	if (map && pirq < NR_IRQS) {
		port = READ_ONCE(map[pirq]);
		c = port ? evtchn_of(d, port) : NULL;
		if (c)
			evtchn_deliver(d, c);
	}
	irq_restore(flags);
}

static bool virq_is_global(u32 virq)
{
	switch (virq) {
	case VIRQ_TIMER:
	case VIRQ_DEBUG:
	case VIRQ_XENOPROF:
	case VIRQ_XENPMU:
		return false;
	default:
		return true;
	}
}

int evtchn_set_virq_handler(struct domain *d, u32 virq)
{
	if (virq >= NR_VIRQS_MAX || !virq_is_global(virq))
		return -EINVAL;
	WRITE_ONCE(virq_handler[virq], d->id);
	return 0;
}

int evtchn_bind_virq(struct domain *d, struct evtchn_bind_virq *b)
{
	struct evtchn *c;
	struct vcpu *v;
	int port;

	if (b->virq >= NR_VIRQS_MAX)
		return -EINVAL;
	b->virq = index_nospec(b->virq, NR_VIRQS_MAX);
	if (virq_is_global(b->virq) && b->vcpu)
		return -EINVAL;
	v = domain_vcpu(d, b->vcpu);
	if (!v)
		return -ENOENT;

	spin_lock(&d->evtchn.lock);
	if (v->virq_port[b->virq]) {
		port = -EEXIST;
		goto out;
	}
	port = evtchn_get_free(d);
	if (port < 0)
		goto out;
	c = evtchn_of(d, port);
	c->vcpu = v->id;
	WRITE_ONCE(c->bind.word, ((union evtchn_bind){ .state = EVTCHNSTAT_virq,
						       .port = b->virq })
					 .word);
	WRITE_ONCE(v->virq_port[b->virq], (u32)port);
	b->port = port;
out:
	spin_unlock(&d->evtchn.lock);
	return port < 0 ? port : 0;
}

int evtchn_bind_vcpu(struct domain *d, const struct evtchn_bind_vcpu *b)
{
	struct evtchn *c = evtchn_of(d, b->port);
	struct vcpu *v = domain_vcpu(d, b->vcpu);
	int rc = 0;
	u32 pirq = 0;
	bool is_pirq = false;

	if (!v)
		return -ENOENT;
	if (!c)
		return -EINVAL;
	spin_lock(&d->evtchn.lock);
	switch (c->bind.state) {
	case EVTCHNSTAT_virq:
		if (!virq_is_global(c->bind.port)) {
			rc = -EINVAL;
			break;
		}
		/* fall through */
	case EVTCHNSTAT_unbound:
	case EVTCHNSTAT_interdomain:
		WRITE_ONCE(c->vcpu, (u16)v->id);
		break;
	case EVTCHNSTAT_pirq:
		is_pirq = true;
		pirq = c->bind.port;
		if (c->vcpu != v->id)
			evtchn_pirq_link(d, c, v);
		break;
	default:
		rc = -EINVAL;
		break;
	}
	spin_unlock(&d->evtchn.lock);
	if (is_pirq)
		pirq_set_affinity(d, pirq, v->processor);
	return rc;
}

void evtchn_unmask_all_pending(struct vcpu *v)
{
	/* Words of other vCPUs' ports too: the guest finds nothing there. */
	__atomic_store_n(&v->info->evtchn_pending_sel, ~0UL, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
	vcpu_kick(v);
}

static int evtchn_unmask(struct domain *d, u32 port)
{
	struct evtchn *c = evtchn_of(d, port);
	struct vcpu *v = c ? evtchn_vcpu(d, c) : NULL;
	unsigned long flags;

	if (!v)
		return -EINVAL;
	flags = irq_save();
	if (d->evtchn.fifo)
		evtchn_fifo_unmask(v, c);
	else
		evtchn_2l_unmask(v, c);
	irq_restore(flags);
	return 0;
}

/* ---- the hypercall ----------------------------------------------------------------------- */

union evtchn_arg {
	struct evtchn_alloc_unbound alloc_unbound;
	struct evtchn_bind_interdomain bind_interdomain;
	struct evtchn_bind_virq bind_virq;
	struct evtchn_bind_pirq bind_pirq;
	struct evtchn_bind_ipi bind_ipi;
	struct evtchn_close close;
	struct evtchn_send send;
	struct evtchn_status status;
	struct evtchn_bind_vcpu bind_vcpu;
	struct evtchn_unmask unmask;
	struct evtchn_reset reset;
	struct evtchn_init_control init_control;
	struct evtchn_expand_array expand_array;
	struct evtchn_set_priority set_priority;
};

static int op_reset(struct vcpu *v, domid_t id)
{
	struct domain *d = domain_by_any_id(id);
	int rc = 0;

	if (!d)
		return -ESRCH;
	if (d != v->domain && !is_control_domain(v->domain))
		rc = -EPERM;
	else
		rc = evtchn_reset(d);
	domain_put(d);
	return rc;
}

static int dispatch(struct vcpu *v, unsigned long cmd, union evtchn_arg *u)
{
	struct domain *d = v->domain;

	switch (cmd) {
	case EVTCHNOP_alloc_unbound:
		return evtchn_alloc_unbound(v, &u->alloc_unbound);
	case EVTCHNOP_bind_interdomain:
		return evtchn_bind_interdomain(d, &u->bind_interdomain);
	case EVTCHNOP_bind_virq:
		return evtchn_bind_virq(d, &u->bind_virq);
	case EVTCHNOP_bind_pirq:
		return evtchn_bind_pirq(d, &u->bind_pirq);
	case EVTCHNOP_bind_ipi:
		return evtchn_bind_ipi(d, &u->bind_ipi);
	case EVTCHNOP_close:
		return evtchn_close(d, u->close.port, true);
	case EVTCHNOP_send:
		return evtchn_send(d, u->send.port);
	case EVTCHNOP_status:
		return evtchn_status(v, &u->status);
	case EVTCHNOP_bind_vcpu:
		return evtchn_bind_vcpu(d, &u->bind_vcpu);
	case EVTCHNOP_unmask:
		return evtchn_unmask(d, u->unmask.port);
	case EVTCHNOP_reset:
		return op_reset(v, u->reset.dom);
	case EVTCHNOP_init_control:
		return evtchn_fifo_init_control(d, &u->init_control);
	case EVTCHNOP_expand_array:
		return evtchn_fifo_expand_array(d, &u->expand_array);
	case EVTCHNOP_set_priority:
		return evtchn_fifo_set_priority(d, &u->set_priority);
	default:
		return -ENOSYS;
	}
}

#define ARG(op, field, out) \
	[EVTCHNOP_##op] = { sizeof(((union evtchn_arg *)0)->field), (out) }
static const struct {
	u8 size;
	bool out;
} args[] = {
	ARG(alloc_unbound, alloc_unbound, true),
	ARG(bind_interdomain, bind_interdomain, true),
	ARG(bind_virq, bind_virq, true),
	ARG(bind_pirq, bind_pirq, true),
	ARG(bind_ipi, bind_ipi, true),
	ARG(close, close, false),
	ARG(send, send, false),
	ARG(status, status, true),
	ARG(bind_vcpu, bind_vcpu, false),
	ARG(unmask, unmask, false),
	ARG(reset, reset, false),
	ARG(init_control, init_control, true),
	ARG(expand_array, expand_array, false),
	ARG(set_priority, set_priority, false),
};

_Static_assert(sizeof(struct evtchn_send) == sizeof(u32), "read as a u32");

/* All but sending. */
static __attribute__((noinline)) long other_op(struct vcpu *v,
					       unsigned long a[6])
{
	unsigned int cmd = (u32)a[0];
	union evtchn_arg u;
	int rc;

	if (cmd >= ARRAY_SIZE(args) || !args[cmd].size)
		return -ENOSYS;
	cmd = index_nospec(cmd, ARRAY_SIZE(args));
	if (copy_from_guest(&u, GPTR(a[1]), args[cmd].size))
		return -EFAULT;
	rc = dispatch(v, cmd, &u);
	if (!rc && args[cmd].out &&
	    copy_to_guest(GPTR(a[1]), &u, args[cmd].size))
		rc = -EFAULT;
	return rc;
}

long do_event_channel_op(struct vcpu *v, unsigned long a[6])
{
	u32 port;
	int rc;

	if (unlikely((u32)a[0] != EVTCHNOP_send))
		return other_op(v, a);
	if (get_guest_u32(&port, GPTR(a[1])))
		return -EFAULT;
	irq_disable();
	rc = send(v->domain, port);
	irq_enable(); /* as for every hypercall */
	return rc;
}

/* ---- debug key --------------------------------------------------------------------------- */

static const char *const state_names[] = { "free",    "unbound", "interdomain",
					   "pirq",    "virq",    "ipi",
					   "reserved" };

void evtchn_dump(struct domain *d)
{
	const struct evtchn *c;
	union evtchn_bind b;
	unsigned long flags;
	bool pending, masked;

	printk("d%u: %u ports open, %s\n", d->id, d->evtchn.nr_open,
	       d->evtchn.fifo ? "FIFO" : "2-level");
	for (u32 p = 1; (c = evtchn_of(d, p)) != NULL; p++) {
		b = evtchn_bind_of(c);
		if (b.state == EVTCHN_FREE || b.state > EVTCHN_RESERVED)
			continue;
		printk("  %4u %-11s", p, state_names[b.state]);
		if (b.state == EVTCHNSTAT_interdomain)
			printk(" d%u port %u", b.dom, b.port);
		else if (b.state == EVTCHNSTAT_unbound)
			printk(" for d%u", b.dom);
		else
			printk(" %u", b.port);
		flags = irq_save();
		pending = evtchn_is_pending(d, c);
		masked = evtchn_is_masked(d, c);
		irq_restore(flags);
		printk(" -> v%u%s%s\n", c->vcpu, pending ? " pending" : "",
		       masked ? " masked" : "");
	}
}
