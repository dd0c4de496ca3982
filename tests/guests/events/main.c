/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels, timers, blocking: ports bind, signal, mask, close, run out;
 * a timer fires at its time; block and poll wake.
 */
#include "lib.h"

static long evtchn(int cmd, void *arg)
{
	return HC(__HYPERVISOR_event_channel_op, cmd, arg);
}

static bool pending(u32 port)
{
	return shared->evtchn_pending[port / 64] >> (port % 64) & 1;
}

static void clear(u32 port)
{
	__sync_fetch_and_and(&shared->evtchn_pending[port / 64],
			     ~(1UL << (port % 64)));
	shared->vcpu_info[0].evtchn_pending_sel = 0;
	shared->vcpu_info[0].evtchn_upcall_pending = 0;
}

static void loopback(void)
{
	struct evtchn_alloc_unbound au = { DOMID_SELF, DOMID_SELF, 0 };
	struct evtchn_bind_interdomain bi = { DOMID_SELF, 0, 0 };
	struct evtchn_status st = { .dom = DOMID_SELF };
	struct evtchn_send send;
	struct evtchn_close close;

	EQ(evtchn(EVTCHNOP_alloc_unbound, &au), 0);
	st.port = au.port;
	EQ(evtchn(EVTCHNOP_status, &st), 0);
	EQ(st.status, EVTCHNSTAT_unbound);
	bi.remote_port = au.port;
	EQ(evtchn(EVTCHNOP_bind_interdomain, &bi), 0);
	CHECK(bi.local_port != au.port);
	EQ(evtchn(EVTCHNOP_bind_interdomain, &bi), -E_INVAL);
	clear(bi.local_port);
	clear(au.port);
	send.port = bi.local_port;
	EQ(evtchn(EVTCHNOP_send, &send), 0);
	CHECK(pending(au.port));
	clear(au.port);
	close.port = bi.local_port;
	EQ(evtchn(EVTCHNOP_close, &close), 0);
	EQ(evtchn(EVTCHNOP_status, &st), 0);
	EQ(st.status, EVTCHNSTAT_unbound); /* the other end is free again */
	close.port = au.port;
	EQ(evtchn(EVTCHNOP_close, &close), 0);
	EQ(evtchn(EVTCHNOP_close, &close), -E_INVAL);
	close.port = 0;
	EQ(evtchn(EVTCHNOP_close, &close), -E_INVAL);
	close.port = 0xfffffff0;
	EQ(evtchn(EVTCHNOP_close, &close), -E_INVAL);
	au.dom = 1234;
	EQ(evtchn(EVTCHNOP_alloc_unbound, &au), -E_SRCH);
	EQ(evtchn(999, &au), -E_NOSYS);
}

static u32 bind_timer(void)
{
	struct evtchn_bind_virq v = { .virq = VIRQ_TIMER };
	u32 port;

	EQ(evtchn(EVTCHNOP_bind_virq, &v), 0);
	port = v.port;
	EQ(evtchn(EVTCHNOP_bind_virq, &v), -E_EXIST);
	v.virq = 23;
	EQ(evtchn(EVTCHNOP_bind_virq, &v), 0);
	v.virq = 24;
	EQ(evtchn(EVTCHNOP_bind_virq, &v), -E_INVAL);
	v.virq = VIRQ_DEBUG;
	v.vcpu = 4000;
	EQ(evtchn(EVTCHNOP_bind_virq, &v), -E_NOENT);
	return port;
}

static void timers(u32 port)
{
	struct vcpu_set_singleshot_timer t = { 0 };
	u64 start, end;

	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
	clear(port);
	nr_events = 0;
	start = now();
	t.timeout_abs_ns = start + 20000000;
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, &t), 0);
	CHECK(!pending(port));
	/* Block until it fires. */
	while (!pending(port) && now() < start + 5000000000UL)
		HC(__HYPERVISOR_sched_op, SCHEDOP_block, 0);
	end = now();
	CHECK(pending(port));
	CHECK(end >= start + 20000000);
	CHECK(nr_events > 0);
	events_on(false);
	clear(port);

	/* A time in the past fires at once, and is no error. */
	t.timeout_abs_ns = 1;
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, &t), 0);
	start = now();
	while (!pending(port) && now() < start + 1000000000UL)
		HC(__HYPERVISOR_xen_version, 0);
	CHECK(pending(port));
	clear(port);
	/* So does one that is negative, whatever is added to it. */
	EQ(HC(__HYPERVISOR_set_timer_op, 1UL << 63), 0);
	start = now();
	while (!pending(port) && now() < start + 1000000000UL)
		HC(__HYPERVISOR_xen_version, 0);
	CHECK(pending(port));
	clear(port);
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 7000, &t),
	   -E_NOENT);
}

