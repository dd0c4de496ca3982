/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mapping and unmapping grants.
 *
 * A host mapping is a PTE of the mapper that carries one page reference, and a
 * writable type reference unless read-only; a device mapping carries the same
 * without a PTE. Each also holds one pin on the granter's entry. Unmapping goes
 * in three steps for a whole batch: clear PTEs, one TLB flush, then drop
 * references and pins: a stale TLB entry must never outlive the reference.
 */
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/errno.h>
#include <bh/grant.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>

#include "grant_private.h"

/* ---- map-track ---------------------------------------------------------------- */

static struct maptrack *track_entry(struct grant_table *gt, u32 handle)
{
	if (handle >= READ_ONCE(gt->nr_track))
		return NULL;
	handle = index_nospec(handle, gt->nr_track);
	return &gt->track[handle / TRACK_PER_PAGE][handle % TRACK_PER_PAGE];
}

static int track_grow(struct grant_table *gt)
{
	u32 page = gt->nr_track / TRACK_PER_PAGE;
	struct maptrack *t;

	if (page >= gt->max_track)
		return -ENOSPC;
	t = alloc_page();
	if (!t)
		return -ENOMEM;
	for (u32 i = 0; i < TRACK_PER_PAGE; i++)
		t[i].ref = i + 1 < TRACK_PER_PAGE ? gt->nr_track + i + 1
						  : gt->track_free;
	gt->track[page] = t;
	gt->track_free = gt->nr_track;
	smp_wmb();
	gt->nr_track += TRACK_PER_PAGE;
	return 0;
}

static int track_get(struct grant_table *gt, u32 *handle)
{
	int rc = 0;

	spin_lock(&gt->track_lock);
	if (gt->track_free == TRACK_NONE)
		rc = track_grow(gt);
	if (!rc) {
		*handle = gt->track_free;
		gt->track_free = track_entry(gt, *handle)->ref;
	}
	spin_unlock(&gt->track_lock);
	return rc;
}

static void track_put(struct grant_table *gt, u32 handle)
{
	struct maptrack *t = track_entry(gt, handle);

	spin_lock(&gt->track_lock);
	t->flags = 0;
	t->ref = gt->track_free;
	gt->track_free = handle;
	spin_unlock(&gt->track_lock);
}

/* ---- map ---------------------------------------------------------------------- */

static s16 take_page(struct domain *owner, mfn_t mfn, bool ro,
		     struct page_info **ret)
{
	struct page_info *pg = page_from_mfn(mfn, owner);

	if (!pg)
		return GNTST_bad_page;
	if ((pg->count & PGC_XENHEAP) ||
	    (!ro && page_get_type(pg, PGT_WRITABLE, false))) {
		page_put(pg);
		return GNTST_bad_page;
	}
	*ret = pg;
	return GNTST_okay;
}

static void drop_page(struct page_info *pg, bool ro)
{
	if (ro)
		page_put(pg);
	else
		page_put_and_type(pg);
}

static s16 map_host(struct vcpu *v, const struct gnttab_map_grant_ref *op,
		    mfn_t mfn)
{
	/* Without NX: guests decide by their own upper levels. */
	u64 pte = mfn_x(mfn) << PAGE_SHIFT | PTE_P | PTE_A;

	if (!(op->flags & GNTMAP_readonly))
		pte |= PTE_W | PTE_D;
	if (op->flags & GNTMAP_application_map)
		pte |= PTE_U;
	pte |= (u64)(op->flags >> _GNTMAP_guest_avail0 & 7) << 9;
	return pv_grant_map(v, op->host_addr, op->flags & GNTMAP_contains_pte,
			    pte);
}

static s16 map_pinned(struct vcpu *v, struct gnttab_map_grant_ref *op,
		      struct domain *rd, mfn_t mfn)
{
	bool ro = op->flags & GNTMAP_readonly;
	bool host = op->flags & GNTMAP_host_map;
	bool dev = op->flags & GNTMAP_device_map;
	struct page_info *pg;
	s16 rc;

	if (host) {
		rc = take_page(rd, mfn, ro, &pg);
		if (rc)
			return rc;
		rc = map_host(v, op, mfn);
		if (rc) {
			drop_page(pg, ro);
			return rc;
		}
	}
	if (dev) {
		rc = take_page(rd, mfn, ro, &pg);
		if (rc && host) {
			/* The PTE was just made, so it can be taken back. */
			pg = mfn_to_page(mfn);
			if (!pv_grant_unmap(v, op->host_addr,
					    op->flags & GNTMAP_contains_pte,
					    mfn, ro, 0)) {
				tlb_flush_local();
				drop_page(pg, ro);
			}
		}
		return rc;
	}
	return GNTST_okay;
}

static s16 map_one(struct vcpu *v, struct gnttab_map_grant_ref *op,
		   struct domain *rd)
{
	struct grant_table *lgt = v->domain->grant;
	bool ro = op->flags & GNTMAP_readonly;
	bool both = (op->flags & (GNTMAP_host_map | GNTMAP_device_map)) ==
		    (GNTMAP_host_map | GNTMAP_device_map);
	struct maptrack *t;
	struct pin pin;
	u32 handle;
	s16 rc;

