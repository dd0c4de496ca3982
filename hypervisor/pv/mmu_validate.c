/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Validation of whole tables: a frame becomes a page table (or a descriptor
 * page) when every entry in it has been checked and holds its references, and
 * stops being one when they have all been given back.
 *
 * Both directions keep their progress in the frame: entries [0, nr_valid) hold
 * references; with `partial` entry nr_valid holds a general reference only, on
 * a table whose own validation or teardown was preempted. So either direction
 * can be stopped at any entry and gone on with in either direction.
 *
 * The caller (mm/page.c) makes sure that one CPU at a time is here for a frame.
 */
#include <bh/hypercall.h>

#include "mmu_private.h"

struct rangeset *mmio_ro_ranges;

/* Nothing present in these eight entries? Most of a table is empty. */
static inline bool eight_empty(const u64 *t)
{
	u64 any = t[0] | t[1] | t[2] | t[3] | t[4] | t[5] | t[6] | t[7];

	return !(any & PTE_P);
}

int l1e_get_io(struct domain *d, struct domain *pgd, u64 *e)
{
	struct domain *who = pgd == dom_io ? d : pgd;
	unsigned long mfn = pte_mfn(*e);

	if (pgd == dom_xen || mfn >> (cpu_has.paddr_bits - PAGE_SHIFT))
		return -EINVAL;
	if (!rangeset_contains(who->iomem_caps, mfn, mfn))
		return -EPERM;
	if ((*e & PTE_W) && mmio_ro_ranges &&
	    rangeset_contains(mmio_ro_ranges, mfn, mfn))
		*e &= ~PTE_W;
	/* Device memory is never cached: WB, WT and WP become UC. */
	switch (*e & PTE_CACHE) {
	case 0:
		*e |= PTE_PWT | PTE_PCD;
		break;
	case PTE_PWT:
	case PTE_PWT | PTE_PAT:
		*e |= PTE_PCD;
		break;
	}
	return 0;
}

/* Same frame; whether it can be written changes. */
static int l1_update_right(struct domain *d, u64 *slot, u64 old, u64 new,
			   unsigned int how)
{
	struct page_info *pg = frame_table + pte_mfn(new);
	bool had = old & L1E_WRITER, wants = new &PTE_W;
	u64 seen = old;
	int rc;

	if (wants && !had) {
		rc = page_get_writable(pg);
		if (rc)
			return rc;
	}
	if (!l1e_write(slot, &seen, new, how)) {
		if (wants && !had)
			page_put_writable(pg);
		return -EAGAIN;
	}
	if (had && !wants) {
		note_foreign(d, pg);
		page_put_writable(pg);
	}
	if (wants && unlikely(d->pv.log_dirty))
		log_dirty_mark(d, page_to_mfn(pg));
	return 0;
}

int l1_update_slow(struct domain *d, struct domain *pgd, u64 *slot, u64 old,
		   u64 new, unsigned int how)
{
	unsigned long mfn = pte_mfn(new);
	struct page_info *pg = frame_table + mfn;
	u64 seen = old;
	int rc;

	if (!(new &PTE_P)) {
		if (!l1e_write(slot, &seen, new, how))
			return -EAGAIN;
		l1e_put(d, old);
		return 0;
	}
	new &= ~PTE_LOG_DIRTY; /* ours alone to set */
	/* Only the right to write comes or goes: the frame stays referenced. */
	if (!((old ^ new) & (L1E_CHECKED & ~L1E_WRITER)) && frame_is_ram(mfn) &&
	    (!(new &PTE_W) || pg->owner == domain_frame(pgd)))
		return l1_update_right(d, slot, old, new, how);
	rc = l1e_get(d, pgd, &new);
	if (rc)
		return rc;
	if (!l1e_write(slot, &seen, new, how)) {
		l1e_put(d, new);
		return -EAGAIN;
	}
	if (old & PTE_P)
		l1e_put(d, old);
	return 0;
}

/* ---- level 1 -------------------------------------------------------------------- */

static int l1_validate(struct page_info *pg, struct domain *d)
{
	u64 *t = page_to_virt(pg);

	for (unsigned int i = 0; i < 512; i++) {
		u64 e;
		int rc;

		if (!(i & 7) && eight_empty(t + i)) {
			i += 7;
			continue;
		}
		e = t[i];
		if (!(e & PTE_P))
			continue;
		e = l1e_adjust(e);
		/* From a table saved while its domain was being logged. */
		if (unlikely(e & PTE_LOG_DIRTY))
			e = (e & ~PTE_LOG_DIRTY) | PTE_W;
		rc = l1e_get(d, d, &e);
		if (rc) {
			pg->nr_valid = i;
			return rc;
		}
		if (e != t[i])
			WRITE_ONCE(t[i], e);
	}
	pg->nr_valid = 512;
	return 0;
}

