/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filling a new domain from a file that save_file.c has found good.
 *
 * The guest gets other machine frames than it had. Every place that names a
 * frame is rewritten: page tables, its list of frames, start info, shared
 * info and the registers. Then its page tables are pinned again, which makes
 * the hypervisor check all of them as if the guest had just written them; a
 * forged file can therefore hurt nobody but its own guest.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "bulkhead/save.h"

#define NONE (~0ull)

struct restore {
	struct bh_hv *h;
	uint32_t domid;
	struct bh_save_file f;
	xen_pfn_t *p2m; /* NONE = no memory */
	struct mmuext_op *pins;
	size_t n_pins, a_pins;
	struct bh_err *e;
};

/* ---- memory ------------------------------------------------------------ */

static void mark_pages(struct restore *s)
{
	const uint8_t *d;
	size_t pos = 0, len;
	uint32_t type;

	while (bh_save_next(&s->f, &pos, &type, &d, &len)) {
		const uint64_t *w = (const void *)d;

		for (uint64_t i = 0; type == BH_SAVE_PAGES && i < w[0]; i++)
			s->p2m[w[1 + i] & BH_SAVE_PFN_MASK] = 0;
	}
}

/* Whole 2 MiB pieces where the guest had all of one, single pages elsewhere. */
static int populate(struct restore *s)
{
	uint64_t n = s->f.info->nr_pfns, big = 0, small = 0;
	_cleanup_free_ xen_pfn_t *b = calloc((size_t)(n / 512 + 1), 8);
	_cleanup_free_ xen_pfn_t *list = calloc((size_t)n, 8);
	_cleanup_free_ uint64_t *pfns = calloc((size_t)n, 8);
	long got;

	if (!b || !list || !pfns)
		return bh_fail(s->e, -ENOMEM, "out of memory in dom0");
	for (uint64_t i = 0; i + 512 <= n; i += 512) {
		unsigned int k = 0;

		while (k < 512 && s->p2m[i + k] != NONE)
			k++;
		if (k == 512)
			b[big++] = i;
	}
	got = big ? bh_hv_populate(s->h, s->domid, 9, b, (size_t)big) : 0;
	/* the list is overwritten by what was got: pieces keep their order */
	for (uint64_t i = 0, k = 0; i + 512 <= n && got > 0; i += 512) {
		unsigned int q = 0;

		while (q < 512 && s->p2m[i + q] != NONE)
			q++;
		if (q < 512)
			continue;
		if (k == (uint64_t)got)
			break;
		for (q = 0; q < 512; q++)
			s->p2m[i + q] = b[k] + q;
		k++;
	}
	for (uint64_t i = 0; i < n; i++)
		if (s->p2m[i] == 0) {
			pfns[small] = i;
			list[small++] = i;
		}
	got = small ? bh_hv_populate(s->h, s->domid, 0, list, (size_t)small)
		    : 0;
	if (got < 0 || (uint64_t)got < small)
		return bh_fail(s->e, -ENOMEM,
			       "not enough memory for the %" PRIu64
			       " MiB of the saved guest",
			       s->f.info->nr_pages >> 8);
	for (uint64_t i = 0; i < small; i++)
		s->p2m[pfns[i]] = list[i];
	return 0;
}

static int to_mfn(struct restore *s, uint64_t pfn, uint64_t *ret)
{
	if (pfn >= s->f.info->nr_pfns || s->p2m[pfn] == NONE)
		return bh_fail(s->e, -EBADMSG,
			       "the saved guest refers to page %#" PRIx64
			       ", which it does not have",
			       pfn);
	*ret = s->p2m[pfn];
	return 0;
}

static int table_to_mfns(struct restore *s, uint64_t *tab)
{
	for (unsigned int i = 0; i < 512; i++) {
		uint64_t mfn = 0;
		int r;

		if (!(tab[i] & 1))
			continue;
		r = to_mfn(s, tab[i] >> 12 & ((1ull << 40) - 1), &mfn);
		if (r < 0)
			return r;
		tab[i] = (tab[i] & ~0x000ffffffffff000ull) | mfn << 12;
	}
	return 0;
}

static int add_pin(struct restore *s, unsigned int level, uint64_t mfn)
{
	int r = bh_grow(&s->pins, &s->a_pins, s->n_pins + 1, sizeof(*s->pins));

	if (r < 0)
		return bh_fail(s->e, r, "out of memory");
	s->pins[s->n_pins] =
		(struct mmuext_op){ .cmd = MMUEXT_PIN_L1_TABLE + level - 1 };
	s->pins[s->n_pins++].arg1.mfn = mfn;
	return 0;
}

