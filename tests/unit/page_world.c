/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See page_world.h: what the code under test calls, the model, set-up and end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <bh/control.h>
#include <bh/desc.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/page.h>
#include <bh/smp.h>

#include "page_world.h"

struct domain *dom_io, *dom_xen, *hardware_domain;
struct domain *dom[2];
struct vcpu vcpus[4];
struct cpu host_cpu;
struct cpu_features cpu_has = { .paddr_bits = 40 };
cpumask_t cpu_online_map;
u64 tlb_clock = 1;
__thread unsigned int seed = 1;
__thread unsigned int preempt_one_in = 4;

unsigned int rnd(unsigned int n)
{
	return rand_r(&seed) / 7 % n;
}

/* ---- what the code under test calls ------------------------------------------ */

bool hypercall_preempt(void)
{
	return preempt_one_in && rnd(preempt_one_in) == 0;
}
void tlb_filter(cpumask_t *mask, u32 stamp)
{
}
void tlb_flush_mask(const cpumask_t *mask)
{
}
void tlb_flush_one_mask(const cpumask_t *mask, unsigned long va)
{
}
void tlb_flush_local(void)
{
	__atomic_fetch_add(&tlb_clock, 1, __ATOMIC_SEQ_CST);
}
void tlb_flush_one_local(unsigned long va)
{
}
void tlb_switch_cr3(unsigned long cr3)
{
}
void tlb_leave_guest(void)
{
}
int copy_from_guest(void *dst, gptr_t src, unsigned long n)
{
	__builtin_memcpy(dst, (void *)src.a, n);
	return 0;
}
int copy_to_guest(gptr_t dst, const void *src, unsigned long n)
{
	__builtin_memcpy((void *)dst.a, src, n);
	return 0;
}
int get_guest_words(u64 *v, gptr_t src, unsigned int n)
{
	return copy_from_guest(v, src, n * 8);
}
int put_guest_u32(gptr_t dst, u32 v)
{
	return copy_to_guest(dst, &v, sizeof(v));
}
int get_guest_u64(u64 *v, gptr_t src)
{
	return -EFAULT;
}
bool rangeset_contains(const struct rangeset *r, unsigned long s,
		       unsigned long e)
{
	return s == IO_FRAME;
}
bool rangeset_empty(const struct rangeset *r)
{
	return false;
}
struct domain *domain_by_id(domid_t id)
{
	return id >= 1 && id <= 2 ? dom[id - 1] : NULL;
}
void domain_put(struct domain *d)
{
}
struct vcpu *domain_vcpu(const struct domain *d, u32 id)
{
	return NULL;
}
void log_dirty_mark(struct domain *d, mfn_t mfn)
{
}
void log_dirty_fault_seen(struct domain *d, mfn_t mfn)
{
}
void tlb_shootdown_ipi(void)
{
}
bool pv_fix_descriptor(struct domain *d, u64 *desc)
{
	return (*desc & 0xff) != 0x5a;
}
bool pv_ldt_release(struct vcpu *v)
{
	return false;
}
void desc_load_ldt(unsigned long base, unsigned int n)
{
}
void smp_call(const cpumask_t *m, void (*fn)(void *), void *arg)
{
}

/* A freed frame goes straight back to its half's domain: every frame is always
 * somebody's. */
void page_free_final(struct page_info *pg)
{
	unsigned long i = pg - frame_table - FIRST;

	assert_true(i < NR);
	assert_int_equal(pg->type & PGT_COUNT_MASK, 0);
	assert_false(pg->count & PGC_ALLOCATED);
	pg->type = 0;
	__atomic_store_n(&pg->count, PGC_ALLOCATED | 1, __ATOMIC_SEQ_CST);
}

/* ---- the model ------------------------------------------------------------------- */

unsigned int refs[NR], types[NR];

static void hold(u64 mfn, bool ref, bool type)
{
	if (mfn < FIRST || mfn >= FIRST + NR)
		return;
	refs[mfn - FIRST] += ref;
	types[mfn - FIRST] += type;
}

static bool entry_counts(unsigned int level, unsigned int i, u64 e)
{
	return (e & PTE_P) &&
	       !(level == 4 && i >= HV_L4_FIRST && i <= HV_L4_LAST);
}

/* A validated entry points to what it must. */
static void check_target(unsigned int level, u64 e)
{
	u64 mfn = (e & PADDR_MASK) >> PAGE_SHIFT, x;

	if (mfn < FIRST || mfn >= FIRST + NR) {
		assert_true(level == 1 && mfn == IO_FRAME);
		assert_true(e & PTE_PCD);
		return;
	}
	x = frame_table[mfn].type;
	if (level > 1) {
		assert_int_equal(pgt_level(x), level - 1);
		assert_true(x & PGT_VALIDATED);
	} else if (e & (PTE_W | PTE_LOG_DIRTY)) {
		assert_int_equal(x & PGT_TYPE_MASK, PGT_WRITABLE);
	}
	assert_true(e & PTE_U);
}

