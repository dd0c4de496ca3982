/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building a PV domain: see builder.h, and layout.c for what goes where.
 *
 * Mapping a guest's page costs the hypervisor two page-table updates, so only
 * pages that get content are mapped, each once, in few large batches; pages
 * that must be zero are cleared by the hypervisor. No page of the guest may
 * stay mapped writable here when its tables are pinned, since a page table is
 * never writable by anyone.
 */
#include "bulkhead/builder.h"

#include <inttypes.h>
#include <sys/mman.h>

#define PTE_P    0x1ull
#define PTE_RW   0x2ull
#define PTE_USER 0x4ull
#define PTE_A    0x20ull
#define PTE_D    0x40ull

#define PTE_TABLE (PTE_P | PTE_RW | PTE_USER | PTE_A | PTE_D)

struct build {
	struct bh_hv *h;
	uint32_t domid;
	const struct bh_kernel *k;
	struct bh_layout l;
	xen_pfn_t *p2m;
	struct bh_err *e;
};

/* A run of guest frames mapped here. */
struct window {
	uint64_t pfn, n;
	uint8_t *p;
};

static int window_open(struct build *b, uint64_t pfn, uint64_t n,
		       struct window *ret)
{
	void *p;
	int r;

	*ret = (struct window){};
	if (n == 0)
		return 0;
	r = bh_hv_map(b->h, b->domid, PROT_READ | PROT_WRITE, b->p2m + pfn,
		      (size_t)n, NULL, &p);
	if (r < 0)
		return bh_fail(b->e, r, "cannot map the guest's memory: %s",
			       strerror(-r));
	*ret = (struct window){ pfn, n, p };
	return 0;
}

static void window_close(struct window *w)
{
	bh_hv_unmap(w->p, (size_t)w->n);
	*w = (struct window){};
}

static void *window_at(const struct window *w, uint64_t pfn)
{
	return w->p + ((pfn - w->pfn) << BH_PAGE_SHIFT);
}

/* ---- the domain -------------------------------------------------------- */

static int set_scheduling(struct bh_hv *h, const struct bh_guest_cfg *c,
			  uint32_t domid, struct bh_err *e)
{
	int r = 0;

	for (uint32_t v = 0; r == 0 && v < c->maxvcpus; v++) {
		if (c->n_pin) {
			const struct bh_cpumap *m =
				&c->pin[v < c->n_pin ? v : c->n_pin - 1];

			if (!m->any)
				r = bh_hv_vcpu_set_affinity(h, domid, v, false,
							    m);
		}
		if (r == 0 && !c->pin_soft.any)
			r = bh_hv_vcpu_set_affinity(h, domid, v, true,
						    &c->pin_soft);
		if (r < 0)
			return bh_fail(e, r, "cpus: cannot pin vCPU %u: %s", v,
				       r == -EINVAL
					       ? "no such processor is online"
					       : strerror(-r));
	}
	if (c->weight || c->cap) {
		r = bh_hv_sched_set(h, domid, c->weight, c->cap);
		if (r < 0)
			return bh_fail(e, r, "cpu_weight or cap: %s",
				       strerror(-r));
	}
	return 0;
}

int bh_domain_new(struct bh_hv *h, const struct bh_guest_cfg *c,
		  struct bh_domain *ret, struct bh_err *e)
{
	struct bh_domain d = {};
	int r;

	r = bh_hv_domain_create(h, c, &d.domid);
	if (r < 0)
		return bh_fail(e, r, "cannot create a domain: %s",
			       r == -EACCES
				       ? "the running hypervisor has another "
					 "interface version than these tools"
				       : strerror(-r));
	r = bh_hv_domain_set_max_vcpus(h, d.domid, c->maxvcpus);
	if (r < 0) {
		r = bh_fail(e, r, "cannot have %u vCPUs: %s", c->maxvcpus,
			    strerror(-r));
		goto err_domain;
	}
	r = set_scheduling(h, c, d.domid, e);
	if (r < 0)
		goto err_domain;
	r = bh_hv_domain_set_max_mem(h, d.domid, c->memory_kib + 1024);
	if (r == 0)
		r = bh_hv_domain_set_64bit(h, d.domid);
	if (r == 0 && c->rtc_offset)
		r = bh_hv_domain_set_time_offset(h, d.domid, c->rtc_offset);
	if (r == 0)
		r = bh_hv_evtchn_alloc_unbound(h, d.domid, 0, &d.store_port);
	if (r == 0)
		r = bh_hv_evtchn_alloc_unbound(h, d.domid, 0, &d.console_port);
	if (r < 0) {
		r = bh_fail(e, r, "cannot set up the domain: %s", strerror(-r));
		goto err_domain;
	}
	*ret = d;
	return 0;

err_domain:
	bh_hv_domain_destroy(h, d.domid);
	return r;
}

