/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's descriptor tables. A page of descriptors has a type of its own
 * (PGT_SEG): every descriptor in it was checked, and nobody can write to it but
 * through update_descriptor. It is reached through the vCPU's window in the
 * PERDOMAIN slot: 16 pages of GDT, of which the guest has 14, then 16 of LDT,
 * mapped when first used.
 */
#include <bh/config.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/desc.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/smp.h>
#include <bh/traps.h>

static u64 zero_descs[512] __aligned(4096); /* behind unused GDT pages */

#define DESC_P    (1UL << 47)
#define DESC_S    (1UL << 44)
#define DESC_DPL  (3UL << 45)
#define DESC_CODE (1UL << 43)
#define DESC_CONF (1UL << 42)
#define DESC_L    (1UL << 53)
#define DESC_DB   (1UL << 54)

/* Supervisor-only; writable, as the processor sets accessed bits. */
static u64 desc_pte(mfn_t mfn)
{
	return mfn_x(mfn) << PAGE_SHIFT | PTE_P | PTE_W | PTE_A | PTE_D |
	       PTE_NX;
}
static u64 zero_pte(void)
{
	return virt_to_maddr(zero_descs) | PTE_P | PTE_A | PTE_NX;
}

bool pv_fix_descriptor(struct domain *d, u64 *desc)
{
	u64 e = *desc;

	if (!(e & DESC_P))
		return true;
	/* System segments and gates would let the guest leave ring 3. */
	if (!(e & DESC_S))
		return false;
	if (e & DESC_CODE && (e & (DESC_L | DESC_DB)) == (DESC_L | DESC_DB))
		return false;
	*desc = e | DESC_DPL;
	return true;
}

/* Drops what the first n frames of a table hold. */
static void put_frames(const mfn_t *frames, unsigned int n)
{
	while (n-- > 0)
		page_put_and_type(mfn_to_page(frames[n]));
}

void pv_gdt_release(struct vcpu *v)
{
	for (unsigned int i = 0; i < 14; i++)
		WRITE_ONCE(v->pv.gdt_ldt_ptes[i], zero_pte());
	put_frames(v->pv.gdt_frames, DIV_ROUND_UP(v->pv.gdt_ents, 512));
	v->pv.gdt_ents = 0;
}

/* v is current or not running. */
static int gdt_set(struct vcpu *v, const unsigned long *frames, u32 ents)
{
	unsigned int n = DIV_ROUND_UP(ents, 512), i;
	mfn_t mfns[14];
	int rc;

	if (ents > FIRST_RESERVED_GDT_ENTRY)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		mfns[i] = _mfn(frames[i]);
		if (!mfn_valid(mfns[i])) {
			rc = -EINVAL;
			goto err_frames;
		}
		rc = page_get_and_type(mfn_to_page(mfns[i]), v->domain, PGT_SEG,
				       false);
		if (rc) {
			rc = -EINVAL;
			goto err_frames;
		}
	}
	pv_gdt_release(v);
	v->pv.gdt_ents = ents;
	for (i = 0; i < n; i++) {
		v->pv.gdt_frames[i] = mfns[i];
		WRITE_ONCE(v->pv.gdt_ldt_ptes[i], desc_pte(mfns[i]));
	}
	return 0;

err_frames:
	put_frames(mfns, i);
	return rc;
}

int pv_set_gdt(struct vcpu *v, const unsigned long *frames, u32 ents)
{
	return gdt_set(v, frames, ents);
}

long do_set_gdt(struct vcpu *v, unsigned long a[6])
{
	unsigned int ents = a[1], n = DIV_ROUND_UP(ents, 512);
	unsigned long frames[16];
	long rc;

	if (ents > FIRST_RESERVED_GDT_ENTRY)
		return -EINVAL;
	if (copy_from_guest(frames, GPTR(a[0]), n * sizeof(frames[0])))
		return -EFAULT;
	rc = gdt_set(v, frames, ents);
	if (!rc)
		tlb_flush_local();
	return rc;
}

long do_update_descriptor(struct vcpu *v, unsigned long a[6])
{
	paddr_t ma = a[0];
	u64 desc = a[1];
	struct page_info *pg;
	u64 *slot;
	long rc = -EINVAL;

	if (ma & 7 || !pv_fix_descriptor(v->domain, &desc))
		return -EINVAL;
	pg = page_from_mfn(_mfn(ma >> PAGE_SHIFT), v->domain);
	if (!pg)
		return -EINVAL;
	switch (READ_ONCE(pg->type) & PGT_TYPE_MASK) {
	case PGT_SEG:
		if (page_get_type(pg, PGT_SEG, false))
			goto out;
		break;
	default:
		if (page_get_type(pg, PGT_WRITABLE, false))
			goto out;
		break;
	}
	slot = maddr_to_virt(ma);
	WRITE_ONCE(*slot, desc);
	if (unlikely(v->domain->pv.log_dirty))
		log_dirty_mark(v->domain, page_to_mfn(pg));
	page_put_type(pg, false);
	rc = 0;
out:
	page_put(pg);
	return rc;
}

/* ---- LDT ------------------------------------------------------------------------ */

bool pv_ldt_release(struct vcpu *v)
{
	u32 mapped = v->pv.ldt_mapped;
	u64 *ptes = v->pv.gdt_ldt_ptes + 16;

	if (!mapped)
		return false;
	v->pv.ldt_mapped = 0;
	for (unsigned int i = 0; i < 16; i++) {
		u64 e = ptes[i];

		if (!(mapped >> i & 1))
			continue;
		WRITE_ONCE(ptes[i], 0);
		page_put_and_type(
			mfn_to_page(_mfn((e & PADDR_MASK) >> PAGE_SHIFT)));
	}
	return true;
}

bool pv_ldt_fault(struct vcpu *v, unsigned long offset)
{
	unsigned int i = offset >> PAGE_SHIFT;
	unsigned long va = v->pv.ldt_base + (offset & PAGE_MASK);
	struct page_info *pg;
	u64 l1e;

	if (i >= 16 || offset >= v->pv.ldt_ents * 8UL ||
	    v->pv.ldt_mapped >> i & 1)
		return false;
	/* The table lies in the guest kernel's address space. */
	if (!gptr_ok(GPTR(va), PAGE_SIZE) || !pv_read_kernel_l1e(v, va, &l1e) ||
	    !(l1e & PTE_P))
		return false;
	pg = page_from_mfn(_mfn((l1e & PADDR_MASK & PAGE_MASK) >> PAGE_SHIFT),
			   v->domain);
	if (!pg)
		return false;
	if (page_get_type(pg, PGT_SEG, false)) {
		page_put(pg);
		return false;
	}
	WRITE_ONCE(v->pv.gdt_ldt_ptes[16 + i], desc_pte(page_to_mfn(pg)));
	v->pv.ldt_mapped |= 1U << i;
	return true;
}
