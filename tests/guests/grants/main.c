/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grant tables, granting to ourselves: map, copy, unmap, permissions, bad
 * references, both versions of the table.
 */
#include "lib.h"

static struct grant_entry_v1 *table;
static domid_t self;

static long gnttab(int cmd, void *op, unsigned int n)
{
	return HC(__HYPERVISOR_grant_table_op, cmd, op, n);
}

/* Our own domain id: dom0, as the start flags say. */
static void setup(void)
{
	struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = 1 };
	xen_pfn_t frame = 0;

	SET_HANDLE(s.frame_list, &frame);
	EQ(gnttab(GNTTABOP_setup_table, &s, 1), 0);
	EQ(s.status, GNTST_okay);
	table = page();
	EQ(map((u64)table, frame << 12 | PTE_P | PTE_W | PTE_U, UVMF_INVLPG),
	   0);
	s.nr_frames = 100000;
	EQ(gnttab(GNTTABOP_setup_table, &s, 1), 0);
	CHECK(s.status != GNTST_okay);
	s.dom = 777;
	EQ(gnttab(GNTTABOP_setup_table, &s, 1), 0);
	EQ(s.status, GNTST_bad_domain);
}

static void grant(u32 ref, void *p, u16 flags)
{
	table[ref].frame = mfn_of(p);
	table[ref].domid = self;
	__asm__ volatile("" ::: "memory");
	table[ref].flags = GTF_permit_access | flags;
}

static void map_unmap(void)
{
	u64 *data = page(), *window = page();
	struct gnttab_map_grant_ref m = {
		.host_addr = (u64)window,
		.flags = GNTMAP_host_map,
		.ref = 10,
		.dom = self,
	};
	struct gnttab_unmap_grant_ref u;

	data[0] = 0xfeed;
	grant(10, data, 0);
	/* As a kernel does it: the place is empty when a grant is mapped. */
	EQ(map((u64)window, 0, UVMF_INVLPG), 0);
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	EQ(m.status, GNTST_okay);
	EQ(m.dev_bus_addr, mfn_of(data) << 12);
	EQ(window[0], 0xfeed);
	window[0] = 0xbeef;
	EQ(data[0], 0xbeef);
	EQ(table[10].flags & (GTF_reading | GTF_writing),
	   GTF_reading | GTF_writing);
	/* While mapped writable the frame cannot become a table. */
	EQ(RO(data), 0);
	CHECK(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(data), 0) < 0);
	EQ(RW(data), 0);

	u = (struct gnttab_unmap_grant_ref){ .host_addr = (u64)window,
					     .handle = m.handle };
	EQ(gnttab(GNTTABOP_unmap_grant_ref, &u, 1), 0);
	EQ(u.status, GNTST_okay);
	EQ(table[10].flags & (GTF_reading | GTF_writing), 0);
	CHECK(TRAPS(*(volatile u64 *)window));
	EQ(gnttab(GNTTABOP_unmap_grant_ref, &u, 1), 0);
	EQ(u.status, GNTST_bad_handle);
	u.handle = 0xfffffff0;
	EQ(gnttab(GNTTABOP_unmap_grant_ref, &u, 1), 0);
	EQ(u.status, GNTST_bad_handle);
	EQ(RW(window), 0);
}

static void refusals(void)
{
	u64 *data = page(), *window = page();
	struct gnttab_map_grant_ref m = {
		.host_addr = (u64)window,
		.flags = GNTMAP_host_map,
		.ref = 11,
		.dom = self,
	};

	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	CHECK(m.status < 0); /* not granted */
	grant(11, data, GTF_readonly);
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	CHECK(m.status < 0); /* read-only grant, writable map */
	table[11].domid = 5;
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	CHECK(m.status < 0); /* granted to somebody else */
	m.ref = 0x7fffffff;
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	EQ(m.status, GNTST_bad_gntref);
	m.dom = 999;
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	EQ(m.status, GNTST_bad_domain);
	/* A page table, granted: it may not be mapped writable. */
	m.dom = self;
	m.ref = 12;
	grant(12, (void *)start_info_ptr->pt_base, 0);
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	CHECK(m.status < 0);
	/* A frame that does not exist. */
	table[12].frame = 0xffffff00;
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	CHECK(m.status < 0);
	EQ(table[12].flags & (GTF_reading | GTF_writing), 0);
	/* An address inside the hypervisor, one without a table. */
	grant(12, data, 0);
	m.host_addr = HV_ADDR;
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	CHECK(m.status < 0);
	m.host_addr = 0x123456789000UL;
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	CHECK(m.status < 0);
	EQ(table[12].flags & (GTF_reading | GTF_writing), 0);
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, -1), -E_INVAL);
	EQ(gnttab(12345, &m, 1), -E_NOSYS);
}

static void copy(void)
{
	u8 *a = page(), *b = page();
	struct gnttab_copy c = {
		.source = { .u.ref = 13, .domid = self, .offset = 16 },
		.dest = { .u.gmfn = mfn_of(b),
			  .domid = DOMID_SELF,
			  .offset = 8 },
		.len = 32,
		.flags = GNTCOPY_source_gref,
	};

	for (int i = 0; i < 4096; i++)
		a[i] = i;
	grant(13, a, GTF_readonly);
	EQ(gnttab(GNTTABOP_copy, &c, 1), 0);
	EQ(c.status, GNTST_okay);
	CHECK(!memcmp(b + 8, a + 16, 32));
	EQ(b[7], 0);
	EQ(b[40], 0);
	c.len = 4090;
	EQ(gnttab(GNTTABOP_copy, &c, 1), 0);
	EQ(c.status, GNTST_bad_copy_arg);
	c.len = 8;
	c.dest.u.gmfn = mfn_of((void *)start_info_ptr->pt_base);
	EQ(gnttab(GNTTABOP_copy, &c, 1), 0);
	CHECK(c.status < 0); /* into a page table */
	c.dest.u.gmfn = 0x200;
	EQ(gnttab(GNTTABOP_copy, &c, 1), 0);
	CHECK(c.status < 0 || va_of_mfn(0x200));
	EQ(table[13].flags & (GTF_reading | GTF_writing), 0);
}

static void versions(void)
{
	struct gnttab_set_version v = { .version = 2 };
	struct gnttab_get_version g = { .dom = DOMID_SELF };
	struct gnttab_query_size q = { .dom = DOMID_SELF };

	EQ(gnttab(GNTTABOP_set_version, &v, 1), 0);
	EQ(gnttab(GNTTABOP_get_version, &g, 1), 0);
	EQ(g.version, 2);
	v.version = 3;
	EQ(gnttab(GNTTABOP_set_version, &v, 1), -E_INVAL);
	v.version = 1;
	EQ(gnttab(GNTTABOP_set_version, &v, 1), 0);
	EQ(gnttab(GNTTABOP_query_size, &q, 1), 0);
	EQ(q.status, GNTST_okay);
	CHECK(q.nr_frames >= 1 && q.max_nr_frames >= q.nr_frames);
}

void test_main(void)
{
	self = 0;
	setup();
	map_unmap();
	refusals();
	copy();
	versions();
}