/* ---- memory ------------------------------------------------------------ */

static int no_memory(struct bh_hv *h, uint64_t nr_pages, struct bh_err *e)
{
	struct xen_sysctl_physinfo pi;

	if (bh_hv_physinfo(h, &pi) < 0)
		return bh_fail(e, -ENOMEM, "not enough memory");
	return bh_fail(e, -ENOMEM,
		       "not enough memory: %" PRIu64 " MiB are needed, %" PRIu64
		       " MiB are free; stop a guest or lower its memory",
		       nr_pages >> 8,
		       (pi.free_pages - pi.outstanding_pages) >> 8);
}

/*
 * 2 MiB pieces first: fewer calls, and it keeps machine memory whole for
 * others. What cannot be had that way comes in single pages.
 */
int bh_domain_populate(struct bh_hv *h, uint32_t domid, uint64_t nr_pages,
		       xen_pfn_t *p2m, struct bh_err *e)
{
	uint64_t big = nr_pages / 512, done = 0;
	int r = bh_hv_claim(h, domid, nr_pages);
	long n;

	if (r == -ENOMEM)
		return no_memory(h, nr_pages, e);
	if (big) {
		_cleanup_free_ xen_pfn_t *ext = calloc(big, sizeof(*ext));

		if (!ext)
			return bh_fail(e, -ENOMEM, "out of memory in dom0");
		for (uint64_t i = 0; i < big; i++)
			ext[i] = i * 512;
		n = bh_hv_populate(h, domid, 9, ext, (size_t)big);
		for (long i = 0; i < n; i++)
			for (unsigned int k = 0; k < 512; k++)
				p2m[done++] = ext[i] + k;
	}
	for (uint64_t i = done; i < nr_pages; i++)
		p2m[i] = i;
	if (done < nr_pages) {
		n = bh_hv_populate(h, domid, 0, p2m + done,
				   (size_t)(nr_pages - done));
		if (n < 0 || (uint64_t)n < nr_pages - done)
			return no_memory(h, nr_pages, e);
	}
	(void)bh_hv_claim(h, domid, 0);
	return 0;
}

/* Zeroes n frames without mapping them, if the hypervisor can. */
static int clear_frames(struct build *b, uint64_t pfn, uint64_t n)
{
	while (n) {
		struct mmuext_op ops[256] = {};
		size_t k = MIN(n, (uint64_t)ARRAY_SIZE(ops)), done = 0;
		struct window w;
		int r;

		for (size_t i = 0; i < k; i++) {
			ops[i].cmd = MMUEXT_CLEAR_PAGE;
			ops[i].arg1.mfn = b->p2m[pfn + i];
		}
		r = bh_hv_mmuext(b->h, b->domid, ops, k, &done);
		if (r < 0) {
			r = window_open(b, pfn + done, k - done, &w);
			if (r < 0)
				return r;
			memset(w.p, 0, (size_t)w.n * BH_PAGE_SIZE);
			window_close(&w);
		}
		pfn += k;
		n -= k;
	}
	return 0;
}

/* One segment: file content mapped and copied, the rest cleared. */
static int load_segment(struct build *b, const struct bh_segment *s)
{
	uint64_t first = s->paddr >> BH_PAGE_SHIFT;
	uint64_t off = s->paddr & (BH_PAGE_SIZE - 1);
	uint64_t n_file = (off + s->filesz + BH_PAGE_SIZE - 1) >> BH_PAGE_SHIFT;
	uint64_t n_mem = (off + s->memsz + BH_PAGE_SIZE - 1) >> BH_PAGE_SHIFT;
	struct window w;
	uint64_t tail;
	int r;

	if (s->filesz == 0)
		n_file = off ? 1 : 0; /* shares its first page */
	r = window_open(b, first, n_file, &w);
	if (r < 0)
		return r;
	if (w.p) {
		memcpy(w.p + off, s->data, (size_t)s->filesz);
		tail = MIN(n_file * BH_PAGE_SIZE - off, s->memsz) - s->filesz;
		memset(w.p + off + s->filesz, 0, (size_t)tail);
	}
	window_close(&w);
	return clear_frames(b, first + n_file, n_mem - n_file);
}

