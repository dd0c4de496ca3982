/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log-dirty for PV domains: which frames were written since the last question,
 * for live migration and checkpoints.
 *
 * There is one set of page tables, the guest's own, so writes are noticed by
 * taking write permission away from its level-1 entries, while the domain is
 * paused:
 *
 *  - User pages simply become read-only. The guest sees a write fault it can
 *    always get (as after fork) and asks for the right again: that request
 *    marks the frame.
 *  - Kernel pages must not fault visibly. Their entries become read-only with
 *    PTE_LOG_DIRTY set and keep their writable reference; the fault is fixed
 *    up here, unseen by the guest. When such an entry reaches another host in
 *    a saved table, validation there gives the right back.
 *
 * Every software write to a table marks the table's own frame. Accessed and
 * dirty bits set by the processor need no mark: an entry that lets the
 * processor set its dirty bit became writable since the last round, and that
 * marked its table.
 *
 * Writes by other domains through grants are marked by the grant code.
 */
#include <bh/control.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/page.h>
#include <bh/smp.h>
#include <public/domctl.h>

struct log_dirty {
	unsigned long *bits; /* by guest frame number */
	unsigned long nr;
	unsigned int order;
	u32 faults, dirty; /* since the last CLEAN */
};

/* Interrupts off while it is used: other domains mark too, through grants, and
 * d's pause does not keep them from it when it ends (smp_quiesce()). */
void log_dirty_mark(struct domain *d, mfn_t mfn)
{
	unsigned long flags = irq_save(), pfn;
	struct log_dirty *ld = READ_ONCE(d->log_dirty);

	if (!ld || !frame_is_ram(mfn_x(mfn)))
		goto out;
	pfn = READ_ONCE(m2p[mfn_x(mfn)]);
	if (pfn < ld->nr && !test_bit(pfn, ld->bits) &&
	    !test_and_set_bit(pfn, ld->bits))
		__atomic_fetch_add(&ld->dirty, 1, __ATOMIC_RELAXED);
out:
	irq_restore(flags);
}

void log_dirty_fault_seen(struct domain *d, mfn_t mfn)
{
	struct log_dirty *ld = d->log_dirty;

	if (ld)
		__atomic_fetch_add(&ld->faults, 1, __ATOMIC_RELAXED);
	log_dirty_mark(d, mfn);
}

/* The page after prev in d's list, with a reference; prev, referenced, cannot
 * leave the list. page_lock is not held while a table is locked: holders of
 * tables free pages. */
static struct page_info *next_page(struct domain *d, struct page_info *prev)
{
	u32 owner = domain_frame(d), f;
	struct page_info *pg = NULL;

	spin_lock(&d->page_lock);
	for (f = prev ? prev->next : d->page_head; f; f = pg->next) {
		pg = frame_table + f;
		if ((READ_ONCE(pg->count) & PGC_COUNT_MASK) &&
		    page_get_fast(pg, owner))
			break;
	}
	spin_unlock(&d->page_lock);
	return f ? pg : NULL;
}

/* Takes the right to write away from (protect) or gives what was taken back to
 * every entry of d's level-1 tables. d is paused. */
static void walk_tables(struct domain *d, bool protect)
{
	struct page_info *pg, *prev = NULL;

	while ((pg = next_page(d, prev)) != NULL) {
		if (prev)
			page_put(prev);
		prev = pg;
		if (!page_lock(pg, PGT_L1))
			continue;
		pv_l1_log_dirty(d, pg, protect);
		page_unlock(pg);
	}
	if (prev)
		page_put(prev);
}

static void mark_ours(struct domain *d)
{
	struct vcpu *v;

	/* Pages the hypervisor itself writes. */
	for_each_vcpu(d, v)
		if (v->info_page)
			log_dirty_mark(d, page_to_mfn(v->info_page));
}

