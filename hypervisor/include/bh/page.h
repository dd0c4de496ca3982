/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frame references, the hot half: what a page-table update does a hundred
 * thousand times a second, inlined. Rules and the slow half: mm/page.c.
 */
#pragma once

#include <bh/cpuops.h>
#include <bh/mm.h>

extern u64 tlb_clock;

/* What page_info.owner holds for pages of d. */
static inline u32 domain_frame(const struct domain *d)
{
	return ((unsigned long)d - DIRECTMAP_START) >> PAGE_SHIFT;
}

static inline bool frame_is_ram(unsigned long mfn)
{
	return mfn < max_mfn &&
	       test_bit(mfn >> FRAME_CHUNK_SHIFT, frame_chunks) &&
	       !(frame_table[mfn].count & PGC_IO);
}

static inline bool cmpxchg64(u64 *p, u64 *old, u64 new)
{
	return __atomic_compare_exchange_n(p, old, new, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

void page_free_final(struct page_info *pg); /* last reference is gone */

static inline void page_put_fast(struct page_info *pg)
{
	u64 x = __atomic_sub_fetch(&pg->count, 1, __ATOMIC_SEQ_CST);

	if (unlikely(!(x & PGC_COUNT_MASK)))
		page_free_final(pg);
}

/* A frame whose count is 0 belongs to nobody and gets no reference. */
static inline bool page_get_fast(struct page_info *pg, u32 owner)
{
	u64 x = READ_ONCE(pg->count);

	do {
		if (unlikely((x & PGC_COUNT_MASK) == 0 ||
			     (x & PGC_COUNT_MASK) == PGC_COUNT_MASK))
			return false;
	} while (!cmpxchg64(&pg->count, &x, x + 1));
	/* Stable only now that we hold a reference. */
	if (likely(READ_ONCE(pg->owner) == owner))
		return true;
	page_put_fast(pg);
	return false;
}

#define PGT_ALL_FLAGS (PGT_PINNED | PGT_VALIDATED | PGT_LOCKED | PGT_PARTIAL)

/* Type reference PGT_WRITABLE; the caller holds a general one. */
static inline int page_get_writable(struct page_info *pg)
{
	u64 x = READ_ONCE(pg->type);

	while (likely((x & (PGT_TYPE_MASK | PGT_ALL_FLAGS)) == PGT_WRITABLE))
		if (cmpxchg64(&pg->type, &x, x + 1))
			return 0;
	return page_get_type(pg, PGT_WRITABLE, false);
}

static inline void page_put_writable(struct page_info *pg)
{
	u64 x = READ_ONCE(pg->type);

	do {
		/* Before the count: who sees 0 must see the stamp. And after
		 * the entry's removal: a CPU that flushes between the clock
		 * and a store still in our buffer would load it again. */
		if ((x & PGT_COUNT_MASK) == 1) {
			smp_mb();
			WRITE_ONCE(pg->tlb_stamp, (u32)READ_ONCE(tlb_clock));
		}
	} while (!cmpxchg64(&pg->type, &x, x - 1));
}

/*
 * The update lock of a page table. Holding it keeps the frame a validated table
 * of its type (so its owner's, too), without a reference. One try: false when
 * it is taken or the frame is no table of that type.
 */
static inline bool page_trylock(struct page_info *pg, u64 type)
{
	u64 x = READ_ONCE(pg->type);

	return (x & (PGT_TYPE_MASK | PGT_VALIDATED | PGT_LOCKED)) ==
		       (type | PGT_VALIDATED) &&
	       (x & PGT_COUNT_MASK) && cmpxchg64(&pg->type, &x, x | PGT_LOCKED);
}

static inline bool page_lock(struct page_info *pg, u64 type)
{
	while (!page_trylock(pg, type)) {
		u64 x = READ_ONCE(pg->type);

		if ((x & (PGT_TYPE_MASK | PGT_VALIDATED)) !=
			    (type | PGT_VALIDATED) ||
		    !(x & PGT_COUNT_MASK))
			return false;
		cpu_relax();
	}
	return true;
}

static inline void page_unlock(struct page_info *pg)
{
	__atomic_fetch_and(&pg->type, ~PGT_LOCKED, __ATOMIC_RELEASE);
}
