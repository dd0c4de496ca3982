/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PV vCPU's address space: which top-level tables it has and which one is
 * loaded, looking into it, and entries that grants put there.
 */
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <public/grant_table.h>

#include "mmu_private.h"

/* ---- address spaces ------------------------------------------------------------- */

void pv_load_cr3(struct vcpu *v)
{
	unsigned int cpu = smp_processor_id();

	/* Before the first translation can be made. */
	if (!cpumask_test(cpu, &v->dirty_cpus))
		cpumask_set(cpu, &v->dirty_cpus);
	tlb_switch_cr3(v->pv.cr3);
}

void pv_unload_cr3(struct vcpu *v)
{
	tlb_leave_guest();
	cpumask_clear(smp_processor_id(), &v->dirty_cpus);
}

void pv_update_cr3(struct vcpu *v)
{
	mfn_t m = v->pv.kernel_mode ? v->pv.kernel_l4 : v->pv.user_l4;

	v->pv.cr3 = mfn_eq(m, INVALID_MFN) ? virt_to_maddr(hv_l4)
					   : mfn_x(m) << PAGE_SHIFT;
}

static void l4_put(mfn_t mfn)
{
	if (!mfn_eq(mfn, INVALID_MFN))
		pv_put_table(mfn_to_page(mfn));
}

static int l4_get(struct vcpu *v, mfn_t mfn)
{
	struct page_info *pg = page_from_mfn(mfn, v->domain);
	int rc;

	if (!pg)
		return -EINVAL;
	rc = page_get_type(pg, PGT_L4, true);
	if (rc)
		page_put(pg);
	return rc;
}

int pv_new_baseptr(struct vcpu *v, mfn_t mfn)
{
	mfn_t old = v->pv.kernel_l4;
	int rc;

	rc = drain_deferred(v);
	if (unlikely(rc))
		return rc;
	if (mfn_eq(mfn, old)) {
		tlb_flush_local();
		return 0;
	}
	rc = l4_get(v, mfn);
	if (unlikely(rc))
		return rc;
	v->pv.kernel_l4 = mfn;
	pv_update_cr3(v);
	pv_load_cr3(v);
	l4_put(old);
	return 0;
}

int pv_new_user_baseptr(struct vcpu *v, mfn_t mfn)
{
	mfn_t old = v->pv.user_l4;
	int rc;

	if (mfn_eq(mfn, old))
		return 0;
	if (!mfn_eq(mfn, INVALID_MFN)) {
		rc = l4_get(v, mfn);
		if (unlikely(rc))
			return rc;
	}
	v->pv.user_l4 = mfn;
	l4_put(old);
	return 0;
}

void pv_domain_cpus(const struct domain *d, cpumask_t *mask)
{
	struct vcpu *v;

	for_each_vcpu(d, v)
		for (int i = 0; i < 4; i++)
			mask->bits[i] |= READ_ONCE(v->dirty_cpus.bits[i]);
}

int pv_vcpumask_cpus(const struct domain *d, gptr_t bitmap, cpumask_t *mask)
{
	for (u32 first = 0; first < d->max_vcpus; first += 64) {
		u64 bits;

		if (get_guest_u64(&bits, gptr_add(bitmap, first / 8)))
			return -EFAULT;
		while (bits) {
			u32 id = first + __builtin_ctzl(bits);
			struct vcpu *v = domain_vcpu(d, id);

			bits &= bits - 1;
			for (int i = 0; v && i < 4; i++)
				mask->bits[i] |=
					READ_ONCE(v->dirty_cpus.bits[i]);
		}
	}
	return 0;
}

static bool read_l1e(unsigned long cr3, unsigned long va, u64 *l1e)
{
	unsigned long f = irq_save();
	struct page_info *pg;
	u64 *slot = walk_l1(cr3, va, &pg);

	if (slot)
		*l1e = READ_ONCE(*slot);
	irq_restore(f);
	return slot != NULL;
}