static int load_pages(struct restore *s, const uint64_t *w)
{
	const uint8_t *from = (const uint8_t *)(w + 1 + w[0]);
	xen_pfn_t mfns[BH_SAVE_BATCH] = {};
	size_t n = (size_t)w[0];
	uint8_t *to;
	void *p;
	int r;

	for (size_t i = 0; i < n; i++)
		mfns[i] = s->p2m[w[1 + i] & BH_SAVE_PFN_MASK];
	r = bh_hv_map(s->h, s->domid, PROT_READ | PROT_WRITE, mfns, n, NULL,
		      &p);
	if (r < 0)
		return bh_fail(s->e, r, "cannot map the guest's memory: %s",
			       strerror(-r));
	to = p;
	for (size_t i = 0; r == 0 && i < n; i++, to += BH_PAGE_SIZE) {
		unsigned int t = (unsigned int)(w[1 + i] >> BH_SAVE_TYPE_SHIFT);

		if (w[1 + i] & BH_SAVE_ZERO) {
			memset(to, 0, BH_PAGE_SIZE);
			continue;
		}
		memcpy(to, from, BH_PAGE_SIZE);
		from += BH_PAGE_SIZE;
		if (t & 7)
			r = table_to_mfns(s, (uint64_t *)(void *)to);
		if (r == 0 && (t & 8) && (t & 7))
			r = add_pin(s, t & 7, mfns[i]);
	}
	bh_hv_unmap(p, n);
	return r;
}

/* ---- what names frames ------------------------------------------------- */

/* Entries with memory get their new frame; holes keep what the guest wrote. */
static int fix_p2m(struct restore *s)
{
	const struct bh_save_file *f = &s->f;

	for (size_t i = 0; i < f->n_p2m_frames; i++) {
		uint64_t first = i * 512;
		xen_pfn_t mfn = s->p2m[f->p2m_frames[i]];
		uint64_t *tab;
		void *p;
		int r = bh_hv_map(s->h, s->domid, PROT_READ | PROT_WRITE, &mfn,
				  1, NULL, &p);

		if (r < 0)
			return bh_fail(s->e, r, "cannot map the p2m list: %s",
				       strerror(-r));
		tab = p;
		for (unsigned int k = 0;
		     k < 512 && first + k < f->info->nr_pfns; k++)
			if (s->p2m[first + k] != NONE)
				tab[k] = s->p2m[first + k];
		bh_hv_unmap(p, 1);
	}
	return 0;
}

static int fix_start_info(struct restore *s, struct bh_domain *d,
			  uint64_t shared_mfn)
{
	xen_pfn_t mfn = s->p2m[s->f.info->start_info_pfn];
	start_info_t *si;
	void *p;
	int r;

	r = bh_hv_map(s->h, s->domid, PROT_READ | PROT_WRITE, &mfn, 1, NULL,
		      &p);
	if (r < 0)
		return bh_fail(s->e, r, "cannot map start info: %s",
			       strerror(-r));
	si = p;
	/* a suspended guest has left frame numbers of its own here */
	r = to_mfn(s, si->store_mfn, &d->store_mfn);
	if (r == 0)
		r = to_mfn(s, si->console.domU.mfn, &d->console_mfn);
	si->nr_pages = s->f.info->nr_pfns;
	si->shared_info = shared_mfn << 12;
	si->flags = 0;
	si->store_mfn = d->store_mfn;
	si->store_evtchn = d->store_port;
	si->console.domU.mfn = d->console_mfn;
	si->console.domU.evtchn = d->console_port;
	bh_hv_unmap(p, 1);
	return r;
}

