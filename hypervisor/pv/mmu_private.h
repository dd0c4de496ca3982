/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the mmu*.c files share: references held by entries, the walk through a
 * guest's tables, updates of level-1 entries. The hot parts are inline: Linux
 * changes entries some hundred thousand times while it starts.
 *
 * Naming: d owns the table, pgd ("page domain") is who has to own the frames
 * that new level-1 entries map: d itself unless the call names another domain.
 */
#pragma once

#include <bh/control.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/page.h>
#include <bh/smp.h>

#define PTE_ADDR  (PADDR_MASK & PAGE_MASK)
#define PTE_CACHE (PTE_PWT | PTE_PCD | PTE_PAT)
/* A change in these changes references or needs checks. */
#define L1E_CHECKED (PTE_ADDR | PTE_P | PTE_W | PTE_CACHE | PTE_LOG_DIRTY)
/* Either of them: the entry holds a writable reference. */
#define L1E_WRITER (PTE_W | PTE_LOG_DIRTY)
/* Upper levels: never allowed in a present entry. */
#define LNE_FORBIDDEN (PTE_PS | PTE_PWT | PTE_PCD | PTE_G)

static inline unsigned long pte_mfn(u64 e)
{
	return (e & PTE_ADDR) >> PAGE_SHIFT;
}

static inline bool va_is_guest(unsigned long va)
{
	return va - HV_VIRT_START >= HV_VIRT_END - HV_VIRT_START &&
	       (unsigned long)((long)(va << 16) >> 16) == va;
}

/*
 * Guest kernel and user both run in ring 3. Kernel pages get a mark; user pages
 * are global, so they survive the switches between the two modes. A kernel page
 * must not be global, or user mode would find it in the TLB.
 */
static inline u64 l1e_adjust(u64 e)
{
	if (!(e & PTE_U))
		e |= PTE_U | PTE_GUEST_KERNEL;
	return e & PTE_GUEST_KERNEL ? e & ~PTE_G : e | PTE_G;
}

/* The entry maps a frame that is not RAM: permission, cacheability. */
int l1e_get_io(struct domain *d, struct domain *pgd, u64 *e);

/* References for a present entry. May change *e. 0 or -E. */
static inline int l1e_get(struct domain *d, struct domain *pgd, u64 *e)
{
	unsigned long mfn = pte_mfn(*e);
	struct page_info *pg = frame_table + mfn;
	int rc;

	if (unlikely(!frame_is_ram(mfn)))
		return l1e_get_io(d, pgd, e);
	if (unlikely(*e & PTE_CACHE) && ((rangeset_empty(d->iomem_caps) &&
					  rangeset_empty(d->ioport_caps)) ||
					 (pg->count & PGC_XENHEAP)))
		return -EINVAL;
	if (unlikely(!page_get_fast(pg, domain_frame(pgd))))
		return -EINVAL;
	if (*e & PTE_W) {
		rc = page_get_writable(pg);
		if (unlikely(rc)) {
			page_put_fast(pg);
			return rc;
		}
		if (unlikely(pgd->pv.log_dirty))
			log_dirty_mark(pgd, _mfn(mfn));
	}
	return 0;
}

/* Another domain than the owner had it mapped; its TLBs count from now on. */
static inline void note_foreign(struct domain *d, struct page_info *pg)
{
	if (unlikely(pg->owner != domain_frame(d)))
		__atomic_fetch_or(&pg->count, PGC_FOREIGN, __ATOMIC_SEQ_CST);
}

static inline void l1e_put(struct domain *d, u64 e)
{
	unsigned long mfn = pte_mfn(e);
	struct page_info *pg = frame_table + mfn;

	if (unlikely(!frame_is_ram(mfn)))
		return;
	note_foreign(d, pg);
	if (e & L1E_WRITER)
		page_put_writable(pg);
	page_put_fast(pg);
}

#define L1_PRESERVE_AD 1U /* keep accessed and dirty as they are */
#define L1_EXPECT      2U /* only if the entry still is `expect` */

static inline bool l1e_write(u64 *slot, u64 *old, u64 new, unsigned int how)
{
	if (likely(!how)) {
		WRITE_ONCE(*slot, new);
		return true;
	}
	if (how & L1_EXPECT)
		return cmpxchg64(slot, old, new);
	/* Only the processor changes it meanwhile: accessed and dirty. */
	while (!cmpxchg64(slot, old, new | (*old & (PTE_A | PTE_D))))
		cpu_relax();
	return true;
}

