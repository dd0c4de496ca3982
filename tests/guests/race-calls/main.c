/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two vCPUs race in grants and event channels.
 *
 * First both unmap one grant that is mapped for host and device, one of them at
 * a wrong address: what is left must be the host mapping, whole, and the handle
 * its own. Then one starts and resets FIFO event channels, over and over, while
 * the other binds, sends and polls; at the end the pages that FIFO had are
 * nobody's, and can be page tables.
 */
#include "lib.h"

#define NS 2000000000UL /* for each race */

static u64 *data, *window, *wrong, *pages[3];
static struct grant_entry_v1 *table;
static volatile u32 handle, turn, done;
static volatile enum {
	GRANTS,
	EVENTS,
	OVER
} phase;
static volatile bool running, stopped;

static long gnttab(int cmd, void *op)
{
	return HC(__HYPERVISOR_grant_table_op, cmd, op, 1);
}

static long evtchn(int cmd, void *arg)
{
	return HC(__HYPERVISOR_event_channel_op, cmd, arg);
}

static int unmap(u64 host, u64 dev)
{
	struct gnttab_unmap_grant_ref u = { .host_addr = host,
					    .dev_bus_addr = dev,
					    .handle = handle };

	return gnttab(GNTTABOP_unmap_grant_ref, &u) ? 1 : u.status;
}

/* ---- the second vCPU ----------------------------------------------------------- */

static void fifo(void)
{
	struct evtchn_init_control init = { .control_gfn = mfn_of(pages[0]) };
	struct evtchn_expand_array more = { .array_gfn = mfn_of(pages[1]) };
	struct evtchn_reset reset = { .dom = DOMID_SELF };

	evtchn(EVTCHNOP_init_control, &init);
	evtchn(EVTCHNOP_expand_array, &more);
	init.vcpu = 1;
	init.control_gfn = mfn_of(pages[2]);
	evtchn(EVTCHNOP_init_control, &init);
	evtchn(EVTCHNOP_reset, &reset);
}

static void second(void)
{
	u32 seen = 0;

	running = true;
	while (phase != OVER) {
		if (phase == EVENTS) {
			fifo();
			done++;
		} else if (turn != seen) {
			seen = turn;
			while (unmap(0, mfn_of(data) << 12) < 0 &&
			       phase == GRANTS)
				; /* while the other has the handle */
			done = seen;
		}
	}
	stopped = true;
	for (;;)
		HC(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
}

/* ---- the first ------------------------------------------------------------------ */

static void grants(void)
{
	struct gnttab_map_grant_ref m = { .host_addr = (u64)window,
					  .flags = GNTMAP_host_map |
						   GNTMAP_device_map,
					  .ref = 10 };
	struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = 1 };
	u64 frame = 0, bad = 0, end = now() + NS;
	u32 i;

	SET_HANDLE(s.frame_list, &frame);
	EQ(gnttab(GNTTABOP_setup_table, &s), 0);
	EQ(map((u64)table, frame << 12 | PTE_P | PTE_W | PTE_U, UVMF_INVLPG),
	   0);
	table[10] = (struct grant_entry_v1){ .flags = GTF_permit_access,
					     .frame = mfn_of(data) };
	EQ(map((u64)window, 0, UVMF_INVLPG), 0);
	for (i = 1; now() < end && bad < 5; i++) {
		if (gnttab(GNTTABOP_map_grant_ref, &m) || m.status) {
			bad += 100;
			break;
		}
		handle = m.handle;
		turn = i;
		while (done != i)
			bad += unmap((u64)wrong, 0) >= 0;
		bad += unmap((u64)window, 0) != 0;
		bad += unmap((u64)window, 0) != GNTST_bad_handle;
		bad += (table[10].flags & (GTF_reading | GTF_writing)) != 0;
	}
	printk("%u grants unmapped\n", i);
	EQ(bad, 0);
	EQ(RO(data), 0);
	EQ(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(data), 0), 0);
	EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(data), 0), 0);
}

static void events(void)
{
	struct sched_poll p = { .nr_ports = 1, .timeout = 1 };
	struct evtchn_bind_ipi ipi = { .vcpu = 0 };
	struct evtchn_send send;
	struct evtchn_close close;
	u64 end = now() + NS;
	u32 start = done;

	SET_HANDLE(p.ports, &send.port);
	phase = EVENTS;
	for (u32 i = 0; now() < end || done == start; i++) {
		ipi.vcpu = i & 1;
		if (evtchn(EVTCHNOP_bind_ipi, &ipi))
			continue;
		send.port = ipi.port;
		evtchn(EVTCHNOP_send, &send);
		HC(__HYPERVISOR_sched_op, SCHEDOP_poll, &p);
		close.port = ipi.port;
		evtchn(EVTCHNOP_close, &close);
	}
	printk("%u resets\n", done - start);
	phase = OVER;
	while (!stopped)
		HC(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		memset(pages[i], 0, PAGE_SIZE);
		EQ(RO(pages[i]), 0);
		EQ(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(pages[i]), 0), 0);
		EQ(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(pages[i]), 0), 0);
	}
}

void test_main(void)
{
	if (HC(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0) < 0)
		skip("one vCPU only");
	data = page();
	window = page();
	wrong = page();
	table = page();
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = page();
	start_second(second);
	while (!running)
		HC(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	grants();
	events();
}
