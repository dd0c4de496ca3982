/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmu_update and update_va_mapping: a guest changes entries of its tables.
 *
 * Level-1 entries are the hot case: one compare-and-exchange locks the table
 * (which also proves that it is one, and whose), the entry is checked and
 * written, the lock dropped. A batch keeps the lock while it stays in one table.
 *
 * Entries of upper levels take references that may validate whole tables, so
 * they get them first, preemptibly and without a lock, then swap the entry
 * under the lock, then give back what it held before.
 *
 * No TLB flush is needed here for isolation: frames are flushed when they
 * change their use (mm/page.c). For its own view the guest asks.
 */
#include <bh/guest_access.h>
#include <bh/hypercall.h>

#include "mmu_private.h"

#define PREEMPTED 0x80000000U /* MMU_UPDATE_PREEMPTED: continued call */
#define BATCH     16U

/* ---- update_va_mapping ------------------------------------------------------------- */

static int va_flush(struct vcpu *v, unsigned long va, unsigned long flags)
{
	cpumask_t mask = { { 0 } };
	bool one = (flags & UVMF_FLUSHTYPE_MASK) == UVMF_INVLPG;
	unsigned long who = flags & ~UVMF_FLUSHTYPE_MASK;
	int rc;

	if ((flags & UVMF_FLUSHTYPE_MASK) == UVMF_FLUSHTYPE_MASK)
		return 0;
	if (who == UVMF_LOCAL) {
		if (one)
			tlb_flush_one_local(va);
		else
			tlb_flush_local();
		return 0;
	}
	if (who == UVMF_ALL) {
		pv_domain_cpus(v->domain, &mask);
	} else {
		rc = pv_vcpumask_cpus(v->domain, GPTR(who), &mask);
		if (rc)
			return rc;
	}
	if (one)
		tlb_flush_one_mask(&mask, va);
	else
		tlb_flush_mask(&mask);
	return 0;
}

static long va_update(struct vcpu *v, struct domain *pgd, unsigned long va,
		      u64 val, unsigned long flags)
{
	struct page_info *pg;
	u64 *slot;
	int rc;

	slot = l1_lock_va(v, va, &pg);
	if (unlikely(!slot))
		return -EINVAL;
	rc = l1_update(v->domain, pgd, slot, 0, val, 0);
	page_unlock(pg);
	if (likely(!rc) && (flags & UVMF_FLUSHTYPE_MASK))
		rc = va_flush(v, va, flags);
	return rc;
}

long do_update_va_mapping(struct vcpu *v, unsigned long a[6])
{
	return va_update(v, v->domain, a[0], a[1], a[2]);
}

long do_update_va_mapping_otherdomain(struct vcpu *v, unsigned long a[6])
{
	struct domain *pgd;
	long rc;
	int err;

	pgd = pv_get_pg_owner(v, a[3], &err);
	if (!pgd)
		return err;
	rc = va_update(v, pgd, a[0], a[1], a[2]);
	pv_put_pg_owner(v, pgd);
	return rc;
}

/* ---- upper levels -------------------------------------------------------------------- */

/* Same table below, other flags: nothing to account. False: it is not so. */
static bool mod_flags_only(struct page_info *pg, u64 type, u64 *slot, u64 new,
			   bool preserve_ad, int *rc)
{
	u64 old = READ_ONCE(*slot);
	bool done = false;

	if (((old ^ new) & (PTE_ADDR | PTE_P)) || !(new &PTE_P))
		return false;
	if (!page_lock(pg, type)) {
		*rc = -EINVAL;
		return true;
	}
	old = READ_ONCE(*slot);
	while (!((old ^ new) & (PTE_ADDR | PTE_P)) && !done)
		done = cmpxchg64(slot, &old,
				 preserve_ad ? new | (old & (PTE_A | PTE_D))
					     : new);
	page_unlock(pg);
	*rc = 0;
	return done;
}

