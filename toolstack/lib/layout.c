/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a PV guest's kernel, tables and modules go.
 *
 * Frame 0 is mapped at the kernel's virtual base and the mapping is linear.
 * Behind the kernel follow start info, the store and console rings, the page
 * tables and the boot stack; then what need not be mapped: initrd and p2m list
 * if the kernel's notes say it can take them there. The page tables must map
 * themselves, hence the loop.
 */
#include <inttypes.h>

#include "bulkhead/builder.h"

#define PAGES(bytes)  (((bytes) + BH_PAGE_SIZE - 1) >> BH_PAGE_SHIFT)
#define MAX_MAP_PAGES ((1ull << 31) / BH_PAGE_SIZE)

/* Tables of levels 1 to 3 for n pages at va. */
static uint64_t tables_for(uint64_t va, uint64_t n)
{
	uint64_t last = va + n * BH_PAGE_SIZE - 1, sum = 0;

	for (unsigned int shift = 21; shift <= 39; shift += 9)
		sum += (last >> shift) - (va >> shift) + 1;
	return sum;
}

int bh_layout_plan(const struct bh_kernel *k, uint64_t nr_pages,
		   uint64_t initrd_bytes, struct bh_layout *ret,
		   struct bh_err *e)
{
	struct bh_layout l = { .nr_pages = nr_pages };
	uint64_t pfn, base;
	bool too_far;

	if (initrd_bytes > nr_pages * BH_PAGE_SIZE)
		return bh_fail(e, -ENOMEM,
			       "the initrd of %" PRIu64 " MiB is larger than "
			       "the guest's memory of %" PRIu64 " MiB",
			       initrd_bytes >> 20, nr_pages >> 8);
	l.kernel_pfn = k->p_start >> BH_PAGE_SHIFT;
	l.kernel_end_pfn = PAGES(k->p_end);
	l.nr_initrd = PAGES(initrd_bytes);
	l.nr_p2m = PAGES(nr_pages * sizeof(xen_pfn_t));
	pfn = l.kernel_end_pfn;
	if (!k->unmapped_initrd) {
		l.initrd_pfn = pfn;
		pfn += l.nr_initrd;
	}
	if (!k->has_init_p2m) {
		l.p2m_pfn = pfn;
		l.p2m_va = k->virt_base + (pfn << BH_PAGE_SHIFT);
		pfn += l.nr_p2m;
	}
	l.start_info_pfn = pfn++;
	l.store_pfn = pfn++;
	l.console_pfn = pfn++;
	l.pt_pfn = pfn;
	base = pfn;
	for (l.nr_pt = 1;;) {
		uint64_t need;

		l.stack_pfn = base + l.nr_pt;
		/* 512 KiB beyond the stack, then up to the next 4 MiB */
		l.map_pages = (l.stack_pfn + 1 + 128 + 1023) & ~1023ull;
		too_far = l.map_pages > MAX_MAP_PAGES;
		if (too_far) /* there are no addresses to count tables for */
			break;
		need = 1 + tables_for(k->virt_base, l.map_pages);
		if (need <= l.nr_pt)
			break;
		l.nr_pt = need;
	}
	/* from here on nothing is mapped by the initial tables */
	pfn = MAX(l.stack_pfn + 1, l.map_pages);
	if (pfn > nr_pages || l.map_pages > nr_pages) {
		/* a small guest: map what there is */
		l.map_pages = MIN(l.map_pages, nr_pages);
		pfn = l.stack_pfn + 1;
	}
	if (k->unmapped_initrd) {
		l.initrd_pfn = pfn;
		pfn += l.nr_initrd;
	}
	if (k->has_init_p2m) {
		l.p2m_pfn = pfn;
		l.p2m_va = k->init_p2m;
		pfn += l.nr_p2m;
		l.p2m_pt_pfn = pfn;
		l.nr_p2m_pt = tables_for(l.p2m_va, l.nr_p2m);
		pfn += l.nr_p2m_pt;
	}
	l.used_pages = pfn;
	if (pfn >= nr_pages)
		return bh_fail(e, -ENOMEM,
			       "kernel, initrd and tables need %" PRIu64
			       " MiB, but memory = %" PRIu64,
			       (pfn >> 8) + 1, nr_pages >> 8);
	if (too_far)
		return bh_fail(e, -ENOMEM,
			       "kernel, initrd and p2m list do not fit into "
			       "the kernel's 2 GiB of initial mapping");
	*ret = l;
	return 0;
}
