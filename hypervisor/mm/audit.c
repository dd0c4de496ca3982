/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page-type audit (debug key): counts every reference the tables, pins and
 * vCPUs of all domains hold and compares the sums with what the frames say.
 *
 * Nothing is stopped for it. References in flight on other processors show up
 * as differences, so a run that finds any is repeated a few times and the best
 * one counts: a real leak stays. References held by the hypervisor's own
 * mappings of guest pages (vcpu_info, event arrays) are writable references
 * without a table entry; they are reported as a number, not as a fault.
 */
#include <bh/domain.h>
#include <bh/page.h>

#define RUNS    4
#define VERBOSE 8 /* bad frames printed in the last run */

struct audit {
	u32 *refs, *types; /* found, by frame; types: those among refs */
	unsigned int order;
	bool verbose;
	unsigned int bad, printed;
	u64 nr[8], partial, held;
};

static void count_ref(struct audit *a, unsigned long mfn, bool type)
{
	if (!frame_is_ram(mfn))
		return;
	a->refs[mfn]++;
	a->types[mfn] += type;
}

static void count_table(struct audit *a, struct page_info *pg, u64 type)
{
	const u64 *t = page_to_virt(pg);
	unsigned int level = pgt_level(type);

	for (unsigned int i = 0; i < 512; i++) {
		u64 e = READ_ONCE(t[i]);

		if (!(e & PTE_P) ||
		    (level == 4 && i >= HV_L4_FIRST && i <= HV_L4_LAST))
			continue;
		count_ref(a, (e & PADDR_MASK) >> PAGE_SHIFT,
			  level > 1 || (e & (PTE_W | PTE_LOG_DIRTY)));
	}
}

static void count_vcpu(struct audit *a, const struct vcpu *v)
{
	if (!mfn_eq(v->pv.kernel_l4, INVALID_MFN))
		count_ref(a, mfn_x(v->pv.kernel_l4), true);
	if (!mfn_eq(v->pv.user_l4, INVALID_MFN))
		count_ref(a, mfn_x(v->pv.user_l4), true);
	/* GDT pages 0..13 and LDT pages 16..31 of the window; zero pages and
	 * our own page are not the guest's and have no count to compare. */
	for (unsigned int i = 0; v->pv.gdt_ldt_ptes && i < 32; i++) {
		u64 e = READ_ONCE(v->pv.gdt_ldt_ptes[i]);

		if ((e & PTE_P) && (i < 14 || i >= 16))
			count_ref(a, (e & PADDR_MASK) >> PAGE_SHIFT, true);
	}
}

static void count_domain(struct audit *a, struct domain *d)
{
	struct vcpu *v;

	if (d->vcpu)
		for_each_vcpu(d, v)
			count_vcpu(a, v);
	spin_lock(&d->page_lock);
	for (u32 f = d->page_head; f; f = frame_table[f].next) {
		struct page_info *pg = frame_table + f;
		u64 x = READ_ONCE(pg->type);

		if (x & PGT_PINNED)
			count_ref(a, f, true);
		if (pgt_level(x) && (x & PGT_VALIDATED) && (x & PGT_COUNT_MASK))
			count_table(a, pg, x);
	}
	spin_unlock(&d->page_lock);
}

static const char *wrong(struct audit *a, struct page_info *pg, u32 f)
{
	u64 x = READ_ONCE(pg->type), c = READ_ONCE(pg->count);
	u64 refs = (c & PGC_COUNT_MASK) - !!(c & PGC_ALLOCATED);
	u64 types = x & PGT_COUNT_MASK;
	unsigned int t = x >> 61;

	a->nr[types ? t : 0]++;
	if (x & PGT_PARTIAL) {
		a->partial++;
		return NULL; /* accounts for itself */
	}
	if (refs < a->refs[f])
		return "fewer references than mappings";
	if (types < a->types[f] && t)
		return "fewer uses than table entries";
	if (pgt_level(x) && types) {
		if (types != a->types[f])
			return "more uses as a table than entries";
		if (refs != a->refs[f])
			return "more references than entries";
	} else if (types) {
		a->held += types - a->types[f];
	}
	if (types && refs < types)
		return "more uses than references";
	return NULL;
}

static void check_domain(struct audit *a, struct domain *d)
{
	spin_lock(&d->page_lock);
	for (u32 f = d->page_head; f; f = frame_table[f].next) {
		struct page_info *pg = frame_table + f;
		const char *what = wrong(a, pg, f);

		if (!what)
			continue;
		a->bad++;
		if (a->verbose && a->printed++ < VERBOSE)
			printk(LVL_ERR
			       "  frame %#x: %s: count %#lx type %#lx, found %u refs %u uses\n",
			       f, what, pg->count, pg->type, a->refs[f],
			       a->types[f]);
	}
	spin_unlock(&d->page_lock);
}

static void run(struct audit *a, struct domain *d)
{
	struct domain *x;

	memset(a->refs, 0, PAGE_SIZE << a->order);
	memset(a->types, 0, PAGE_SIZE << a->order);
	memset(a->nr, 0, sizeof(a->nr));
	a->bad = a->printed = 0;
	a->held = a->partial = 0;
	for (domid_t id = 0; (x = domain_get_next(id)) != NULL;) {
		id = x->id + 1;
		if (!x->is_system && !x->is_idle)
			count_domain(a, x);
		domain_put(x);
	}
	check_domain(a, d);
}

unsigned int domain_mm_audit(struct domain *d)
{
	struct page_info *m1, *m2;
	struct audit a = { 0 };

	while ((PAGE_SIZE << a.order) / sizeof(u32) < max_mfn)
		a.order++;
	m1 = heap_alloc(a.order, 0, MEMF_NO_SCRUB);
	m2 = heap_alloc(a.order, 0, MEMF_NO_SCRUB);
	if (m1 && m2) {
		a.refs = page_to_virt(m1);
		a.types = page_to_virt(m2);
		for (int i = 0; i < RUNS; i++) {
			a.verbose = i == RUNS - 1;
			run(&a, d);
			if (!a.bad)
				break;
		}
		printk(LVL_INFO
		       "  d%u: %lu pages, tables %lu/%lu/%lu/%lu, descriptors %lu, writable %lu (%lu uses without entry), %lu partial, %u inconsistent\n",
		       d->id, d->tot_pages, a.nr[1], a.nr[2], a.nr[3], a.nr[4],
		       a.nr[5], a.nr[7], a.held, a.partial, a.bad);
	} else {
		printk(LVL_ERR "  no memory for a page audit\n");
	}
	heap_free(m1, a.order, true);
	heap_free(m2, a.order, true);
	return a.bad;
}