int pv_mod_table(struct vcpu *v, struct page_info *pg, unsigned int level,
		 unsigned int idx, u64 new, bool preserve_ad)
{
	u64 *slot = (u64 *)page_to_virt(pg) + idx, old;
	u64 type = (u64)level << 61;
	struct page_info *child = NULL;
	int rc;

	if (level == 4 && idx >= HV_L4_FIRST && idx <= HV_L4_LAST)
		return -EPERM;
	if (new &PTE_P) {
		if (new &LNE_FORBIDDEN)
			return -EINVAL;
		new |= PTE_U | (level == 4 ? PTE_A : 0);
		if (mod_flags_only(pg, type, slot, new, preserve_ad, &rc))
			return rc;
		child = page_from_mfn(_mfn(pte_mfn(new)), page_owner(pg));
		if (!child)
			return -EINVAL;
		rc = page_get_type(child, type - PGT_L1, true);
		if (rc) {
			page_put(child);
			return rc;
		}
	}
	if (!page_lock(pg, type)) {
		if (child)
			pv_put_table(child);
		return -EINVAL;
	}
	old = __atomic_exchange_n(slot, new, __ATOMIC_SEQ_CST);
	page_unlock(pg);
	if (unlikely(page_owner(pg)->pv.log_dirty))
		log_dirty_mark(page_owner(pg), page_to_mfn(pg));
	if (old & PTE_P)
		pv_put_table(frame_table + pte_mfn(old));
	return 0;
}

/* ---- mmu_update ------------------------------------------------------------------------ */

struct batch {
	struct vcpu *v;
	struct domain *d, *pgd;
	struct page_info *locked; /* level-1 table locked, or NULL */
};

static inline void batch_unlock(struct batch *b)
{
	if (b->locked)
		page_unlock(b->locked);
	b->locked = NULL;
}

/* The frame is not a level-1 table (or not any more). */
static int update_other(struct batch *b, u64 ptr, u64 val, bool preserve_ad)
{
	unsigned long mfn = ptr >> PAGE_SHIFT;
	struct page_info *pg = page_from_mfn(_mfn(mfn), b->d);
	unsigned int level;
	int rc;

	if (!pg)
		return -EINVAL;
	level = pgt_level(READ_ONCE(pg->type));
	if (level > 1 && (pg->type & PGT_COUNT_MASK)) {
		rc = pv_mod_table(b->v, pg, level, (ptr & ~PAGE_MASK) / 8, val,
				  preserve_ad);
	} else {
		/* Plain memory: a table that is not in use yet. */
		rc = page_get_writable(pg);
		if (!rc) {
			WRITE_ONCE(*(u64 *)maddr_to_virt(ptr & ~7UL), val);
			if (unlikely(b->d->pv.log_dirty))
				log_dirty_mark(b->d, _mfn(mfn));
			page_put_writable(pg);
		}
	}
	page_put(pg);
	return rc;
}

/* Another table than the one before: locked for what follows if it is one of
 * level 1 (0), else the update is done here (*rc). */
static bool __attribute__((noinline))
batch_switch(struct batch *b, u64 ptr, u64 val, bool preserve_ad, int *rc)
{
	unsigned long mfn = ptr >> PAGE_SHIFT;
	struct page_info *pg = frame_table + mfn;

	batch_unlock(b);
	*rc = -EINVAL;
	if (unlikely(!frame_is_ram(mfn)))
		return false;
	if (!page_lock(pg, PGT_L1)) {
		*rc = update_other(b, ptr, val, preserve_ad);
		return false;
	}
	if (unlikely(pg->owner != domain_frame(b->d))) {
		page_unlock(pg);
		return false;
	}
	b->locked = pg;
	return true;
}

static inline int update_one(struct batch *b, u64 ptr, u64 val,
			     bool preserve_ad)
{
	int rc;

	if (frame_table + (ptr >> PAGE_SHIFT) != b->locked &&
	    !batch_switch(b, ptr, val, preserve_ad, &rc))
		return rc;
	return l1_update(b->d, b->pgd, maddr_to_virt(ptr & ~7UL), 0, val,
			 preserve_ad ? L1_PRESERVE_AD : 0);
}

static int update_m2p(struct batch *b, u64 ptr, u64 val)
{
	mfn_t mfn = _mfn(ptr >> PAGE_SHIFT);
	struct page_info *pg = page_from_mfn(mfn, b->pgd);

	if (!pg)
		return -EINVAL;
	m2p_set(mfn, val);
	page_put(pg);
	return 0;
}

