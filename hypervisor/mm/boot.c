/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory at boot: from the loader's memory map to our own page tables and a
 * heap.
 *
 * Everything needed before the heap exists is cut from the top of the free
 * regions of the map: page tables below 4 GiB (the boot page tables reach that
 * far), the frame table and the machine-to-phys table from the highest memory
 * there is, so that low, DMA-able memory stays free.
 *
 * The frame table and the M2P are sparse: 2 MiB of frame table describe 256 MiB,
 * 2 MiB of M2P describe 1 GiB, and a piece exists only where there is RAM. The
 * M2P is mapped twice, read-only for guests and writable for us.
 *
 * Top-level entries 256..271 never change after this: each has its level-3
 * table from the start, so copying the entries into a guest's table once is
 * enough.
 *
 * RAM below 1 MiB is treated as device memory: dom0 maps the BIOS areas and the
 * real-mode world there, and nobody else wants it.
 */
#include <bh/boot.h>
#include <bh/cpuops.h>
#include <bh/page.h>
#include <bh/sections.h>
#include <bh/smp.h>

#include "mm_private.h"

#define SZ_2M           (1UL << 21)
#define SZ_1G           (1UL << 30)
#define LOW_END         0x100000UL
#define PT_LIMIT        (1UL << 32)
#define MAX_PADDR       (DIRECTMAP_END - DIRECTMAP_START)
#define M2P_CHUNK_SHIFT 18 /* frames described by 2 MiB of M2P */

unsigned long max_mfn;
unsigned long *m2p = (unsigned long *)M2P_RW_START;
u64 *hv_l4;
unsigned long frame_chunks[BITS_TO_LONGS(MAX_PADDR >>
					 (PAGE_SHIFT + FRAME_CHUNK_SHIFT))];
static unsigned long
	m2p_chunks[BITS_TO_LONGS(MAX_PADDR >> (PAGE_SHIFT + M2P_CHUNK_SHIFT))];

extern u64 boot_l4[512];

#define MAX_REGIONS 320
static struct region {
	paddr_t s, e;
} regions[MAX_REGIONS] __initdata;
static unsigned int nr_regions __initdata;
static bool switched __initdata; /* our own tables are loaded */

bool mfn_valid(mfn_t mfn)
{
	return frame_is_ram(mfn_x(mfn));
}

paddr_t virt_to_maddr(const void *p)
{
	unsigned long va = (unsigned long)p;

	if (va >= DIRECTMAP_START)
		return va - DIRECTMAP_START;
	return va - IMAGE_START + image_phys;
}

/* ---- free regions --------------------------------------------------------- */

static void __init region_add(paddr_t s, paddr_t e)
{
	s = PFN_UP(s) << PAGE_SHIFT;
	e = e & PAGE_MASK;
	if (s >= e)
		return;
	if (nr_regions == MAX_REGIONS)
		panic("memory map too fragmented: more than %u free regions\n",
		      MAX_REGIONS);
	regions[nr_regions++] = (struct region){ s, e };
}

/* Takes [s, e) out of every region. */
static void __init region_cut(paddr_t s, paddr_t e)
{
	unsigned int n = nr_regions;

	s &= PAGE_MASK;
	e = PFN_UP(e) << PAGE_SHIFT;
	for (unsigned int i = 0; i < n; i++) {
		struct region r = regions[i];

		if (e <= r.s || s >= r.e)
			continue;
		regions[i].e = max(s, r.s);
		if (e < r.e)
			region_add(e, r.e);
	}
}

/* The highest place with everything below limit. */
static paddr_t __init boot_alloc(size_t size, size_t align, paddr_t limit)
{
	paddr_t best = 0;

	for (unsigned int i = 0; i < nr_regions; i++) {
		paddr_t e = min(regions[i].e, limit), p;

		if (e < size || regions[i].s >= regions[i].e)
			continue;
		p = (e - size) & ~(align - 1);
		if (p >= regions[i].s && p > best)
			best = p;
	}
	if (!best)
		panic("not enough memory for the hypervisor's own tables\n");
	region_cut(best, best + size);
	return best;
}

