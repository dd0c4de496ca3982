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

static int16_t map_at(u32 ref, u64 *window, u16 flags, u32 *handle)
{
	struct gnttab_map_grant_ref m = {
		.host_addr = (u64)window,
		.flags = GNTMAP_host_map | flags,
		.ref = ref,
		.dom = self,
	};

	EQ(map((u64)window, 0, UVMF_INVLPG), 0);
	EQ(gnttab(GNTTABOP_map_grant_ref, &m, 1), 0);
	*handle = m.handle;
	return m.status;
}

static int16_t unmap_at(u32 handle, u64 *window)
{
	struct gnttab_unmap_grant_ref u = { .host_addr = (u64)window,
					    .handle = handle };

	EQ(gnttab(GNTTABOP_unmap_grant_ref, &u, 1), 0);
	return u.status;
}

/* Nothing but its own mapping holds the frame: it can be any table. */
static void is_unused(u64 *p)
{
	EQ(RO(p), 0);
	EQ(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(p), 0), 0);
	EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(p), 0), 0);
	EQ(mmuext(MMUEXT_PIN_L2_TABLE, mfn_of(p), 0), 0);
	EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(p), 0), 0);
	EQ(RW(p), 0);
}

/* The references that an unmapping drops are those that the entry holds. */
static void rights(void)
{
	u64 *data = page(), *w1 = page(), *w2 = page();
	u32 ro, rw;

	EQ(RO(data), 0);
	grant(20, data, 0);
	EQ(map_at(20, w1, 0, &rw), GNTST_okay);
	/* The right to write is given back by way of the table. */
	EQ(map((u64)w1, mfn_of(data) << 12 | PTE_P | PTE_U, UVMF_INVLPG), 0);
	CHECK(unmap_at(rw, w1) < 0);
	EQ(map((u64)w1, mfn_of(data) << 12 | PTE_P | PTE_U | PTE_W,
	       UVMF_INVLPG),
	   0);
	EQ(unmap_at(rw, w1), GNTST_okay);
	is_unused(data);

	/* A handle for the entry of another mapping. */
	EQ(RO(data), 0);
	EQ(map_at(20, w1, GNTMAP_readonly, &ro), GNTST_okay);
	EQ(map_at(20, w2, 0, &rw), GNTST_okay);
	CHECK(unmap_at(rw, w1) < 0);
	CHECK(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(data), 0) < 0);
	w2[0] = 2;
	CHECK(unmap_at(ro, w2) < 0);
	EQ(unmap_at(rw, w2), GNTST_okay);
	EQ(unmap_at(ro, w1), GNTST_okay);
	is_unused(data);
	EQ(table[20].flags & (GTF_reading | GTF_writing), 0);
	EQ(RW(w1), 0);
	EQ(RW(w2), 0);
}

static void replace(void)
{
	u64 *data = page(), *other = page(), *window = page(), *spare = page();
	struct gnttab_unmap_and_replace r[2];
	u32 handle, again;

	other[0] = 0x0122;
	EQ(RO(data), 0);
	EQ(RO(other), 0);
	grant(21, data, 0);
	EQ(map_at(21, window, 0, &handle), GNTST_okay);
	EQ(map((u64)spare, mfn_of(other) << 12 | PTE_P | PTE_W | PTE_U,
	       UVMF_INVLPG),
	   0);
	/* Refused: the entry to move stays where it was, the handle as well. */
	r[0] = (struct gnttab_unmap_and_replace){
		.host_addr = (u64)other,
		.new_addr = (u64)spare,
		.handle = handle,
	};
	r[1] = r[0];
	EQ(gnttab(GNTTABOP_unmap_and_replace, r, 2), 0);
	CHECK(r[0].status < 0);
	CHECK(r[1].status < 0);
	EQ(spare[0], 0x0122);
	spare[0] += 2;
	CHECK(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(other), 0) < 0);
	r[0].host_addr = (u64)window;
	EQ(gnttab(GNTTABOP_unmap_and_replace, r, 1), 0);
	EQ(r[0].status, GNTST_okay);
	EQ(window[0], 0x0124);
	window[0] += 2;
	EQ(other[0], 0x0126);
	CHECK(TRAPS(*(volatile u64 *)spare));
	is_unused(data);
	CHECK(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(other), 0) < 0);
	EQ(RW(window), 0);
	is_unused(other);
	EQ(RW(spare), 0);
	/* The handle is free, once. */
	grant(22, data, 0);
	EQ(RO(data), 0);
	EQ(map_at(21, window, 0, &handle), GNTST_okay);
	EQ(map_at(22, spare, 0, &again), GNTST_okay);
	CHECK(handle != again);
	EQ(unmap_at(handle, window), GNTST_okay);
	EQ(unmap_at(again, spare), GNTST_okay);
	EQ(table[21].flags & (GTF_reading | GTF_writing), 0);
	EQ(table[22].flags & (GTF_reading | GTF_writing), 0);
	is_unused(data);
	EQ(RW(window), 0);
	EQ(RW(spare), 0);
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

/* A transitive grant by ourselves to ourselves leads nowhere: its reference is
 * no frame number, even where it could be one. */
static void transitive(void)
{
	union grant_entry_v2 *e = (union grant_entry_v2 *)table + 13;
	u64 *a = page(), *b = page();
	struct gnttab_copy c = {
		.source = { .u.ref = 13, .domid = self },
		.dest = { .u.gmfn = mfn_of(b), .domid = DOMID_SELF },
		.len = 32,
		.flags = GNTCOPY_source_gref,
	};

	e->transitive.hdr.domid = self;
	e->transitive.trans_domid = self;
	e->transitive.gref = mfn_of(a);
	a[0] = 0x5a5a;
	__asm__ volatile("" ::: "memory");
	e->hdr.flags = GTF_transitive;
	EQ(gnttab(GNTTABOP_copy, &c, 1), 0);
	CHECK(c.status < 0);
	EQ(b[0], 0);
	e->hdr.flags = 0;
}

static void versions(void)
{
	struct gnttab_set_version v = { .version = 2 };
	struct gnttab_get_version g = { .dom = DOMID_SELF };
	struct gnttab_query_size q = { .dom = DOMID_SELF };

	EQ(gnttab(GNTTABOP_set_version, &v, 1), 0);
	EQ(gnttab(GNTTABOP_get_version, &g, 1), 0);
	EQ(g.version, 2);
	transitive();
	v.version = 3;
	EQ(gnttab(GNTTABOP_set_version, &v, 1), -E_INVAL);
	v.version = 1;
	EQ(gnttab(GNTTABOP_set_version, &v, 1), 0);
	EQ(gnttab(GNTTABOP_query_size, &q, 1), 0);
	EQ(q.status, GNTST_okay);
	CHECK(q.nr_frames >= 1 && q.max_nr_frames >= q.nr_frames);
}

static void transfers(void)
{
	struct gnttab_transfer t = { .mfn = mfn_of(page()), .domid = 999 };

	EQ(gnttab(GNTTABOP_transfer, &t, 1), 0);
	EQ(t.status, GNTST_bad_domain);
	t.domid = DOMID_SELF;
	EQ(gnttab(GNTTABOP_transfer, &t, 1), 0);
	EQ(t.status, GNTST_bad_domain);
	t.domid = self;
	EQ(gnttab(GNTTABOP_transfer, &t, 1), 0);
	CHECK(t.status < 0);
}

void test_main(void)
{
	self = 0;
	setup();
	map_unmap();
	rights();
	replace();
	refusals();
	transfers();
	copy();
	versions();
}
