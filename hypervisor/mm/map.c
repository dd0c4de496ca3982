/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor's dynamic mappings (VMAP): device registers, per-CPU stubs,
 * firmware tables. A bit map of pages, first fit: few and mostly for ever. The
 * level-3 table is in every guest's top level table from the start, so a new
 * mapping is seen everywhere at once; a removed one is flushed everywhere.
 */
#include <bh/mm.h>
#include <bh/smp.h>

#include "mm_private.h"

#define VMAP_PAGES 131072UL /* 512 MiB */

static DECLARE_BITMAP(used, VMAP_PAGES);
static struct spinlock vmap_lock = SPINLOCK_INIT(LOCK_NONE);

/* The slot of va, tables made on the way when asked for. */
static u64 *vmap_slot(unsigned long va, bool make)
{
	u64 *t = hv_l4, *e;

	for (int level = 4; level > 1; level--) {
		e = &t[va >> (3 + 9 * level) & 511];
		if (!(*e & PTE_P)) {
			void *p = make ? alloc_page() : NULL;

			if (!p)
				return NULL;
			*e = virt_to_maddr(p) | PTE_P | PTE_W | PTE_A | PTE_D;
		}
		t = maddr_to_virt(*e & PADDR_MASK & PAGE_MASK);
	}
	return &t[va >> PAGE_SHIFT & 511];
}

static long find_run(unsigned long n)
{
	unsigned long s = 1, e; /* one unmapped page before everything */

	for (;;) {
		s = find_next_zero_bit(used, VMAP_PAGES, s);
		if (s + n >= VMAP_PAGES)
			return -1;
		e = find_next_bit(used, s + n + 1, s);
		if (e >= s + n + 1)
			return s; /* with an unmapped page behind */
		s = e + 2;
	}
}

static void unmap_pages(unsigned long va, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		u64 *slot = vmap_slot(va + i * PAGE_SIZE, false);

		if (slot)
			WRITE_ONCE(*slot, 0);
	}
	tlb_flush_all();
	for (unsigned long i = 0; i < n; i++)
		__clear_bit((va - VMAP_START) / PAGE_SIZE + i, used);
}

void *ioremap(paddr_t pa, size_t len, u64 pte)
{
	unsigned long off = pa & ~PAGE_MASK, va;
	unsigned long n = (off + len + PAGE_SIZE - 1) >> PAGE_SHIFT;
	long first;

	if (!hv_l4 || !len || pa + len < pa || pa + len > PADDR_MASK)
		return NULL; /* too early, or nonsense */
	if (!cpu_has.nx)
		pte &= ~PTE_NX;
	spin_lock(&vmap_lock);
	first = find_run(n);
	for (unsigned long i = 0; first >= 0 && i < n; i++)
		__set_bit(first + i, used);
	va = first < 0 ? 0 : VMAP_START + first * PAGE_SIZE;
	for (unsigned long i = 0; va && i < n; i++) {
		u64 *slot = vmap_slot(va + i * PAGE_SIZE, true);

		if (!slot) {
			unmap_pages(va, n);
			va = 0;
			break;
		}
		WRITE_ONCE(*slot, ((pa & PAGE_MASK) + i * PAGE_SIZE) | pte);
	}
	spin_unlock(&vmap_lock);
	return va ? (void *)(va + off) : NULL;
}

void iounmap(void *va, size_t len)
{
	unsigned long a = (unsigned long)va;

	if (!va)
		return;
	spin_lock(&vmap_lock);
	unmap_pages(a & PAGE_MASK,
		    ((a & ~PAGE_MASK) + len + PAGE_SIZE - 1) >> PAGE_SHIFT);
	spin_unlock(&vmap_lock);
}
