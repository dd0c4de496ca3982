/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attacks on page tables: every way to get a table, a descriptor page, somebody
 * else's or the hypervisor's frame mapped writable must fail with the error the
 * ABI defines, leave the counts right, and leave the machine running.
 */
#include "lib.h"

static u64 *l1_page;

static void update_va(void)
{
	u64 *p = page();

	EQ(RO(p), 0);
	CHECK(TRAPS(*(volatile u64 *)p = 1));
	EQ(last_trap.vector, 14);
	EQ(last_trap.error & 3, 3);
	EQ(RW(p), 0);
	*(volatile u64 *)p = 1;
	/* Superpages, frames that do not exist, reserved bits. */
	CHECK(map((u64)p, (1UL << 51) | PTE_P, 0) < 0);
	CHECK(map((u64)p, 0x000fffffff000000UL | PTE_P | PTE_W, 0) < 0);
	EQ(map(HV_ADDR, mfn_of(p) << 12 | PTE_P, 0), -E_INVAL);
	EQ(map(0x700000000000UL, mfn_of(p) << 12 | PTE_P, 0), -E_INVAL);
	EQ(map(BAD_ADDR, mfn_of(p) << 12 | PTE_P, 0), -E_INVAL);
	*(volatile u64 *)p = 2; /* still mapped as it was */
}

/* A frame of the hypervisor: the one its own code is mapped from is not ours,
 * neither is any frame the M2P does not give to us. */
static void foreign_frames(void)
{
	u64 *p = page();
	const u64 *m2p = (const u64 *)0xffff800000000000UL;
	unsigned int tried = 0;

	for (u64 mfn = 0x200; mfn < 0x300 && tried < 8; mfn++) {
		u64 pfn = m2p[mfn];

		if (pfn < start_info_ptr->nr_pages && mfn_of_pfn(pfn) == mfn)
			continue; /* ours */
		CHECK(map((u64)p, mfn << 12 | PTE_P | PTE_W, 0) < 0);
		tried++;
	}
	CHECK(tried > 0);
	/* The local APIC and the I/O APIC. */
	CHECK(map((u64)p, 0xfee00000UL | PTE_P | PTE_W, 0) < 0);
	CHECK(map((u64)p, 0xfec00000UL | PTE_P | PTE_W, 0) < 0);
	/* The M2P itself, through its frames. */
	CHECK(map((u64)p, pte_value(0xffff800000000000UL, 4), 0) < 0);
}

static void tables_stay_read_only(void)
{
	u64 *p = page();

	for (int level = 1; level <= 4; level++) {
		u64 ma = pte_maddr((u64)p, level);
		u64 *table = va_of_mfn(ma >> 12);

		CHECK(map((u64)p, (ma & PTE_FRAME) | PTE_P | PTE_W | PTE_U, 0) <
		      0);
		CHECK(RW(table) < 0);
		/* Reading is fine. */
		EQ(map((u64)p, (ma & PTE_FRAME) | PTE_P | PTE_U, UVMF_INVLPG),
		   0);
		EQ(((u64 *)p)[(ma & 0xfff) / 8] & PTE_P, PTE_P);
	}
}

static void pin(void)
{
	u64 *l1 = page(), *data = page();

	/* Writable mapping exists: cannot become a table. */
	CHECK(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(l1), 0) < 0);
	l1[0] = mfn_of(data) << 12 | PTE_P | PTE_W | PTE_U;
	EQ(RO(l1), 0);
	EQ(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(l1), 0), 0);
	EQ(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(l1), 0), -E_INVAL);
	CHECK(RW(l1) < 0);
	/* It holds a writable mapping of data: data cannot be a table. */
	EQ(RO(data), 0);
	CHECK(mmuext(MMUEXT_PIN_L2_TABLE, mfn_of(data), 0) < 0);
	/* Drop the entry: now it can. */
	EQ(mmu_one(mfn_of(l1) << 12, 0), 0);
	EQ(mmuext(MMUEXT_PIN_L2_TABLE, mfn_of(data), 0), 0);
	EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(data), 0), 0);
	EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(data), 0), -E_INVAL);
	EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(l1), 0), 0);
	EQ(RW(l1), 0);
	EQ(RW(data), 0);
	/* Wrong levels. */
	CHECK(mmuext(MMUEXT_PIN_L4_TABLE, pte_maddr((u64)l1, 1) >> 12, 0) < 0);
	CHECK(mmuext(MMUEXT_PIN_L1_TABLE, ~0UL, 0) < 0);
	CHECK(mmuext(MMUEXT_NEW_BASEPTR, mfn_of(data), 0) < 0);
	EQ(mmuext(999, 0, 0), -E_NOSYS);
}