static void __init find_regions(const struct boot_info *bi)
{
	for (unsigned int i = 0; i < bi->nr_e820; i++) {
		const struct e820_entry *e = &bi->e820[i];

		if (e->type == E820_RAM && e->addr < MAX_PADDR)
			region_add(
				max((paddr_t)e->addr, LOW_END),
				min((paddr_t)(e->addr + e->size), MAX_PADDR));
	}
	for (unsigned int i = 0; i < nr_regions; i++)
		max_mfn = max(max_mfn, PFN_DOWN(regions[i].e));
	region_cut(bi->image_start, bi->image_end);
	for (unsigned int i = 0; i < bi->nr_mods; i++)
		region_cut(bi->mod[i].start, bi->mod[i].end);
}

/* ---- page tables ----------------------------------------------------------- */

static u64 *__init table_va(paddr_t pa)
{
	return switched ? maddr_to_virt(pa) : boot_va(pa);
}

static u64 *__init table_below(u64 *t, unsigned int idx, u64 flags)
{
	if (!(t[idx] & PTE_P)) {
		paddr_t pa = boot_alloc(PAGE_SIZE, PAGE_SIZE, PT_LIMIT);

		memset(table_va(pa), 0, PAGE_SIZE);
		t[idx] = pa | flags;
	}
	return table_va(t[idx] & PADDR_MASK & PAGE_MASK);
}

/* pte: bits of the leaf without PS. user: upper levels let ring 3 through. */
static void __init map_range(unsigned long va, paddr_t pa, size_t size, u64 pte,
			     size_t max_page)
{
	u64 upper = PTE_P | PTE_W | PTE_A | PTE_D | (pte & PTE_U);
	u64 *l4 = table_va((paddr_t)hv_l4);

	if (!cpu_has.nx)
		pte &= ~PTE_NX;
	while (size) {
		u64 *t = table_below(l4, va >> 39 & 511, upper);
		size_t step = PAGE_SIZE;

		if (!((va | pa) & (SZ_1G - 1)) && size >= SZ_1G &&
		    max_page >= SZ_1G) {
			step = SZ_1G;
			t[va >> 30 & 511] = pa | pte | PTE_PS;
		} else {
			t = table_below(t, va >> 30 & 511, upper);
			if (!((va | pa) & (SZ_2M - 1)) && size >= SZ_2M &&
			    max_page >= SZ_2M) {
				step = SZ_2M;
				t[va >> 21 & 511] = pa | pte | PTE_PS;
			} else {
				t = table_below(t, va >> 21 & 511, upper);
				t[va >> 12 & 511] = pa | pte;
			}
		}
		va += step;
		pa += step;
		size -= step;
	}
}

static void __init map_image(void)
{
	static const struct {
		char *s, *e;
		u64 pte;
	} parts[] = {
		{ _stext, _etext, PTE_HV_RX },
		{ _srodata, _erodata, PTE_HV_RO },
		{ __init_begin, __init_end, PTE_HV_RW & ~PTE_NX },
		{ _sdata, _end, PTE_HV_RW },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].s < parts[i].e)
			map_range((unsigned long)parts[i].s,
				  virt_to_maddr(parts[i].s),
				  PFN_UP(parts[i].e - parts[i].s) << PAGE_SHIFT,
				  parts[i].pte, PAGE_SIZE);
}

static void __init map_direct(const struct boot_info *bi)
{
	size_t big = cpu_has.page1g ? SZ_1G : SZ_2M;

	map_range(DIRECTMAP_START, 0, 0xa0000, PTE_HV_RW, PAGE_SIZE);
	map_range(DIRECTMAP_START + 0xa0000, 0xa0000, 0x20000, PTE_HV_UC,
		  PAGE_SIZE);
	map_range(DIRECTMAP_START + 0xc0000, 0xc0000, 0x40000, PTE_HV_RW,
		  PAGE_SIZE);
	for (unsigned int i = 0; i < bi->nr_e820; i++) {
		const struct e820_entry *e = &bi->e820[i];
		paddr_t s = max((paddr_t)e->addr, LOW_END);
		paddr_t end = min((paddr_t)(e->addr + e->size), MAX_PADDR);

		/* Firmware tables are worth reading as well. */
		if (e->type != E820_RAM && e->type != E820_ACPI &&
		    e->type != E820_NVS)
			continue;
		if (e->type == E820_RAM) {
			s = PFN_UP(s) << PAGE_SHIFT;
			end &= PAGE_MASK;
		} else {
			s &= PAGE_MASK;
			end = PFN_UP(end) << PAGE_SHIFT;
		}
		if (s < end)
			map_range(DIRECTMAP_START + s, s, end - s, PTE_HV_RW,
				  big);
	}
}