	if (track_get(lgt, &handle))
		return GNTST_no_space;
	rc = grant_pin(rd, v->domain->id, op->ref, ro, false, &pin);
	if (rc)
		goto err_track;
	if (both) {
		rc = grant_pin(rd, v->domain->id, op->ref, ro, false, &pin);
		if (rc)
			goto err_pin;
	}
	rc = map_pinned(v, op, rd, pin.mfn);
	if (rc)
		goto err_pins;
	t = track_entry(lgt, handle);
	t->ref = op->ref;
	t->dom = rd->id;
	__atomic_store_n(&t->flags, (u16)(op->flags & 0xff), __ATOMIC_RELEASE);
	op->handle = handle;
	op->dev_bus_addr = mfn_x(pin.mfn) << PAGE_SHIFT;
	return GNTST_okay;

err_pins:
	if (both)
		grant_unpin(rd, op->ref, ro);
err_pin:
	grant_unpin(rd, op->ref, ro);
err_track:
	track_put(lgt, handle);
	return rc;
}

long grant_op_map(struct vcpu *v, void *arg)
{
	struct gnttab_map_grant_ref *op = arg;
	struct domain *rd;

	if (!(op->flags & (GNTMAP_host_map | GNTMAP_device_map)) ||
	    (op->flags &
	     (GNTMAP_device_map | GNTMAP_application_map | GNTMAP_host_map)) ==
		    (GNTMAP_device_map | GNTMAP_application_map)) {
		op->status = GNTST_bad_gntref;
		return 0;
	}
	rd = domain_by_id(op->dom);
	if (!rd) {
		op->status = GNTST_bad_domain;
		return 0;
	}
	op->status = rd->dying || rd->is_system ? GNTST_bad_domain
						: map_one(v, op, rd);
	domain_put(rd);
	return 0;
}

/* ---- unmap -------------------------------------------------------------------- */

#define BATCH 32

struct unmap {
	u64 host_addr, dev_bus_addr, new_addr;
	u32 handle;
	s16 status;
	/* filled by unmap_begin() */
	struct maptrack *t; /* NULL: not ours to work on */
	struct domain *rd;
	u32 ref;
	bool ro, host, dev;
	mfn_t mfn;
};

/* Takes a handle for an unmap: from here to unmap_finish() it stands for the
 * same mapping. Of several at once only one goes on. */
static struct maptrack *track_claim(struct grant_table *gt, u32 handle)
{
	struct maptrack *t = track_entry(gt, handle);
	u16 old;