/* A table page that maps itself writable, at every level. */
static void recursion(void)
{
	u64 *l1 = page(), *l2 = page();

	l1[5] = mfn_of(l1) << 12 | PTE_P | PTE_W | PTE_U;
	EQ(RO(l1), 0);
	CHECK(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(l1), 0) < 0);
	EQ(RW(l1), 0); /* the refusal left nothing behind */
	l1[5] = 0;
	l2[0] = mfn_of(l2) << 12 | PTE_P | PTE_W | PTE_U;
	EQ(RO(l2), 0);
	CHECK(mmuext(MMUEXT_PIN_L2_TABLE, mfn_of(l2), 0) < 0);
	EQ(RW(l2), 0);
	/* A superpage entry. */
	l2[0] = mfn_of(l1) << 12 | PTE_P | PTE_W | PTE_U | PTE_PS;
	EQ(RO(l2), 0);
	CHECK(mmuext(MMUEXT_PIN_L2_TABLE, mfn_of(l2), 0) < 0);
	EQ(RW(l2), 0);
	l2[0] = 0;
}

/* The hypervisor's slots of the top level are not the guest's to change. */
static void reserved_slots(void)
{
	for (unsigned int slot = 256; slot <= 271; slot += 5) {
		u64 ma = (mfn_of((void *)start_info_ptr->pt_base) << 12) +
			 slot * 8;

		CHECK(mmu_one(ma, 0) < 0);
		CHECK(mmu_one(ma, mfn_of(l1_page) << 12 | PTE_P) < 0);
	}
}

/* Writes to a read-only mapped L1 are emulated, through the same checks. */
static void emulated_writes(void)
{
	u64 *data = page();
	u64 ma = pte_maddr((u64)data, 1);
	volatile u64 *slot = (u64 *)((u64)va_of_mfn(ma >> 12) + (ma & 0xfff));
	u64 old = *slot, val;

	EQ(HC(__HYPERVISOR_vm_assist, VMASST_CMD_enable,
	      VMASST_TYPE_writable_pagetables),
	   0);
	CHECK(!TRAPS(*slot = 0));
	EQ(*slot, 0);
	CHECK(!TRAPS(*slot = old));
	CHECK((*slot & PTE_FRAME) == (old & PTE_FRAME));
	val = 0;
	CHECK(!TRAPS(({
		__asm__ volatile("xchg %0, %1" : "+r"(val), "+m"(*slot));
	})));
	CHECK((val & PTE_FRAME) == (old & PTE_FRAME));
	EQ(*slot, 0);
	*slot = old;
	CHECK(!TRAPS(__asm__ volatile("lock; andb $0xfd, %0"
				      : "+m"(*(volatile u8 *)slot))));
	EQ(*slot & PTE_W, 0);
	CHECK(!TRAPS(__asm__ volatile("lock; btsq $1, %0" : "+m"(*slot))));
	EQ(*slot & PTE_W, PTE_W);
	/* What is not allowed comes back as the page fault. */
	CHECK(TRAPS(*slot = (ma & PTE_FRAME) | PTE_P | PTE_W | PTE_U));
	EQ(last_trap.vector, 14);
	EQ(*slot & PTE_FRAME, old & PTE_FRAME);
	*(volatile u64 *)data = 7;
}

static void batches(void)
{
	struct mmu_update u[3];
	u64 *p = page();
	u64 ma = pte_maddr((u64)p, 1), old = pte_value((u64)p, 1);
	unsigned int done = 0;

	u[0] = (struct mmu_update){ ma, old & ~PTE_W };
	u[1] = (struct mmu_update){ ma, (1UL << 51) | PTE_P };
	u[2] = (struct mmu_update){ ma, old };
	CHECK(HC(__HYPERVISOR_mmu_update, u, 3, &done, DOMID_SELF) < 0);
	EQ(done, 1); /* stops at the one that fails, tells how far it came */
	u[1] = u[2];
	done = 0;
	EQ(HC(__HYPERVISOR_mmu_update, u, 2, &done, DOMID_SELF), 0);
	EQ(done, 2);
	CHECK(HC(__HYPERVISOR_mmu_update, u, 0x40000000, 0, DOMID_SELF) < 0);
	CHECK(mmu_one(ma | 5, old) < 0); /* no such type */
	CHECK(mmu_one(HV_ADDR, 0) < 0);
	/* An ordinary page is written as memory. */
	EQ(mmu_one(mfn_of(p) << 12 | 16, 0x1234), 0);
	EQ(p[2], 0x1234);
	/* M2P of a frame of ours. */
	EQ(mmu_one((mfn_of(p) << 12) | MMU_MACHPHYS_UPDATE, 0x77), 0);
	EQ(((u64 *)0xffff800000000000UL)[mfn_of(p)], 0x77);
	EQ(mmu_one((mfn_of(p) << 12) | MMU_MACHPHYS_UPDATE, pfn_of(p)), 0);
	CHECK(mmu_one((0x200UL << 12) | MMU_MACHPHYS_UPDATE, 1) < 0 ||
	      va_of_mfn(0x200) != (void *)VIRT_BASE);
}

void test_main(void)
{
	l1_page = page();
	update_va();
	foreign_frames();
	tables_stay_read_only();
	pin();
	recursion();
	reserved_slots();
	emulated_writes();
	batches();
}