static void polling(u32 port)
{
	evtchn_port_t ports[1] = { port };
	struct sched_poll p = { .nr_ports = 1 };
	u64 start = now();

	SET_HANDLE(p.ports, ports);
	p.timeout = start + 10000000;
	shared->evtchn_mask[port / 64] |= 1UL << (port % 64);
	EQ(HC(__HYPERVISOR_sched_op, SCHEDOP_poll, &p), 0);
	CHECK(now() >= start + 10000000 - 1000000);
	/* Pending and masked: returns at once. */
	shared->evtchn_pending[port / 64] |= 1UL << (port % 64);
	p.timeout = now() + 3000000000UL;
	start = now();
	EQ(HC(__HYPERVISOR_sched_op, SCHEDOP_poll, &p), 0);
	CHECK(now() < start + 2000000000UL);
	clear(port);
	p.nr_ports = 129;
	EQ(HC(__HYPERVISOR_sched_op, SCHEDOP_poll, &p), -E_INVAL);
	shared->evtchn_mask[port / 64] &= ~(1UL << (port % 64));
}

static void exhaustion(void)
{
	struct evtchn_bind_ipi ipi = { .vcpu = 0 };
	struct evtchn_close close;
	u32 first = 0, n = 0;
	long rc;

	while ((rc = evtchn(EVTCHNOP_bind_ipi, &ipi)) == 0 && n < 200000) {
		if (!first)
			first = ipi.port;
		n++;
	}
	EQ(rc, -E_NOSPC);
	CHECK(n > 900);
	for (u32 port = first; port < first + n + 8; port++) {
		close.port = port;
		evtchn(EVTCHNOP_close, &close);
	}
	EQ(evtchn(EVTCHNOP_bind_ipi, &ipi), 0);
}

static void time_is_monotonic(void)
{
	u64 last = now();
	bool ok = true;

	for (int i = 0; i < 20000; i++) {
		u64 t = now();

		ok &= t >= last;
		last = t;
	}
	CHECK(ok);
}

/* Back from FIFO, ports that 2-level has no bits for must not be found in what
 * lies behind those: here something of ours, further on somebody else's. */
static void back_from_fifo(void)
{
	struct evtchn_reset reset = { .dom = DOMID_SELF };
	struct evtchn_init_control init = { .control_gfn = mfn_of(page()) };
	struct evtchn_bind_ipi ipi = { .vcpu = 0 };
	struct evtchn_unmask unmask;
	volatile u64 *word = &shared->arch.p2m_vaddr;
	u64 was = *word;
	long rc = 0;

	EQ(evtchn(EVTCHNOP_reset, &reset), 0);
	EQ(evtchn(EVTCHNOP_init_control, &init), 0);
	EQ(init.link_bits, EVTCHN_FIFO_LINK_BITS);
	unmask.port = ((u64)word - (u64)shared->evtchn_mask) * 8;
	CHECK(unmask.port > EVTCHN_2L_NR_CHANNELS);
	while (!rc && ipi.port < unmask.port + 64)
		rc = evtchn(EVTCHNOP_bind_ipi, &ipi);
	EQ(rc, 0);
	EQ(evtchn(EVTCHNOP_reset, &reset), 0);
	*word = ~0UL;
	for (int i = 0; i < 64; i++, unmask.port++)
		evtchn(EVTCHNOP_unmask, &unmask);
	EQ(*word, ~0UL);
	*word = was;
	EQ(evtchn(EVTCHNOP_bind_ipi, &ipi), 0);
	EQ(ipi.port, 1);
}

void test_main(void)
{
	u32 port;

	loopback();
	port = bind_timer();
	timers(port);
	polling(port);
	time_is_monotonic();
	exhaustion();
	back_from_fifo();
}
