/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FIFO event channels: 131071 ports, in order of arrival, 16 priorities.
 *
 * Each port has a word in an array of guest pages: PENDING, MASKED, LINKED and
 * the number of the next port. Each vCPU has a control block with one queue
 * head for each priority and a word of bits that says which queues hold
 * something. The hypervisor links a new event behind the last; the guest takes
 * from the head. We remember only the tail. Whether the tail is still on the
 * queue its LINKED bit says, which the guest clears when it takes it: linking is
 * therefore a compare-and-swap on the tail's word that demands LINKED.
 *
 * Everything in those pages is the guest's to spoil; it can only lose its own
 * events. Nothing read from them is used as an index.
 *
 * Locking: evtchn_domain.lock guards setting up. A queue's lock (LOCK_EVTQ,
 * interrupts off) guards its tail. An event whose vCPU or priority changed is
 * moved under both queues' locks, lower address first. Setting an event takes
 * no other lock and looks at nothing with interrupts on; memory is unpublished
 * under the lock and given back after smp_quiesce().
 */
#include "evtchn_private.h"

#include <bh/smp.h>

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(event_word_t))
#define FIFO_PAGES     (EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE)
#define BIT(n)         (1U << (n))
#define LINK_TRIES     1000

struct fifo_queue {
	struct spinlock lock;
	u32 tail; /* 0: empty */
};

struct evtchn_fifo_vcpu {
	struct evtchn_fifo_control_block *cb; /* guest page; NULL: not set */
	struct evtchn_fifo_vcpu *next;        /* evtchn_fifo_done() only */
	struct fifo_queue queue[EVTCHN_FIFO_MAX_QUEUES];
};

struct evtchn_fifo_domain {
	u32 nr_pages;
	event_word_t *page[FIFO_PAGES];
};

static event_word_t *word_of(const struct domain *d, u32 port)
{
	const struct evtchn_fifo_domain *f = READ_ONCE(d->evtchn.fifo);
	u32 p = port / WORDS_PER_PAGE;

	if (!f || p >= READ_ONCE(f->nr_pages))
		return NULL;
	return f->page[index_nospec(p, FIFO_PAGES)] + port % WORDS_PER_PAGE;
}

static u32 word_set(event_word_t *w, u32 bits)
{
	return __atomic_fetch_or(w, bits, __ATOMIC_SEQ_CST);
}

static u32 word_clear(event_word_t *w, u32 bits)
{
	return __atomic_fetch_and(w, ~bits, __ATOMIC_SEQ_CST);
}

/* Appends port to the tail's word if the guest has not taken the tail yet. */
static bool link_behind(const struct domain *d, event_word_t *tail, u32 port)
{
	event_word_t w = READ_ONCE(*tail), new;

	for (unsigned int i = 0; i < LINK_TRIES; i++) {
		if (!(w & BIT(EVTCHN_FIFO_LINKED)))
			return false;
		new = (w & ~(u32)EVTCHN_FIFO_LINK_MASK) | port;
		if (__atomic_compare_exchange_n(tail, &w, new, false,
						__ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED))
			return true;
	}
	printk(LVL_GUEST "d%u: event word keeps changing, port %u is lost\n",
	       d->id, port);
	return true;
}

static void lock_two(struct fifo_queue *a, struct fifo_queue *b)
{
	spin_lock(a < b ? &a->lock : &b->lock);
	if (a != b)
		spin_lock_nested(a < b ? &b->lock : &a->lock);
}

static void unlock_two(struct fifo_queue *a, struct fifo_queue *b)
{
	if (a != b)
		spin_unlock(&b->lock);
	spin_unlock(&a->lock);
}

