/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a running guest's list of its own memory.
 *
 * The guest publishes it in the shared info page: as a linear array at a
 * virtual address of one of its address spaces, or as the older tree of frame
 * lists. It is the guest's own word and therefore only used to find frames;
 * that each of them really is the guest's, the hypervisor checks on mapping.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "bulkhead/save.h"

#define MAX_PFNS (1ull << 28) /* a terabyte */
#define NONE     (~0ull)

/*
 * How long the list can be. It has holes, for ballooned memory and for what a
 * driver domain maps, but it costs us memory by its length, and that is the
 * guest's word: 2 GiB of dom0's for a terabyte.
 */
static uint64_t longest(const struct xen_domctl_getdomaininfo *info,
			uint64_t maxmem_kib)
{
	uint64_t pages = MAX(info->max_pages, info->tot_pages);

	pages = MAX(pages, maxmem_kib / 4);
	return MIN(MIN(pages, MAX_PFNS) * 2 + (1u << 20), MAX_PFNS);
}

void bh_p2m_done(struct bh_p2m *p)
{
	free(p->mfn);
	free(p->frames);
	free(p->pfn_of);
	*p = (struct bh_p2m){};
}

uint64_t bh_p2m_pfn(const struct bh_p2m *p, uint64_t mfn)
{
	return mfn <= p->max_mfn ? p->pfn_of[mfn] : NONE;
}

static int map_ro(struct bh_hv *h, uint32_t domid, const xen_pfn_t *mfns,
		  size_t n, void **ret)
{
	return bh_hv_map(h, domid, PROT_READ, mfns, n, NULL, ret);
}

/* Machine frame of the page at va under cr3; walks four levels. */
struct walk {
	struct bh_hv *h;
	uint32_t domid;
	uint64_t frame[4]; /* of the table mapped for each level */
	uint64_t *tab[4];
};

static int walk_page(struct walk *w, uint64_t cr3, uint64_t va, uint64_t *ret)
{
	uint64_t mfn = cr3;

	for (int level = 3; level >= 0; level--) {
		uint64_t pte;

		if (w->frame[level] != mfn || !w->tab[level]) {
			xen_pfn_t f = mfn;
			void *p;
			int r;

			bh_hv_unmap(w->tab[level], 1);
			w->tab[level] = NULL;
			r = map_ro(w->h, w->domid, &f, 1, &p);
			if (r < 0)
				return r;
			w->tab[level] = p;
			w->frame[level] = mfn;
		}
		pte = w->tab[level][(va >> (12 + 9 * level)) & 511];
		if (!(pte & 1))
			return -EFAULT;
		mfn = (pte >> 12) & ((1ull << 40) - 1);
	}
	*ret = mfn;
	return 0;
}

static int frames_linear(struct bh_hv *h, uint32_t domid, struct bh_p2m *p)
{
	struct walk w = { .h = h, .domid = domid };
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_frames; i++)
		r = walk_page(&w, p->cr3_mfn, p->vaddr + i * BH_PAGE_SIZE,
			      &p->frames[i]);
	for (int i = 0; i < 4; i++)
		bh_hv_unmap(w.tab[i], 1);
	return r;
}

/* pfn_to_mfn_frame_list_list: a page of frames of pages of frames. */
static int frames_tree(struct bh_hv *h, uint32_t domid, struct bh_p2m *p)
{
	size_t n_lists = (p->n_frames + 511) / 512;
	xen_pfn_t f = p->fll_mfn;
	void *top, *lists;
	int r;

	if (n_lists > 512)
		return -E2BIG;
	r = map_ro(h, domid, &f, 1, &top);
	if (r < 0)
		return r;
	r = map_ro(h, domid, top, n_lists, &lists);
	bh_hv_unmap(top, 1);
	if (r < 0)
		return r;
	memcpy(p->frames, lists, p->n_frames * sizeof(uint64_t));
	bh_hv_unmap(lists, n_lists);
	return 0;
}

static int read_list(struct bh_hv *h, uint32_t domid, struct bh_p2m *p)
{
	for (size_t i = 0; i < p->n_frames; i += 1024) {
		size_t n = MIN(p->n_frames - i, (size_t)1024);
		uint64_t first = i * 512;
		void *m;
		int r;

		r = map_ro(h, domid, p->frames + i, n, &m);
		if (r < 0)
			return r;
		memcpy(p->mfn + first, m,
		       (size_t)MIN(n * 512, p->n - first) * sizeof(*p->mfn));
		bh_hv_unmap(m, n);
	}
	return 0;
}

/* Frames the guest does not own (bits 62 and 63) or that appear twice go. */
static int make_reverse(struct bh_p2m *p)
{
	p->pfn_of = malloc((size_t)(p->max_mfn + 1) * sizeof(*p->pfn_of));
	if (!p->pfn_of)
		return -ENOMEM;
	memset(p->pfn_of, 0xff, (size_t)(p->max_mfn + 1) * sizeof(*p->pfn_of));
	for (uint64_t i = 0; i < p->n; i++) {
		if (p->mfn[i] > p->max_mfn || p->pfn_of[p->mfn[i]] != NONE)
			p->mfn[i] = NONE;
		else
			p->pfn_of[p->mfn[i]] = i;
	}
	return 0;
}

int bh_p2m_read(struct bh_hv *h, uint32_t domid, uint64_t maxmem_kib,
		struct bh_p2m *ret, struct bh_err *e)
{
	struct xen_domctl_getdomaininfo info;
	struct bh_p2m p = {};
	const shared_info_t *s;
	xen_pfn_t f;
	void *m;
	long max;
	int r;

	max = bh_hv_max_mfn(h);
	r = max < 0 ? (int)max : bh_hv_domain_info(h, domid, &info);
	if (r == 0) {
		f = info.shared_info_frame;
		r = map_ro(h, domid, &f, 1, &m);
	}
	if (r < 0)
		return bh_fail(e, r, "cannot look into domain %u: %s", domid,
			       strerror(-r));
	s = m;
	p.n = s->arch.max_pfn;
	p.cr3_mfn = s->arch.p2m_cr3 >> 12;
	p.vaddr = s->arch.p2m_vaddr;
	p.fll_mfn = s->arch.pfn_to_mfn_frame_list_list;
	bh_hv_unmap(m, 1);
	p.max_mfn = (uint64_t)max;
	if (p.n == 0 || p.n > longest(&info, maxmem_kib))
		return bh_fail(e, -EINVAL,
			       "the guest tells of %" PRIu64 " pages of memory",
			       p.n);
	p.n_frames = (size_t)((p.n + 511) / 512);
	p.frames = calloc(p.n_frames, sizeof(*p.frames));
	p.mfn = calloc((size_t)p.n, sizeof(*p.mfn));
	if (!p.frames || !p.mfn)
		r = -ENOMEM;
	else if (p.cr3_mfn)
		r = frames_linear(h, domid, &p);
	else
		r = frames_tree(h, domid, &p);
	if (r == 0)
		r = read_list(h, domid, &p);
	if (r == 0)
		r = make_reverse(&p);
	if (r < 0) {
		bh_p2m_done(&p);
		return bh_fail(e, r,
			       "cannot read the guest's list of its memory: %s",
			       strerror(-r));
	}
	*ret = p;
	return 0;
}
