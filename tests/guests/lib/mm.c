/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames and page tables of the test kernel, all inside its initial mapping. */
#include "lib.h"

#define M2P ((const u64 *)0xffff800000000000UL)

extern char _end[];

u64 pfn_of(const void *va)
{
	return ((u64)va - VIRT_BASE) >> 12;
}

u64 mfn_of_pfn(u64 pfn)
{
	return ((const u64 *)start_info_ptr->mfn_list)[pfn];
}

u64 mfn_of(const void *va)
{
	return mfn_of_pfn(pfn_of(va));
}

void *va_of_mfn(u64 mfn)
{
	return (void *)(VIRT_BASE + (M2P[mfn] << 12));
}

u64 pte_maddr(u64 va, int level)
{
	u64 *t = (u64 *)start_info_ptr->pt_base;

	for (int l = 4;; l--) {
		u64 *e = &t[va >> (12 + 9 * (l - 1)) & 511];

		if (l == level)
			return (mfn_of(e) << 12) | ((u64)e & 0xfff);
		if (!(*e & PTE_P))
			return 0;
		t = va_of_mfn((*e & PTE_FRAME) >> 12);
	}
}

u64 pte_value(u64 va, int level)
{
	u64 ma = pte_maddr(va, level);

	return ma ? *(u64 *)((u64)va_of_mfn(ma >> 12) + (ma & 0xfff)) : 0;
}

static char pool[128][4096] PAGE_ALIGNED;
static unsigned int pool_used;

void *page(void)
{
	if (pool_used == ARRAY_SIZE(pool)) {
		check(false, "test kernel has pages left", __FILE__, __LINE__);
		finish();
	}
	return memset(pool[pool_used++], 0, 4096);
}

long map(u64 va, u64 pte, u64 flags)
{
	return HC(__HYPERVISOR_update_va_mapping, va, pte, flags);
}

long mmu_one(u64 ptr, u64 val)
{
	struct mmu_update u = { ptr, val };

	return HC(__HYPERVISOR_mmu_update, &u, 1, 0, DOMID_SELF);
}

long mmuext(u32 cmd, u64 arg1, u64 arg2)
{
	struct mmuext_op op = { .cmd = cmd };

	op.arg1.mfn = arg1;
	op.arg2.nr_ents = arg2;
	return HC(__HYPERVISOR_mmuext_op, &op, 1, 0, DOMID_SELF);
}
