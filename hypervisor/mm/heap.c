/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buddy allocator: all memory not used at boot, in blocks of 2^order
 * frames.
 *
 * Free blocks hang on lists by zone and order. A zone is a bit length of frame
 * numbers (zone 20: frames 2^20 .. 2^21 - 1), so "below 2^n bytes" means the
 * zones up to n - 12, and ordinary requests are served from the top zone down
 * to keep DMA-able memory for those who need it. Blocks never cross zones.
 *
 * Contents. A block is clean (zeroed), virgin (untouched since boot) or dirty
 * (had an owner). Nothing leaves the heap unscrubbed unless the caller says it
 * overwrites every byte. Dirty blocks go to the tail of their list, are not
 * merged with others, and are scrubbed from the idle loop; a virgin block is
 * scrubbed only when it is given out: there is nobody's secret in it.
 *
 * TLBs. A freed frame may still be in the TLB of a CPU that ran its owner. It
 * carries the TLB clock; allocation flushes the CPUs that did not flush since.
 *
 * heap_lock guards the lists and the page_info of free frames. Free block, head:
 * count = PGC_FREE and the flags above, type = order; other frames: count = 0
 * but for PGC_STALE.
 */
#include <bh/errno.h>
#include <bh/page.h>
#include <bh/percpu.h>

#include "mm_private.h"

#define NR_ZONES    32
#define MAX_ORDER   20
#define NR_ORDERS   (MAX_ORDER + 1)
#define SCRUB_ORDER 5 /* one step of the idle loop: 128 KiB */

struct free_list {
	u32 head, tail;
};
static struct free_list lists[NR_ZONES][NR_ORDERS];
static u32 zone_orders[NR_ZONES]; /* bit: list not empty */
static unsigned long nr_free, nr_dirty;
static struct spinlock heap_lock = SPINLOCK_INIT(LOCK_HEAP);

#define CONTENT (PGC_DIRTY | PGC_VIRGIN)

static unsigned int zone_of(unsigned long mfn)
{
	return mfn ? 63 - __builtin_clzl(mfn) : 0;
}

static void block_insert(struct page_info *pg, unsigned int order, u64 content)
{
	u32 mfn = mfn_x(page_to_mfn(pg));
	unsigned int z = zone_of(mfn);
	struct free_list *l = &lists[z][order];

	pg->count = (pg->count & PGC_STALE) | PGC_FREE | content;
	pg->type = order;
	pg->next = pg->prev = 0;
	if (!l->head) {
		l->head = l->tail = mfn;
	} else if (content & PGC_DIRTY) {
		pg->prev = l->tail;
		frame_table[l->tail].next = mfn;
		l->tail = mfn;
	} else {
		pg->next = l->head;
		frame_table[l->head].prev = mfn;
		l->head = mfn;
	}
	zone_orders[z] |= 1U << order;
	nr_free += 1UL << order;
	if (content & PGC_DIRTY)
		nr_dirty += 1UL << order;
}

static void block_remove(struct page_info *pg)
{
	unsigned int order = pg->type;
	unsigned int z = zone_of(mfn_x(page_to_mfn(pg)));
	struct free_list *l = &lists[z][order];

	if (pg->prev)
		frame_table[pg->prev].next = pg->next;
	else
		l->head = pg->next;
	if (pg->next)
		frame_table[pg->next].prev = pg->prev;
	else
		l->tail = pg->prev;
	if (!l->head)
		zone_orders[z] &= ~(1U << order);
	nr_free -= 1UL << order;
	if (pg->count & PGC_DIRTY)
		nr_dirty -= 1UL << order;
	pg->count &= PGC_STALE;
	pg->type = 0;
}

/* The buddy if it can be merged with a block of this content. */
static struct page_info *mergeable(unsigned long mfn, unsigned int order,
				   u64 content)
{
	unsigned long b = mfn ^ (1UL << order);
	struct page_info *pg = frame_table + b;

	if (order >= MAX_ORDER || zone_of(b) != zone_of(mfn) ||
	    !frame_is_ram(b) || !(pg->count & PGC_FREE) || pg->type != order)
		return NULL;
	return ((pg->count ^ content) & PGC_DIRTY) ? NULL : pg;
}

static void block_free(struct page_info *pg, unsigned int order, u64 content)
{
	unsigned long mfn = mfn_x(page_to_mfn(pg));
	struct page_info *b;

	while ((b = mergeable(mfn, order, content)) != NULL) {
		content |= b->count & CONTENT;
		block_remove(b);
		mfn &= ~(1UL << order);
		order++;
	}
	block_insert(frame_table + mfn, order, content);
}

/* Takes 2^order frames off a list whose blocks are that size or more. */
static struct page_info *take(unsigned int z, unsigned int order, u64 *content)
{
	u32 fit = zone_orders[z] & ~0U << order;
	struct page_info *pg;
	unsigned int o;

	if (!fit)
		return NULL;
	o = __builtin_ctz(fit);
	pg = frame_table + lists[z][o].head;
	*content = pg->count & CONTENT;
	block_remove(pg);
	while (o > order) {
		o--;
		block_insert(pg + (1UL << o), o, *content);
	}
	return pg;
}