static void l1_release(struct page_info *pg, struct domain *d)
{
	const u64 *t = page_to_virt(pg);

	for (unsigned int i = pg->nr_valid; i > 0; i--) {
		if (!(i & 7) && eight_empty(t + i - 8)) {
			i -= 7;
			continue;
		}
		if (t[i - 1] & PTE_P)
			l1e_put(d, t[i - 1]);
	}
	pg->nr_valid = 0;
}

void pv_l1_log_dirty(struct domain *d, struct page_info *pg, bool protect)
{
	u64 *t = page_to_virt(pg);

	for (unsigned int i = 0; i < 512; i++) {
		u64 e = READ_ONCE(t[i]), new;

		if (!(e & PTE_P) || !frame_is_ram(pte_mfn(e)))
			continue;
		if (!protect) {
			if (e & PTE_LOG_DIRTY)
				WRITE_ONCE(t[i], (e & ~PTE_LOG_DIRTY) | PTE_W);
			continue;
		}
		/* Others' frames are theirs to log. */
		if (!(e & PTE_W) ||
		    frame_table[pte_mfn(e)].owner != domain_frame(d))
			continue;
		new = e & ~PTE_W;
		if (e & PTE_GUEST_KERNEL)
			new |= PTE_LOG_DIRTY;
		/* The domain is paused: only its dirty bit could race. */
		WRITE_ONCE(t[i], new);
		if (!(new &PTE_LOG_DIRTY))
			page_put_writable(frame_table + pte_mfn(e));
	}
}

bool pv_log_dirty_fault(struct vcpu *v, unsigned long va)
{
	struct page_info *pg;
	bool fixed = false;
	u64 *slot, e;

	slot = l1_lock_va(v, va, &pg);
	if (!slot)
		return false;
	e = READ_ONCE(*slot);
	if ((e & PTE_P) && (e & PTE_LOG_DIRTY)) {
		WRITE_ONCE(*slot, (e & ~PTE_LOG_DIRTY) | PTE_W);
		log_dirty_fault_seen(v->domain, _mfn(pte_mfn(e)));
		log_dirty_mark(v->domain, page_to_mfn(pg));
		fixed = true;
	} else if ((e & (PTE_P | PTE_W | PTE_GUEST_KERNEL)) ==
		   (PTE_P | PTE_W | PTE_GUEST_KERNEL)) {
		fixed = true; /* another vCPU was faster */
	}
	page_unlock(pg);
	return fixed;
}

/* ---- levels 2 to 4 ---------------------------------------------------------------- */

static bool slot_is_ours(unsigned int level, unsigned int i)
{
	return level == 4 && i >= HV_L4_FIRST && i <= HV_L4_LAST;
}

static u64 lne_adjust(unsigned int level, u64 e)
{
	return e | PTE_U | (level == 4 ? PTE_A : 0);
}

/*
 * References for the table below. have_ref: the general one is held already.
 * After -ERESTART it is held, after other errors it is not.
 */
static int lne_get(unsigned int level, struct domain *d, u64 e,
		   bool preemptible, bool have_ref)
{
	unsigned long mfn = pte_mfn(e);
	struct page_info *pg = frame_table + mfn;
	int rc;

	if (!have_ref) {
		if (e & LNE_FORBIDDEN)
			return -EINVAL;
		if (!frame_is_ram(mfn) || !page_get_fast(pg, domain_frame(d)))
			return -EINVAL;
	}
	rc = page_get_type(pg, (u64)(level - 1) << 61, preemptible);
	if (rc && rc != -ERESTART)
		page_put(pg);
	return rc;
}

static int table_validate(struct page_info *pg, unsigned int level,
			  struct domain *d, bool preemptible)
{
	u64 *t = page_to_virt(pg);
	bool progress = false;
	unsigned int i;

	if (level == 4)
		pv_l4_init_slots(t, d);
	for (i = pg->nr_valid; i < 512; i++) {
		u64 e = t[i];
		int rc;

		if (!(i & 7) && eight_empty(t + i)) {
			i += 7;
			continue;
		}
		if (!(e & PTE_P) || slot_is_ours(level, i))
			continue;
		if (preemptible && progress && hypercall_preempt()) {
			pg->nr_valid = i;
			return -ERESTART;
		}
		rc = lne_get(level, d, e, preemptible, pg->partial);
		pg->partial = rc == -ERESTART;
		if (rc) {
			pg->nr_valid = i;
			return rc;
		}
		progress = true;
		e = lne_adjust(level, e);
		if (e != t[i])
			WRITE_ONCE(t[i], e);
	}
	pg->nr_valid = 512;
	return 0;
}

