/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mm/page.c, pv/mmu_validate.c, pv/mmu_update.c and pv/mmuext.c against a model
 * so simple that it is obviously right: after every operation, count what all
 * tables, pins, base pointers and half-done work hold, and compare with what
 * the frames say.
 *
 * Two domains with few frames each throw random hypercalls, good ones and bad
 * ones, at them; preemption strikes at random, and preempted calls are
 * sometimes never continued. A guest's stores through a writable mapping are
 * played by writing random entries into frames of writable type.
 */
#include <pthread.h>
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

/* ---- random guests ------------------------------------------------------------------ */

static unsigned long any_frame(void)
{
	return FIRST + rnd(NR);
}

/* Mostly a frame of v's, so that things succeed often enough. */
static unsigned long my_frame(struct vcpu *v)
{
	return rnd(12) ? FIRST + (v->domain->id - 1) * PER_DOM + rnd(PER_DOM)
		       : any_frame();
}

static unsigned int any_slot(void)
{
	static const u16 slots[] = { 0, 1,   2,   3,   7,   8,
				     9, 256, 258, 271, 510, 511 };

	return slots[rnd(ARRAY_SIZE(slots))];
}

static u64 any_entry(struct vcpu *v)
{
	u64 e = my_frame(v) << PAGE_SHIFT;

	if (!rnd(4))
		return e & ~PTE_P;
	e |= PTE_P | (rnd(2) ? PTE_W : 0) | (rnd(2) ? PTE_U : 0) |
	     (rnd(2) ? PTE_A | PTE_D : 0);
	switch (rnd(40)) {
	case 0:
		e |= PTE_PS;
		break;
	case 1:
		e |= PTE_PWT;
		break;
	case 2:
		e = IO_FRAME << PAGE_SHIFT | PTE_P | PTE_W;
		break;
	case 3:
		e |= 1UL << 45;
		break;
	case 4:
		e |= PTE_G;
		break;
	case 5:
		e |= PTE_LOG_DIRTY;
		break;
	}
	return e;
}

/* Calls fn until it is done or the guest loses interest. */
static long call(hypercall_fn *fn, struct vcpu *v, unsigned long a[6])
{
	long rc;

	do
		rc = fn(v, a);
	while (rc == -ERESTART && rnd(10));
	return rc;
}

static void op_update(struct vcpu *v)
{
	struct mmu_update r[4];
	u32 n = 1 + rnd(4), done = 0;
	unsigned long a[6] = { (unsigned long)r, n, (unsigned long)&done,
			       DOMID_SELF };
	unsigned long f = my_frame(v);

	for (u32 i = 0; i < n; i++) {
		if (!rnd(3))
			f = my_frame(v);
		r[i].ptr = f << PAGE_SHIFT | any_slot() * 8 |
			   (rnd(3) ? 0 : rnd(4));
		r[i].val = any_entry(v);
	}
	if (v->domain->is_privileged && !rnd(8))
		a[3] = 2;
	call(do_mmu_update, v, a);
	assert_true(done <= n);
}

static void op_ext(struct vcpu *v)
{
	static const u8 cmds[] = { 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 15 };
	struct mmuext_op op = { .cmd = cmds[rnd(sizeof(cmds))] };
	unsigned long a[6] = { (unsigned long)&op, 1, 0, DOMID_SELF };

	op.arg1.mfn = my_frame(v);
	if (op.cmd == MMUEXT_NEW_USER_BASEPTR && !rnd(2))
		op.arg1.mfn = 0;
	call(do_mmuext_op, v, a);
}

/* What a store through a writable mapping would do. */
static void op_store(struct vcpu *v)
{
	struct page_info *pg = frame_table + my_frame(v);
	u64 *t = page_to_virt(pg);

	if (!page_get(pg, v->domain))
		return;
	if (!page_get_type(pg, PGT_WRITABLE, true)) {
		for (int i = 0; i < 3; i++)
			t[any_slot()] = any_entry(v);
		if (!rnd(3))
			memset(t, 0, PAGE_SIZE);
		(void)page_put_type(pg, true);
	}
	page_put(pg);
}

static void op_segment(struct vcpu *v)
{
	struct page_info *pg = frame_table + my_frame(v);

	if (!page_get_and_type(pg, v->domain, PGT_SEG, true))
		page_put_and_type(pg);
}

/* The guest gives the frame back; it is freed with its last reference. */
static void op_release(struct vcpu *v)
{
	struct page_info *pg = frame_table + my_frame(v);

	if (!page_get(pg, v->domain))
		return;
	if (__atomic_fetch_and(&pg->count, ~PGC_ALLOCATED, __ATOMIC_SEQ_CST) &
	    PGC_ALLOCATED)
		page_put(pg);
	page_put(pg);
}