/* ---- page tables ------------------------------------------------------- */

struct tables {
	const struct build *b;
	const struct window *w_main, *w_p2m;
	uint64_t next, end; /* frames for new tables */
};

static uint64_t *table_at(const struct tables *t, uint64_t pfn)
{
	const struct window *w = t->w_main;

	if (t->w_p2m->p && pfn >= t->w_p2m->pfn &&
	    pfn < t->w_p2m->pfn + t->w_p2m->n)
		w = t->w_p2m;
	return window_at(w, pfn);
}

/* The frame of the table below entry i of table pfn, made if missing. */
static uint64_t table_below(struct tables *t, uint64_t *tab, unsigned int i,
			    uint64_t *memo)
{
	if (!(tab[i] & PTE_P)) {
		uint64_t pfn = t->next++;

		memset(table_at(t, pfn), 0, BH_PAGE_SIZE);
		tab[i] = t->b->p2m[pfn] << BH_PAGE_SHIFT | PTE_TABLE;
		*memo = pfn;
	}
	return *memo;
}

/*
 * Maps n frames from pfn at va. Addresses only grow, so remembering the last
 * table of each level is enough to find it again by frame number.
 */
static void map_range(struct tables *t, uint64_t va, uint64_t pfn, uint64_t n)
{
	const struct bh_layout *l = &t->b->l;
	uint64_t *l4 = table_at(t, l->pt_pfn);
	uint64_t l3 = 0, l2 = 0, l1 = 0;
	uint64_t *tab = NULL;

	for (uint64_t i = 0; i < n; i++, pfn++, va += BH_PAGE_SIZE) {
		bool is_table =
			(pfn >= l->pt_pfn && pfn < l->pt_pfn + l->nr_pt) ||
			(pfn >= l->p2m_pt_pfn &&
			 pfn < l->p2m_pt_pfn + l->nr_p2m_pt);

		if (!tab || !((va >> 12) & 511)) {
			l3 = table_below(t, l4, (va >> 39) & 511, &l3);
			l2 = table_below(t, table_at(t, l3), (va >> 30) & 511,
					 &l2);
			l1 = table_below(t, table_at(t, l2), (va >> 21) & 511,
					 &l1);
			tab = table_at(t, l1);
		}
		tab[(va >> 12) & 511] = t->b->p2m[pfn] << BH_PAGE_SHIFT |
					PTE_P | PTE_A | (is_table ? 0 : PTE_RW);
	}
}

static void make_tables(struct build *b, const struct window *w_main,
			const struct window *w_p2m)
{
	const struct bh_layout *l = &b->l;
	struct tables t = { b, w_main, w_p2m, l->pt_pfn + 1,
			    l->pt_pfn + l->nr_pt };

	memset(window_at(w_main, l->pt_pfn), 0,
	       (size_t)l->nr_pt * BH_PAGE_SIZE);
	map_range(&t, b->k->virt_base, 0, l->map_pages);
	if (l->nr_p2m_pt) {
		t.next = l->p2m_pt_pfn;
		t.end = l->p2m_pt_pfn + l->nr_p2m_pt;
		map_range(&t, l->p2m_va, l->p2m_pfn, l->nr_p2m);
	}
}

/* ---- start info and the rest ------------------------------------------- */

static uint64_t va_of(const struct build *b, uint64_t pfn)
{
	return b->k->virt_base + (pfn << BH_PAGE_SHIFT);
}

static void make_start_info(struct build *b, const struct bh_domain *d,
			    const char *cmdline, size_t initrd_len,
			    uint64_t shared_info_mfn, start_info_t *si)
{
	const struct bh_layout *l = &b->l;

	memset(si, 0, BH_PAGE_SIZE);
	memcpy(si->magic, "xen-3.0-x86_64", sizeof("xen-3.0-x86_64"));
	si->nr_pages = l->nr_pages;
	si->shared_info = shared_info_mfn << BH_PAGE_SHIFT;
	si->flags = SIF_VIRT_P2M_4TOOLS;
	si->store_mfn = b->p2m[l->store_pfn];
	si->store_evtchn = d->store_port;
	si->console.domU.mfn = b->p2m[l->console_pfn];
	si->console.domU.evtchn = d->console_port;
	si->pt_base = va_of(b, l->pt_pfn);
	si->nr_pt_frames = l->nr_pt;
	si->mfn_list = l->p2m_va;
	if (initrd_len) {
		si->mod_len = initrd_len;
		if (b->k->unmapped_initrd) {
			si->mod_start = l->initrd_pfn;
			si->flags |= SIF_MOD_START_PFN;
		} else {
			si->mod_start = va_of(b, l->initrd_pfn);
		}
	}
	if (l->nr_p2m_pt) {
		si->first_p2m_pfn = l->p2m_pfn;
		si->nr_p2m_frames = l->nr_p2m + l->nr_p2m_pt;
	}
	(void)snprintf((char *)si->cmd_line, sizeof(si->cmd_line), "%s",
		       cmdline);
}