static int fix_shared_info(struct restore *s, uint64_t shared_mfn)
{
	const struct bh_save_info *i = s->f.info;
	const shared_info_t *old = (const void *)s->f.shared_info;
	xen_pfn_t f = shared_mfn;
	uint64_t mfn = 0;
	shared_info_t *new;
	void *p;
	int r;

	r = bh_hv_map(s->h, s->domid, PROT_READ | PROT_WRITE, &f, 1, NULL, &p);
	if (r < 0)
		return bh_fail(s->e, r, "cannot map the shared info: %s",
			       strerror(-r));
	new = p;
	for (unsigned int v = 0; v < XEN_LEGACY_MAX_VCPUS; v++) {
		new->vcpu_info[v].evtchn_upcall_pending = 0;
		new->vcpu_info[v].evtchn_upcall_mask =
			old->vcpu_info[v].evtchn_upcall_mask;
		new->vcpu_info[v].evtchn_pending_sel = 0;
	}
	memset(new->evtchn_pending, 0, sizeof(new->evtchn_pending));
	memset(new->evtchn_mask, 0xff, sizeof(new->evtchn_mask));
	new->arch.max_pfn = i->nr_pfns;
	new->arch.p2m_vaddr = i->p2m_vaddr;
	new->arch.p2m_generation = old->arch.p2m_generation;
	new->arch.pfn_to_mfn_frame_list_list =
		old->arch.pfn_to_mfn_frame_list_list;
	if (old->arch.p2m_cr3) {
		r = to_mfn(s, i->p2m_cr3_pfn, &mfn);
		new->arch.p2m_cr3 = mfn << 12;
	} else if (i->frame_list_list_pfn != NONE) {
		r = to_mfn(s, i->frame_list_list_pfn, &mfn);
		new->arch.pfn_to_mfn_frame_list_list = mfn;
	}
	bh_hv_unmap(p, 1);
	return r;
}

static int context_to_mfns(struct restore *s, uint32_t vcpu,
			   vcpu_guest_context_t *c)
{
	uint64_t mfn = 0;
	int r = to_mfn(s, c->ctrlreg[3] >> 12, &mfn);

	if (r < 0)
		return r;
	c->ctrlreg[3] = mfn << 12;
	if (c->ctrlreg[1]) {
		r = to_mfn(s, c->ctrlreg[1] >> 12, &mfn);
		if (r < 0)
			return r;
		c->ctrlreg[1] = mfn << 12;
	}
	if (c->gdt_ents > 8192)
		return bh_fail(s->e, -EBADMSG, "vCPU %u: impossible GDT", vcpu);
	for (unsigned int i = 0; i * 512 < c->gdt_ents; i++) {
		r = to_mfn(s, c->gdt_frames[i], &mfn);
		if (r < 0)
			return r;
		c->gdt_frames[i] = mfn;
	}
	if (vcpu == 0) {
		r = to_mfn(s, c->user_regs.rdx, &mfn);
		c->user_regs.rdx = mfn;
		c->user_regs.rax = 0; /* the suspend hypercall succeeded */
	}
	c->flags |= VGCF_online;
	return r;
}

static int set_xstate(struct restore *s, const struct bh_save_vcpu *v,
		      const uint8_t *data)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_setvcpuextstate,
				 .domain = (domid_t)s->domid };
	size_t mark = bh_hv_mark(s->h);
	uint8_t *b;
	int r = -ENOMEM;

	if (!v->xstate_len)
		return 0;
	b = bh_hv_buf(s->h, v->xstate_len);
	if (b) {
		memcpy(b, data, v->xstate_len);
		op.u.vcpuextstate.vcpu = v->id;
		op.u.vcpuextstate.xfeature_mask = v->xfeatures;
		op.u.vcpuextstate.size = v->xstate_len;
		set_xen_guest_handle(op.u.vcpuextstate.buffer, (void *)b);
		r = bh_hv_domctl(s->h, &op);
	}
	bh_hv_release(s->h, mark);
	return r;
}

static int set_msrs(struct restore *s, const struct bh_save_vcpu *v,
		    const uint8_t *data)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_set_vcpu_msrs,
				 .domain = (domid_t)s->domid };
	size_t mark = bh_hv_mark(s->h);
	uint8_t *b;
	int r = -ENOMEM;

	if (!v->nr_msrs)
		return 0;
	b = bh_hv_buf(s->h, (size_t)v->nr_msrs * 16);
	if (b) {
		memcpy(b, data, (size_t)v->nr_msrs * 16);
		op.u.vcpu_msrs.vcpu = v->id;
		op.u.vcpu_msrs.msr_count = v->nr_msrs;
		set_xen_guest_handle(op.u.vcpu_msrs.msrs, (void *)b);
		r = bh_hv_domctl(s->h, &op);
	}
	bh_hv_release(s->h, mark);
	return r;
}