/* Log-dirty comes, asks, and goes. */
static void op_log(struct vcpu *v)
{
	bool protect = rnd(3);

	v->domain->pv.log_dirty = protect;
	for (unsigned int i = 0; i < PER_DOM; i++) {
		struct page_info *pg =
			frame_table + FIRST + (v->domain->id - 1) * PER_DOM + i;

		if (page_lock(pg, PGT_L1)) {
			pv_l1_log_dirty(v->domain, pg, protect);
			page_unlock(pg);
		}
	}
}

static void step(struct vcpu *v)
{
	host_vcpu = v;
	switch (rnd(16)) {
	case 0 ... 6:
		op_update(v);
		break;
	case 7 ... 10:
		op_ext(v);
		break;
	case 11 ... 13:
		op_store(v);
		break;
	case 14:
		op_segment(v);
		break;
	case 15:
		if (!rnd(4))
			op_release(v);
		else if (!rnd(4))
			op_log(v);
	}
}

/* ---- tests --------------------------------------------------------------------------------- */

static void random_calls_keep_the_books_balanced(void **state)
{
	const char *s = getenv("STEPS");
	unsigned int steps = s ? atoi(s) : 4000;
	unsigned int reached[8] = { 0 };

	for (unsigned int round = 1; round <= 12; round++) {
		seed = round * 7919;
		preempt_one_in = round % 3 ? 2 + round : 0;
		setup(NULL);
		for (unsigned int i = 0; i < steps; i++) {
			step(&vcpus[rnd(4)]);
			check_all();
			for (unsigned int f = 0; f < NR; f++)
				if (types[f])
					reached[frame_table[FIRST + f].type >>
						61]++;
		}
		teardown_all();
	}
	/* The test is worth something only if all levels were reached. */
	for (unsigned int t = 1; t <= 4; t++)
		assert_true(reached[t] > 100);
	assert_true(reached[7] > 100);
}

static void *racer(void *arg)
{
	struct vcpu *v = arg;

	seed = 4711 + (v - vcpus);
	preempt_one_in = 6;
	for (unsigned int i = 0; i < 30000; i++)
		step(v);
	return NULL;
}

static void racing_vcpus_keep_the_books_balanced(void **state)
{
	pthread_t t[4];

	setup(NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, racer, &vcpus[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	check_all();
	teardown_all();
}

static long pin(struct vcpu *v, unsigned int cmd, unsigned long mfn)
{
	struct mmuext_op op = { .cmd = cmd, .arg1.mfn = mfn };
	unsigned long a[6] = { (unsigned long)&op, 1, 0, DOMID_SELF };

	return do_mmuext_op(v, a);
}

static long set_entry(struct vcpu *v, unsigned long f, unsigned int i, u64 val)
{
	struct mmu_update r = { f << PAGE_SHIFT | i * 8, val };
	unsigned long a[6] = { (unsigned long)&r, 1, 0, DOMID_SELF };

	return do_mmu_update(v, a);
}

static void a_table_cannot_be_mapped_writable(void **state)
{
	struct vcpu *v = host_vcpu = &vcpus[0];

	preempt_one_in = 0;
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST), 0);
	assert_int_equal(set_entry(v, FIRST, 0, FIRST << 12 | PTE_P | PTE_W),
			 -EBUSY);
	assert_int_equal(set_entry(v, FIRST, 0, FIRST << 12 | PTE_P), 0);
	/* Read-only now: it must not become writable either. */
	assert_int_equal(set_entry(v, FIRST, 0, FIRST << 12 | PTE_P | PTE_W),
			 -EBUSY);
	check_all();
	/* And the other way round. */
	assert_int_equal(
		set_entry(v, FIRST, 1, (FIRST + 1) << 12 | PTE_P | PTE_W), 0);
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST + 1), -EBUSY);
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST), -EINVAL);
	assert_int_equal(pin(v, MMUEXT_UNPIN_TABLE, FIRST), 0);
	assert_int_equal(pin(v, MMUEXT_UNPIN_TABLE, FIRST), -EINVAL);
	teardown_all();
}

static void recursive_tables_are_refused(void **state)
{
	struct vcpu *v = host_vcpu = &vcpus[0];
	u64 *t = mfn_to_virt(_mfn(FIRST));

	preempt_one_in = 0;
	t[3] = FIRST << 12 | PTE_P;
	assert_int_equal(pin(v, MMUEXT_PIN_L4_TABLE, FIRST), -EBUSY);
	assert_int_equal(pin(v, MMUEXT_PIN_L2_TABLE, FIRST), -EBUSY);
	memset(t, 0, PAGE_SIZE); /* our slots were written on the way */
	assert_int_equal(pin(v, MMUEXT_PIN_L2_TABLE, FIRST), 0);
	assert_int_equal(set_entry(v, FIRST, 3, FIRST << 12 | PTE_P), -EBUSY);
	teardown_all();
}

