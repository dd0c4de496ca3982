/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains and vCPUs: the two structures everything else hangs on.
 *
 * Life: domain_create() -> vcpu_create() for each id -> unpaused by the
 * control domain -> domain_kill() (preemptible) gives back what it holds ->
 * the structure goes with its last reference. Every page owned by a domain
 * holds, through page_set_owner(), one reference for the lot (tot_pages > 0 or
 * shared pages exist), so page_owner() of a referenced page is always valid.
 *
 * struct domain is one page-aligned allocation in the direct map: page_info
 * stores its frame number.
 *
 * The idle domain (DOMID_IDLE) owns each CPU's idle vCPU; dom_io and dom_xen
 * stand for MMIO frames and for the hypervisor's read-only shared pages.
 */
#pragma once

#include <bh/evtchn.h>
#include <bh/list.h>
#include <bh/mm.h>
#include <bh/percpu.h>
#include <bh/pv.h>
#include <bh/sched.h>
#include <bh/timer.h>
#include <public/sched.h>
#include <public/vcpu.h>

struct grant_table;
struct pirq_table;
struct cpu_policy;
struct rangeset;

struct evtchn_fifo_vcpu;

/*
 * A record in guest memory that the hypervisor keeps up to date. The frames
 * under the address are looked up and referenced when it is registered, so
 * writing needs no page tables and cannot fault. It may straddle two frames.
 */
struct guest_area {
	void *va[2]; /* NULL: none */
	u16 len[2];
};

struct vcpu {
	u32 id;
	struct domain *domain;
	struct vcpu_info *info; /* our mapping of the guest's vcpu_info */
	/* When registered elsewhere; NULL: shared_info. */
	struct page_info *info_page;
	struct vcpu_info *info_private; /* ids shared_info has no room for */
	struct sched_vcpu sched;        /* sched.h */

	/* Pause: runnable when all of pause_count, domain pause counts and
	 * pause_flags are zero. */
	s32 pause_count;
	unsigned long pause_flags; /* VPF_*; atomic bits */
#define VPF_BLOCKED 0              /* SCHEDOP_block/poll */
#define VPF_DOWN    1              /* not up (VCPUOP_up) */
#define VPF_POLL    2     /* together with VPF_BLOCKED: in SCHEDOP_poll */
	bool initialised; /* has had a context */
	unsigned long init_busy; /* bit 0: VCPUOP_initialise in progress */
	bool is_running;         /* on a CPU now (set by sched) */
	u32 processor;           /* CPU it runs or last ran on */
	cpumask_t dirty_cpus;    /* CPUs whose TLB may hold its mappings */
	u32 poll_port;           /* SCHEDOP_poll: 0 none, ~0 several */

	struct timer singleshot_timer, periodic_timer, poll_timer;
	s_time_t periodic_period, periodic_last;
	struct vcpu_runstate_info runstate;
	struct guest_area runstate_area; /* VCPUOP_register_runstate_... */
	struct guest_area time_area;     /* VCPUOP_register_vcpu_time_... */
	u32 time_gen; /* scale its time records were made from */

	u32 virq_port[24]; /* event port by VIRQ; 0 unbound */
	struct evtchn_fifo_vcpu *evtchn_fifo; /* per-vCPU FIFO state */
	u32 pirq_head; /* bound PIRQ ports, linked through evtchn.pirq_next */

	struct pv_vcpu pv;
	u64 stats_hypercalls[64]; /* by hypercall number */
};

struct domain {
	domid_t id;
	bool is_privileged;      /* dom0 */
	bool is_idle, is_system; /* dom_io, dom_xen: never scheduled */
	bool creation_finished;  /* first unpause happened */
	s32 refs;                /* atomic */
	u32 max_vcpus;
	struct vcpu **vcpu; /* [max_vcpus], NULL until created */
	xen_domain_handle_t handle;
	struct tasklet free_tasklet; /* after the last reference */

	struct spinlock lock;
	s32 pause_count; /* atomic; all reasons */
	s32 controller_pause_count;
	bool is_shutting_down, is_shut_down;
	u8 shutdown_code; /* SHUTDOWN_*; ~0 none */
	enum {
		DOMDYING_ALIVE,
		DOMDYING_DYING,
		DOMDYING_DEAD
	} dying;
	int kill_stage; /* progress of domain_kill() */
	bool debugger_attached;
	u32 createflags, misc_flags; /* as given to createdomain */
	u32 suspend_port; /* event port told of a suspend; 0: DOM_EXC */

	struct shared_info *shared; /* our mapping of the page */