static void count_frame(unsigned long f)
{
	struct page_info *pg = frame_table + f;
	unsigned int level = pgt_level(pg->type);
	const u64 *t = page_to_virt(pg);
	unsigned int n = 512;

	assert_false(pg->type & PGT_LOCKED);
	if (pg->type & PGT_PINNED)
		hold(f, true, true);
	if (pg->type & PGT_PARTIAL) {
		hold(f, true, true);
		n = pg->nr_valid;
		if (pg->partial)
			hold((t[n] & PADDR_MASK) >> PAGE_SHIFT, true, false);
	} else if (!(pg->type & PGT_VALIDATED)) {
		return;
	}
	for (unsigned int i = 0; level && i < n; i++) {
		if (!entry_counts(level, i, t[i]))
			continue;
		hold((t[i] & PADDR_MASK) >> PAGE_SHIFT, true,
		     level > 1 || (t[i] & (PTE_W | PTE_LOG_DIRTY)));
		check_target(level, t[i]);
	}
}

void check_all(void)
{
	memset(refs, 0, sizeof(refs));
	memset(types, 0, sizeof(types));
	for (unsigned long f = FIRST; f < FIRST + NR; f++)
		count_frame(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(vcpus); i++) {
		struct vcpu *v = &vcpus[i];

		if (!v->domain)
			continue;
		hold(mfn_x(v->pv.kernel_l4), true, true);
		hold(mfn_x(v->pv.user_l4), true, true);
		for (unsigned int k = 0; k < ARRAY_SIZE(v->pv.deferred); k++)
			if (v->pv.deferred[k])
				hold(v->pv.deferred[k] - frame_table, true,
				     false);
	}
	for (unsigned int i = 0; i < NR; i++) {
		const struct page_info *pg = frame_table + FIRST + i;

		if ((pg->count & PGC_COUNT_MASK) !=
			    refs[i] + !!(pg->count & PGC_ALLOCATED) ||
		    (pg->type & PGT_COUNT_MASK) != types[i])
			fail_msg("frame %u: count %lx type %lx, found %u %u\n",
				 FIRST + i, pg->count, pg->type, refs[i],
				 types[i]);
	}
}

/* ---- set-up and end -------------------------------------------------------------------- */

static struct domain *make_domain(unsigned long at, domid_t id)
{
	struct domain *d = mfn_to_virt(_mfn(at));

	d->id = id;
	d->perdomain_l3 = mfn_to_virt(_mfn(at + 8));
	return d;
}

int setup(void **state)
{
	host_mm_init(256);
	hv_l4 = mfn_to_virt(_mfn(1));
	dom[0] = make_domain(10, 1);
	dom[1] = make_domain(20, 2);
	dom_io = make_domain(30, DOMID_IO);
	dom_xen = make_domain(40, DOMID_XEN);
	dom_io->is_system = dom_xen->is_system = true;
	dom[0]->is_privileged = true;
	for (unsigned int i = 0; i < 4; i++) {
		vcpus[i] = (struct vcpu){ .domain = dom[i & 1] };
		vcpus[i].pv.kernel_l4 = vcpus[i].pv.user_l4 = INVALID_MFN;
		vcpus[i].pv.kernel_mode = true;
	}
	for (unsigned int i = 0; i < NR; i++) {
		struct page_info *pg = frame_table + FIRST + i;

		page_set_owner(pg, dom[i / PER_DOM]);
		pg->count = PGC_ALLOCATED | 1;
	}
	return 0;
}

void drain(struct vcpu *v)
{
	preempt_one_in = 0;
	host_vcpu = v;
	while (pv_drain_deferred(v))
		;
}

/* Everything given back: all counts are as at the start. */
void teardown_all(void)
{
	for (unsigned int i = 0; i < 4; i++) {
		mfn_t *l4[] = { &vcpus[i].pv.kernel_l4, &vcpus[i].pv.user_l4 };

		drain(&vcpus[i]);
		for (int k = 0; k < 2; k++) {
			if (!mfn_eq(*l4[k], INVALID_MFN))
				page_put_and_type(mfn_to_page(*l4[k]));
			*l4[k] = INVALID_MFN;
		}
	}
	for (unsigned int i = 0; i < NR; i++) {
		struct page_info *pg = frame_table + FIRST + i;

		if (pg->type & PGT_PINNED) {
			pg->type &= ~PGT_PINNED;
			page_put_and_type(pg);
		}
		(void)page_release_partial(pg, false);
	}
	check_all();
	for (unsigned int i = 0; i < NR; i++) {
		const struct page_info *pg = frame_table + FIRST + i;

		assert_int_equal(pg->count & PGC_COUNT_MASK,
				 !!(pg->count & PGC_ALLOCATED));
		assert_int_equal(pg->type & PGT_COUNT_MASK, 0);
	}
}
