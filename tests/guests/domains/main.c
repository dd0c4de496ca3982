/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two domains. The second tries to get at the first and at the machine, and is
 * refused everything; then they talk the way they may: a grant, an event
 * channel. When it is destroyed all its memory is back.
 */
#include "domu.h"

#define MAX_FACTS 96

/* What the other domain saw: it cannot print. */
static struct fact {
	u16 line;
	short got, want; /* want 1: any error */
} facts[MAX_FACTS];
static volatile unsigned int nr_facts, finished;
static u64 dom0_frame, dom0_table, dom0_mfn_of_l1;
static u32 dom0_port, dom0_other_port, my_id;
static struct domu u;
static struct grant_entry_v1 *table;
static u64 *shared_word;

static void fact(int line, long got, long want)
{
	unsigned int n = nr_facts;

	if (n < MAX_FACTS) {
		facts[n] = (struct fact){ line, got, want };
		nr_facts = n + 1;
	}
}
#define IS(want, got) fact(__LINE__, got, want)
#define REFUSED(got)  fact(__LINE__, got, 1)

/* ---- in the second domain --------------------------------------------------- */

static u64 own_l1;
static char scratch[4096] PAGE_ALIGNED;

static long set_pte(u64 val)
{
	return HC(__HYPERVISOR_update_va_mapping, scratch, val, UVMF_INVLPG);
}

static void attack_memory(void)
{
	struct mmu_update req = { own_l1 + ((u64)scratch >> 12 & 511) * 8, 0 };
	struct xen_memory_reservation r = { .nr_extents = 1,
					    .domid = DOMID_SELF };
	static u64 list[1];
	u64 frames[1] = { dom0_frame };
	u64 flags = PTE_P | PTE_W | PTE_U;
	int n;

	REFUSED(set_pte(dom0_frame << 12 | flags));
	REFUSED(set_pte(dom0_frame << 12 | PTE_P | PTE_U));
	REFUSED(set_pte(dom0_table << 12 | PTE_P | PTE_U));
	REFUSED(set_pte(0x200UL << 12 | flags)); /* the hypervisor */
	REFUSED(set_pte(0xfee00UL << 12 | flags));
	REFUSED(set_pte(0xfec00UL << 12 | flags));
	REFUSED(set_pte(0xb8UL << 12 | flags)); /* the screen */
	REFUSED(set_pte(0UL << 12 | flags));
	REFUSED(set_pte(0xfffffffffUL << 12 | flags));
	REFUSED(set_pte((own_l1 >> 12) << 12 |
			flags)); /* own table, writable */
	req.val = dom0_frame << 12 | flags;
	REFUSED(HC(__HYPERVISOR_mmu_update, &req, 1, 0, 0));
	REFUSED(HC(__HYPERVISOR_mmu_update, &req, 1, 0, DOMID_IO));
	req.ptr = dom0_mfn_of_l1 << 12;
	REFUSED(HC(__HYPERVISOR_mmu_update, &req, 1, 0, DOMID_SELF));
	req.ptr = dom0_frame << 12 | MMU_MACHPHYS_UPDATE;
	REFUSED(HC(__HYPERVISOR_mmu_update, &req, 1, 0, DOMID_SELF));
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, dom0_frame, 0));
	REFUSED(mmuext(MMUEXT_UNPIN_TABLE, dom0_table, 0));
	REFUSED(mmuext(MMUEXT_NEW_BASEPTR, dom0_table, 0));
	REFUSED(mmuext(MMUEXT_NEW_USER_BASEPTR, dom0_table, 0));
	REFUSED(HC(__HYPERVISOR_set_gdt, frames, 8));
	REFUSED(HC(__HYPERVISOR_update_va_mapping_otherdomain, scratch, 0, 0,
		   0));

	/* Memory: as much as it was allowed and no more. */
	SET_HANDLE(r.extent_start, list);
	for (n = 0; n < 1000; n++)
		if (HC(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &r) !=
		    1)
			break;
	IS(1, n < 400 ? -1 : 0);
	r.domid = 0; /* how many were done */
	IS(0, HC(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r));
	list[0] = dom0_frame;
	r.domid = DOMID_SELF;
	IS(0, HC(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r));
}

