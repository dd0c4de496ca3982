/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small objects: power-of-two size classes carved out of single pages, bigger
 * ones straight from the buddy allocator. Objects of a class are naturally
 * aligned.
 *
 * A page of objects describes itself in its page_info: `type` holds what kind
 * it is, its class, the first free slot and the number of free slots; next and
 * prev link the pages of a class that have room. A free slot's first two bytes
 * are the number of the next free one. type's top bits stay 0, so such a page
 * never looks like a typed page of a guest.
 */
#include <bh/page.h>

#include "mm_private.h"

#define MIN_SHIFT  4
#define MAX_SHIFT  11 /* 2 KiB; above: whole pages */
#define NR_CLASSES (MAX_SHIFT - MIN_SHIFT + 1)

#define KIND_SLAB 1
#define KIND_BIG  2
#define NO_SLOT   0xffff

struct slab {         /* overlay of page_info.type */
	u8 kind, arg; /* arg: shift of the class, or order */
	u16 first_free;
	u16 nr_free;
	u16 zero;
};
_Static_assert(sizeof(struct slab) == 8, "fits page_info.type");

static u32 partial[NR_CLASSES]; /* first page with room, by class */
static struct spinlock xm_lock = SPINLOCK_INIT(LOCK_XMALLOC);

static struct slab *slab_of(struct page_info *pg)
{
	return (struct slab *)&pg->type;
}

static void partial_add(struct page_info *pg, unsigned int c)
{
	u32 f = mfn_x(page_to_mfn(pg));

	pg->next = partial[c];
	pg->prev = 0;
	if (partial[c])
		frame_table[partial[c]].prev = f;
	partial[c] = f;
}

static void partial_del(struct page_info *pg, unsigned int c)
{
	if (pg->prev)
		frame_table[pg->prev].next = pg->next;
	else
		partial[c] = pg->next;
	if (pg->next)
		frame_table[pg->next].prev = pg->prev;
	pg->next = pg->prev = 0;
}

static struct page_info *slab_new(unsigned int shift)
{
	struct page_info *pg = heap_alloc(0, 0, MEMF_NO_SCRUB);
	unsigned int n = PAGE_SIZE >> shift;
	char *p;

	if (!pg)
		return NULL;
	p = page_to_virt(pg);
	for (unsigned int i = 0; i < n; i++)
		*(u16 *)(p + (i << shift)) = i + 1 < n ? i + 1 : NO_SLOT;
	*slab_of(pg) = (struct slab){ KIND_SLAB, shift, 0, n, 0 };
	return pg;
}

static void *slab_alloc(unsigned int shift)
{
	unsigned int c = shift - MIN_SHIFT;
	struct page_info *pg, *fresh = NULL;
	struct slab *s;
	char *obj;

	spin_lock(&xm_lock);
	if (!partial[c]) {
		/* Not under the lock: the heap may wait for a TLB flush. */
		spin_unlock(&xm_lock);
		fresh = slab_new(shift);
		if (!fresh)
			return NULL;
		spin_lock(&xm_lock);
		partial_add(fresh, c);
	}
	pg = frame_table + partial[c];
	s = slab_of(pg);
	obj = (char *)page_to_virt(pg) + ((size_t)s->first_free << shift);
	s->first_free = *(u16 *)obj;
	if (!--s->nr_free)
		partial_del(pg, c);
	spin_unlock(&xm_lock);
	return obj;
}

static void slab_free(struct page_info *pg, char *obj)
{
	struct slab *s = slab_of(pg);
	unsigned int shift = s->arg, c = shift - MIN_SHIFT;
	unsigned long off = (unsigned long)obj & ~PAGE_MASK;
	bool empty;

	BUG_ON(off & ((1UL << shift) - 1));
	spin_lock(&xm_lock);
	*(u16 *)obj = s->first_free;
	s->first_free = off >> shift;
	if (!s->nr_free++)
		partial_add(pg, c);
	/* Keep one page of the class. */
	empty = s->nr_free == PAGE_SIZE >> shift && (pg->next || pg->prev);
	if (empty)
		partial_del(pg, c);
	spin_unlock(&xm_lock);
	if (empty)
		heap_free(pg, 0, true);
}

void *xmalloc(size_t size)
{
	unsigned int shift, order = 0;
	struct page_info *pg;

	if (size <= 1UL << MAX_SHIFT) {
		shift = size <= 1UL << MIN_SHIFT
				? MIN_SHIFT
				: 64 - __builtin_clzl(size - 1);
		return slab_alloc(shift);
	}
	while (PAGE_SIZE << order < size)
		order++;
	pg = heap_alloc(order, 0, MEMF_NO_SCRUB);
	if (!pg)
		return NULL;
	*slab_of(pg) = (struct slab){ KIND_BIG, order, 0, 0, 0 };
	return page_to_virt(pg);
}

void *xzalloc(size_t size)
{
	void *p = xmalloc(size);

	return p ? memset(p, 0, size) : NULL;
}

void xfree(void *p)
{
	struct page_info *pg;

	if (!p)
		return;
	pg = virt_to_page(p);
	switch (slab_of(pg)->kind) {
	case KIND_SLAB:
		slab_free(pg, p);
		break;
	case KIND_BIG:
		BUG_ON((unsigned long)p & ~PAGE_MASK);
		heap_free(pg, slab_of(pg)->arg, true);
		break;
	default:
		BUG();
	}
}