static int table_release(struct page_info *pg, unsigned int level,
			 bool preemptible)
{
	const u64 *t = page_to_virt(pg);
	bool progress = false;
	unsigned int i = pg->nr_valid;
	struct page_info *child;
	int rc;

	if (pg->partial) {
		child = frame_table + pte_mfn(t[i]);
		rc = page_release_partial(child, preemptible);
		if (rc)
			return rc;
		pg->partial = 0;
		page_put(child);
	}
	while (i > 0) {
		if (!(i & 7) && eight_empty(t + i - 8)) {
			i -= 8;
			continue;
		}
		i--;
		if (!(t[i] & PTE_P) || slot_is_ours(level, i))
			continue;
		if (preemptible && progress && hypercall_preempt()) {
			pg->nr_valid = i + 1;
			return -ERESTART;
		}
		child = frame_table + pte_mfn(t[i]);
		rc = page_put_type(child, preemptible);
		if (rc) {
			pg->nr_valid = i;
			pg->partial = 1;
			return rc;
		}
		page_put(child);
		progress = true;
	}
	pg->nr_valid = 0;
	return 0;
}

/* ---- descriptor pages ---------------------------------------------------------------- */

static int seg_validate(struct page_info *pg, struct domain *d)
{
	u64 *t = page_to_virt(pg);

	for (unsigned int i = 0; i < 512; i++) {
		u64 desc = t[i];

		if (!pv_fix_descriptor(d, &desc))
			return -EINVAL;
		if (desc != t[i])
			WRITE_ONCE(t[i], desc);
	}
	return 0;
}

/* ---- entry points ------------------------------------------------------------------ */

int pv_table_validate(struct page_info *pg, u64 type, bool preemptible)
{
	struct domain *d = page_owner(pg);

	/* The caller of page_get_type() holds a reference: the owner stays. */
	if (!d || d->is_system || (pg->count & PGC_XENHEAP))
		return -EINVAL;
	if (type == PGT_SEG)
		return seg_validate(pg, d);
	if (type == PGT_L1)
		return l1_validate(pg, d);
	return table_validate(pg, pgt_level(type), d, preemptible);
}

int pv_table_release(struct page_info *pg, u64 type, bool preemptible)
{
	struct domain *d = page_owner(pg);

	if (type == PGT_L1) {
		l1_release(pg, d);
		return 0;
	}
	if (pgt_level(type))
		return table_release(pg, pgt_level(type), preemptible);
	return 0;
}

void pv_l4_init_slots(u64 *l4, struct domain *d)
{
	memcpy(l4 + HV_L4_FIRST, hv_l4 + HV_L4_FIRST,
	       (HV_L4_LAST - HV_L4_FIRST + 1) * sizeof(u64));
	l4[PERDOMAIN_L4] =
		virt_to_maddr(d->perdomain_l3) | PTE_P | PTE_W | PTE_A | PTE_D;
}

/* ---- teardown that was preempted -------------------------------------------------------- */

void pv_defer_release(struct page_info *pg)
{
	pv_defer_release_to(current, pg);
}

void pv_defer_release_to(struct vcpu *v, struct page_info *pg)
{
	if (v && !is_idle_vcpu(v))
		for (unsigned int i = 0; i < ARRAY_SIZE(v->pv.deferred); i++)
			if (!v->pv.deferred[i]) {
				v->pv.deferred[i] = pg;
				return;
			}
	(void)page_release_partial(pg, false);
	page_put(pg);
}

void pv_put_table(struct page_info *pg)
{
	if (page_put_type(pg, true) == -ERESTART)
		pv_defer_release(pg);
	else
		page_put(pg);
}

int pv_drain_deferred(struct vcpu *v)
{
	/* From the last: [0] is empty only when all are (drain_deferred()). */
	for (int i = ARRAY_SIZE(v->pv.deferred) - 1; i >= 0; i--) {
		struct page_info *pg = v->pv.deferred[i];

		if (!pg)
			continue;
		if (page_release_partial(pg, true))
			return -ERESTART;
		v->pv.deferred[i] = NULL;
		page_put(pg);
	}
	return 0;
}