static void attack_control(void)
{
	static union {
		struct xen_domctl domctl;
		struct xen_sysctl sysctl;
		struct xen_platform_op platform;
		struct sched_remote_shutdown remote;
		struct xen_memory_map map;
		struct physdev_map_pirq pirq;
		struct evtchn_status status;
		struct evtchn_bind_virq virq;
		struct evtchn_bind_pirq bind_pirq;
	} op;

	op.domctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	op.domctl.cmd = XEN_DOMCTL_destroydomain;
	IS(-E_PERM, HC(__HYPERVISOR_domctl, &op));
	op.sysctl.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
	op.sysctl.cmd = XEN_SYSCTL_physinfo;
	IS(-E_PERM, HC(__HYPERVISOR_sysctl, &op));
	op.platform.interface_version = XENPF_INTERFACE_VERSION;
	op.platform.cmd = XENPF_settime64;
	IS(-E_PERM, HC(__HYPERVISOR_platform_op, &op));
	op.remote.domain_id = 0;
	op.remote.reason = SHUTDOWN_poweroff;
	IS(-E_PERM,
	   HC(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &op.remote));
	op.map.nr_entries = 1;
	REFUSED(HC(__HYPERVISOR_memory_op, XENMEM_machine_memory_map, &op.map));
	REFUSED(HC(__HYPERVISOR_console_io, CONSOLEIO_write, 4, "boo!"));
	op.pirq = (struct physdev_map_pirq){ .domid = DOMID_SELF,
					     .type = MAP_PIRQ_TYPE_GSI,
					     .index = 4,
					     .pirq = 4 };
	REFUSED(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, &op.pirq));
	op.bind_pirq = (struct evtchn_bind_pirq){ .pirq = 4 };
	REFUSED(HC(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_pirq, &op));
	op.status = (struct evtchn_status){ .dom = 0, .port = 1 };
	IS(-E_PERM, HC(__HYPERVISOR_event_channel_op, EVTCHNOP_status, &op));
}

static u32 in(u16 port)
{
	u32 val = 0;

	__asm__ volatile("inb %w1, %b0" : "+a"(val) : "Nd"(port));
	return val;
}

static void attack_ports(void)
{
	struct physdev_set_iopl iopl = { .iopl = 1 };

	IS(0, HC(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &iopl));
	IS(0xff, in(0x64));
	IS(0, in(0x42)); /* a timer that does not count: nobody waits for it */
	__asm__ volatile("outb %b0, %w1" ::"a"(6), "Nd"(0xcf9));   /* reset */
	__asm__ volatile("outb %b0, %w1" ::"a"(0xfe), "Nd"(0x64)); /* reset */
}

static void attack_events(void)
{
	struct evtchn_bind_interdomain b = { .remote_dom = 0,
					     .remote_port = dom0_other_port };
	struct evtchn_alloc_unbound a = { .dom = 0, .remote_dom = DOMID_SELF };
	struct evtchn_send s = { .port = 1 };

	REFUSED(HC(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain,
		   &b)); /* meant for somebody else */
	b.remote_port = 0x7fffffff;
	REFUSED(HC(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain,
		   &b));
	IS(-E_PERM,
	   HC(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &a));
	IS(-E_INVAL, HC(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &s));
	b.remote_port = dom0_port;
	IS(0, HC(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &b));
	s.port = b.local_port;
	IS(0, HC(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &s));
}

static void attack_grants(void)
{
	struct gnttab_map_grant_ref m = { .host_addr = (u64)scratch,
					  .flags = GNTMAP_host_map,
					  .dom = 0,
					  .ref = 20 };
	struct gnttab_unmap_grant_ref um = { 0 };
	volatile u64 *word = (u64 *)scratch;

	IS(0, set_pte(0));
	IS(0, HC(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &m, 1));
	REFUSED(m.status); /* never granted */
	m.ref = 21;
	IS(0, HC(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &m, 1));
	REFUSED(m.status); /* read-only, asked for writable */
	m.ref = 22;
	IS(0, HC(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &m, 1));
	REFUSED(m.status); /* granted to another */
	m.ref = 23;
	IS(0, HC(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &m, 1));
	IS(0, m.status);
	if (m.status)
		return;
	IS(0x1234, *word);
	*word = 0x4321;
	/* By way of the mapping it is still not its own. */
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, dom0_frame, 0));
	um.handle = m.handle;
	um.host_addr = m.host_addr;
	IS(0,
	   HC(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &um, 1));
	IS(0, um.status);
}

static void second_domain(void)
{
	struct sched_shutdown down = { .reason = SHUTDOWN_suspend };

	attack_memory();
	attack_control();
	attack_ports();
	attack_events();
	attack_grants();
	finished = 1;
	for (;;)
		HC(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &down);
}

/* ---- in the first ------------------------------------------------------------ */

static u32 unbound(u32 for_domain)
{
	struct evtchn_alloc_unbound a = { DOMID_SELF, for_domain, 0 };

	EQ(HC(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &a), 0);
	return a.port;
}

