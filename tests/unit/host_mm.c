/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames for the tests of mm/, see host_mm.h. */
#include <string.h>
#include <sys/mman.h>

#include "host_mm.h"

__thread struct vcpu *host_vcpu;
unsigned long max_mfn;
unsigned long frame_chunks[320];
unsigned long *m2p;
u64 *hv_l4;

static void *map_at(unsigned long va, size_t len)
{
	void *p = mmap((void *)va, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p == MAP_FAILED)
		panic("mmap of %zu bytes at %#lx failed\n", len, va);
	return p;
}

void host_mm_init(unsigned long n)
{
	map_at(DIRECTMAP_START, n * PAGE_SIZE);
	map_at(FRAMETABLE_START, n * sizeof(struct page_info));
	m2p = map_at(0x230000000000UL, n * sizeof(u64));
	max_mfn = n;
	memset(frame_chunks, 0xff, sizeof(frame_chunks));
}

paddr_t virt_to_maddr(const void *va)
{
	return (unsigned long)va - DIRECTMAP_START;
}

bool mfn_valid(mfn_t mfn)
{
	return mfn_x(mfn) < max_mfn;
}