bool pv_read_l1e(struct vcpu *v, unsigned long va, u64 *l1e)
{
	return read_l1e(v->pv.cr3, va, l1e);
}

bool pv_read_kernel_l1e(struct vcpu *v, unsigned long va, u64 *l1e)
{
	return read_l1e(mfn_x(v->pv.kernel_l4) << PAGE_SHIFT, va, l1e);
}

/* ---- whose frames ------------------------------------------------------------------ */

struct domain *pv_get_pg_owner(struct vcpu *v, domid_t id, int *rc)
{
	struct domain *d;

	*rc = 0;
	if (likely(id == DOMID_SELF))
		return v->domain;
	*rc = -ESRCH;
	if (id == v->domain->id)
		return NULL; /* says DOMID_SELF for that */
	if (id == DOMID_IO) {
		*rc = 0;
		return dom_io;
	}
	*rc = -EPERM;
	if (!is_control_domain(v->domain))
		return NULL;
	*rc = 0;
	if (id == DOMID_XEN)
		return dom_xen;
	d = domain_by_id(id);
	if (!d)
		*rc = -ESRCH;
	return d;
}

void pv_put_pg_owner(struct vcpu *v, struct domain *d)
{
	if (unlikely(d != v->domain) && d && d != dom_io && d != dom_xen)
		domain_put(d);
}

/* ---- grants ------------------------------------------------------------------------- */

static u64 *grant_slot_lock(struct vcpu *v, u64 addr, bool contains_pte,
			    struct page_info **pg)
{
	unsigned long mfn = addr >> PAGE_SHIFT;

	if (!contains_pte)
		return l1_lock_va(v, addr, pg);
	if ((addr & 7) || !frame_is_ram(mfn))
		return NULL;
	*pg = frame_table + mfn;
	if (!page_lock(*pg, PGT_L1))
		return NULL;
	if ((*pg)->owner == domain_frame(v->domain))
		return maddr_to_virt(addr);
	page_unlock(*pg);
	return NULL;
}

int pv_grant_map(struct vcpu *v, u64 addr, bool contains_pte, u64 pte)
{
	struct page_info *pg;
	u64 *slot, old;

	slot = grant_slot_lock(v, addr, contains_pte, &pg);
	if (!slot)
		return GNTST_bad_virt_addr;
	old = READ_ONCE(*slot);
	WRITE_ONCE(*slot, l1e_adjust(pte));
	if (old & PTE_P)
		l1e_put(v->domain, old);
	page_unlock(pg);
	return GNTST_okay;
}

bool pv_entry_take(struct vcpu *v, unsigned long va, u64 *pte)
{
	struct page_info *pg;
	u64 *slot;

	slot = l1_lock_va(v, va, &pg);
	if (!slot)
		return false;
	*pte = READ_ONCE(*slot);
	if (*pte & PTE_P)
		*pte = __atomic_exchange_n(slot, 0, __ATOMIC_SEQ_CST);
	page_unlock(pg);
	return *pte & PTE_P;
}

void pv_entry_restore(struct vcpu *v, unsigned long va, u64 pte)
{
	if (pv_grant_map(v, va, false, pte) != GNTST_okay)
		l1e_put(v->domain, pte);
}

int pv_grant_unmap(struct vcpu *v, u64 addr, bool contains_pte, mfn_t frame,
		   bool ro, u64 new_pte)
{
	struct page_info *pg;
	int rc = GNTST_general_error;
	u64 *slot, old;

	slot = grant_slot_lock(v, addr, contains_pte, &pg);
	if (!slot)
		return GNTST_bad_virt_addr;
	old = READ_ONCE(*slot);
	/* The guest may have taken the right to write from it, and with it the
	 * writable reference; or it names the entry of another mapping. */
	if ((old & PTE_P) && pte_mfn(old) == mfn_x(frame) &&
	    !(old & L1E_WRITER) == ro) {
		WRITE_ONCE(*slot, new_pte);
		rc = GNTST_okay;
	}
	page_unlock(pg);
	return rc;
}