static int load_vcpu(struct restore *s, const uint8_t *d)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_set_ext_vcpucontext,
				 .domain = (domid_t)s->domid };
	struct bh_save_vcpu v;
	int r;

	memcpy(&v, d, sizeof(v));
	d += sizeof(v);
	r = context_to_mfns(s, v.id, &v.ctxt);
	if (r < 0)
		return r;
	r = bh_hv_vcpu_set_context(s->h, s->domid, v.id, &v.ctxt);
	if (r < 0)
		return bh_fail(s->e, r,
			       "the hypervisor refuses vCPU %u's registers: %s",
			       v.id, strerror(-r));
	if (v.ext_valid) {
		memcpy(&op.u.ext_vcpucontext, v.ext,
		       MIN(sizeof(v.ext), sizeof(op.u.ext_vcpucontext)));
		op.u.ext_vcpucontext.vcpu = v.id;
		r = bh_hv_domctl(s->h, &op);
		if (r == -ENOSYS)
			r = 0;
	}
	if (r == 0)
		r = set_xstate(s, &v, d);
	if (r == 0)
		r = set_msrs(s, &v, d + v.xstate_len);
	if (r < 0)
		return bh_fail(s->e, r,
			       "this processor cannot continue the guest "
			       "(vCPU %u): %s",
			       v.id, strerror(-r));
	return 0;
}

/* ---- all of it --------------------------------------------------------- */

static int load_all(struct restore *s, uint32_t want)
{
	const uint8_t *d;
	size_t pos = 0, len;
	uint32_t type;
	int r = 0;

	while (r == 0 && bh_save_next(&s->f, &pos, &type, &d, &len)) {
		if (type != want)
			continue;
		if (type == BH_SAVE_PAGES)
			r = load_pages(s, (const void *)d);
		else
			r = load_vcpu(s, d);
	}
	return r;
}

static int restore(struct restore *s, const struct bh_guest_cfg *c,
		   struct bh_domain *d)
{
	const struct bh_save_info *i = s->f.info;
	struct xen_domctl_tsc_info tsc = { .tsc_mode = i->tsc_mode,
					   .gtsc_khz = i->tsc_khz,
					   .incarnation = i->tsc_incarnation,
					   .elapsed_nsec = i->tsc_elapsed };
	struct xen_domctl_getdomaininfo info;
	xen_pfn_t frame;
	int r;

	if (i->max_vcpus > c->maxvcpus)
		return bh_fail(s->e, -EINVAL,
			       "the saved guest has %u vCPUs, its "
			       "configuration %u",
			       i->max_vcpus, c->maxvcpus);
	r = bh_hv_domain_set_max_mem(
		s->h, s->domid, MAX(c->memory_kib, i->nr_pages * 4) + 1024);
	if (r == 0)
		r = bh_hv_set_memory_map(s->h, s->domid, c->maxmem_kib << 10);
	if (r == 0)
		r = bh_hv_tsc_set(s->h, s->domid, &tsc);
	if (r == -ENOSYS || r == -EOPNOTSUPP)
		r = 0;
	if (r == 0)
		r = bh_hv_domain_info(s->h, s->domid, &info);
	if (r < 0)
		return bh_fail(s->e, r, "cannot prepare the domain: %s",
			       strerror(-r));
	mark_pages(s);
	r = populate(s);
	if (r == 0)
		r = load_all(s, BH_SAVE_PAGES);
	if (r == 0)
		r = fix_p2m(s);
	if (r == 0)
		r = fix_start_info(s, d, info.shared_info_frame);
	if (r == 0)
		r = fix_shared_info(s, info.shared_info_frame);
	if (r < 0)
		return r;
	r = bh_hv_mmuext(s->h, s->domid, s->pins, s->n_pins, NULL);
	if (r < 0)
		return bh_fail(s->e, r,
			       "the hypervisor refuses the saved page tables: "
			       "%s",
			       strerror(-r));
	r = load_all(s, BH_SAVE_VCPU);
	if (r < 0)
		return r;
	r = bh_domain_seed_grants(s->h, d);
	if (r == 0) {
		frame = d->console_mfn;
		r = bh_hv_map(s->h, s->domid, PROT_READ | PROT_WRITE, &frame, 1,
			      NULL, &d->console);
	}
	if (r < 0)
		return bh_fail(s->e, r, "cannot finish the domain: %s",
			       strerror(-r));
	return 0;
}

int bh_restore(struct bh_hv *h, const char *path, const struct bh_guest_cfg *c,
	       struct bh_domain *d, struct bh_err *e)
{
	struct restore s = { .h = h, .domid = d->domid, .e = e };
	int r = bh_save_open(path, &s.f, e);

	if (r < 0)
		return r;
	s.p2m = malloc((size_t)s.f.info->nr_pfns * sizeof(*s.p2m));
	if (s.p2m) {
		memset(s.p2m, 0xff, (size_t)s.f.info->nr_pfns * sizeof(*s.p2m));
		r = restore(&s, c, d);
	} else {
		r = bh_fail(e, -ENOMEM, "out of memory in dom0");
	}
	free(s.p2m);
	free(s.pins);
	bh_save_close(&s.f);
	return r;
}
