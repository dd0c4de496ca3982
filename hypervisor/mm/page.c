/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * References and types of frames: the state machine that isolation rests on.
 *
 * `count` holds general references. The owner has one (PGC_ALLOCATED), every
 * mapping and every piece of work in progress has one. At 0 the frame is free.
 *
 * `type` holds what the frame may be used for, and how many uses there are.
 * The type changes only while the count is 0; so a frame is never writable and
 * a page table at once. Every type reference goes with a general reference held
 * by the same holder.
 *
 *   count 0                 unused; the TYPE bits remember the last use
 *   count > 0, VALIDATED    a table or descriptor page whose every entry was
 *                           checked and holds its own references
 *   count = 1, neither      one CPU is validating it or taking it apart and
 *                           owns nr_valid and partial; others wait
 *   count = 1, PARTIAL      that work was preempted; the page holds the type
 *                           reference and one general reference by itself.
 *                           Anyone may go on: forward (page_get_type()) or back
 *                           (page_release_partial())
 *   WRITABLE with LOCKED    the first user is still flushing TLBs
 *
 * Concurrency
 *  - Both words change by compare-and-exchange only, except bits that only the
 *    CPU owning the state changes.
 *  - PGT_LOCKED serialises writers of one validated table. A reference that
 *    would drop the count to 0 waits for it, so under the lock a table stays a
 *    table. Holders are short, are never preempted, and may wait for a TLB
 *    flush: hence nobody spins for it with interrupts off.
 *  - Waiting for a validation only goes down the levels (4 to 1), so there is
 *    no cycle. Tables that contain themselves or a table of their own level
 *    are refused because the types differ.
 *  - A frame that was accessible (writable, or walked by the processor) when
 *    its count reached 0 carries the TLB clock of that moment. The next use as
 *    something else flushes, after it has claimed the type and before anybody
 *    can use it, every CPU of its owner that did not flush since. PGC_FOREIGN
 *    says that other domains' CPUs have to be looked at too.
 *  - Reading a guest's tables by software needs no reference with interrupts
 *    off: reusing one of them as anything else needs our answer to the flush.
 *
 * No privileged instruction here: compiled for the build host by the tests.
 */
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/hypercall.h>
#include <bh/page.h>

struct domain *page_owner(const struct page_info *pg)
{
	u32 o = READ_ONCE(pg->owner);

	return o ? mfn_to_virt(_mfn(o)) : NULL;
}

void page_set_owner(struct page_info *pg, struct domain *d)
{
	WRITE_ONCE(pg->owner, d ? domain_frame(d) : 0);
}

bool page_get(struct page_info *pg, const struct domain *d)
{
	return page_get_fast(pg, domain_frame(d));
}

struct domain *page_get_owner_and_ref(struct page_info *pg)
{
	u64 x = READ_ONCE(pg->count);

	do {
		if ((x & PGC_COUNT_MASK) == 0 ||
		    (x & PGC_COUNT_MASK) == PGC_COUNT_MASK)
			return NULL;
	} while (!cmpxchg64(&pg->count, &x, x + 1));
	if (!pg->owner) {
		page_put(pg);
		return NULL;
	}
	return page_owner(pg);
}

void page_put(struct page_info *pg)
{
	page_put_fast(pg);
}

struct page_info *page_from_mfn(mfn_t mfn, struct domain *d)
{
	struct page_info *pg = mfn_to_page(mfn);

	if (!frame_is_ram(mfn_x(mfn)))
		return NULL;
	return page_get_fast(pg, domain_frame(d)) ? pg : NULL;
}

/* A further reference for somebody who knows the count is not 0. */
static void page_get_again(struct page_info *pg)
{
	u64 x = __atomic_fetch_add(&pg->count, 1, __ATOMIC_SEQ_CST);

	ASSERT(x & PGC_COUNT_MASK);
}

/* What was this frame's last use may still be in TLBs. */
static void flush_stale(struct page_info *pg, u64 old_type)
{
	struct domain *d = page_owner(pg);
	cpumask_t mask = { { 0 } };
	struct vcpu *v;

	/* Never accessible to a guest in a way that matters. */
	if ((old_type & PGT_TYPE_MASK) == PGT_NONE ||
	    (old_type & PGT_TYPE_MASK) == PGT_SEG || !d)
		return;
	if (READ_ONCE(pg->count) & PGC_FOREIGN) {
		__atomic_fetch_and(&pg->count, ~PGC_FOREIGN, __ATOMIC_SEQ_CST);
		mask = cpu_online_map;
	} else if (d->vcpu) {
		for_each_vcpu(d, v)
			for (int i = 0; i < 4; i++)
				mask.bits[i] |=
					READ_ONCE(v->dirty_cpus.bits[i]);
	}
	tlb_filter(&mask, READ_ONCE(pg->tlb_stamp));
	if (!cpumask_empty(&mask))
		tlb_flush_mask(&mask);
}