	if (!t)
		return NULL;
	old = READ_ONCE(t->flags);
	do {
		if (!(old & TRACK_MAPS) || (old & TRACK_BUSY))
			return NULL;
	} while (!__atomic_compare_exchange_n(&t->flags, &old, old | TRACK_BUSY,
					      false, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	return t;
}

/* The entry this handle stands for, while it is pinned by us. */
static s16 unmap_lookup(const struct maptrack *t, struct unmap *u)
{
	struct active *act;
	s16 rc = GNTST_okay;

	u->ref = t->ref;
	u->ro = t->flags & GNTMAP_readonly;
	u->rd = domain_by_id(t->dom);
	if (!u->rd || !u->rd->grant)
		return GNTST_bad_domain;
	spin_lock(&u->rd->grant->lock);
	act = grant_active(u->rd->grant, u->ref, false);
	if (act && (act->ro || act->rw))
		u->mfn = _mfn(act->frame);
	else
		rc = GNTST_bad_handle;
	spin_unlock(&u->rd->grant->lock);
	return rc;
}

/* Unmaps the host's mapping, with another entry in its place if so asked. */
static s16 unmap_host(struct vcpu *v, struct unmap *u, u16 flags)
{
	u64 pte = 0;
	s16 rc;

	if (u->new_addr && !pv_entry_take(v, u->new_addr, &pte))
		return GNTST_bad_virt_addr;
	rc = pv_grant_unmap(v, u->host_addr, flags & GNTMAP_contains_pte,
			    u->mfn, u->ro, pte);
	if (rc && pte)
		pv_entry_restore(v, u->new_addr, pte);
	u->host = !rc;
	return rc;
}

static s16 unmap_begin(struct vcpu *v, struct unmap *u)
{
	u16 flags;
	s16 rc;

	u->t = track_claim(v->domain->grant, u->handle);
	if (!u->t)
		return GNTST_bad_handle;
	flags = u->t->flags;
	rc = unmap_lookup(u->t, u);
	if (rc)
		return rc;
	if (u->dev_bus_addr && u->dev_bus_addr != mfn_x(u->mfn) << PAGE_SHIFT)
		return GNTST_bad_dev_addr;
	if (u->host_addr && (flags & GNTMAP_host_map)) {
		rc = unmap_host(v, u, flags);
		if (rc)
			return rc;
	}
	u->dev = u->dev_bus_addr && (flags & GNTMAP_device_map);
	return GNTST_okay;
}

/* What was written through a mapping counts when it ends: until then the
 * granter's kernel does not count on it either. */
static void mark_dirty(const struct unmap *u)
{
	if (!u->ro && unlikely(u->rd->pv.log_dirty))
		log_dirty_mark(u->rd, u->mfn);
}

static void unmap_finish(struct domain *ld, struct unmap *u)
{
	u16 left = u->t->flags & ~TRACK_BUSY;

	if (u->host || u->dev)
		mark_dirty(u);
	for (int n = u->host + u->dev; n > 0; n--) {
		drop_page(mfn_to_page(u->mfn), u->ro);
		grant_unpin(u->rd, u->ref, u->ro);
	}
	if (u->rd)
		domain_put(u->rd);
	if (u->host)
		left &= ~GNTMAP_host_map;
	if (u->dev)
		left &= ~GNTMAP_device_map;
	if (left & TRACK_MAPS)
		__atomic_store_n(&u->t->flags, left, __ATOMIC_RELEASE);
	else
		track_put(ld->grant, u->handle);
}

static void flush_domain(struct domain *d)
{
	cpumask_t mask = { { 0 } };
	struct vcpu *v;

	for_each_vcpu(d, v)
		for (int i = 0; i < 4; i++)
			mask.bits[i] |= READ_ONCE(v->dirty_cpus.bits[i]);
	tlb_flush_mask(&mask);
}

static void unmap_batch(struct vcpu *v, struct unmap *u, unsigned int n)
{
	bool flush = false;

	for (unsigned int i = 0; i < n; i++) {
		u[i].status = unmap_begin(v, &u[i]);
		flush |= u[i].host;
		if (u[i].status && u[i].t) {
			unmap_finish(v->domain, &u[i]);
			u[i].t = NULL; /* free for another try */
		}
	}
	if (flush)
		flush_domain(v->domain);
	for (unsigned int i = 0; i < n; i++)
		if (u[i].t)
			unmap_finish(v->domain, &u[i]);
}

long grant_unmap_array(struct vcpu *v, unsigned long a[6], bool replace)
{
	struct unmap u[BATCH];
	union {
		struct gnttab_unmap_grant_ref plain;
		struct gnttab_unmap_and_replace repl;
	} op;
	size_t size = sizeof(op.plain), off;

	_Static_assert(sizeof(op.plain) == sizeof(op.repl), "same stride");
	off = offsetof(struct gnttab_unmap_grant_ref, status);
	_Static_assert(
		offsetof(struct gnttab_unmap_grant_ref, status) ==
			offsetof(struct gnttab_unmap_and_replace, status),
		"same layout");
	while (a[2]) {
		unsigned int n = min(a[2], (unsigned long)BATCH), got;
		long rc = 0;

		for (got = 0; got < n; got++) {
			if (copy_from_guest(&op, GPTR(a[1] + got * size),
					    size)) {
				rc = -EFAULT;
				break;
			}
			u[got] = (struct unmap){
				.host_addr = op.plain.host_addr,
				.dev_bus_addr =
					replace ? 0 : op.plain.dev_bus_addr,
				.new_addr = replace ? op.repl.new_addr : 0,
				.handle = op.plain.handle,
			};
		}
		unmap_batch(v, u, got);
		for (unsigned int i = 0; i < got; i++)
			if (copy_to_guest(GPTR(a[1] + i * size + off),
					  &u[i].status, sizeof(s16)))
				rc = -EFAULT;
		if (rc)
			return rc;
		a[1] += n * size;
		a[2] -= n;
		if (a[2] && hypercall_preempt())
			return -ERESTART;
	}
	return 0;
}

/* ---- domain death ------------------------------------------------------------- */

/* Host mappings hold their page references in PTEs, which the teardown of the
 * page tables drops; here go the pins, and the references of device maps. */
int grant_release_mappings(struct domain *d)
{
	struct grant_table *gt = d->grant;

	for (; gt && gt->release_pos < gt->nr_track; gt->release_pos++) {
		struct maptrack *t = track_entry(gt, gt->release_pos);
		struct unmap u = { .handle = gt->release_pos };
		u16 flags = t->flags;

		if ((gt->release_pos & 0xff) == 0xff && hypercall_preempt())
			return -ERESTART;
		if (!(flags & TRACK_MAPS))
			continue;
		if (unmap_lookup(t, &u) == GNTST_okay) {
			mark_dirty(&u);
			if (flags & GNTMAP_host_map)
				grant_unpin(u.rd, u.ref, u.ro);
			if (flags & GNTMAP_device_map) {
				drop_page(mfn_to_page(u.mfn), u.ro);
				grant_unpin(u.rd, u.ref, u.ro);
			}
		}
		if (u.rd)
			domain_put(u.rd);
		t->flags = 0;
	}
	return 0;
}
