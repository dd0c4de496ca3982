/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's memory: which frames it owns, its private window of our address
 * space, and how all of it comes back.
 *
 * Owned frames hang on a list through page_info.next/prev (frame numbers). A
 * frame leaves the list only when its last reference goes, which may be long
 * after the domain died, if another domain still maps it; as long as a domain
 * owns anything it holds a reference on itself, so page_owner() is always
 * valid.
 *
 * The PERDOMAIN window (one level-3, one level-2 table, a level-1 table for
 * every 16 vCPUs) maps each vCPU's GDT and LDT pages.
 *
 * page_lock guards the list, tot_pages, shared_pages, outstanding_pages.
 */
#include <bh/control.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/grant.h>
#include <bh/hypercall.h>
#include <bh/page.h>

#define VCPUS_PER_L1 16

static struct spinlock claim_lock = SPINLOCK_INIT(LOCK_HEAP);
static unsigned long claimed; /* pages promised, not yet taken */

/* ---- the private window ------------------------------------------------------ */

#define TABLE_BITS (PTE_P | PTE_W | PTE_A | PTE_D)

int domain_mm_init(struct domain *d)
{
	u64 *l2;

	d->perdomain_l3 = alloc_page();
	l2 = alloc_page();
	if (!d->perdomain_l3 || !l2) {
		free_page(d->perdomain_l3);
		free_page(l2);
		d->perdomain_l3 = NULL;
		return -ENOMEM;
	}
	d->perdomain_l3[0] = virt_to_maddr(l2) | TABLE_BITS;
	return 0;
}

static u64 *perdomain_l2(const struct domain *d)
{
	return maddr_to_virt(d->perdomain_l3[0] & PADDR_MASK & PAGE_MASK);
}

int vcpu_mm_init(struct vcpu *v)
{
	struct domain *d = v->domain;
	u64 *l2, *l1;

	v->pv.kernel_l4 = INVALID_MFN;
	v->pv.user_l4 = INVALID_MFN;
	if (v->id >= MAX_VCPUS || !d->perdomain_l3)
		return -EINVAL;
	l2 = perdomain_l2(d);
	if (!l2[v->id / VCPUS_PER_L1]) {
		l1 = alloc_page();
		if (!l1)
			return -ENOMEM;
		l2[v->id / VCPUS_PER_L1] = virt_to_maddr(l1) | TABLE_BITS;
	}
	l1 = maddr_to_virt(l2[v->id / VCPUS_PER_L1] & PADDR_MASK & PAGE_MASK);
	v->pv.gdt_ldt_ptes = l1 + (v->id % VCPUS_PER_L1) * 32;
	return 0;
}

void vcpu_mm_done(struct vcpu *v)
{
	/* The tables belong to the domain. */
	if (v->pv.gdt_ldt_ptes)
		memset(v->pv.gdt_ldt_ptes, 0, 32 * sizeof(u64));
	v->pv.gdt_ldt_ptes = NULL;
}

void domain_mm_done(struct domain *d)
{
	u64 *l2;

	(void)domain_claim_pages(d, 0);
	if (!d->perdomain_l3)
		return;
	l2 = perdomain_l2(d);
	for (unsigned int i = 0; i < MAX_VCPUS / VCPUS_PER_L1; i++)
		if (l2[i])
			free_page(
				maddr_to_virt(l2[i] & PADDR_MASK & PAGE_MASK));
	free_page(l2);
	free_page(d->perdomain_l3);
	d->perdomain_l3 = NULL;
}

/* ---- the list ----------------------------------------------------------------- */

static void list_append(struct domain *d, struct page_info *pg)
{
	u32 f = mfn_x(page_to_mfn(pg));

	pg->next = 0;
	pg->prev = d->page_tail;
	if (d->page_tail)
		frame_table[d->page_tail].next = f;
	else
		d->page_head = f;
	d->page_tail = f;
}

static void list_unlink(struct domain *d, struct page_info *pg)
{
	if (pg->prev)
		frame_table[pg->prev].next = pg->next;
	else
		d->page_head = pg->next;
	if (pg->next)
		frame_table[pg->next].prev = pg->prev;
	else
		d->page_tail = pg->prev;
	pg->next = pg->prev = 0;
}

/* Owning the first page pins the domain. page_lock held. */
static void account(struct domain *d, u64 add, u64 *counter)
{
	if (d->tot_pages + d->shared_pages == 0)
		(void)domain_get(d);
	*counter += add;
}

/* ---- giving and taking ---------------------------------------------------------- */

/* Frames that come straight from another domain, not through the heap. */
static void flush_stale(struct page_info *pg, u64 n)
{
	for (u64 i = 0; i < n; i++) {
		cpumask_t mask = cpu_online_map;

		if (!(pg[i].count & PGC_STALE))
			continue;
		tlb_filter(&mask, pg[i].tlb_stamp);
		if (!cpumask_empty(&mask))
			tlb_flush_mask(&mask);
	}
}

