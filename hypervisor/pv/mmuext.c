/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmuext_op: pins, top-level tables, TLB flushes, LDT.
 *
 * A pin is one type reference (with its general reference) held by the flag
 * PGT_PINNED in the frame itself, so at most one per frame.
 */
#include <bh/desc.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>

#include "mmu_private.h"

#define PREEMPTED 0x80000000U

static int pin_table(struct domain *d, mfn_t mfn, u64 type)
{
	struct page_info *pg;
	int rc;

	if (d->is_system || d->dying)
		return -EINVAL;
	pg = page_from_mfn(mfn, d);
	if (!pg)
		return -EINVAL;
	rc = page_get_type(pg, type, true);
	if (rc) {
		page_put(pg);
		return rc;
	}
	if (__atomic_fetch_or(&pg->type, PGT_PINNED, __ATOMIC_SEQ_CST) &
	    PGT_PINNED) {
		/* Unpinned meanwhile, it may be the last one. */
		pv_put_table(pg);
		return -EINVAL;
	}
	/* The teardown of d may already have been past this frame. */
	if (unlikely(READ_ONCE(d->dying)) &&
	    (__atomic_fetch_and(&pg->type, ~PGT_PINNED, __ATOMIC_SEQ_CST) &
	     PGT_PINNED))
		pv_put_table(pg);
	return 0;
}

static int unpin_table(struct domain *d, mfn_t mfn)
{
	struct page_info *pg = page_from_mfn(mfn, d);

	if (!pg)
		return -EINVAL;
	if (!(__atomic_fetch_and(&pg->type, ~PGT_PINNED, __ATOMIC_SEQ_CST) &
	      PGT_PINNED)) {
		page_put(pg);
		return -EINVAL;
	}
	page_put(pg); /* ours; the pin's goes now */
	pv_put_table(pg);
	return 0;
}

static int flush_multi(struct domain *d, gptr_t bitmap, unsigned long va,
		       bool one)
{
	cpumask_t mask = { { 0 } };

	if (pv_vcpumask_cpus(d, bitmap, &mask))
		return -EINVAL;
	if (one)
		tlb_flush_one_mask(&mask, va);
	else
		tlb_flush_mask(&mask);
	return 0;
}

static void flush_all_cpus(struct domain *d, unsigned long va, bool one)
{
	cpumask_t mask = { { 0 } };

	pv_domain_cpus(d, &mask);
	if (one)
		tlb_flush_one_mask(&mask, va);
	else
		tlb_flush_mask(&mask);
}

static void do_wbinvd(void *unused)
{
	wbinvd();
}

static int flush_cache(struct domain *d, bool global)
{
	if (rangeset_empty(d->iomem_caps) && rangeset_empty(d->ioport_caps))
		return -EACCES;
	if (global)
		smp_call(&cpu_online_map, do_wbinvd, NULL);
	wbinvd();
	return 0;
}

static int set_ldt(struct vcpu *v, unsigned long base, unsigned int ents)
{
	if (!ents)
		base = 0;
	if ((base & ~PAGE_MASK) || ents > 8192 || !va_is_guest(base) ||
	    (ents && !va_is_guest(base + ents * 8UL - 1)))
		return -EINVAL;
	if (v->pv.ldt_base == base && v->pv.ldt_ents == ents)
		return 0;
	if (pv_ldt_release(v))
		tlb_flush_local();
	v->pv.ldt_base = base;
	v->pv.ldt_ents = ents;
	desc_load_ldt(LDT_VIRT(v), ents);
	return 0;
}

/* CLEAR_PAGE, COPY_PAGE (src set) */
static int fill_page(struct domain *d, mfn_t dst, bool copy, mfn_t src)
{
	struct page_info *pg, *from = NULL;
	int rc;

	if (copy) {
		from = page_from_mfn(src, d);
		if (!from)
			return -EINVAL;
	}
	rc = -EINVAL;
	pg = page_from_mfn(dst, d);
	if (pg) {
		rc = page_get_type(pg, PGT_WRITABLE, false);
		if (rc)
			page_put(pg);
	}
	if (!rc) {
		if (copy)
			memmove(page_to_virt(pg), page_to_virt(from),
				PAGE_SIZE);
		else
			memset(page_to_virt(pg), 0, PAGE_SIZE);
		if (unlikely(d->pv.log_dirty))
			log_dirty_mark(d, dst);
		page_put_and_type(pg);
	}
	if (from)
		page_put(from);
	return rc;
}

