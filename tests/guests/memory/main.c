/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory_op: ballooning out and in, exchange for contiguous address-limited
 * memory, maps of the machine, and what is refused.
 */
#include "lib.h"

static long memory_op(unsigned int cmd, void *arg)
{
	return HC(__HYPERVISOR_memory_op, cmd, arg);
}

static void balloon(void)
{
	u64 *p = page();
	xen_pfn_t frame = mfn_of(p), back = pfn_of(p);
	struct xen_memory_reservation r = { .nr_extents = 1,
					    .domid = DOMID_SELF };
	domid_t dom = DOMID_SELF;
	long before = memory_op(XENMEM_current_reservation, &dom);

	CHECK(before > 0);
	SET_HANDLE(r.extent_start, &frame);
	p[0] = 0xdead;
	/* Mapped still: the frame stays ours. */
	CHECK(memory_op(XENMEM_decrease_reservation, &r) != 1 ||
	      memory_op(XENMEM_current_reservation, &dom) <= before);
	EQ(map((u64)p, 0, UVMF_INVLPG), 0);
	if (memory_op(XENMEM_current_reservation, &dom) == before)
		EQ(memory_op(XENMEM_decrease_reservation, &r), 1);
	EQ(memory_op(XENMEM_current_reservation, &dom), before - 1);
	CHECK(map((u64)p, frame << 12 | PTE_P | PTE_W, 0) < 0); /* gone */
	SET_HANDLE(r.extent_start, &back);
	EQ(memory_op(XENMEM_populate_physmap, &r), 1);
	EQ(memory_op(XENMEM_current_reservation, &dom), before);
	EQ(map((u64)p, back << 12 | PTE_P | PTE_W | PTE_U, UVMF_INVLPG), 0);
	EQ(((u64 *)0xffff800000000000UL)[back], pfn_of(p));
	((u64 *)start_info_ptr->mfn_list)[pfn_of(p)] = back;
	p[0] = 1;
}

static void exchange(void)
{
	u64 *p[4];
	xen_pfn_t in[4], out;
	struct xen_memory_exchange x = {
		.in = { .nr_extents = 4,
			.extent_order = 0,
			.domid = DOMID_SELF },
		.out = { .nr_extents = 1,
			 .extent_order = 2,
			 .mem_flags = 32,
			 .domid = DOMID_SELF },
	};

	for (int i = 0; i < 4; i++)
		p[i] = page(); /* consecutive */
	out = pfn_of(p[0]);
	for (int i = 0; i < 4; i++) {
		in[i] = mfn_of(p[i]);
		EQ(map((u64)p[i], 0, UVMF_INVLPG), 0);
	}
	SET_HANDLE(x.in.extent_start, in);
	SET_HANDLE(x.out.extent_start, &out);
	EQ(memory_op(XENMEM_exchange, &x), 0);
	EQ(x.nr_exchanged, 4);
	CHECK(out + 4 <= 1UL << 20);
	EQ(out & 3, 0);
	for (int i = 0; i < 4; i++) {
		((u64 *)start_info_ptr->mfn_list)[pfn_of(p[i])] = out + i;
		EQ(((u64 *)0xffff800000000000UL)[out + i], pfn_of(p[i]));
		EQ(RW(p[i]), 0);
		p[i][0] = i;
	}
	x.nr_exchanged = 0;
	x.out.extent_order = 1;
	EQ(memory_op(XENMEM_exchange, &x), -E_INVAL); /* sizes differ */
}

static void maps(void)
{
	static struct {
		u64 addr, size;
		u32 type;
	} __attribute__((packed)) e[64];
	struct xen_memory_map m = { .nr_entries = ARRAY_SIZE(e) };
	struct xen_machphys_mapping mm;
	u64 ram = 0;

	SET_HANDLE(m.buffer, e);
	EQ(memory_op(XENMEM_machine_memory_map, &m), 0);
	CHECK(m.nr_entries > 1 && m.nr_entries <= ARRAY_SIZE(e));
	for (unsigned int i = 0; i < m.nr_entries; i++)
		if (e[i].type == 1)
			ram += e[i].size;
	CHECK(ram >= start_info_ptr->nr_pages << 12);
	EQ(memory_op(XENMEM_machphys_mapping, &mm), 0);
	EQ(mm.v_start, 0xffff800000000000UL);
	CHECK(mm.max_mfn > start_info_ptr->nr_pages);
	CHECK(memory_op(XENMEM_maximum_ram_page, 0) > 0);
	EQ(memory_op(63, &m), -E_NOSYS);
}

static void refusals(void)
{
	xen_pfn_t f = 0x200;
	struct xen_memory_reservation r = { .nr_extents = 1,
					    .domid = DOMID_SELF };
	domid_t dom = 4321;

	SET_HANDLE(r.extent_start, &f);
	CHECK(memory_op(XENMEM_decrease_reservation, &r) <= 0 ||
	      va_of_mfn(0x200));
	r.domid = 4321;
	EQ(memory_op(XENMEM_populate_physmap, &r), 0); /* none done */
	EQ(memory_op(XENMEM_current_reservation, &dom), -E_SRCH);
	r.domid = DOMID_SELF;
	r.nr_extents = ~0UL >> 1;
	CHECK(memory_op(XENMEM_populate_physmap, &r) <= 0);
	r.nr_extents = 1;
	r.extent_order = 60;
	CHECK(memory_op(XENMEM_populate_physmap, &r) <= 0);
}

void test_main(void)
{
	maps();
	balloon();
	exchange();
	refusals();
}