/* Maps the pieces of the frame table and the M2P that describe RAM. */
static void __init map_tables(const struct boot_info *bi)
{
	__set_bit(0, frame_chunks);
	__set_bit(0, m2p_chunks);
	for (unsigned int i = 0; i < bi->nr_e820; i++) {
		const struct e820_entry *e = &bi->e820[i];
		unsigned long f = PFN_UP(e->addr), l;

		l = min(PFN_DOWN(e->addr + e->size), max_mfn);
		if (e->type != E820_RAM || f >= l)
			continue;
		l--;
		for (unsigned long c = f >> FRAME_CHUNK_SHIFT;
		     c <= l >> FRAME_CHUNK_SHIFT; c++)
			__set_bit(c, frame_chunks);
		for (unsigned long c = f >> M2P_CHUNK_SHIFT;
		     c <= l >> M2P_CHUNK_SHIFT; c++)
			__set_bit(c, m2p_chunks);
	}
	for (unsigned long c = 0; c <= (max_mfn - 1) >> FRAME_CHUNK_SHIFT; c++)
		if (test_bit(c, frame_chunks))
			map_range(FRAMETABLE_START + c * SZ_2M,
				  boot_alloc(SZ_2M, SZ_2M, ~0UL), SZ_2M,
				  PTE_HV_RW, SZ_2M);
	for (unsigned long c = 0; c <= (max_mfn - 1) >> M2P_CHUNK_SHIFT; c++) {
		paddr_t pa;

		if (!test_bit(c, m2p_chunks))
			continue;
		pa = boot_alloc(SZ_2M, SZ_2M, ~0UL);
		map_range(M2P_RW_START + c * SZ_2M, pa, SZ_2M, PTE_HV_RW,
			  SZ_2M);
		map_range(M2P_RO_START + c * SZ_2M, pa, SZ_2M,
			  PTE_HV_RO | PTE_U, SZ_2M);
	}
}

static void __init switch_tables(void)
{
	paddr_t pa = (paddr_t)hv_l4;

	write_cr3(pa);
	hv_l4 = maddr_to_virt(pa);
	switched = true;
	/* Application processors start on the boot tables. */
	memcpy(boot_l4 + HV_L4_FIRST, hv_l4 + HV_L4_FIRST,
	       (HV_L4_LAST - HV_L4_FIRST + 1) * sizeof(u64));
}

/* ---- frame table ----------------------------------------------------------- */

static void __init mark_io(unsigned long first, unsigned long end)
{
	for (unsigned long f = first; f < end; f++)
		frame_table[f].count = PGC_IO;
}

static void __init init_tables(const struct boot_info *bi)
{
	unsigned long next = LOW_END >> PAGE_SHIFT;

	for (unsigned long c = 0; c <= (max_mfn - 1) >> FRAME_CHUNK_SHIFT; c++)
		if (test_bit(c, frame_chunks))
			memset(frame_table + (c << FRAME_CHUNK_SHIFT), 0,
			       SZ_2M);
	for (unsigned long c = 0; c <= (max_mfn - 1) >> M2P_CHUNK_SHIFT; c++)
		if (test_bit(c, m2p_chunks))
			memset(m2p + (c << M2P_CHUNK_SHIFT), 0xff, SZ_2M);
	mark_io(0, next);
	/* Holes between RAM ranges, where the table covers them. */
	for (unsigned int i = 0; i <= bi->nr_e820; i++) {
		unsigned long s = max_mfn, e = max_mfn;

		if (i < bi->nr_e820) {
			if (bi->e820[i].type != E820_RAM)
				continue;
			s = min(PFN_UP(bi->e820[i].addr), max_mfn);
			e = min(PFN_DOWN(bi->e820[i].addr + bi->e820[i].size),
				max_mfn);
		}
		for (unsigned long f = next; f < s; f++) {
			if (!test_bit(f >> FRAME_CHUNK_SHIFT, frame_chunks)) {
				f |= (1UL << FRAME_CHUNK_SHIFT) - 1;
				continue;
			}
			frame_table[f].count = PGC_IO;
		}
		next = max(next, e);
	}
}