/* Puts c, pending and not masked, on v's queue unless it is on one. */
static void enqueue(struct vcpu *v, struct evtchn *c, event_word_t *word)
{
	struct domain *d = v->domain;
	struct evtchn_fifo_vcpu *fv = READ_ONCE(v->evtchn_fifo), *ofv;
	u8 prio = READ_ONCE(c->priority) & 15, old_prio;
	struct evtchn_fifo_control_block *cb;
	struct fifo_queue *q, *old;
	struct vcpu *ov;
	bool linked = false;
	u16 old_vcpu;

	if (unlikely(!fv || !(cb = READ_ONCE(fv->cb))))
		return; /* seen when the vCPU sets its block up */
	q = &fv->queue[prio];
	for (;;) {
		old_vcpu = READ_ONCE(c->last_vcpu);
		old_prio = READ_ONCE(c->last_priority) & 15;
		ov = domain_vcpu(d, old_vcpu);
		ofv = ov ? READ_ONCE(ov->evtchn_fifo) : NULL;
		old = ofv ? &ofv->queue[old_prio] : q;
		lock_two(q, old);
		if (likely(c->last_vcpu == old_vcpu &&
			   (c->last_priority & 15) == old_prio))
			break;
		unlock_two(q, old);
	}
	if (word_set(word, BIT(EVTCHN_FIFO_LINKED)) & BIT(EVTCHN_FIFO_LINKED)) {
		unlock_two(q, old);
		return;
	}
	/* It was the tail there and the guest has taken it: that queue is
	 * empty, and must not be continued through c's word. */
	if (old->tail == c->port)
		old->tail = 0;
	c->last_vcpu = v->id;
	c->last_priority = prio;
	if (q->tail) {
		event_word_t *tail = word_of(d, q->tail);

		linked = tail && link_behind(d, tail, c->port);
	}
	if (!linked)
		WRITE_ONCE(cb->head[prio], c->port);
	q->tail = c->port;
	unlock_two(q, old);

	if (!linked &&
	    !(__atomic_fetch_or(&cb->ready, BIT(prio), __ATOMIC_SEQ_CST) &
	      BIT(prio)))
		evtchn_mark_upcall(v);
}

void evtchn_fifo_set_pending(struct vcpu *v, struct evtchn *c)
{
	event_word_t *word = word_of(v->domain, c->port);
	u32 w;

	if (unlikely(!word)) {
		/* The array is not that long yet: kept until it is. */
		WRITE_ONCE(c->early, true);
		return;
	}
	w = word_set(word, BIT(EVTCHN_FIFO_PENDING));
	if (!(w & (BIT(EVTCHN_FIFO_MASKED) | BIT(EVTCHN_FIFO_LINKED))))
		enqueue(v, c, word);
}

void evtchn_fifo_unmask(struct vcpu *v, struct evtchn *c)
{
	event_word_t *word = word_of(v->domain, c->port);

	if (!word)
		return;
	word_clear(word, BIT(EVTCHN_FIFO_MASKED));
	if (READ_ONCE(*word) & BIT(EVTCHN_FIFO_PENDING))
		evtchn_fifo_set_pending(v, c);
}

static bool word_test(const struct domain *d, const struct evtchn *c, u32 bit)
{
	const event_word_t *w = word_of(d, c->port);

	return w && (READ_ONCE(*w) & BIT(bit));
}

bool evtchn_fifo_is_pending(const struct domain *d, const struct evtchn *c)
{
	return word_test(d, c, EVTCHN_FIFO_PENDING) || c->early;
}

bool evtchn_fifo_is_masked(const struct domain *d, const struct evtchn *c)
{
	const event_word_t *w = word_of(d, c->port);

	return !w || (READ_ONCE(*w) & BIT(EVTCHN_FIFO_MASKED));
}

bool evtchn_fifo_is_linked(const struct domain *d, const struct evtchn *c)
{
	return word_test(d, c, EVTCHN_FIFO_LINKED);
}

void evtchn_fifo_clear_pending(struct domain *d, struct evtchn *c)
{
	event_word_t *w = word_of(d, c->port);

	c->early = false;
	if (w)
		word_clear(w, BIT(EVTCHN_FIFO_PENDING));
}

/* ---- set-up ----------------------------------------------------------------- */

static void *guest_page_get(struct domain *d, u64 gfn)
{
	struct page_info *pg = page_from_mfn(_mfn(gfn), d);

	if (!pg)
		return NULL;
	if (page_get_type(pg, PGT_WRITABLE, false)) {
		page_put(pg);
		return NULL;
	}
	return page_to_virt(pg);
}

static void guest_page_put(void *va)
{
	page_put_and_type(
		virt_to_page((void *)((unsigned long)va & PAGE_MASK)));
}

static struct evtchn_fifo_vcpu *vcpu_fifo(struct vcpu *v)
{
	struct evtchn_fifo_vcpu *fv = v->evtchn_fifo;

	if (fv)
		return fv;
	fv = xzalloc(sizeof(*fv));
	if (!fv)
		return NULL;
	for (unsigned int i = 0; i < EVTCHN_FIFO_MAX_QUEUES; i++)
		spin_init(&fv->queue[i].lock, LOCK_EVTQ);
	WRITE_ONCE(v->evtchn_fifo, fv);
	return fv;
}

/* Events that came before: their queue did not exist. */
static void redeliver(struct domain *d, u32 from, u32 to, bool all)
{
	unsigned long flags;
	struct evtchn *c;

	for (u32 p = from; p < to; p++) {
		c = evtchn_of(d, p);
		if (!c)
			break;
		flags = irq_save();
		if (c->early || (all && evtchn_fifo_is_pending(d, c))) {
			c->early = false;
			evtchn_deliver(d, c);
		}
		irq_restore(flags);
	}
}