static struct page_info *take_below(unsigned int order, unsigned int addr_bits,
				    u64 *content)
{
	unsigned int z = NR_ZONES - 1;
	struct page_info *pg = NULL;

	if (order > MAX_ORDER)
		return NULL;
	if (addr_bits) {
		if (addr_bits <= PAGE_SHIFT)
			return NULL;
		z = min(z, addr_bits - PAGE_SHIFT - 1);
	}
	spin_lock(&heap_lock);
	for (;; z--) {
		pg = take(z, order, content);
		if (pg || !z)
			break;
	}
	spin_unlock(&heap_lock);
	return pg;
}

/* Frames leave the heap: no references, no stale translations. */
static void prepare(struct page_info *pg, unsigned int order)
{
	u32 now = READ_ONCE(tlb_clock), oldest = 0;
	bool stale = false;
	cpumask_t mask;

	for (unsigned long i = 0; i < 1UL << order; i++) {
		struct page_info *p = pg + i;

		/* Ages, not stamps, compare across a wrap of 32 bits. */
		if (p->count & PGC_STALE) {
			u32 s = p->tlb_stamp;

			if (!stale || now - s < now - oldest)
				oldest = s; /* in fact the youngest */
			stale = true;
		}
		p->count = 0;
		p->type = 0;
		p->owner = 0;
		p->next = p->prev = 0;
	}
	if (!stale)
		return;
	mask = cpu_online_map;
	tlb_filter(&mask, oldest);
	if (!cpumask_empty(&mask))
		tlb_flush_mask(&mask);
}

struct page_info *heap_alloc(unsigned int order, unsigned int addr_bits,
			     unsigned int memf)
{
	struct page_info *pg;
	u64 content;

	pg = take_below(order, addr_bits, &content);
	/* Dirty neighbours do not merge: after some scrubbing they may. */
	for (int i = 0; !pg && order && i < 64 && heap_scrub_some(); i++)
		pg = take_below(order, addr_bits, &content);
	if (!pg)
		return NULL;
	prepare(pg, order);
	if (content && !(memf & MEMF_NO_SCRUB))
		memset(page_to_virt(pg), 0, PAGE_SIZE << order);
	return pg;
}

void heap_free(struct page_info *pg, unsigned int order, bool dirty)
{
	if (!pg)
		return;
	for (unsigned long i = 0; i < 1UL << order; i++) {
		pg[i].count &= PGC_STALE;
		pg[i].type = 0;
		pg[i].owner = 0;
	}
	spin_lock(&heap_lock);
	block_free(pg, order, dirty ? PGC_DIRTY : PGC_VIRGIN);
	spin_unlock(&heap_lock);
}

unsigned long heap_free_pages(void)
{
	return READ_ONCE(nr_free);
}

unsigned int heap_top_order(unsigned int max)
{
	unsigned int order = 0;

	spin_lock(&heap_lock);
	for (unsigned int z = NR_ZONES; z--;)
		if (zone_orders[z]) {
			order = min(max, 31U - (unsigned int)__builtin_clz(
						       zone_orders[z]));
			break;
		}
	spin_unlock(&heap_lock);
	return order;
}

static struct page_info *take_dirty(unsigned int *ret_order)
{
	for (int z = NR_ZONES - 1; z >= 0; z--) {
		u32 orders = zone_orders[z];

		while (orders) {
			unsigned int o = __builtin_ctz(orders);
			struct page_info *pg = frame_table + lists[z][o].tail;

			orders &= orders - 1;
			if (!(pg->count & PGC_DIRTY))
				continue;
			block_remove(pg);
			while (o > SCRUB_ORDER) {
				o--;
				block_insert(pg + (1UL << o), o, PGC_DIRTY);
			}
			*ret_order = o;
			return pg;
		}
	}
	return NULL;
}

bool heap_scrub_some(void)
{
	struct page_info *pg;
	unsigned int order = 0;

	if (!READ_ONCE(nr_dirty))
		return false;
	spin_lock(&heap_lock);
	pg = take_dirty(&order);
	spin_unlock(&heap_lock);
	if (!pg)
		return false;
	memset(page_to_virt(pg), 0, PAGE_SIZE << order);
	spin_lock(&heap_lock);
	block_free(pg, order, 0);
	spin_unlock(&heap_lock);
	return true;
}

void *alloc_page(void)
{
	struct page_info *pg = heap_alloc(0, 0, 0);

	return pg ? page_to_virt(pg) : NULL;
}

void free_page(void *va)
{
	if (va)
		heap_free(virt_to_page(va), 0, true);
}

void heap_add_range(unsigned long first, unsigned long last)
{
	spin_lock(&heap_lock);
	while (first <= last) {
		unsigned int o = first ? __builtin_ctzl(first) : MAX_ORDER;

		o = min(o, zone_of(first));
		o = min(o, (unsigned int)MAX_ORDER);
		while (first + (1UL << o) - 1 > last)
			o--;
		block_free(frame_table + first, o, PGC_VIRGIN);
		first += 1UL << o;
	}
	spin_unlock(&heap_lock);
}