static long enable(struct domain *d)
{
	struct log_dirty *ld;
	struct page_info *pg;

	if (d->log_dirty)
		return -EINVAL;
	ld = xzalloc(sizeof(*ld));
	if (!ld)
		return -ENOMEM;
	ld->nr = max((u64)d->shared->arch.max_pfn, d->tot_pages);
	ld->nr = ROUNDUP(min(ld->nr, max_mfn * 2) + 1, 8 * PAGE_SIZE);
	while (PAGE_SIZE << ld->order < ld->nr / 8)
		ld->order++;
	pg = heap_alloc(ld->order, 0, 0);
	if (!pg) {
		xfree(ld);
		return -ENOMEM;
	}
	ld->bits = page_to_virt(pg);
	domain_pause(d);
	d->log_dirty = ld;
	d->pv.log_dirty = true;
	walk_tables(d, true);
	domain_unpause(d);
	return 0;
}

void log_dirty_disable(struct domain *d)
{
	struct log_dirty *ld = d->log_dirty;

	if (!ld)
		return;
	d->pv.log_dirty = false;
	walk_tables(d, false);
	WRITE_ONCE(d->log_dirty, NULL);
	smp_quiesce(); /* nobody marks in it any more */
	heap_free(virt_to_page(ld->bits), ld->order, true);
	xfree(ld);
}

static unsigned long word_out(unsigned long *w, bool clean)
{
	return clean ? __atomic_exchange_n(w, 0, __ATOMIC_SEQ_CST)
		     : READ_ONCE(*w);
}

#define CHUNK 32UL /* words handed out at a time */

/* Copies the log to the caller's map, and begins it anew when clean: what other
 * domains mark meanwhile is in the one or stays for the next. */
static int hand_out(struct log_dirty *ld, gptr_t to, unsigned long nr,
		    bool clean)
{
	unsigned long buf[CHUNK], bytes = DIV_ROUND_UP(nr, 8), off;

	for (unsigned long w = 0; w < BITS_TO_LONGS(ld->nr); w += CHUNK) {
		for (unsigned long i = 0; i < CHUNK; i++)
			buf[i] = word_out(&ld->bits[w + i], clean);
		off = w * sizeof(buf[0]);
		if (gptr_null(to) || off >= bytes ||
		    !copy_to_guest(gptr_add(to, off), buf,
				   min(sizeof(buf), bytes - off)))
			continue;
		/* The caller has half of it: all of that is dirty again. */
		if (clean)
			memset(ld->bits, 0xff, off + sizeof(buf));
		return -EFAULT;
	}
	return 0;
}

static long report(struct domain *d, struct xen_domctl_shadow_op *op,
		   bool clean)
{
	struct log_dirty *ld = d->log_dirty;
	unsigned long n;
	long rc;

	if (!ld)
		return -EINVAL;
	domain_pause(d);
	if (op->mode & XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL)
		mark_ours(d);
	if (clean)
		walk_tables(d, true);
	op->stats.fault_count = ld->faults;
	op->stats.dirty_count = ld->dirty;
	n = min((unsigned long)op->pages, ld->nr);
	op->pages = n;
	if (clean)
		ld->faults = ld->dirty = 0;
	rc = hand_out(ld, GPTR(op->dirty_bitmap.p), n, clean);
	domain_unpause(d);
	return rc;
}

/* Serialised by the domctl lock; d is not the caller's domain. */
long log_dirty_op(struct domain *d, struct xen_domctl_shadow_op *op)
{
	if (d->dying || !d->shared)
		return -EINVAL;
	switch (op->op) {
	case XEN_DOMCTL_SHADOW_OP_OFF:
		if (!d->log_dirty)
			return -EINVAL;
		domain_pause(d);
		log_dirty_disable(d);
		domain_unpause(d);
		return 0;
	case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
		return enable(d);
	case XEN_DOMCTL_SHADOW_OP_ENABLE:
		return op->mode == XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY
			       ? enable(d)
			       : -EOPNOTSUPP;
	case XEN_DOMCTL_SHADOW_OP_CLEAN:
		return report(d, op, true);
	case XEN_DOMCTL_SHADOW_OP_PEEK:
		return report(d, op, false);
	case XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
		op->mb = 0;
		return 0;
	case XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
		return 0; /* there are no shadows to allocate for */
	}
	return -EOPNOTSUPP;
}