int l1_update_slow(struct domain *d, struct domain *pgd, u64 *slot, u64 old,
		   u64 new, unsigned int how);

/*
 * Writes a level-1 entry. The table is locked by the caller. 0 or -E;
 * -EAGAIN with L1_EXPECT when the entry was not `expect`.
 */
static inline int l1_update(struct domain *d, struct domain *pgd, u64 *slot,
			    u64 expect, u64 new, unsigned int how)
{
	u64 old = how & L1_EXPECT ? expect : READ_ONCE(*slot);

	if (likely(new &PTE_P))
		new = l1e_adjust(new);
	if (unlikely(d->pv.log_dirty))
		log_dirty_mark(d, virt_to_mfn(slot));
	/* The same frame with the same rights: nothing to account. */
	if (((old ^ new) & L1E_CHECKED) == 0 ||
	    unlikely(!((old | new) & PTE_P)))
		return l1e_write(slot, &old, new, how) ? 0 : -EAGAIN;
	return l1_update_slow(d, pgd, slot, old, new, how);
}

/*
 * Slot of va in the tables of a vCPU that runs here, and the frame it lies in.
 * NULL when a level is missing. Interrupts are off, which keeps the tables what
 * they are (mm/page.c); with them on again the result is only a number.
 */
static inline u64 *walk_l1(unsigned long cr3, unsigned long va,
			   struct page_info **ret_pg)
{
	u64 e, *t;

	if (unlikely(!va_is_guest(va)))
		return NULL;
	t = maddr_to_virt(cr3 & PTE_ADDR);
	e = READ_ONCE(t[va >> 39 & 511]);
	if (unlikely(!(e & PTE_P)))
		return NULL;
	t = maddr_to_virt(e & PTE_ADDR);
	e = READ_ONCE(t[va >> 30 & 511]);
	if (unlikely(!(e & PTE_P)))
		return NULL;
	t = maddr_to_virt(e & PTE_ADDR);
	e = READ_ONCE(t[va >> 21 & 511]);
	if (unlikely(!(e & PTE_P)))
		return NULL;
	*ret_pg = frame_table + pte_mfn(e);
	t = maddr_to_virt(e & PTE_ADDR);
	return &t[va >> 12 & 511];
}

/* Slot of va with its table locked, or NULL. */
static inline u64 *l1_lock_va(struct vcpu *v, unsigned long va,
			      struct page_info **ret_pg)
{
	u64 *slot;

	for (;;) {
		unsigned long f = irq_save();
		bool ok = false;

		slot = walk_l1(v->pv.cr3, va, ret_pg);
		if (likely(slot))
			ok = page_trylock(*ret_pg, PGT_L1);
		irq_restore(f);
		if (likely(ok))
			break;
		if (!slot)
			return NULL;
		/* Locked, or just taken out of the tables: look again. Who
		 * has the lock may wait for our TLB. */
		tlb_shootdown_ipi();
		cpu_relax();
	}
	if (likely((*ret_pg)->owner == domain_frame(v->domain)))
		return slot;
	page_unlock(*ret_pg);
	return NULL;
}

static inline int drain_deferred(struct vcpu *v)
{
	return likely(!v->pv.deferred[0]) ? 0 : pv_drain_deferred(v);
}

/* Update of an entry of a validated level 2..4 table pg, referenced by the
 * caller. 0, -E, -ERESTART. */
int pv_mod_table(struct vcpu *v, struct page_info *pg, unsigned int level,
		 unsigned int idx, u64 new, bool preserve_ad);

/* The CPUs that may have translations of any of d's vCPUs, or of those in the
 * guest's bit map. */
void pv_domain_cpus(const struct domain *d, cpumask_t *mask);
int pv_vcpumask_cpus(const struct domain *d, gptr_t bitmap, cpumask_t *mask);

/* Domain named by a foreigndom argument, for v. NULL with *rc. Release with
 * pv_put_pg_owner(). */
struct domain *pv_get_pg_owner(struct vcpu *v, domid_t id, int *rc);
void pv_put_pg_owner(struct vcpu *v, struct domain *d);