/* Exclusive on a table: releases entries and then the last type reference. */
static int table_release(struct page_info *pg, bool preemptible)
{
	u64 type = pg->type & PGT_TYPE_MASK;
	int rc = pv_table_release(pg, type, preemptible);

	if (rc == -ERESTART) {
		page_get_again(pg);
		__atomic_fetch_or(&pg->type, PGT_PARTIAL, __ATOMIC_SEQ_CST);
		return rc;
	}
	ASSERT(!rc);
	WRITE_ONCE(pg->tlb_stamp, (u32)READ_ONCE(tlb_clock));
	__atomic_fetch_sub(&pg->type, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* Exclusive on a table or descriptor page, count 1. */
static int table_validate(struct page_info *pg, u64 type, bool preemptible)
{
	int rc = pv_table_validate(pg, type, preemptible);

	if (!rc) {
		__atomic_fetch_or(&pg->type, PGT_VALIDATED, __ATOMIC_SEQ_CST);
		return 0;
	}
	if (rc == -ERESTART) {
		page_get_again(pg);
		__atomic_fetch_or(&pg->type, PGT_PARTIAL, __ATOMIC_SEQ_CST);
		return rc;
	}
	if (table_release(pg, preemptible)) {
		page_get_again(pg);
		pv_defer_release(pg);
	}
	return rc;
}

/* Claims one type reference in *ret_old -> *ret_new. 0 or -E. */
static int type_claim(struct page_info *pg, u64 type, bool preemptible,
		      u64 *ret_old, u64 *ret_new)
{
	u64 x = READ_ONCE(pg->type), nx;

	do {
	again:
		nx = x + 1;
		if ((x & PGT_COUNT_MASK) == 0) {
			nx = type | 1;
			if (type == PGT_WRITABLE && (x & PGT_TYPE_MASK) != type)
				nx |= PGT_LOCKED; /* until flushed */
		} else if ((x & PGT_TYPE_MASK) != type) {
			return -EBUSY;
		} else if ((x & PGT_COUNT_MASK) == PGT_COUNT_MASK) {
			return -EINVAL;
		} else if (x & PGT_PARTIAL) {
			nx = x & ~PGT_PARTIAL;
		} else if (type == PGT_WRITABLE ? !!(x & PGT_LOCKED)
						: !(x & PGT_VALIDATED)) {
			if (preemptible && hypercall_preempt())
				return -ERESTART;
			/* Who works on it may wait for our TLB, and a fault of
			 * the hypervisor itself (LDT) has interrupts off. */
			tlb_shootdown_ipi();
			cpu_relax();
			x = READ_ONCE(pg->type);
			goto again;
		}
	} while (!cmpxchg64(&pg->type, &x, nx));
	*ret_old = x;
	*ret_new = nx;
	return 0;
}

int page_get_type(struct page_info *pg, u64 type, bool preemptible)
{
	u64 x, nx;
	int rc = type_claim(pg, type, preemptible, &x, &nx);

	if (rc)
		return rc;
	if ((x & PGT_COUNT_MASK) == 0) {
		if ((x & PGT_TYPE_MASK) != type)
			flush_stale(pg, x);
		if (type == PGT_WRITABLE) {
			if (nx & PGT_LOCKED)
				page_unlock(pg);
			return 0;
		}
		pg->nr_valid = 0;
		pg->partial = 0;
	}
	if (type == PGT_WRITABLE || (nx & PGT_VALIDATED))
		return 0;
	rc = table_validate(pg, type, preemptible);
	/* What a PARTIAL page held by itself is now ours and one too many. */
	if (x & PGT_PARTIAL)
		page_put(pg);
	return rc;
}

int page_put_type(struct page_info *pg, bool preemptible)
{
	u64 x = READ_ONCE(pg->type), nx;
	bool table;

	do {
	again:
		ASSERT(x & PGT_COUNT_MASK);
		nx = x - 1;
		table = false;
		if ((nx & PGT_COUNT_MASK) == 0) {
			if (x & PGT_LOCKED) {
				cpu_relax();
				x = READ_ONCE(pg->type);
				goto again;
			}
			if (pgt_level(x)) {
				ASSERT(x & PGT_VALIDATED);
				nx = x & ~PGT_VALIDATED; /* exclusive now */
				table = true;
			} else {
				nx &= ~PGT_VALIDATED;
				WRITE_ONCE(pg->tlb_stamp,
					   (u32)READ_ONCE(tlb_clock));
			}
		}
	} while (!cmpxchg64(&pg->type, &x, nx));
	return table ? table_release(pg, preemptible) : 0;
}

int page_release_partial(struct page_info *pg, bool preemptible)
{
	u64 x = READ_ONCE(pg->type);
	int rc;

	do {
		if (!(x & PGT_PARTIAL))
			return 0;
	} while (!cmpxchg64(&pg->type, &x, x & ~PGT_PARTIAL));
	rc = table_release(pg, preemptible);
	page_put(pg); /* on -ERESTART it has taken a new one */
	return rc;
}

int page_get_and_type(struct page_info *pg, struct domain *d, u64 type,
		      bool preemptible)
{
	int rc;

	if (!page_get(pg, d))
		return -EINVAL;
	rc = page_get_type(pg, type, preemptible);
	if (rc)
		page_put(pg);
	return rc;
}

void page_put_and_type(struct page_info *pg)
{
	(void)page_put_type(pg, false);
	page_put(pg);
}