static void hypervisor_slots_cannot_be_written(void **state)
{
	struct vcpu *v = host_vcpu = &vcpus[0];
	u64 *t = mfn_to_virt(_mfn(FIRST));

	preempt_one_in = 0;
	hv_l4[256] = 0x1111000;
	t[256] = (FIRST + 1) << 12 | PTE_P;
	assert_int_equal(pin(v, MMUEXT_PIN_L4_TABLE, FIRST), 0);
	assert_int_equal(t[256], 0x1111000);
	for (unsigned int i = 256; i <= 271; i++)
		assert_int_equal(set_entry(v, FIRST, i, 0), -EPERM);
	teardown_all();
}

static void foreign_frames_need_their_owner_named(void **state)
{
	struct vcpu *v = host_vcpu = &vcpus[0];
	u64 e = (FIRST + PER_DOM) << 12 | PTE_P | PTE_W;
	struct mmu_update r = { FIRST << PAGE_SHIFT, e };
	u32 done = 0;
	unsigned long a[6] = { (unsigned long)&r, 1, (unsigned long)&done, 2 };

	preempt_one_in = 0;
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST), 0);
	assert_int_equal(set_entry(v, FIRST, 0, e), -EINVAL);
	assert_int_equal(do_mmu_update(v, a), 0);
	assert_int_equal(done, 1);
	/* Read-only, then writable again without naming the owner: refused. */
	assert_int_equal(set_entry(v, FIRST, 0, e & ~PTE_W), 0);
	assert_int_equal(set_entry(v, FIRST, 0, e), -EINVAL);
	assert_true(frame_table[FIRST + PER_DOM].count & PGC_FOREIGN);
	check_all();
	teardown_all();
}

static void the_log_takes_rights_and_gives_them_back(void **state)
{
	struct vcpu *v = host_vcpu = &vcpus[0];
	struct page_info *pg = frame_table + FIRST;
	u64 *t = page_to_virt(pg), k = (FIRST + 1) << 12 | PTE_P | PTE_W,
	    u = (FIRST + 2) << 12 | PTE_P | PTE_W | PTE_U;

	preempt_one_in = 0;
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST), 0);
	set_entry(v, FIRST, 0, k);
	set_entry(v, FIRST, 1, u);
	assert_true(page_lock(pg, PGT_L1));
	pv_l1_log_dirty(v->domain, pg, true);
	page_unlock(pg);
	assert_int_equal(t[0] & (PTE_W | PTE_LOG_DIRTY), PTE_LOG_DIRTY);
	assert_int_equal(t[1] & (PTE_W | PTE_LOG_DIRTY), 0);
	check_all();
	/* The kernel's still counts as writable, the user's does not. */
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST + 1), -EBUSY);
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST + 2), 0);
	/* A guest cannot set the mark, and loses it by asking for read-only. */
	set_entry(v, FIRST, 2, k & ~PTE_W);
	set_entry(v, FIRST, 2, (k & ~PTE_W) | PTE_LOG_DIRTY);
	assert_int_equal(t[2] & PTE_LOG_DIRTY, 0);
	set_entry(v, FIRST, 0, k & ~PTE_W);
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST + 1), 0);
	check_all();
	v->domain->pv.log_dirty = false;
	teardown_all();
}

static void kernel_and_user_pages_are_told_apart(void **state)
{
	struct vcpu *v = host_vcpu = &vcpus[0];
	u64 *t = mfn_to_virt(_mfn(FIRST)), p = (FIRST + 1) << 12 | PTE_P;

	preempt_one_in = 0;
	assert_int_equal(pin(v, MMUEXT_PIN_L1_TABLE, FIRST), 0);
	set_entry(v, FIRST, 0, p | PTE_G);
	assert_int_equal(t[0], p | PTE_U | PTE_GUEST_KERNEL);
	set_entry(v, FIRST, 0, p | PTE_U);
	assert_int_equal(t[0], p | PTE_U | PTE_G);
	set_entry(v, FIRST, 0, p | PTE_U | PTE_GUEST_KERNEL | PTE_G);
	assert_int_equal(t[0], p | PTE_U | PTE_GUEST_KERNEL);
	teardown_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_table_cannot_be_mapped_writable,
				       setup),
		cmocka_unit_test_setup(recursive_tables_are_refused, setup),
		cmocka_unit_test_setup(hypervisor_slots_cannot_be_written,
				       setup),
		cmocka_unit_test_setup(foreign_frames_need_their_owner_named,
				       setup),
		cmocka_unit_test_setup(the_log_takes_rights_and_gives_them_back,
				       setup),
		cmocka_unit_test_setup(kernel_and_user_pages_are_told_apart,
				       setup),
		cmocka_unit_test(random_calls_keep_the_books_balanced),
		cmocka_unit_test(racing_vcpus_keep_the_books_balanced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
