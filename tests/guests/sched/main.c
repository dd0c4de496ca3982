/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who gets how much: two busy domains of weights 256 and 512 share a processor
 * 1:2, a cap of 25 gives a quarter of it, each within 5 %. Time is counted in
 * instructions (`qemu`), so the host's load does not show; with more than one
 * processor QEMU would then run each for 100 ms at a time.
 */
#include "domu.h"

static struct domu a, b;

static void spin(void)
{
	for (;;)
		;
}

static long params(const struct domu *u, u16 weight, u16 cap)
{
	struct xen_domctl op = { 0 };

	op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
	op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
	op.u.scheduler_op.u.credit2.weight = weight;
	op.u.scheduler_op.u.credit2.cap = cap;
	return domctl(&op, XEN_DOMCTL_scheduler_op, u->id);
}

static u64 ran(const struct domu *u)
{
	struct xen_domctl_getdomaininfo info;

	domu_info(u, &info);
	return info.cpu_time;
}

/* Per mille of the time of one CPU that each had. */
static void measure(unsigned int ms, u64 *pa, u64 *pb)
{
	u64 t, ta, tb;

	sleep_ms(300); /* until it has settled */
	t = now();
	ta = ran(&a);
	tb = ran(&b);
	sleep_ms(ms);
	t = now() - t;
	*pa = (ran(&a) - ta) * 1000 / t;
	*pb = (ran(&b) - tb) * 1000 / t;
	printk("per mille: %lu and %lu\n", *pa, *pb);
}

void test_main(void)
{
	u64 pa, pb;

	domu_start(&a, spin);
	domu_start(&b, spin);

	measure(1000, &pa, &pb);
	CHECK(pa + pb > 980 && pa + pb <= 1001); /* none of it is lost */
	CHECK(pa > 475 && pa < 525);

	EQ(params(&b, 512, 0), 0);
	measure(1500, &pa, &pb);
	CHECK(pa + pb > 980);
	CHECK(pb * 100 > pa * 190 && pb * 100 < pa * 210);

	EQ(params(&a, 256, 25), 0);
	measure(1500, &pa, &pb);
	CHECK(pa > 237 && pa < 263);
	CHECK(pa + pb > 980);

	EQ(params(&b, 0, 50), 0); /* weight 0 leaves it */
	measure(1500, &pa, &pb);
	CHECK(pa > 237 && pa < 263);
	CHECK(pb > 475 && pb < 525);

	EQ(params(&a, 256, 101), -E_INVAL); /* more than it has vCPUs */
	domu_destroy(&a);
	domu_destroy(&b);
}