/* Operations on the caller itself. */
static int op_self(struct vcpu *v, const struct mmuext_op *op)
{
	struct domain *d = v->domain;

	switch (op->cmd) {
	case MMUEXT_NEW_BASEPTR:
		return pv_new_baseptr(v, _mfn(op->arg1.mfn));
	case MMUEXT_NEW_USER_BASEPTR:
		return pv_new_user_baseptr(v, op->arg1.mfn ? _mfn(op->arg1.mfn)
							   : INVALID_MFN);
	case MMUEXT_TLB_FLUSH_LOCAL:
		tlb_flush_local();
		return 0;
	case MMUEXT_INVLPG_LOCAL:
		tlb_flush_one_local(op->arg1.linear_addr);
		return 0;
	case MMUEXT_TLB_FLUSH_MULTI:
		return flush_multi(d, GPTR(op->arg2.vcpumask.p), 0, false);
	case MMUEXT_INVLPG_MULTI:
		return flush_multi(d, GPTR(op->arg2.vcpumask.p),
				   op->arg1.linear_addr, true);
	case MMUEXT_TLB_FLUSH_ALL:
		flush_all_cpus(d, 0, false);
		return 0;
	case MMUEXT_INVLPG_ALL:
		flush_all_cpus(d, op->arg1.linear_addr, true);
		return 0;
	case MMUEXT_FLUSH_CACHE:
		return flush_cache(d, false);
	case MMUEXT_FLUSH_CACHE_GLOBAL:
		return flush_cache(d, true);
	case MMUEXT_SET_LDT:
		return set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
	case MMUEXT_MARK_SUPER:
	case MMUEXT_UNMARK_SUPER:
		return -EOPNOTSUPP;
	}
	return -ENOSYS;
}

static int op_one(struct vcpu *v, struct domain *pgd,
		  const struct mmuext_op *op)
{
	switch (op->cmd) {
	case MMUEXT_PIN_L1_TABLE:
	case MMUEXT_PIN_L2_TABLE:
	case MMUEXT_PIN_L3_TABLE:
	case MMUEXT_PIN_L4_TABLE:
		return pin_table(pgd, _mfn(op->arg1.mfn),
				 (u64)(op->cmd - MMUEXT_PIN_L1_TABLE + 1)
					 << 61);
	case MMUEXT_UNPIN_TABLE:
		return unpin_table(pgd, _mfn(op->arg1.mfn));
	case MMUEXT_CLEAR_PAGE:
		return fill_page(pgd, _mfn(op->arg1.mfn), false, _mfn(0));
	case MMUEXT_COPY_PAGE:
		return fill_page(pgd, _mfn(op->arg1.mfn), true,
				 _mfn(op->arg2.src_mfn));
	}
	if (pgd != v->domain && op->cmd <= MMUEXT_UNMARK_SUPER)
		return -EPERM;
	return op_self(v, op);
}

long do_mmuext_op(struct vcpu *v, unsigned long a[6])
{
	u32 count = (u32)a[1] & ~PREEMPTED, done = 0, prior = 0;
	gptr_t pdone = GPTR(a[2]);
	struct domain *pgd;
	long rc = 0;
	int err;

	if (unlikely(drain_deferred(v)))
		return -ERESTART;
	if ((a[1] & PREEMPTED) && !gptr_null(pdone) &&
	    copy_from_guest(&prior, pdone, sizeof(prior)))
		return -EFAULT;
	pgd = pv_get_pg_owner(v, a[3], &err);
	if (unlikely(!pgd))
		return err;
	for (; count && !rc; count--, done++) {
		struct mmuext_op op;

		if (done && hypercall_preempt()) {
			rc = -ERESTART;
			break;
		}
		_Static_assert(sizeof(op) == 24, "guest ABI");
		if (get_guest_words((u64 *)&op, GPTR(a[0]), 3)) {
			rc = -EFAULT;
			break;
		}
		rc = op_one(v, pgd, &op);
		if (unlikely(rc))
			break;
		a[0] += sizeof(op);
		/* Finish one teardown before the next begins. */
		if (unlikely(drain_deferred(v)))
			rc = -ERESTART;
	}
	if (rc == -ERESTART)
		a[1] = count | PREEMPTED;
	pv_put_pg_owner(v, pgd);
	done += prior;
	if (!gptr_null(pdone) && put_guest_u32(pdone, done))
		rc = -EFAULT;
	return rc;
}