/* First call: the whole domain leaves the 2-level ABI. */
static int domain_start(struct domain *d)
{
	struct evtchn_fifo_domain *f = xzalloc(sizeof(*f));
	struct evtchn *c;

	if (!f)
		return -ENOMEM;
	for (u32 p = 1; (c = evtchn_of(d, p)) != NULL; p++) {
		c->priority = c->last_priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
		c->last_vcpu = c->vcpu;
		c->early = p < EVTCHN_2L_NR_CHANNELS &&
			   test_bit(p, d->shared->evtchn_pending);
	}
	WRITE_ONCE(d->evtchn.fifo, f);
	return 0;
}

int evtchn_fifo_init_control(struct domain *d, struct evtchn_init_control *op)
{
	struct vcpu *v = domain_vcpu(d, op->vcpu);
	struct evtchn_fifo_vcpu *fv;
	void *page;
	int rc = 0;

	op->link_bits = EVTCHN_FIFO_LINK_BITS;
	if (!v)
		return -ENOENT;
	if (op->offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) ||
	    (op->offset & 7))
		return -EINVAL;
	page = guest_page_get(d, op->control_gfn);
	if (!page)
		return -EINVAL;

	spin_lock(&d->evtchn.lock);
	fv = vcpu_fifo(v);
	if (!fv)
		rc = -ENOMEM;
	else if (fv->cb)
		rc = -EINVAL;
	else if (!d->evtchn.fifo)
		rc = domain_start(d);
	if (!rc) {
		struct evtchn_fifo_control_block *cb =
			(void *)((char *)page + op->offset);

		memset(cb, 0, sizeof(*cb));
		WRITE_ONCE(fv->cb, cb);
	}
	spin_unlock(&d->evtchn.lock);
	if (rc)
		guest_page_put(page);
	else
		redeliver(d, 1, READ_ONCE(d->evtchn.nr_valid), true);
	return rc;
}

int evtchn_fifo_expand_array(struct domain *d,
			     const struct evtchn_expand_array *op)
{
	struct evtchn_fifo_domain *f;
	void *page;
	u32 at = 0;
	int rc = 0;

	if (!d->evtchn.fifo)
		return -EOPNOTSUPP;
	page = guest_page_get(d, op->array_gfn);
	if (!page)
		return -EINVAL;
	spin_lock(&d->evtchn.lock);
	f = d->evtchn.fifo;
	if (!f) {
		rc = -EOPNOTSUPP;
	} else if (f->nr_pages >= FIFO_PAGES ||
		   f->nr_pages * WORDS_PER_PAGE > d->evtchn.max_port) {
		rc = -ENOSPC;
	} else {
		at = f->nr_pages;
		f->page[at] = page;
		smp_wmb(); /* pairs with word_of(): entry before count */
		WRITE_ONCE(f->nr_pages, at + 1);
	}
	spin_unlock(&d->evtchn.lock);
	if (rc)
		guest_page_put(page);
	else
		redeliver(d, at * WORDS_PER_PAGE, (at + 1) * WORDS_PER_PAGE,
			  false);
	return rc;
}

int evtchn_fifo_set_priority(struct domain *d,
			     const struct evtchn_set_priority *op)
{
	struct evtchn *c = evtchn_of(d, op->port);

	if (!d->evtchn.fifo)
		return -ENOSYS;
	if (!c || op->priority > EVTCHN_FIFO_PRIORITY_MIN)
		return -EINVAL;
	/* In force from the next time it is queued. */
	WRITE_ONCE(c->priority, (u8)op->priority);
	return 0;
}

void evtchn_fifo_done(struct domain *d)
{
	struct evtchn_fifo_vcpu *all = NULL, *fv;
	struct evtchn_fifo_domain *f;
	struct vcpu *v;

	/* All at once: the domain may start FIFO again right behind us. */
	spin_lock(&d->evtchn.lock);
	f = d->evtchn.fifo;
	WRITE_ONCE(d->evtchn.fifo, NULL);
	for_each_vcpu(d, v) {
		fv = v->evtchn_fifo;
		WRITE_ONCE(v->evtchn_fifo, NULL);
		if (!fv)
			continue;
		fv->next = all;
		all = fv;
	}
	spin_unlock(&d->evtchn.lock);
	if (!f && !all)
		return;
	smp_quiesce(); /* no sender still uses the pages */
	while ((fv = all) != NULL) {
		all = fv->next;
		if (fv->cb)
			guest_page_put(fv->cb);
		xfree(fv);
	}
	for (u32 i = 0; f && i < f->nr_pages; i++)
		guest_page_put(f->page[i]);
	xfree(f);
}
