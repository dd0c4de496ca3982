/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XENMEM_exchange: a guest gives frames and gets as many others, contiguous or
 * below an address limit, which is how a PV dom0 gets memory for DMA.
 *
 * Work goes in chunks of the larger of the two extent sizes. A chunk is done
 * whole or not at all: the frames are taken from the guest (refused while it
 * still maps them), the new ones are allocated, and only then anything is
 * visible. Progress is nr_exchanged in the caller's structure, so a preempted
 * call is simply executed again.
 */
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/page.h>
#include <public/memory.h>

#include "mm_private.h"

struct chunk {
	struct domain *d;
	struct xen_memory_exchange *e;
	unsigned int in_shift, out_shift; /* extents of a chunk: 2^shift */
	unsigned int addr_bits;
	u32 in, out; /* frames taken; first frames of new extents: lists */
};

static u64 extent(const struct xen_memory_reservation *r, unsigned long i,
		  int *rc)
{
	u64 v = 0;

	if (get_guest_u64(&v, GPTR(r->extent_start.p + i)))
		*rc = -EFAULT;
	return v;
}

/* Gives the frames back as they were; M2P was not touched. */
static void undo_take(struct chunk *c)
{
	while (c->in) {
		struct page_info *pg = frame_table + c->in;

		c->in = pg->next;
		pg->next = 0;
		if (domain_reassign_pages(c->d, pg, 0)) {
			/* Dying: it would have been freed anyway. */
			m2p_set(page_to_mfn(pg), M2P_INVALID);
			heap_free(pg, 0, true);
		}
	}
}

static int take(struct chunk *c, unsigned long n)
{
	int rc = 0;

	for (unsigned long j = 0; j < 1UL << c->in_shift; j++) {
		u64 mfn = extent(&c->e->in, (n << c->in_shift) + j, &rc);

		for (unsigned long k = 0;
		     !rc && k < 1UL << c->e->in.extent_order; k++) {
			struct page_info *pg = frame_table + mfn + k;

			if (mfn + k >= max_mfn)
				rc = -EINVAL;
			else
				rc = domain_steal_page(c->d, pg);
			if (!rc) {
				pg->next = c->in;
				c->in = mfn + k;
			}
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int allocate(struct chunk *c)
{
	for (unsigned long j = 0; j < 1UL << c->out_shift; j++) {
		struct page_info *pg =
			heap_alloc(c->e->out.extent_order, c->addr_bits, 0);

		if (!pg)
			return -ENOMEM;
		pg->next = c->out;
		c->out = mfn_x(page_to_mfn(pg));
	}
	return 0;
}

static void undo_allocate(struct chunk *c)
{
	while (c->out) {
		struct page_info *pg = frame_table + c->out;

		c->out = pg->next;
		heap_free(pg, c->e->out.extent_order, false);
	}
}

static int commit(struct chunk *c, unsigned long n)
{
	unsigned int order = c->e->out.extent_order;
	int rc = 0;

	while (c->in) {
		struct page_info *pg = frame_table + c->in;

		c->in = pg->next;
		m2p_set(page_to_mfn(pg), M2P_INVALID);
		heap_free(pg, 0, true);
	}
	for (unsigned long j = 0; c->out; j++) {
		unsigned long i = (n << c->out_shift) + j, mfn = c->out;
		struct page_info *pg = frame_table + mfn;
		u64 pfn = extent(&c->e->out, i, &rc);

		c->out = pg->next;
		pg->next = 0;
		if (domain_reassign_pages(c->d, pg, order)) {
			heap_free(pg, order, false);
			rc = -EINVAL;
			continue;
		}
		for (unsigned long k = 0; k < 1UL << order; k++)
			m2p_set(_mfn(mfn + k), pfn + k);
		if (put_guest_u64(GPTR(c->e->out.extent_start.p + i), mfn))
			rc = -EFAULT;
	}
	return rc;
}

static int exchange_chunk(struct chunk *c, unsigned long n)
{
	int rc;

	c->in = c->out = 0;
	rc = take(c, n);
	if (!rc)
		rc = allocate(c);
	if (!rc)
		return commit(c, n);
	undo_allocate(c);
	undo_take(c);
	return rc;
}

static int check(struct vcpu *v, const struct xen_memory_exchange *e)
{
	unsigned int max = memory_op_max_order(v);

	if (e->in.extent_order > max || e->out.extent_order > max)
		return -EPERM;
	if (e->in.domid != e->out.domid || e->nr_exchanged > e->in.nr_extents ||
	    e->in.nr_extents > ~0UL >> (e->in.extent_order + PAGE_SHIFT) ||
	    e->out.nr_extents > ~0UL >> (e->out.extent_order + PAGE_SHIFT) ||
	    e->in.nr_extents << e->in.extent_order !=
		    e->out.nr_extents << e->out.extent_order)
		return -EINVAL;
	return 0;
}

long memory_exchange(struct vcpu *v, gptr_t arg)
{
	gptr_t done = gptr_add(
		arg, offsetof(struct xen_memory_exchange, nr_exchanged));
	struct xen_memory_exchange e;
	struct chunk c = { .e = &e };
	unsigned long n, first;
	long rc;

	if (copy_from_guest(&e, arg, sizeof(e)))
		return -EFAULT;
	rc = check(v, &e);
	if (rc)
		return rc;
	if (e.in.extent_order <= e.out.extent_order)
		c.in_shift = e.out.extent_order - e.in.extent_order;
	else
		c.out_shift = e.in.extent_order - e.out.extent_order;
	if (e.nr_exchanged & ((1UL << c.in_shift) - 1))
		return -EINVAL;
	c.d = memory_op_domain(v, e.in.domid, &rc);
	if (!c.d)
		return rc;
	c.addr_bits = XENMEMF_get_address_bits(e.out.mem_flags);
	if (c.d->addr_bits && (!c.addr_bits || c.addr_bits > c.d->addr_bits))
		c.addr_bits = c.d->addr_bits;
	first = e.nr_exchanged >> c.in_shift;
	for (n = first; n < e.in.nr_extents >> c.in_shift; n++) {
		if (n != first && hypercall_preempt()) {
			rc = -ERESTART;
			break;
		}
		rc = exchange_chunk(&c, n);
		if (rc)
			break;
	}
	domain_put(c.d);
	if (put_guest_u64(done, n << c.in_shift))
		rc = -EFAULT;
	return rc;
}
