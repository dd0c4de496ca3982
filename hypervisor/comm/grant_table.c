/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grant tables, the core: a domain writes into a table shared with us which
 * other domain may use which of its frames; we check, mark the entry as in use
 * and keep track. This file owns the table's memory and the pinning of entries;
 * grant_map.c maps and unmaps, grant_copy.c copies and transfers, grant_ops.c
 * has the small operations and the hypercall.
 *
 * The shared entry can change at any time, so everything that matters is
 * latched in `struct active` when the first user pins it, under the lock. Both
 * versions of the ABI (public/grant_table.h) are offered. v2 transitive grants
 * are followed for copies, through one intermediate domain.
 *
 * Locking: grant_table.lock guards table, version and active entries;
 * track_lock the map-track of the mapping domain. Neither is held while page
 * references are taken or the TLB is flushed, and never two tables' locks at
 * once.
 */
#include <bh/errno.h>
#include <bh/grant.h>

#include "grant_private.h"

int grant_init(struct domain *d, int max_frames, int max_maptrack,
	       u32 max_version)
{
	struct grant_table *gt = xzalloc(sizeof(*gt));
	int rc = -ENOMEM;

	if (!gt)
		return -ENOMEM;
	gt->max_frames = max_frames < 0 ? GT_DEFAULT_FRAMES : (u32)max_frames;
	gt->max_track = max_maptrack < 0 ? GT_DEFAULT_TRACK : (u32)max_maptrack;
	if (!gt->max_frames || gt->max_frames > GT_MAX_FRAMES ||
	    gt->max_track > GT_MAX_TRACK) {
		xfree(gt);
		return -EINVAL;
	}
	spin_init(&gt->lock, LOCK_GRANT);
	spin_init(&gt->track_lock, LOCK_NONE);
	gt->version = 1;
	gt->max_version = max_version ? max_version : 2;
	gt->track_free = TRACK_NONE;
	gt->nr_act_pages =
		DIV_ROUND_UP(gt->max_frames * V1_PER_FRAME, ACT_PER_PAGE);
	gt->frames = xzalloc(gt->max_frames * sizeof(void *));
	gt->status = xzalloc(
		DIV_ROUND_UP(gt->max_frames * V2_PER_FRAME, STATUS_PER_FRAME) *
		sizeof(void *));
	gt->act = xzalloc(gt->nr_act_pages * sizeof(void *));
	gt->track = xzalloc(gt->max_track * sizeof(void *));
	d->grant = gt;
	if (gt->frames && gt->status && gt->act &&
	    (gt->track || !gt->max_track))
		rc = grant_grow(d, 1);
	if (rc)
		grant_done(d);
	return rc;
}

/* Stands for the frames of a dead domain's table: those who still map its pages
 * clear their marks in it, and nobody reads them. */
static u8 dead_frame[PAGE_SIZE] __aligned(PAGE_SIZE);

static void unshare(struct grant_table *gt, void **frames, u32 nr)
{
	void *old;

	for (u32 i = 0; i < nr; i++) {
		spin_lock(&gt->lock);
		old = frames[i];
		frames[i] = dead_frame;
		spin_unlock(&gt->lock);
		if (old && old != dead_frame && page_unshare(virt_to_page(old)))
			heap_free(virt_to_page(old), 0, true);
	}
}

void grant_unshare(struct domain *d)
{
	struct grant_table *gt = d->grant;

	if (!gt)
		return;
	spin_lock(&gt->lock);
	gt->max_frames = gt->nr_frames; /* a new one would keep d for ever */
	spin_unlock(&gt->lock);
	unshare(gt, gt->frames, gt->nr_frames);
	unshare(gt, gt->status, gt->nr_status);
}

static void free_shared(void **frames, u32 nr)
{
	for (u32 i = 0; frames && i < nr; i++) {
		if (!frames[i] || frames[i] == dead_frame)
			continue;
		if (page_unshare(virt_to_page(frames[i])))
			heap_free(virt_to_page(frames[i]), 0, true);
		frames[i] = NULL;
	}
}

void grant_done(struct domain *d)
{
	struct grant_table *gt = d->grant;

	if (!gt)
		return;
	free_shared(gt->frames, gt->nr_frames);
	free_shared(gt->status, gt->nr_status);
	for (u32 i = 0; gt->act && i < gt->nr_act_pages; i++)
		free_page(gt->act[i]);
	for (u32 i = 0; gt->track && i < gt->max_track; i++)
		free_page(gt->track[i]);
	xfree(gt->frames);
	xfree(gt->status);
	xfree(gt->act);
	xfree(gt->track);
	xfree(gt);
	d->grant = NULL;
}

static int add_shared_page(struct domain *d, void **slot)
{
	void *p = alloc_page();

	if (!p)
		return -ENOMEM;
	page_share_with(virt_to_page(p), d, false);
	*slot = p;
	return 0;
}