static void grants(void)
{
	struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = 1 };
	u64 frame = 0;

	table = page();
	shared_word = page();
	shared_word[0] = 0x1234;
	SET_HANDLE(s.frame_list, &frame);
	EQ(HC(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &s, 1), 0);
	EQ(map((u64)table, frame << 12 | PTE_P | PTE_W | PTE_U, UVMF_INVLPG),
	   0);
	for (int i = 21; i < 24; i++)
		table[i] = (struct grant_entry_v1){
			.flags = GTF_permit_access |
				 (i == 21 ? GTF_readonly : 0),
			.domid = i == 22 ? 99 : my_id,
			.frame = mfn_of(shared_word),
		};
}

static void judge(void)
{
	unsigned int n, done;
	struct fact f;

	for (int i = 0; i < 3000; i++) {
		domu_copy(&u, &done, (void *)&finished, sizeof(done));
		if (done)
			break;
		sleep_ms(10);
	}
	CHECK(done);
	domu_copy(&u, &n, (void *)&nr_facts, sizeof(n));
	CHECK(n > 40 && n < MAX_FACTS);
	for (unsigned int i = 0; i < n && i < MAX_FACTS; i++) {
		domu_copy(&u, &f, &facts[i], sizeof(f));
		if (f.want == 1 ? f.got < 0 : f.got == f.want) {
			CHECK(true);
			continue;
		}
		printk("line %d in the second domain: %d, wanted %d\n", f.line,
		       f.got, f.want);
		CHECK(!"what the second domain saw");
	}
}

static bool is_pending(u32 port)
{
	return shared->evtchn_pending[port / 64] >> (port % 64) & 1;
}

/* What a destroyed domain leaves is freed behind the caller's back, when no
 * processor can still hold a pointer to it: waits until a second has passed
 * without a frame coming back. */
static u64 settled_frames(void)
{
	u64 last = free_frames(), seen;

	for (unsigned int quiet = 0; quiet < 100; quiet++) {
		sleep_ms(10);
		seen = free_frames();
		if (seen != last)
			quiet = 0;
		last = seen;
	}
	return last;
}

static void life(bool again)
{
	struct xen_domctl_getdomaininfo info;
	struct xen_domctl op = { 0 };
	u64 before, after = 0;

	/* The copy is taken when it starts: what it shall know is set first.
	 * Ids are given in order. */
	my_id = u.id + 1;
	dom0_frame = mfn_of(page());
	dom0_table = mfn_of((void *)start_info_ptr->pt_base);
	dom0_mfn_of_l1 = pte_maddr((u64)scratch, 1) >> 12;
	dom0_port = unbound(my_id);
	dom0_other_port = unbound(99);
	grants();
	before = settled_frames();
	domu_start_paused(&u, second_domain);
	EQ(u.id, my_id);
	own_l1 = u.mfn[3] << 12;
	domu_poke(&u, &own_l1, &own_l1, sizeof(own_l1));
	EQ(domctl(&op, XEN_DOMCTL_unpausedomain, u.id), 0);
	judge();
	CHECK(is_pending(dom0_port));
	CHECK(!is_pending(dom0_other_port));
	EQ(shared_word[0], 0x4321);
	EQ(table[23].flags & (GTF_reading | GTF_writing), 0);
	EQ(table[21].flags & (GTF_reading | GTF_writing), 0);

	/* It has finished, and goes down right after. */
	for (int i = 0; i < 300; i++) {
		domu_info(&u, &info);
		if (info.flags & XEN_DOMINF_shutdown)
			break;
		sleep_ms(10);
	}
	CHECK(info.flags & XEN_DOMINF_shutdown);
	EQ(info.flags >> XEN_DOMINF_shutdownshift & 255, SHUTDOWN_suspend);
	CHECK(info.tot_pages <= 400);
	CHECK(free_frames() < before);
	domu_destroy(&u);
	EQ(domctl(&op, XEN_DOMCTL_pausedomain, u.id), -E_SRCH);
	if (!again)
		return; /* the hypervisor's own pools have grown */
	for (int i = 0; i < 500 && after != before; i++) {
		sleep_ms(10);
		after = free_frames();
	}
	EQ(after, before);
}

void test_main(void)
{
	struct xen_domctl op = { 0 };

	op.u.createdomain.max_vcpus = 100000;
	EQ(domctl(&op, XEN_DOMCTL_createdomain, 0), -E_INVAL);
	EQ(domctl(&op, XEN_DOMCTL_pausedomain, 77), -E_SRCH);
	EQ(domctl(&op, XEN_DOMCTL_destroydomain, 0), -E_INVAL);
	EQ(domctl(&op, 9999, 0), -E_NOSYS);
	op.interface_version = 1;
	EQ(HC(__HYPERVISOR_domctl, &op), -E_ACCES);
	EQ(HC(__HYPERVISOR_domctl, HV_ADDR), -E_FAULT);
	life(false);
	life(true);
}