	/* Memory; guarded by page_lock. */
	struct spinlock page_lock;
	u32 page_head, page_tail; /* owned pages (linked by page_info.next) */
	u32 relmem_head;          /* teardown progress */
	u64 tot_pages, max_pages, outstanding_pages, shared_pages;
	u64 *perdomain_l3; /* PERDOMAIN slot */
	struct rangeset *iomem_caps, *ioport_caps;
	struct e820_entry *e820; /* XENMEM_memory_map */
	u32 nr_e820;
	unsigned int addr_bits; /* width limit of its memory; 0 none */
	struct log_dirty *log_dirty;

	struct evtchn_domain evtchn;
	struct grant_table *grant;
	struct pirq_table *pirqs;
	struct pv_domain pv;
	struct cpu_policy *policy;
	struct sched_domain sched;

	s64 time_offset; /* seconds, settimeoffset */
	u32 tsc_mode, tsc_incarnation;
	unsigned long vm_assist;
	bool is_pinned;    /* dom0_vcpus_pin */
	u8 watchdog_inuse; /* bit by watchdog */
	struct timer watchdog[2];
	u64 stats_ptwr, stats_priv_emul, stats_faults_bounced;
};

#define DOMID_IDLE_RAW 0x7fff
extern struct domain *hardware_domain; /* dom0 */
extern struct domain *idle_domain, *dom_io, *dom_xen;

#define for_each_vcpu(d, v)                                  \
	for (u32 i_##v = 0; i_##v < (d)->max_vcpus; i_##v++) \
		if (((v) = (d)->vcpu[i_##v]) != NULL)
/* Iteration: next domain with id >= the given one, with a
 * reference taken, or NULL. */
struct domain *domain_get_next(domid_t from);

struct domain_config { /* createdomain as validated by domctl */
	u32 flags, max_vcpus;
	s32 max_evtchn_port, max_grant_frames, max_maptrack_frames;
	u32 max_grant_version;
	xen_domain_handle_t handle;
};
void domain_subsys_init(void); /* idle domain, dom_io, dom_xen */
/* A paused domain without vCPUs. *ret holds a reference for the caller. */
int __must_check domain_create(domid_t id, const struct domain_config *cfg,
			       bool privileged, struct domain **ret);
int __must_check vcpu_create(struct domain *d, u32 id, struct vcpu **ret);
struct vcpu *idle_vcpu_create(unsigned int cpu);
void vcpu_free(struct vcpu *v);
/* Tears down; 0 when all is given back, else -ERESTART. DOMCTL lock held. */
int domain_kill(struct domain *d);
struct domain *domain_by_id(domid_t id); /* takes a reference; NULL */
/* Without a reference, for code that runs with interrupts off until it is done
 * with the domain (see smp_quiesce()). NULL. */
struct domain *domain_find(domid_t id);
/* DOMID_SELF and plain ids; takes a reference. No privilege check. */
struct domain *domain_by_any_id(domid_t id);
bool domain_get(struct domain *d); /* false when already at 0 */
void domain_put(struct domain *d); /* NULL: nothing to do */
/* v with id of d, speculation-safe, or NULL. */
struct vcpu *domain_vcpu(const struct domain *d, u32 id);

/* Counted pauses; the _sync forms return when no vCPU runs any more. They may
 * not be used on the calling vCPU's own domain. */
void domain_pause(struct domain *d);
void domain_pause_nosync(struct domain *d);
void domain_unpause(struct domain *d);
int domain_pause_by_controller(struct domain *d);
int domain_unpause_by_controller(struct domain *d);
void vcpu_pause(struct vcpu *v);
void vcpu_pause_nosync(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);

/* Guest asked to go down. dom0: acts on the host, does not return for it. */
void domain_shutdown(struct domain *d, u8 reason);
void domain_resume(struct domain *d);
/* Guest broke a rule it cannot recover from: logs and shuts it down with
 * SHUTDOWN_crash. Returns; the caller returns to the scheduler. Prints why
 * with the registers of the vCPU. */
void domain_crash(struct domain *d, const char *fmt, ...) __printf(2, 3);

static inline bool is_idle_vcpu(const struct vcpu *v)
{
	return v->domain->is_idle;
}
static inline bool is_control_domain(const struct domain *d)
{
	return d->is_privileged;
}
/* control/vcpu.c: moves v's vcpu_info into a page of its domain, for good. 0,
 * -EINVAL. / Back, when the domain goes; senders are gone. */
int vcpu_info_register(struct vcpu *v, u64 mfn, u32 offset);
void vcpu_info_release(struct vcpu *v);
/* control/area.c: registers len bytes at guest address p of current's domain
 * (0: only drops the old one). 0, -EFAULT, -EINVAL. */
int guest_area_set(struct guest_area *ga, gptr_t p, unsigned int len);
void guest_area_drop(struct guest_area *ga);
void guest_area_write(const struct guest_area *ga, const void *src,
		      unsigned int off, unsigned int len);
#define VM_ASSIST(d, bit) ((d)->vm_assist & (1UL << (bit)))