int grant_grow(struct domain *d, u32 nr)
{
	struct grant_table *gt = d->grant;
	u32 nr_status = DIV_ROUND_UP(nr * V2_PER_FRAME, STATUS_PER_FRAME);
	int rc;

	if (nr > gt->max_frames)
		return -EINVAL;
	for (; gt->version == 2 && gt->nr_status < nr_status; gt->nr_status++) {
		rc = add_shared_page(d, &gt->status[gt->nr_status]);
		if (rc)
			return rc;
	}
	for (; gt->nr_frames < nr; gt->nr_frames++) {
		rc = add_shared_page(d, &gt->frames[gt->nr_frames]);
		if (rc)
			return rc;
	}
	return 0;
}

unsigned int grant_max_frames(struct domain *d, bool status)
{
	u32 n = d->grant->max_frames;

	return status ? DIV_ROUND_UP(n * V2_PER_FRAME, STATUS_PER_FRAME) : n;
}

int grant_frame_get(struct domain *d, unsigned int i, bool status,
		    mfn_t *ret_mfn)
{
	struct grant_table *gt = d->grant;
	int rc = 0;

	spin_lock(&gt->lock);
	if (status && gt->version != 2)
		rc = -EINVAL;
	else if (i >= grant_max_frames(d, status))
		rc = -EINVAL;
	else if (i >= (status ? gt->nr_status : gt->nr_frames))
		rc = grant_grow(
			d, status ? (i + 1) * (STATUS_PER_FRAME / V2_PER_FRAME)
				  : i + 1);
	else if (gt->frames[0] == dead_frame)
		rc = -EINVAL;
	if (!rc)
		*ret_mfn = virt_to_mfn(status ? gt->status[i] : gt->frames[i]);
	spin_unlock(&gt->lock);
	return rc;
}

struct active *grant_active(struct grant_table *gt, u32 ref, bool create)
{
	u32 page;

	if (ref >= gt_entries(gt))
		return NULL;
	ref = index_nospec(ref, gt_entries(gt));
	page = ref / ACT_PER_PAGE;
	if (!gt->act[page]) {
		if (!create)
			return NULL;
		gt->act[page] = alloc_page();
		if (!gt->act[page])
			return NULL;
	}
	return &gt->act[page][ref % ACT_PER_PAGE];
}

/* ---- pinning ---------------------------------------------------------------- */

/* v1: flags and domain are one word, checked and marked in one step. */
static s16 mark_v1(struct grant_table *gt, u32 ref, domid_t ldom, bool ro)
{
	u32 *word = (u32 *)gt_v1(gt, ref), old = READ_ONCE(*word), new;

	for (int tries = 0; tries < 8; tries++) {
		if ((old & GTF_type_mask) != GTF_permit_access ||
		    old >> 16 != ldom)
			return GNTST_general_error;
		if (!ro && (old & GTF_readonly))
			return GNTST_general_error;
		new = old | GTF_reading | (ro ? 0 : GTF_writing);
		if (__atomic_compare_exchange_n(word, &old, new, false,
						__ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED))
			return GNTST_okay;
	}
	return GNTST_general_error; /* the granter plays with the entry */
}

static bool v2_permits(u16 flags, domid_t dom, domid_t ldom, bool ro)
{
	u16 type = flags & GTF_type_mask;

	return (type == GTF_permit_access || type == GTF_transitive) &&
	       dom == ldom && (ro || !(flags & GTF_readonly));
}

/* v2: mark in the status word first, then look again whether it still holds:
 * the granter clears its flags first and then looks at the status. */
static s16 mark_v2(struct grant_table *gt, u32 ref, domid_t ldom, bool ro,
		   bool first)
{
	struct grant_entry_header *hdr = &gt_v2(gt, ref)->hdr;
	grant_status_t *st = gt_status(gt, ref);
	u16 bits = GTF_reading | (ro ? 0 : GTF_writing);

	if (!v2_permits(READ_ONCE(hdr->flags), READ_ONCE(hdr->domid), ldom, ro))
		return GNTST_general_error;
	__atomic_fetch_or(st, bits, __ATOMIC_SEQ_CST);
	if (v2_permits(READ_ONCE(hdr->flags), READ_ONCE(hdr->domid), ldom, ro))
		return GNTST_okay;
	if (first)
		__atomic_fetch_and(st, ~bits, __ATOMIC_SEQ_CST);
	return GNTST_general_error;
}

static void unmark(struct grant_table *gt, u32 ref, u16 bits)
{
	u16 *p = gt->version == 2 ? gt_status(gt, ref) : &gt_v1(gt, ref)->flags;

	__atomic_fetch_and(p, ~bits, __ATOMIC_SEQ_CST);
}

