/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mm/heap.c and mm/xmalloc.c: random allocations against a map of who owns each
 * frame; contents, limits and alignment; everything comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bh/page.h>

#include "../../hypervisor/mm/mm_private.h"

#define FRAMES 8192UL
#define FIRST  257UL
#define LIVE   200

u64 tlb_clock = 1;
cpumask_t cpu_online_map;
struct cpu host_cpu;
static unsigned int seed = 7, flushes;
static u8 taken[FRAMES];

void tlb_filter(cpumask_t *mask, u32 stamp)
{
	mask->bits[0] = stamp >= 100; /* "flushed since clock 100" */
}
void tlb_flush_mask(const cpumask_t *mask)
{
	flushes++;
}
void page_free_final(struct page_info *pg)
{
}
int page_get_type(struct page_info *pg, u64 type, bool preemptible)
{
	return -1;
}

static unsigned int rnd(unsigned int n)
{
	return rand_r(&seed) / 7 % n;
}

static int setup(void **state)
{
	if (!max_mfn) {
		host_mm_init(FRAMES);
		heap_add_range(FIRST, 4000);
		/* 4001..4100 is a hole */
		for (unsigned long f = 4001; f <= 4100; f++)
			frame_table[f].count = PGC_IO;
		heap_add_range(4101, FRAMES - 1);
		memset(mfn_to_virt(_mfn(FIRST)), 0xaa,
		       (FRAMES - FIRST) * PAGE_SIZE);
	}
	return 0;
}

static void mark(struct page_info *pg, unsigned int order, u8 v)
{
	for (unsigned long i = 0; i < 1UL << order; i++) {
		unsigned long f = pg + i - frame_table;

		assert_true(f >= FIRST && f < FRAMES);
		assert_false(f > 4000 && f <= 4100);
		assert_int_equal(taken[f], !v);
		taken[f] = v;
	}
}

static void random_blocks_never_overlap(void **state)
{
	struct {
		struct page_info *pg;
		unsigned int order;
	} live[LIVE] = { 0 };
	unsigned long all = heap_free_pages();

	for (unsigned int n = 0; n < 20000; n++) {
		unsigned int i = rnd(LIVE), bits = 0;

		if (!rnd(5))
			heap_scrub_some();
		if (live[i].pg) {
			memset(page_to_virt(live[i].pg), 0xbb,
			       PAGE_SIZE << live[i].order);
			mark(live[i].pg, live[i].order, 0);
			if (rnd(2))
				live[i].pg->count |= PGC_STALE;
			heap_free(live[i].pg, live[i].order, true);
			live[i].pg = NULL;
			continue;
		}
		live[i].order = rnd(rnd(10) ? 4 : 9);
		if (!rnd(4))
			bits = 21 + rnd(5);
		live[i].pg = heap_alloc(live[i].order, bits, 0);
		if (!live[i].pg)
			continue;
		mark(live[i].pg, live[i].order, 1);
		assert_int_equal((live[i].pg - frame_table) &
					 ((1UL << live[i].order) - 1),
				 0);
		if (bits)
			assert_true(live[i].pg - frame_table +
					    (1UL << live[i].order) <=
				    1UL << (bits - PAGE_SHIFT));
		for (size_t k = 0; k < PAGE_SIZE << live[i].order; k += 256)
			assert_int_equal(((u8 *)page_to_virt(live[i].pg))[k],
					 0);
	}
	for (unsigned int i = 0; i < LIVE; i++)
		if (live[i].pg) {
			mark(live[i].pg, live[i].order, 0);
			heap_free(live[i].pg, live[i].order, true);
		}
	assert_int_equal(heap_free_pages(), all);
	while (heap_scrub_some())
		;
	/* Scrubbed, everything merges again: the biggest block is there. */
	live[0].pg = heap_alloc(11, 0, 0);
	assert_non_null(live[0].pg);
	heap_free(live[0].pg, 11, false);
}

static void taken_from_the_top_the_lowest_remain(void **state)
{
	unsigned long highest = 0, lowest = ~0UL, n = heap_free_pages();
	static struct {
		struct page_info *pg;
		unsigned int order;
	} got[4096];
	unsigned int k = 0;

	/* What is left of the free memory after half of it has been taken ... */
	for (unsigned long left = n / 2; left; k++) {
		got[k].order =
			heap_top_order(63 - (unsigned int)__builtin_clzl(left));
		got[k].pg = heap_alloc(got[k].order, 0, MEMF_NO_SCRUB);
		assert_non_null(got[k].pg);
		left -= 1UL << got[k].order;
		lowest = min(lowest, (unsigned long)(got[k].pg - frame_table));
	}
	/* ... is in the zone of the lowest frame taken, or under it. */
	for (struct page_info *pg; (pg = heap_alloc(0, 0, MEMF_NO_SCRUB));) {
		highest = max(highest, (unsigned long)(pg - frame_table));
		got[k].order = 0;
		got[k++].pg = pg;
		assert_true(k < ARRAY_SIZE(got));
	}
	assert_true(highest >> (63 - __builtin_clzl(lowest)) <= 1);
	while (k--)
		heap_free(got[k].pg, got[k].order, false);
	assert_int_equal(heap_free_pages(), n);
}

static void a_stale_frame_is_flushed_once(void **state)
{
	struct page_info *pg = heap_alloc(0, 0, 0);

	pg->tlb_stamp = 100; /* nobody flushed since */
	pg->count = PGC_STALE;
	tlb_clock = 100;
	heap_free(pg, 0, true);
	flushes = 0;
	while (heap_alloc(0, 0, MEMF_NO_SCRUB) != pg)
		;
	assert_int_equal(flushes, 1);
}

static void small_objects_are_apart_and_aligned(void **state)
{
	static const u16 sizes[] = {
		1, 16, 17, 64, 100, 500, 2048, 2049, 5168
	};
	static u8 *p[4000];
	size_t size[4000];

	for (unsigned int i = 0; i < 4000; i++) {
		size[i] = sizes[rnd(ARRAY_SIZE(sizes))];
		p[i] = xmalloc(size[i]);
		if (!p[i])
			continue;
		assert_int_equal((unsigned long)p[i] & 15, 0);
		if (size[i] >= PAGE_SIZE)
			assert_int_equal((unsigned long)p[i] & 4095, 0);
		memset(p[i], i, size[i]);
	}
	for (unsigned int i = 0; i < 4000; i++) {
		for (size_t k = 0; p[i] && k < size[i]; k++)
			assert_int_equal(p[i][k], (u8)i);
		xfree(p[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(random_blocks_never_overlap, setup),
		cmocka_unit_test_setup(small_objects_are_apart_and_aligned,
				       setup),
		cmocka_unit_test_setup(taken_from_the_top_the_lowest_remain,
				       setup),
		cmocka_unit_test_setup(a_stale_frame_is_flushed_once, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