static int batch_run(struct batch *b, const struct mmu_update *r, u32 n,
		     u32 *done)
{
	int rc = 0;

	/* A teardown left for later is finished before the next begins: there
	 * is room for few, and what finds none is done in one go. */
	for (u32 i = 0; i < n && !rc && !b->v->pv.deferred[0]; i++) {
		switch (r[i].ptr & 7) {
		case MMU_NORMAL_PT_UPDATE:
		case MMU_PT_UPDATE_NO_TRANSLATE:
		case MMU_PT_UPDATE_PRESERVE_AD:
			rc = update_one(b, r[i].ptr, r[i].val,
					(r[i].ptr & 7) ==
						MMU_PT_UPDATE_PRESERVE_AD);
			break;
		case MMU_MACHPHYS_UPDATE:
			rc = update_m2p(b, r[i].ptr, r[i].val);
			break;
		default:
			rc = -ENOSYS;
		}
		*done += !rc;
	}
	batch_unlock(b);
	return rc;
}

static long update_all(struct batch *b, unsigned long a[6], u32 count,
		       u32 *done)
{
	long rc = 0;

	while (count && !rc) {
		struct mmu_update req[BATCH];
		u32 n = min(count, BATCH), got = 0;

		if (copy_from_guest(req, GPTR(a[0]), n * sizeof(req[0])))
			return -EFAULT;
		rc = batch_run(b, req, n, &got);
		*done += got;
		count -= got;
		a[0] += got * sizeof(req[0]);
		if (!rc && unlikely(drain_deferred(b->v)))
			rc = -ERESTART;
		if (!rc && count && hypercall_preempt())
			rc = -ERESTART;
	}
	if (rc == 0 || rc == -ERESTART)
		a[1] = count | PREEMPTED;
	return rc;
}

/* foreigndom: low half the owner of mapped frames, high half 1 + the owner of
 * the tables. */
static int batch_domains(struct batch *b, u32 foreign)
{
	int rc;

	b->pgd = pv_get_pg_owner(b->v, foreign & 0xffff, &rc);
	if (!b->pgd)
		return rc;
	b->d = b->v->domain;
	if (unlikely(foreign >> 16)) {
		b->d = NULL;
		rc = -EPERM;
		if (is_control_domain(b->v->domain)) {
			b->d = domain_by_id((foreign >> 16) - 1);
			rc = -ESRCH;
		}
		if (b->d && (b->d->is_system || b->d->dying)) {
			domain_put(b->d);
			b->d = NULL;
			rc = -EINVAL;
		}
	}
	if (b->d)
		return 0;
	pv_put_pg_owner(b->v, b->pgd);
	return rc;
}

/*
 * One entry of a level-1 table of the caller's own, which is what Linux does
 * most. False: something else; nothing has been done.
 */
static bool update_single(struct vcpu *v, const unsigned long a[6], long *rc)
{
	struct domain *d = v->domain;
	struct page_info *pg;
	u64 req[2];
	int err;

	if (get_guest_words(req, GPTR(a[0]), 2))
		return false;
	if ((req[0] & 7) & ~MMU_PT_UPDATE_PRESERVE_AD ||
	    !frame_is_ram(req[0] >> PAGE_SHIFT))
		return false;
	pg = frame_table + (req[0] >> PAGE_SHIFT);
	if (!page_trylock(pg, PGT_L1))
		return false;
	if (unlikely(pg->owner != domain_frame(d))) {
		page_unlock(pg);
		return false;
	}
	err = l1_update(d, d, maddr_to_virt(req[0] & ~7UL), 0, req[1],
			req[0] & 7 ? L1_PRESERVE_AD : 0);
	page_unlock(pg);
	if (a[2] && unlikely(put_guest_u32(GPTR(a[2]), !err)))
		err = -EFAULT;
	*rc = err;
	return true;
}

long do_mmu_update(struct vcpu *v, unsigned long a[6])
{
	struct batch b = { .v = v };
	u32 count = a[1], done = 0, prior = 0;
	gptr_t pdone = GPTR(a[2]);
	long rc;

	if (unlikely(drain_deferred(v)))
		return -ERESTART;
	if (count == 1 && (u32)a[3] == DOMID_SELF && update_single(v, a, &rc))
		return rc;
	if (unlikely(count & PREEMPTED)) {
		count &= ~PREEMPTED;
		if (!gptr_null(pdone) &&
		    copy_from_guest(&prior, pdone, sizeof(prior)))
			return -EFAULT;
	}
	rc = batch_domains(&b, a[3]);
	if (unlikely(rc))
		return rc;
	rc = update_all(&b, a, count, &done);
	if (unlikely(b.d != v->domain))
		domain_put(b.d);
	pv_put_pg_owner(v, b.pgd);
	done += prior;
	if (!gptr_null(pdone) && put_guest_u32(pdone, done))
		rc = -EFAULT;
	return rc;
}