/* Reads where the entry points; called once, when the first pin is taken. */
static s16 latch(struct grant_table *gt, u32 ref, struct active *act)
{
	union grant_entry_v2 e;

	act->off = 0;
	act->len = PAGE_SIZE;
	act->owner = DOMID_SELF;
	if (gt->version == 1) {
		act->frame = READ_ONCE(gt_v1(gt, ref)->frame);
		return GNTST_okay;
	}
	memcpy(&e, gt_v2(gt, ref), sizeof(e));
	barrier();
	if ((e.hdr.flags & GTF_type_mask) == GTF_transitive) {
		act->owner = e.transitive.trans_domid;
		act->frame = e.transitive.gref;
		return GNTST_okay;
	}
	if (e.full_page.frame > ~0U)
		return GNTST_bad_page;
	act->frame = e.full_page.frame;
	if (e.hdr.flags & GTF_sub_page) {
		if (e.sub_page.page_off >= PAGE_SIZE ||
		    e.sub_page.length > PAGE_SIZE - e.sub_page.page_off)
			return GNTST_general_error;
		act->off = e.sub_page.page_off;
		act->len = e.sub_page.length;
	}
	return GNTST_okay;
}

static s16 pin_locked(struct grant_table *gt, domid_t ldom, u32 ref, bool ro,
		      struct active **ret)
{
	struct active *act = grant_active(gt, ref, true);
	bool first;
	s16 rc;

	if (!act)
		return ref < gt_entries(gt) ? GNTST_no_space : GNTST_bad_gntref;
	if (act->ro == 0xffff || act->rw == 0xffff)
		return GNTST_no_space;
	first = !act->ro && !act->rw;
	/* Every user is checked against the entry: a second domain must not
	 * ride on what the first was allowed. */
	rc = gt->version == 1 ? mark_v1(gt, ref, ldom, ro)
			      : mark_v2(gt, ref, ldom, ro, first);
	if (rc)
		return rc;
	if (first) {
		rc = latch(gt, ref, act);
		if (rc) {
			unmark(gt, ref, GTF_reading | GTF_writing);
			return rc;
		}
	}
	if (ro)
		act->ro++;
	else
		act->rw++;
	*ret = act;
	return GNTST_okay;
}

s16 grant_pin(struct domain *rd, domid_t ldom, u32 ref, bool ro, bool copy,
	      struct pin *ret)
{
	struct grant_table *gt = rd->grant;
	struct active *act, a;
	s16 rc;

	if (!gt)
		return GNTST_bad_domain;
	spin_lock(&gt->lock);
	rc = pin_locked(gt, ldom, ref, ro, &act);
	if (!rc)
		a = *act;
	spin_unlock(&gt->lock);
	if (rc)
		return rc;
	if (!copy && (a.owner != DOMID_SELF || a.len != PAGE_SIZE)) {
		grant_unpin(rd, ref, ro);
		return GNTST_general_error;
	}
	ret->ref = ref;
	ret->mfn = _mfn(a.frame);
	ret->off = a.off;
	ret->len = a.len;
	ret->owner = a.owner == DOMID_SELF ? rd : NULL;
	if (!ret->owner) { /* transitive: frame is a reference, owner a domain */
		/* To itself would look like the end, with a reference on the
		 * domain that nobody gives back. */
		if (a.owner != rd->id)
			ret->owner = domain_by_id(a.owner);
		if (!ret->owner) {
			grant_unpin(rd, ref, ro);
			return GNTST_bad_domain;
		}
	}
	return GNTST_okay;
}

void grant_unpin(struct domain *rd, u32 ref, bool ro)
{
	struct grant_table *gt = rd->grant;
	struct active *act;
	u16 drop = 0;

	if (!gt)
		return;
	spin_lock(&gt->lock);
	act = grant_active(gt, ref, false);
	if (act && (ro ? act->ro : act->rw)) {
		if (ro)
			act->ro--;
		else
			act->rw--;
		if (!act->rw)
			drop |= GTF_writing;
		if (!act->rw && !act->ro)
			drop |= GTF_reading;
		if (drop)
			unmark(gt, ref, drop);
	}
	spin_unlock(&gt->lock);
}

static void dump_active(struct grant_table *gt)
{
	u32 shown = 0;

	for (u32 ref = 0; ref < gt_entries(gt) && shown < 32; ref++) {
		struct active *act = grant_active(gt, ref, false);

		if (act && (act->ro || act->rw)) {
			printk(LVL_ERR "  ref %u: frame %#x pins ro %u rw %u\n",
			       ref, act->frame, act->ro, act->rw);
			shown++;
		}
	}
}

void grant_dump(struct domain *d)
{
	struct grant_table *gt = d->grant;
	u32 mapped = 0;

	if (!gt)
		return;
	for (u32 i = 0; i < gt->nr_track; i++)
		mapped += gt->track[i / TRACK_PER_PAGE][i % TRACK_PER_PAGE]
				  .flags != 0;
	printk(LVL_ERR "domain %u: grant table v%u, %u/%u frames, %u mappings "
		       "held\n",
	       d->id, gt->version, gt->nr_frames, gt->max_frames, mapped);
	spin_lock(&gt->lock);
	dump_active(gt);
	spin_unlock(&gt->lock);
}