static int assign(struct domain *d, struct page_info *pg, unsigned int order,
		  bool limited)
{
	u64 n = 1UL << order, from_claim;
	u32 owner = domain_frame(d);

	flush_stale(pg, n);
	spin_lock(&d->page_lock);
	if (d->dying || (limited && d->tot_pages + n > d->max_pages)) {
		spin_unlock(&d->page_lock);
		return d->dying ? -EINVAL : -E2BIG;
	}
	account(d, n, &d->tot_pages);
	from_claim = min(n, d->outstanding_pages);
	d->outstanding_pages -= from_claim;
	for (u64 i = 0; i < n; i++) {
		pg[i].type = 0;
		pg[i].owner = owner;
		list_append(d, &pg[i]);
		/* Last: from here on others can take references. */
		__atomic_store_n(&pg[i].count, PGC_ALLOCATED | 1,
				 __ATOMIC_RELEASE);
	}
	spin_unlock(&d->page_lock);
	if (from_claim)
		__atomic_fetch_sub(&claimed, from_claim, __ATOMIC_SEQ_CST);
	return 0;
}

int domain_assign_pages(struct domain *d, struct page_info *pg,
			unsigned int order)
{
	return assign(d, pg, order, true);
}

int domain_reassign_pages(struct domain *d, struct page_info *pg,
			  unsigned int order)
{
	return assign(d, pg, order, false);
}

struct page_info *domain_alloc_pages(struct domain *d, unsigned int order,
				     unsigned int addr_bits, unsigned int memf)
{
	u64 n = 1UL << order, promised;
	struct page_info *pg;

	if (d->tot_pages + n > READ_ONCE(d->max_pages))
		return NULL;
	promised = READ_ONCE(claimed) -
		   min(READ_ONCE(claimed), (unsigned long)d->outstanding_pages);
	if (promised && heap_free_pages() < promised + n)
		return NULL;
	if (d->addr_bits && (!addr_bits || addr_bits > d->addr_bits))
		addr_bits = d->addr_bits;
	pg = heap_alloc(order, addr_bits, memf);
	if (!pg)
		return NULL;
	if (domain_assign_pages(d, pg, order)) {
		heap_free(pg, order, false);
		return NULL;
	}
	return pg;
}

unsigned long domain_claimed_pages(void)
{
	return READ_ONCE(claimed);
}

int domain_claim_pages(struct domain *d, u64 pages)
{
	int rc = 0;
	u64 want;

	spin_lock(&d->page_lock);
	spin_lock(&claim_lock);
	__atomic_fetch_sub(&claimed, d->outstanding_pages, __ATOMIC_SEQ_CST);
	d->outstanding_pages = 0;
	if (pages) {
		/* A claim is for the whole domain, what it has included. */
		want = pages - min(pages, d->tot_pages);
		if (pages > d->max_pages || pages < d->tot_pages)
			rc = -EINVAL;
		else if (heap_free_pages() < claimed + want)
			rc = -ENOMEM;
		else
			d->outstanding_pages = want;
		__atomic_fetch_add(&claimed, d->outstanding_pages,
				   __ATOMIC_SEQ_CST);
	}
	spin_unlock(&claim_lock);
	spin_unlock(&d->page_lock);
	return rc;
}

/* Takes pg off its owner's accounts. True when the owner now owns nothing and
 * the reference for that has to go (after page_lock). */
static bool disown(struct domain *d, struct page_info *pg)
{
	bool last;

	if (pg->count & PGC_XENHEAP) {
		d->shared_pages--;
	} else {
		list_unlink(d, pg);
		d->tot_pages--;
	}
	last = d->tot_pages + d->shared_pages == 0;
	pg->owner = 0;
	return last;
}

void page_free_final(struct page_info *pg)
{
	struct domain *d = page_owner(pg);
	bool heap_page = pg->count & PGC_XENHEAP, last;

	BUG_ON(!d || (pg->count & PGC_ALLOCATED));
	ASSERT(heap_page || !(pg->type & PGT_COUNT_MASK));
	spin_lock(&d->page_lock);
	last = disown(d, pg);
	spin_unlock(&d->page_lock);
	if (!heap_page)
		m2p_set(page_to_mfn(pg), M2P_INVALID);
	WRITE_ONCE(pg->tlb_stamp, (u32)READ_ONCE(tlb_clock));
	pg->count = PGC_STALE;
	heap_free(pg, 0, true);
	if (last)
		domain_put(d);
}

bool domain_release_page(struct page_info *pg)
{
	u64 x = __atomic_fetch_and(&pg->count, ~PGC_ALLOCATED,
				   __ATOMIC_SEQ_CST);

	if (!(x & PGC_ALLOCATED))
		return false;
	page_put(pg);
	return true;
}

/* The page, frozen or without a user left, is nobody's. TLBs may still know it:
 * domain_assign_pages() and the heap look at the stamp. */
static void detach(struct domain *d, struct page_info *pg)
{
	bool last;

	spin_lock(&d->page_lock);
	last = disown(d, pg);
	spin_unlock(&d->page_lock);
	WRITE_ONCE(pg->tlb_stamp, (u32)READ_ONCE(tlb_clock));
	pg->count = PGC_STALE;
	pg->type = 0;
	if (last)
		domain_put(d);
}