void __init mm_boot_init(const struct boot_info *bi)
{
	static const unsigned int own_l3[] = { 256, 259, 260, 261 };
	unsigned long own;
	paddr_t pa;

	find_regions(bi);
	if (!max_mfn)
		panic("no usable RAM above 1 MiB in the memory map\n");
	pa = boot_alloc(PAGE_SIZE, PAGE_SIZE, PT_LIMIT);
	memset(boot_va(pa), 0, PAGE_SIZE);
	hv_l4 = (u64 *)pa; /* physical until the switch */
	map_image();
	map_direct(bi);
	map_tables(bi);
	for (unsigned int i = 0; i < ARRAY_SIZE(own_l3); i++)
		table_below(boot_va(pa), own_l3[i],
			    PTE_P | PTE_W | PTE_A | PTE_D);
	switch_tables();
	init_tables(bi);
	for (unsigned int i = 0; i < nr_regions; i++)
		if (regions[i].s < regions[i].e)
			heap_add_range(PFN_DOWN(regions[i].s),
				       PFN_DOWN(regions[i].e) - 1);
	own = bitmap_weight(frame_chunks, ARRAY_SIZE(frame_chunks) * 64) +
	      bitmap_weight(m2p_chunks, ARRAY_SIZE(m2p_chunks) * 64);
	printk(LVL_INFO
	       "memory: %lu MiB free, %lu MiB in frame tables, frames up to %#lx\n",
	       heap_free_pages() >> 8, own * 2, max_mfn);
}

void mm_release_range(paddr_t start, paddr_t end)
{
	unsigned long f = PFN_UP(start), e = PFN_DOWN(end);

	while (f < e) {
		unsigned long n = f;

		while (n < e && frame_is_ram(n))
			n++;
		if (n > f)
			heap_add_range(f, n - 1);
		f = n + 1;
	}
}

void mm_boot_release(void)
{
	paddr_t s = virt_to_maddr(__init_begin), e = virt_to_maddr(__init_end);

	for (unsigned long va = (unsigned long)__init_begin;
	     va < (unsigned long)__init_end; va += PAGE_SIZE) {
		u64 *t = hv_l4;

		for (int level = 4; level > 1; level--)
			t = maddr_to_virt(t[va >> (3 + 9 * level) & 511] &
					  PADDR_MASK & PAGE_MASK);
		WRITE_ONCE(t[va >> PAGE_SHIFT & 511], 0);
	}
	tlb_flush_all();
	mm_release_range(s, e);
	printk(LVL_DEBUG "memory: %lu KiB of boot code freed, %lu MiB free\n",
	       (e - s) >> 10, heap_free_pages() >> 8);
}

unsigned int m2p_nr_chunks(void)
{
	return ((max_mfn - 1) >> M2P_CHUNK_SHIFT) + 1;
}

unsigned long m2p_chunk_mfn(unsigned int i)
{
	unsigned long va = M2P_RW_START + i * SZ_2M;
	u64 *t = hv_l4;

	if (!test_bit(i, m2p_chunks))
		return 0;
	t = maddr_to_virt(t[va >> 39 & 511] & PADDR_MASK & PAGE_MASK);
	t = maddr_to_virt(t[va >> 30 & 511] & PADDR_MASK & PAGE_MASK);
	return (t[va >> 21 & 511] & PADDR_MASK) >> (PAGE_SHIFT + 9) << 9;
}
