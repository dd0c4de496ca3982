/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GNTTABOP_copy: moves bytes between two pages, each named by a grant or by a
 * frame of the caller, without mapping anything: all of RAM is in our direct
 * map. GNTTABOP_transfer gives a page away to a domain that accepts it.
 */
#include <bh/control.h>
#include <bh/errno.h>
#include <bh/grant.h>

#include "grant_private.h"

struct end { /* one side of a copy */
	struct domain *d,
		*via; /* page's owner; granter on the way (transitive) */
	struct page_info *pg;
	u32 ref, via_ref;
	bool pinned, via_pinned, ro;
	u16 off, len; /* window allowed */
	mfn_t mfn;
};

static void end_release(struct end *e)
{
	if (e->pg) {
		if (e->ro)
			page_put(e->pg);
		else
			page_put_and_type(e->pg);
	}
	if (e->pinned)
		grant_unpin(e->d, e->ref, e->ro);
	if (e->via_pinned)
		grant_unpin(e->via, e->via_ref, e->ro);
	if (e->via)
		domain_put(e->via);
	if (e->d)
		domain_put(e->d);
}

static s16 end_pin(struct vcpu *v, struct end *e, u32 ref)
{
	struct pin pin;
	s16 rc = grant_pin(e->d, v->domain->id, ref, e->ro, true, &pin);

	if (rc)
		return rc;
	if (pin.owner != e->d) { /* transitive: go on to the end of it */
		e->via = e->d;
		e->via_ref = ref;
		e->via_pinned = true;
		e->d = pin.owner;
		ref = mfn_x(pin.mfn);
		rc = grant_pin(e->d, e->via->id, ref, e->ro, true, &pin);
		if (rc)
			return rc;
		if (pin.owner != e->d) {
			domain_put(pin.owner);
			grant_unpin(e->d, ref, e->ro);
			return GNTST_general_error;
		}
	}
	e->ref = ref;
	e->pinned = true;
	e->mfn = pin.mfn;
	e->off = pin.off;
	e->len = pin.len;
	return GNTST_okay;
}

static s16 end_acquire(struct vcpu *v, struct end *e,
		       const struct gnttab_copy_ptr *p, bool gref, bool ro)
{
	s16 rc;

	e->ro = ro;
	e->d = domain_by_any_id(p->domid);
	if (!e->d)
		return GNTST_bad_domain;
	if (e->d->is_system || e->d->dying)
		return GNTST_bad_domain;
	if (gref) {
		rc = end_pin(v, e, p->u.ref);
		if (rc)
			return rc;
	} else {
		if (e->d != v->domain)
			return GNTST_permission_denied;
		e->mfn = _mfn(p->u.gmfn);
		e->len = PAGE_SIZE;
	}
	e->pg = page_from_mfn(e->mfn, e->d);
	if (!e->pg)
		return GNTST_bad_page;
	if (!ro && page_get_type(e->pg, PGT_WRITABLE, false)) {
		page_put(e->pg);
		e->pg = NULL;
		return GNTST_bad_page;
	}
	return GNTST_okay;
}

static bool in_window(const struct end *e, u16 off, u16 len)
{
	return off >= e->off && (u32)off + len <= (u32)e->off + e->len &&
	       (u32)off + len <= PAGE_SIZE;
}

long grant_op_copy(struct vcpu *v, void *arg)
{
	struct gnttab_copy *op = arg;
	struct end src = { 0 }, dst = { 0 };

	op->status = end_acquire(v, &src, &op->source,
				 op->flags & GNTCOPY_source_gref, true);
	if (!op->status)
		op->status = end_acquire(v, &dst, &op->dest,
					 op->flags & GNTCOPY_dest_gref, false);
	if (!op->status && (!in_window(&src, op->source.offset, op->len) ||
			    !in_window(&dst, op->dest.offset, op->len)))
		op->status = GNTST_bad_copy_arg;
	if (!op->status) {
		memmove((char *)mfn_to_virt(dst.mfn) + op->dest.offset,
			(char *)mfn_to_virt(src.mfn) + op->source.offset,
			op->len);
		if (unlikely(dst.d->pv.log_dirty))
			log_dirty_mark(dst.d, dst.mfn);
	}
	end_release(&src);
	end_release(&dst);
	return 0;
}

/* ---- transfer ------------------------------------------------------------------ */

/* Marks rd's entry as committed to a transfer from ldom. */
static s16 commit(struct grant_table *gt, u32 ref, domid_t ldom)
{
	u32 *word, old;

	if (ref >= gt_entries(gt))
		return GNTST_bad_gntref;
	ref = index_nospec(ref, gt_entries(gt));
	word = gt->version == 1 ? (u32 *)gt_v1(gt, ref)
				: (u32 *)&gt_v2(gt, ref)->hdr;
	old = GTF_accept_transfer | (u32)ldom << 16;
	if (!__atomic_compare_exchange_n(word, &old,
					 old | GTF_transfer_committed, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return GNTST_bad_gntref;
	return GNTST_okay;
}

static void complete(struct grant_table *gt, u32 ref, mfn_t mfn)
{
	u16 *flags;

	if (gt->version == 1) {
		gt_v1(gt, ref)->frame = mfn_x(mfn);
		flags = &gt_v1(gt, ref)->flags;
	} else {
		gt_v2(gt, ref)->full_page.frame = mfn_x(mfn);
		flags = &gt_v2(gt, ref)->hdr.flags;
	}
	__atomic_fetch_or(flags, GTF_transfer_completed, __ATOMIC_SEQ_CST);
}

static s16 transfer(struct vcpu *v, struct gnttab_transfer *op,
		    struct domain *rd)
{
	mfn_t mfn = _mfn(op->mfn);
	struct page_info *pg;
	unsigned long pfn;
	s16 rc;

	if (!mfn_valid(mfn) || rd == v->domain)
		return mfn_valid(mfn) ? GNTST_bad_domain : GNTST_bad_page;
	pg = mfn_to_page(mfn);
	pfn = m2p[mfn_x(mfn)];
	spin_lock(&rd->grant->lock);
	rc = commit(rd->grant, op->ref, v->domain->id);
	spin_unlock(&rd->grant->lock);
	if (rc)
		return rc;
	if (domain_steal_page(v->domain, pg))
		rc = GNTST_bad_page;
	if (!rc && domain_assign_pages(rd, pg, 0)) {
		/* The taker is at its limit: the page stays with the giver. */
		if (domain_assign_pages(v->domain, pg, 0))
			heap_free(pg, 0, true);
		else
			m2p_set(mfn, pfn);
		rc = GNTST_bad_domain;
	}
	spin_lock(&rd->grant->lock);
	if (op->ref < gt_entries(rd->grant)) {
		if (!rc)
			m2p_set(mfn, M2P_INVALID);
		complete(rd->grant, op->ref, rc ? _mfn(0) : mfn);
	}
	spin_unlock(&rd->grant->lock);
	return rc;
}

long grant_op_transfer(struct vcpu *v, void *arg)
{
	struct gnttab_transfer *op = arg;
	struct domain *rd = domain_by_id(op->domid);

	if (!rd || rd->is_system || rd->dying)
		op->status = GNTST_bad_domain;
	else
		op->status = transfer(v, op, rd);
	domain_put(rd);
	return 0;
}
