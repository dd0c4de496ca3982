/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory: frame table, heap, hypervisor page tables, references and types,
 * TLB shootdown.
 *
 * Every frame of RAM has a struct page_info. A frame has
 *  - an owner domain (or none: free, or the hypervisor's own),
 *  - a count of general references: while it is not 0 the frame is not freed,
 *  - a type with its own count: what the frame may be used for while that
 *    count is not 0 (writable memory, page table of a level, descriptors).
 * A type changes only while its count is 0, so no frame is ever a writable
 * page and a page table at once.
 */
#pragma once

#include <bh/config.h>
#include <bh/lib.h>
#include <bh/spinlock.h>

struct domain;
struct vcpu;
struct boot_info;

struct page_info {
	u64 count; /* PGC_* flags and reference count */
	u64 type;  /* PGT_* type, flags and type count */
	u32 owner; /* frame of the struct domain; 0 none */
	union {
		u32 tlb_stamp;        /* tlb clock when its last use ended */
		struct {              /* while it is a page table */
			u16 nr_valid; /* entries [0, nr_valid) hold references */
			u16 partial;  /* entry nr_valid holds a general one */
		};
	};
	u32 next, prev; /* list links by frame number; 0 ends */
};
_Static_assert(sizeof(struct page_info) == 32, "32 bytes a frame");

/* count */
#define PGC_COUNT_MASK ((1UL << 48) - 1)
#define PGC_ALLOCATED \
	(1UL << 63) /* the owner's own reference, dropped on free */
#define PGC_XENHEAP  (1UL << 62) /* hypervisor memory shared with its owner */
#define PGC_BROKEN   (1UL << 61)
#define PGC_FREE     (1UL << 60)
#define PGC_IO       (1UL << 59) /* not RAM: hole inside a covered chunk */
#define PGC_DIRTY    (1UL << 58) /* free: scrub before the next owner */
#define PGC_VIRGIN   (1UL << 57) /* free since boot: contents unknown */
#define PGC_STALE    (1UL << 56) /* free: a TLB may still map it */
#define PGC_FOREIGN  (1UL << 55) /* another domain's TLB may map it */
#define PGC_RELEASED (1UL << 54) /* teardown of its owner has been here */
/* type */
#define PGT_TYPE_MASK  (7UL << 61)
#define PGT_NONE       (0UL << 61)
#define PGT_L1         (1UL << 61)
#define PGT_L2         (2UL << 61)
#define PGT_L3         (3UL << 61)
#define PGT_L4         (4UL << 61)
#define PGT_SEG        (5UL << 61)
#define PGT_SHARED     (6UL << 61)
#define PGT_WRITABLE   (7UL << 61)
#define PGT_PINNED     (1UL << 60)
#define PGT_VALIDATED  (1UL << 59)
#define PGT_LOCKED     (1UL << 58) /* update lock; WRITABLE: flush pending */
#define PGT_PARTIAL    (1UL << 57) /* validation or teardown stopped half-way */
#define PGT_COUNT_MASK ((1UL << 48) - 1)
static inline unsigned int pgt_level(u64 type) /* 1..4, else 0 */
{
	u64 t = (type & PGT_TYPE_MASK) >> 61;

	return t <= 4 ? t : 0;
}

/* ---- address conversion -------------------------------------------------- */
extern unsigned long max_mfn; /* one past the last frame of RAM */
extern unsigned long *m2p;    /* M2P_RW_START */
#define frame_table ((struct page_info *)FRAMETABLE_START)
/* One bit per 2^16 frames (2 MiB of frame table): is it mapped? */
#define FRAME_CHUNK_SHIFT 16
extern unsigned long frame_chunks[];
/* The frame has a page_info and is RAM. */
bool mfn_valid(mfn_t mfn);
static inline struct page_info *mfn_to_page(mfn_t mfn)
{
	return frame_table + mfn_x(mfn);
}
static inline mfn_t page_to_mfn(const struct page_info *pg)
{
	return _mfn(pg - frame_table);
}
static inline void *maddr_to_virt(paddr_t ma)
{
	return (void *)(DIRECTMAP_START + ma);
}
static inline void *mfn_to_virt(mfn_t mfn)
{
	return maddr_to_virt(mfn_x(mfn) << PAGE_SHIFT);
}
static inline void *page_to_virt(const struct page_info *pg)
{
	return mfn_to_virt(page_to_mfn(pg));
}
/* For direct-map and image addresses only. */
paddr_t virt_to_maddr(const void *va);
static inline mfn_t virt_to_mfn(const void *va)
{
	return _mfn(virt_to_maddr(va) >> PAGE_SHIFT);
}
static inline struct page_info *virt_to_page(const void *va)
{
	return mfn_to_page(virt_to_mfn(va));
}
#define M2P_INVALID (~0UL)
static inline void m2p_set(mfn_t mfn, unsigned long pfn)
{
	m2p[mfn_x(mfn)] = pfn;
}

/* ---- boot ---------------------------------------------------------------- */
/* Builds direct map, frame table, M2P and heap from bi->e820; loads our own
 * page tables. Called once on the boot CPU, on the boot page tables (identity
 * map of the first 4 GiB). */
void mm_boot_init(const struct boot_info *bi);
/* Frees init sections and, when called, the given module frames. */
void mm_boot_release(void);
void mm_release_range(paddr_t start, paddr_t end);

/* ---- heap ---------------------------------------------------------------- */
#define MEMF_NO_SCRUB 1U /* caller overwrites the whole frame */
/*
 * 2^order contiguous frames, naturally aligned, all below 2^addr_bits (0 = no
 * limit), zeroed unless MEMF_NO_SCRUB. NULL when there are none. Any context
 * but interrupt handlers.
 */
struct page_info *heap_alloc(unsigned int order, unsigned int addr_bits,
			     unsigned int memf);
/*
 * The largest order up to max that the highest zone with free memory can serve,
 * 0 when there is none: allocating by it empties the zones from the top, where
 * big requests alone would break up low zones before they use high remainders.
 */
unsigned int heap_top_order(unsigned int max);
/* dirty: contents must be scrubbed before anyone else sees them. */
void heap_free(struct page_info *pg, unsigned int order, bool dirty);
unsigned long heap_free_pages(void);
/* Scrubs some dirty free frames from the idle loop; false: nothing left. */
bool heap_scrub_some(void);
void *alloc_page(void); /* one zeroed page, direct-map address, or NULL */
void free_page(void *va);
/* Small objects, any size up to 64 KiB, 16-byte aligned (page-aligned from
 * PAGE_SIZE up). xzalloc zeroes. NULL when out of memory. */
void *xmalloc(size_t size);
void *xzalloc(size_t size);
void xfree(void *p);

/* ---- hypervisor page tables ---------------------------------------------- */
extern u64
	*hv_l4; /* idle page table; slots 256..271 are the model for guests */
/* Maps [pa, pa+len) in VMAP; pte: PTE_* cache and permission bits besides P
 * and A/D. NULL when out of space or memory. */
void *ioremap(paddr_t pa, size_t len, u64 pte);
void iounmap(void *va, size_t len);
#define PTE_HV_RW (PTE_P | PTE_W | PTE_A | PTE_D | PTE_G | PTE_NX)
#define PTE_HV_RO (PTE_P | PTE_A | PTE_G | PTE_NX)
#define PTE_HV_RX (PTE_P | PTE_A | PTE_G)
#define PTE_HV_UC (PTE_HV_RW | PTE_PCD | PTE_PWT)

/* ---- TLB ----------------------------------------------------------------- */
/* Loads CR3. The first form flushes non-global entries only: right between the
 * two modes of one vCPU. The second flushes everything: right between
 * address spaces. */
void tlb_write_cr3(unsigned long cr3);
void tlb_switch_cr3(unsigned long cr3);
/* From a guest's address space to the hypervisor's own, where nothing of any
 * guest can be in the TLB, so that nobody has to flush us; and from there into a
 * guest's, without a flush. */
void tlb_leave_guest(void);
void tlb_enter_guest(unsigned long cr3);
void tlb_flush_local(void); /* all, globals too */
void tlb_flush_one_local(unsigned long va);
void tlb_flush_mask(const cpumask_t *mask); /* all, globals too; waits */
void tlb_flush_one_mask(const cpumask_t *mask, unsigned long va);
void tlb_flush_all(void);
/* Called by the IPI handler. */
void tlb_shootdown_ipi(void);
/* Per-frame stamp logic (Xen calls it tlbflush timestamps). */
u32 tlb_clock_now(void);
/* Removes from mask every CPU that flushed since stamp. */
void tlb_filter(cpumask_t *mask, u32 stamp);

/* ---- references and types (mm/page.c; pure but for flushes) --------------- */
struct domain *page_owner(const struct page_info *pg);
void page_set_owner(struct page_info *pg, struct domain *d);
/* General reference if the page is allocated and owned by d. */
bool __must_check page_get(struct page_info *pg, const struct domain *d);
/* As page_get() for any owner; returns the owner or NULL. */
struct domain *page_get_owner_and_ref(struct page_info *pg);
void page_put(struct page_info *pg);
/* page_info of a RAM frame with a reference taken, if owned by d, else NULL. */
struct page_info *page_from_mfn(mfn_t mfn, struct domain *d);
/*
 * Type reference. type is PGT_L1..PGT_WRITABLE. Validates the page when it is
 * the first. 0; -EINVAL contents or type do not allow it; -EBUSY page is in use
 * as another type; -ERESTART preempted (only with `preemptible`), call again.
 * The caller holds a general reference.
 */
int __must_check page_get_type(struct page_info *pg, u64 type,
			       bool preemptible);
/*
 * 0, or -ERESTART when preempted in teardown (preemptible only). The reference
 * is gone either way; after -ERESTART the page is PARTIAL and somebody holding
 * a general reference calls page_release_partial() until it returns 0
 * (pv_defer_release() keeps such pages for the current vCPU).
 */
int page_put_type(struct page_info *pg, bool preemptible);
/* Goes on with the teardown of a PARTIAL page: 0 or -ERESTART. Nothing to do
 * for a page that is not PARTIAL. */
int page_release_partial(struct page_info *pg, bool preemptible);
/* Both references: page_get() + page_get_type(). */
int __must_check page_get_and_type(struct page_info *pg, struct domain *d,
				   u64 type, bool preemptible);
void page_put_and_type(struct page_info *pg);

/* ---- domain memory ------------------------------------------------------- */
/* Per-domain tables (PERDOMAIN slot) and page lists. */
int domain_mm_init(struct domain *d);
/* Per-vCPU GDT/LDT window; sets v->pv.gdt_ldt_ptes. */
int vcpu_mm_init(struct vcpu *v);
void vcpu_mm_done(struct vcpu *v);
/* Allocates 2^order frames for d (counted against max_pages). */
struct page_info *domain_alloc_pages(struct domain *d, unsigned int order,
				     unsigned int addr_bits, unsigned int memf);
/* Gives frames already allocated from the heap to d. 0 or -E2BIG/-EINVAL. */
int domain_assign_pages(struct domain *d, struct page_info *pg,
			unsigned int order);
/* Takes an ordinary page that nothing but d's own reference holds away from d;
 * it is then ownerless, ready for domain_assign_pages() or heap_free(). The
 * M2P is the caller's. 0, or -EBUSY / -EINVAL with nothing changed. */
int __must_check domain_steal_page(struct domain *d, struct page_info *pg);
/* The same whatever max_pages says: in exchange for stolen ones. */
int domain_reassign_pages(struct domain *d, struct page_info *pg,
			  unsigned int order);
/*
 * Takes an ordinary page that nobody else references or uses away from d.
 * 0: ownerless as fresh from the heap, ready for domain_assign_pages() or
 * heap_free(); -EINVAL not d's, -EBUSY in use. The M2P entry is the caller's.
 */
int __must_check domain_steal_page(struct domain *d, struct page_info *pg);
/* Drops the owner's own reference of an ordinary page, as when a guest gives it
 * back; it is freed with its last reference. False: already dropped. */
bool domain_release_page(struct page_info *pg);
/* Hypervisor-owned page made visible to d (shared_info, grant frames):
 * writable type, never freed by d. readonly: d may map it only read-only. */
void page_share_with(struct page_info *pg, struct domain *d, bool readonly);
/* Takes it back: waits for nothing; true when d has no mapping left and the
 * page may be freed with heap_free(). */
bool page_unshare(struct page_info *pg);
/* Takes back a claim or sets it: 0, -ENOMEM, -EINVAL. */
int domain_claim_pages(struct domain *d, u64 pages);
/* Free memory not promised to anybody by a claim. */
unsigned long domain_claimed_pages(void);
/* Drops all of a dying domain's memory. 0 or -ERESTART. */
int domain_relinquish_memory(struct domain *d);
/* Frees what domain_mm_init() made; no vCPU runs on it any more. */
void domain_mm_done(struct domain *d);
/* Page-type audit of one domain (debug key): number of inconsistencies. */
unsigned int domain_mm_audit(struct domain *d);