int domain_steal_page(struct domain *d, struct page_info *pg)
{
	u64 x = PGC_ALLOCATED | 1;

	/* Freezes it: nobody takes a reference on a count of 0. */
	if (!frame_is_ram(mfn_x(page_to_mfn(pg))) ||
	    pg->owner != domain_frame(d))
		return -EINVAL;
	if (READ_ONCE(pg->count) & PGC_XENHEAP)
		return -EINVAL;
	x |= READ_ONCE(pg->count) & PGC_FOREIGN;
	if (!cmpxchg64(&pg->count, &x, 0))
		return -EBUSY;
	if (pg->owner != domain_frame(d) || (pg->type & PGT_COUNT_MASK)) {
		/* Freed and given to another in between. */
		__atomic_store_n(&pg->count, x, __ATOMIC_RELEASE);
		return -EINVAL;
	}
	detach(d, pg);
	return 0;
}

/* ---- hypervisor pages shown to a domain ------------------------------------------ */

void page_share_with(struct page_info *pg, struct domain *d, bool readonly)
{
	if (pg->owner == domain_frame(d))
		return;
	spin_lock(&d->page_lock);
	account(d, 1, &d->shared_pages);
	pg->owner = domain_frame(d);
	/* One use by ourselves keeps the type from ever changing. */
	pg->type = (readonly ? PGT_SHARED : PGT_WRITABLE) | 1;
	__atomic_store_n(&pg->count, PGC_XENHEAP | PGC_ALLOCATED | 1,
			 __ATOMIC_RELEASE);
	spin_unlock(&d->page_lock);
}

bool page_unshare(struct page_info *pg)
{
	struct domain *d = page_owner(pg);
	u64 x;

	if (!d)
		return true; /* never shared */
	x = __atomic_fetch_and(&pg->count, ~PGC_ALLOCATED, __ATOMIC_SEQ_CST);
	if (!(x & PGC_ALLOCATED))
		return false;
	x = __atomic_sub_fetch(&pg->count, 1, __ATOMIC_SEQ_CST);
	if (x & PGC_COUNT_MASK)
		return false; /* the last mapping frees it */
	detach(d, pg);
	return true;
}

/* ---- teardown --------------------------------------------------------------------- */

/* The next page not yet seen by the sweep, with a reference; seen ones go to the
 * tail, so the first seen one at the head ends it. */
static struct page_info *sweep_next(struct domain *d)
{
	struct page_info *pg = NULL;
	u32 owner = domain_frame(d);

	spin_lock(&d->page_lock);
	while (d->page_head) {
		pg = frame_table + d->page_head;
		if (pg->count & PGC_RELEASED) {
			pg = NULL;
			break;
		}
		list_unlink(d, pg);
		list_append(d, pg);
		__atomic_fetch_or(&pg->count, PGC_RELEASED, __ATOMIC_SEQ_CST);
		/* No reference to be had: just being freed by another CPU. */
		if (READ_ONCE(pg->count) & PGC_COUNT_MASK &&
		    page_get_fast(pg, owner))
			break;
		pg = NULL;
	}
	spin_unlock(&d->page_lock);
	return pg;
}

/* For a page that has to be looked at again. */
static void sweep_again(struct domain *d, struct page_info *pg)
{
	spin_lock(&d->page_lock);
	__atomic_fetch_and(&pg->count, ~PGC_RELEASED, __ATOMIC_SEQ_CST);
	list_unlink(d, pg);
	pg->next = d->page_head;
	if (pg->next)
		frame_table[pg->next].prev = mfn_x(page_to_mfn(pg));
	else
		d->page_tail = mfn_x(page_to_mfn(pg));
	d->page_head = mfn_x(page_to_mfn(pg));
	spin_unlock(&d->page_lock);
}

static int sweep_page(struct page_info *pg)
{
	int rc;

	if (__atomic_fetch_and(&pg->type, ~PGT_PINNED, __ATOMIC_SEQ_CST) &
	    PGT_PINNED) {
		rc = page_put_type(pg, true);
		page_put(pg); /* the pin's; we hold another */
		if (rc)
			return rc;
	}
	/* No vCPU is left to go on with it. */
	rc = page_release_partial(pg, true);
	if (!rc)
		(void)domain_release_page(pg);
	return rc;
}

int domain_relinquish_memory(struct domain *d)
{
	struct page_info *pg;
	unsigned int n = 0;
	struct vcpu *v;
	int rc;

	if (d->pv.log_dirty)
		log_dirty_disable(d);
	for_each_vcpu(d, v) {
		rc = pv_drain_deferred(v);
		if (rc)
			return rc;
	}
	while ((pg = sweep_next(d)) != NULL) {
		rc = sweep_page(pg);
		if (rc)
			sweep_again(d, pg);
		page_put(pg);
		if (rc || (!(++n & 63) && hypercall_preempt()))
			return -ERESTART;
	}
	return 0;
}
