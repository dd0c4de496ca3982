/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first moments: what start_info and the registers promise (public/xen.h,
 * "Start-of-day memory layout"). Passes when every field is what the layout
 * says and the initial mapping is what the page tables hold.
 */
#include "lib.h"

void test_main(void)
{
	struct start_info *si = start_info_ptr;
	u64 l1 = pte_value((u64)si, 1);
	struct xen_memory_reservation unused;
	(void)unused;

	CHECK(!memcmp(si->magic, "xen-3.0-x86_64", 14));
	CHECK(si->nr_pages > 1000);
	CHECK((si->flags & (SIF_PRIVILEGED | SIF_INITDOMAIN)) ==
	      (SIF_PRIVILEGED | SIF_INITDOMAIN));
	CHECK(((u64)si & 4095) == 0);
	EQ(si->shared_info & 4095, 0);
	EQ(si->mfn_list, 0x8000000000UL);
	CHECK(si->nr_p2m_frames >= (si->nr_pages * 8 + 4095) / 4096);
	EQ(initial_rsp & 15, 0);
	CHECK(si->pt_base > (u64)si);
	/* The table pages are mapped read-only, ordinary pages writable. */
	CHECK(!(pte_value(si->pt_base, 1) & PTE_W));
	CHECK(l1 & PTE_W);
	CHECK(l1 & PTE_U);
	/* p2m and m2p agree for a page of ours. */
	EQ((u64)va_of_mfn(mfn_of(si)), (u64)si);
	for (u64 pfn = 0; pfn < si->nr_pages; pfn += si->nr_pages / 7)
		EQ(((u64 *)0xffff800000000000UL)[mfn_of_pfn(pfn)], pfn);
	/* Events start masked, nothing is pending on the way in. */
	EQ(shared->vcpu_info[0].evtchn_upcall_mask, 1);
	CHECK(shared->wc_sec != 0);
	CHECK(shared->vcpu_info[0].time.tsc_to_system_mul != 0);
}