static int init_shared_info(struct build *b, uint64_t mfn)
{
	xen_pfn_t frame = mfn;
	shared_info_t *s;
	void *p;
	int r;

	r = bh_hv_map(b->h, b->domid, PROT_READ | PROT_WRITE, &frame, 1, NULL,
		      &p);
	if (r < 0)
		return bh_fail(b->e, r, "cannot map the shared info page: %s",
			       strerror(-r));
	s = p;
	memset(s, 0, BH_PAGE_SIZE);
	for (unsigned int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		s->vcpu_info[i].evtchn_upcall_mask = 1;
	s->arch.max_pfn = b->l.nr_pages;
	bh_hv_unmap(p, 1);
	return 0;
}

/* Grant 0 is the console ring, grant 1 the store's, both for dom0. */
int bh_domain_seed_grants(struct bh_hv *h, const struct bh_domain *d)
{
	grant_entry_v1_t *t;
	void *p;
	int r;

	r = bh_hv_map_resource(h, d->domid, XENMEM_resource_grant_table,
			       XENMEM_resource_grant_table_id_shared, 1, &p);
	if (r < 0)
		return r;
	t = p;
	t[GNTTAB_RESERVED_CONSOLE] =
		(grant_entry_v1_t){ .flags = GTF_permit_access,
				    .frame = (uint32_t)d->console_mfn };
	t[GNTTAB_RESERVED_XENSTORE] =
		(grant_entry_v1_t){ .flags = GTF_permit_access,
				    .frame = (uint32_t)d->store_mfn };
	bh_hv_unmap(p, 1);
	return 0;
}

static int start_vcpu(struct build *b)
{
	struct mmuext_op pin = { .cmd = MMUEXT_PIN_L4_TABLE };
	vcpu_guest_context_t c = {};
	uint64_t l4 = b->p2m[b->l.pt_pfn];
	int r;

	pin.arg1.mfn = l4;
	r = bh_hv_mmuext(b->h, b->domid, &pin, 1, NULL);
	if (r < 0)
		return bh_fail(b->e, r,
			       "the hypervisor refuses the first page "
			       "tables: %s",
			       strerror(-r));
	c.flags = VGCF_in_kernel | VGCF_online;
	c.user_regs.rip = b->k->virt_entry;
	c.user_regs.rsp = va_of(b, b->l.stack_pfn + 1);
	c.user_regs.rsi = va_of(b, b->l.start_info_pfn);
	c.user_regs.rflags = 1 << 9;
	c.user_regs.cs = FLAT_KERNEL_CS;
	c.user_regs.ss = FLAT_KERNEL_SS;
	c.kernel_ss = FLAT_KERNEL_SS;
	c.kernel_sp = c.user_regs.rsp;
	c.ctrlreg[3] = l4 << BH_PAGE_SHIFT;
	c.debugreg[6] = 0xffff0ff0;
	c.debugreg[7] = 0x400;
	r = bh_hv_vcpu_set_context(b->h, b->domid, 0, &c);
	if (r < 0)
		return bh_fail(b->e, r, "cannot set the first vCPU's state: %s",
			       strerror(-r));
	return 0;
}

static int load_initrd(struct build *b, const void *initrd, size_t len)
{
	struct window w;
	int r = window_open(b, b->l.initrd_pfn, b->l.nr_initrd, &w);

	if (r < 0)
		return r;
	if (w.p)
		memcpy(w.p, initrd, len);
	window_close(&w);
	return 0;
}

/* Everything between kernel and stack, and the p2m list with its tables. */
static int load_tables(struct build *b, struct bh_domain *d,
		       const char *cmdline, size_t initrd_len,
		       uint64_t shared_info_mfn)
{
	const struct bh_layout *l = &b->l;
	struct window w = {}, w_p2m = {};
	void *p2m;
	int r;

	r = window_open(b, l->start_info_pfn, l->stack_pfn - l->start_info_pfn,
			&w);
	if (r == 0)
		r = window_open(b, l->p2m_pfn, l->nr_p2m + l->nr_p2m_pt,
				&w_p2m);
	if (r == 0) {
		p2m = window_at(&w_p2m, l->p2m_pfn);
		memcpy(p2m, b->p2m, (size_t)l->nr_pages * sizeof(*b->p2m));
		make_start_info(b, d, cmdline, initrd_len, shared_info_mfn,
				window_at(&w, l->start_info_pfn));
		memset(window_at(&w, l->store_pfn), 0, BH_PAGE_SIZE);
		memset(window_at(&w, l->console_pfn), 0, BH_PAGE_SIZE);
		make_tables(b, &w, &w_p2m);
	}
	window_close(&w_p2m);
	window_close(&w);
	return r;
}

static int load(struct build *b, const void *initrd, size_t initrd_len,
		const char *cmdline, struct bh_domain *d)
{
	const struct bh_kernel *k = b->k;
	struct xen_domctl_getdomaininfo info;
	uint64_t pfn;
	int r;

	for (unsigned int i = 0; i < k->n_seg; i++) {
		r = load_segment(b, &k->seg[i]);
		if (r < 0)
			return r;
	}
	r = load_initrd(b, initrd, initrd_len);
	if (r < 0)
		return r;
	r = bh_hv_domain_info(b->h, b->domid, &info);
	if (r < 0)
		return bh_fail(b->e, r, "the new domain is gone: %s",
			       strerror(-r));
	r = load_tables(b, d, cmdline, initrd_len, info.shared_info_frame);
	if (r < 0)
		return r;
	if (k->has_hypercall_page) {
		pfn = (k->hypercall_page - k->virt_base) >> BH_PAGE_SHIFT;
		r = bh_hv_domain_hypercall_page(b->h, b->domid, b->p2m[pfn]);
		if (r < 0)
			return bh_fail(b->e, r,
				       "cannot write the hypercall page: %s",
				       strerror(-r));
	}
	r = init_shared_info(b, info.shared_info_frame);
	if (r < 0)
		return r;
	r = start_vcpu(b);
	if (r < 0)
		return r;
	d->console_mfn = b->p2m[b->l.console_pfn];
	d->store_mfn = b->p2m[b->l.store_pfn];
	r = bh_domain_seed_grants(b->h, d);
	if (r < 0)
		return bh_fail(b->e, r, "cannot fill the first grants: %s",
			       strerror(-r));
	return 0;
}

int bh_domain_load(struct bh_hv *h, const struct bh_guest_cfg *c,
		   const struct bh_kernel *k, const void *initrd,
		   size_t initrd_len, const char *cmdline, struct bh_domain *d,
		   struct bh_err *e)
{
	struct build b = { .h = h, .domid = d->domid, .k = k, .e = e };
	uint64_t nr_pages = c->memory_kib >> 2;
	struct xen_sysctl_physinfo pi;
	xen_pfn_t frame;
	int r;

	r = bh_layout_plan(k, nr_pages, initrd_len, &b.l, e);
	if (r < 0)
		return r;
	if (bh_hv_physinfo(h, &pi) == 0 && nr_pages > pi.free_pages)
		return no_memory(h, nr_pages, e);
	b.p2m = calloc((size_t)nr_pages, sizeof(*b.p2m));
	if (!b.p2m)
		return bh_fail(e, -ENOMEM, "out of memory in dom0");
	r = bh_hv_set_memory_map(h, d->domid, c->maxmem_kib << 10);
	if (r < 0)
		r = bh_fail(e, r, "cannot set the memory map: %s",
			    strerror(-r));
	if (r == 0)
		r = bh_domain_populate(h, d->domid, nr_pages, b.p2m, e);
	if (r == 0)
		r = load(&b, initrd, initrd_len, cmdline, d);
	free(b.p2m);
	if (r < 0)
		return r;
	frame = d->console_mfn;
	r = bh_hv_map(h, d->domid, PROT_READ | PROT_WRITE, &frame, 1, NULL,
		      &d->console);
	if (r < 0)
		return bh_fail(e, r, "cannot map the console ring: %s",
			       strerror(-r));
	return 0;
}
