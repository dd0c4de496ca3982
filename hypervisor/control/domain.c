/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains: creation, lookup, references, pausing, shutdown and the way out.
 *
 * A domain is found by id through a two-level table that readers walk without
 * a lock, interrupts off (domain_find()). What they find stays valid until they
 * turn interrupts on: the structure is taken out of the table when its last
 * reference goes and freed after smp_quiesce().
 *
 * Tearing down has two halves. domain_kill(), preemptible and called by the
 * control domain until it returns 0, gives back everything the domain holds.
 * The structure itself goes when the last reference does; other domains'
 * mappings of its pages keep it as a zombie.
 *
 * Locking: domlist_lock guards the table's writers and id allocation.
 * domain.lock guards shutdown state and controller pauses. Pause counts are
 * atomic.
 */
#include <bh/console.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/grant.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/irq.h>
#include <bh/smp.h>
#include <bh/symbols.h>

struct domain *hardware_domain, *idle_domain, *dom_io, *dom_xen;

#define IDS_PER_LEAF (PAGE_SIZE / sizeof(struct domain *))
#define NR_LEAVES    ((DOMID_FIRST_RESERVED + IDS_PER_LEAF - 1) / IDS_PER_LEAF)

static struct domain **table[NR_LEAVES];
static struct spinlock domlist_lock = SPINLOCK_INIT(LOCK_DOMLIST);

/* ---- lookup and references ------------------------------------------------------ */

struct domain *domain_find(domid_t id)
{
	struct domain **leaf;

	if (id >= DOMID_FIRST_RESERVED)
		return NULL;
	id = index_nospec(id, DOMID_FIRST_RESERVED);
	leaf = READ_ONCE(table[id / IDS_PER_LEAF]);
	return leaf ? READ_ONCE(leaf[id % IDS_PER_LEAF]) : NULL;
}

bool domain_get(struct domain *d)
{
	s32 old = READ_ONCE(d->refs);

	do {
		if (old <= 0)
			return false;
	} while (!__atomic_compare_exchange_n(&d->refs, &old, old + 1, true,
					      __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	return true;
}

void domain_put(struct domain *d)
{
	if (d && __atomic_sub_fetch(&d->refs, 1, __ATOMIC_SEQ_CST) == 0)
		tasklet_schedule(&d->free_tasklet);
}

struct domain *domain_by_id(domid_t id)
{
	unsigned long flags = irq_save();
	struct domain *d = domain_find(id);

	if (d && !domain_get(d))
		d = NULL;
	irq_restore(flags);
	return d;
}

struct domain *domain_by_any_id(domid_t id)
{
	struct domain *d = current->domain;

	if (id != DOMID_SELF && id != d->id)
		return domain_by_id(id);
	return domain_get(d) ? d : NULL;
}

struct domain *domain_get_next(domid_t from)
{
	struct domain *d;
	u32 id = from;

	while (id < DOMID_FIRST_RESERVED) {
		if (!READ_ONCE(table[id / IDS_PER_LEAF])) {
			id = (id / IDS_PER_LEAF + 1) * IDS_PER_LEAF;
			continue;
		}
		d = domain_by_id(id);
		if (d)
			return d;
		id++;
	}
	return NULL;
}

struct vcpu *domain_vcpu(const struct domain *d, u32 id)
{
	if (unlikely(id >= d->max_vcpus))
		return NULL;
	return READ_ONCE(d->vcpu[index_nospec(id, d->max_vcpus)]);
}

static int publish(struct domain *d)
{
	struct domain ***leaf = &table[d->id / IDS_PER_LEAF];
	int rc = 0;

	spin_lock(&domlist_lock);
	if (!*leaf) {
		void *page = alloc_page();

		smp_wmb(); /* pairs with domain_find(): zeroes before pointer */
		WRITE_ONCE(*leaf, page);
	}
	if (!*leaf)
		rc = -ENOMEM;
	else if ((*leaf)[d->id % IDS_PER_LEAF])
		rc = -EEXIST;
	else
		WRITE_ONCE((*leaf)[d->id % IDS_PER_LEAF], d);
	spin_unlock(&domlist_lock);
	return rc;
}

static void unpublish(struct domain *d)
{
	struct domain **leaf = table[d->id / IDS_PER_LEAF];

	spin_lock(&domlist_lock);
	if (leaf && leaf[d->id % IDS_PER_LEAF] == d)
		WRITE_ONCE(leaf[d->id % IDS_PER_LEAF], NULL);
	spin_unlock(&domlist_lock);
}

/* ---- creation ---------------------------------------------------------------------- */

static void watchdog_expired(void *arg)
{
	struct domain *d = arg;

	printk(LVL_ERR "d%u: watchdog not fed, shutting it down\n", d->id);
	domain_shutdown(d, SHUTDOWN_watchdog);
}

static void unshare_info(struct domain *d);

/* Everything but the reference to the domain's own table entry. */
static void domain_free(struct domain *d)
{
	/* First: what these timers call goes through the vCPUs. */
	for (unsigned int i = 0; i < ARRAY_SIZE(d->watchdog); i++)
		timer_kill(&d->watchdog[i]);
	sched_domain_done(d);
	for (u32 i = 0; d->vcpu && i < d->max_vcpus; i++)
		if (d->vcpu[i])
			vcpu_free(d->vcpu[i]);
	pirq_domain_done(d);
	grant_done(d);
	evtchn_free(d);
	pv_domain_done(d);
	domain_mm_done(d);
	unshare_info(d);
	rangeset_free(d->iomem_caps);
	rangeset_free(d->ioport_caps);
	xfree(d->e820);
	xfree(d->vcpu);
	xfree(d);
}

static void domain_free_tasklet(void *arg)
{
	struct domain *d = arg;

	unpublish(d);
	smp_quiesce(); /* who found it without a reference is done */
	domain_free(d);
	evtchn_send_global_virq(VIRQ_DOM_EXC);
}

static struct domain *domain_alloc(domid_t id, u32 max_vcpus)
{
	struct domain *d = xzalloc(ROUNDUP(sizeof(*d), PAGE_SIZE));

	if (!d)
		return NULL;
	d->id = id;
	d->refs = 1;
	d->max_vcpus = max_vcpus;
	d->shutdown_code = 0xff;
	d->max_pages = ~0UL;
	spin_init(&d->lock, LOCK_DOMAIN);
	spin_init(&d->page_lock, LOCK_PAGE_ALLOC);
	tasklet_init(&d->free_tasklet, domain_free_tasklet, d);
	if (max_vcpus) {
		d->vcpu = xzalloc(max_vcpus * sizeof(d->vcpu[0]));
		if (!d->vcpu) {
			xfree(d);
			return NULL;
		}
	}
	return d;
}

static int shared_info_init(struct domain *d)
{
	struct shared_info *s = alloc_page();

	if (!s)
		return -ENOMEM;
	for (unsigned int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		s->vcpu_info[i].evtchn_upcall_mask = 1;
	d->shared = s;
	page_share_with(virt_to_page(s), d, false);
	time_update_wallclock(d);
	return 0;
}

static int domain_init_parts(struct domain *d, const struct domain_config *cfg)
{
	int rc = -ENOMEM;

	d->iomem_caps = rangeset_new();
	d->ioport_caps = rangeset_new();
	if (!d->iomem_caps || !d->ioport_caps)
		return rc;
	rc = domain_mm_init(d);
	if (rc)
		return rc;
	rc = shared_info_init(d);
	if (rc)
		return rc;
	rc = pv_domain_init(d);
	if (rc)
		return rc;
	rc = evtchn_init(
		d, cfg->max_evtchn_port < 0 ? ~0U : (u32)cfg->max_evtchn_port);
	if (rc)
		return rc;
	rc = grant_init(d, cfg->max_grant_frames, cfg->max_maptrack_frames,
			cfg->max_grant_version);
	if (rc)
		return rc;
	return pirq_domain_init(d);
}

int domain_create(domid_t id, const struct domain_config *cfg, bool privileged,
		  struct domain **ret)
{
	struct domain *d;
	int rc;

	if (!cfg->max_vcpus || cfg->max_vcpus > MAX_VCPUS)
		return -EINVAL;
	d = domain_alloc(id, cfg->max_vcpus);
	if (!d)
		return -ENOMEM;
	d->is_privileged = privileged;
	d->createflags = cfg->flags;
	memcpy(d->handle, cfg->handle, sizeof(d->handle));
	d->pause_count = d->controller_pause_count = 1;
	if (!privileged)
		d->max_pages = 0;
	sched_domain_init(d);
	for (unsigned int i = 0; i < ARRAY_SIZE(d->watchdog); i++)
		timer_init(&d->watchdog[i], watchdog_expired, d,
			   smp_processor_id());
	rc = domain_init_parts(d, cfg);
	if (rc)
		goto err;
	/* One reference is the domain's life, one the caller's. */
	d->refs++;
	rc = publish(d);
	if (rc)
		goto err;
	if (privileged && !hardware_domain)
		hardware_domain = d;
	*ret = d;
	return 0;

err:
	if (d->evtchn.bucket)
		(void)evtchn_destroy(d);
	domain_free(d);
	return rc;
}

static struct domain *system_domain(domid_t id, u32 max_vcpus)
{
	struct domain *d = domain_alloc(id, max_vcpus);

	if (!d)
		panic("no memory for domain %#x\n", id);
	d->is_system = true;
	sched_domain_init(d);
	return d;
}

void domain_subsys_init(void)
{
	idle_domain = system_domain(DOMID_IDLE_RAW, NR_CPUS);
	idle_domain->is_idle = true;
	dom_io = system_domain(DOMID_IO, 0);
	dom_xen = system_domain(DOMID_XEN, 0);
}

/* ---- pausing ------------------------------------------------------------------------------ */

void domain_pause_nosync(struct domain *d)
{
	struct vcpu *v;

	__atomic_add_fetch(&d->pause_count, 1, __ATOMIC_SEQ_CST);
	for_each_vcpu(d, v)
		vcpu_sleep_nosync(v);
}

void domain_pause(struct domain *d)
{
	struct vcpu *v;

	ASSERT(d != current->domain);
	domain_pause_nosync(d);
	for_each_vcpu(d, v)
		vcpu_sleep_sync(v);
}

void domain_unpause(struct domain *d)
{
	struct vcpu *v;

	if (__atomic_sub_fetch(&d->pause_count, 1, __ATOMIC_SEQ_CST) == 0)
		for_each_vcpu(d, v)
			vcpu_wake(v);
}

int domain_pause_by_controller(struct domain *d)
{
	spin_lock(&d->lock);
	if (d->controller_pause_count >= 255) {
		spin_unlock(&d->lock);
		return -EBUSY;
	}
	d->controller_pause_count++;
	spin_unlock(&d->lock);
	domain_pause(d);
	return 0;
}

int domain_unpause_by_controller(struct domain *d)
{
	spin_lock(&d->lock);
	if (!d->controller_pause_count) {
		spin_unlock(&d->lock);
		return -EINVAL;
	}
	d->controller_pause_count--;
	d->creation_finished = true;
	spin_unlock(&d->lock);
	domain_unpause(d);
	return 0;
}

void vcpu_pause_nosync(struct vcpu *v)
{
	__atomic_add_fetch(&v->pause_count, 1, __ATOMIC_SEQ_CST);
	vcpu_sleep_nosync(v);
}

void vcpu_pause(struct vcpu *v)
{
	ASSERT(v != current);
	vcpu_pause_nosync(v);
	vcpu_sleep_sync(v);
}

void vcpu_unpause(struct vcpu *v)
{
	if (__atomic_sub_fetch(&v->pause_count, 1, __ATOMIC_SEQ_CST) == 0)
		vcpu_wake(v);
}

/* ---- shutdown ------------------------------------------------------------------------------- */

/* Where the guest was: its registers and what lies on its stack. */
static void show_guest_stack(const struct vcpu *v,
			     const struct cpu_user_regs *regs)
{
	show_registers(regs);
	printk(LVL_ERR "Guest stack:");
	for (unsigned int i = 0; i < 64; i++) {
		u64 word;

		if (get_guest_u64(&word, GPTR(regs->rsp + i * 8)))
			break;
		printk("%s %016lx", i % 4 ? "" : "\n  ", word);
	}
	printk("\n");
}

static void host_shutdown(u8 reason)
{
	switch (reason) {
	case SHUTDOWN_poweroff:
		printk(LVL_INFO "dom0 has shut down: powering off\n");
		machine_power_off();
	case SHUTDOWN_reboot:
		printk(LVL_INFO "dom0 has shut down: restarting\n");
		machine_restart();
	case SHUTDOWN_watchdog:
		printk(LVL_ERR "dom0's watchdog expired: restarting\n");
		machine_restart();
	case SHUTDOWN_crash:
		if (current && current->domain == hardware_domain)
			show_guest_stack(current, guest_regs());
		panic("dom0 has crashed\n");
	default:
		printk(LVL_INFO "dom0 has shut down (reason %u)\n", reason);
		machine_restart();
	}
}

void domain_shutdown(struct domain *d, u8 reason)
{
	bool first;

	if (d == hardware_domain && reason != SHUTDOWN_suspend)
		host_shutdown(reason);

	spin_lock(&d->lock);
	first = !d->is_shutting_down;
	if (first) {
		d->is_shutting_down = true;
		if (d->shutdown_code == 0xff)
			d->shutdown_code = reason;
	}
	spin_unlock(&d->lock);
	if (!first)
		return;
	domain_pause_nosync(d);
	d->is_shut_down = true;
	if (reason != SHUTDOWN_suspend || !d->suspend_port ||
	    evtchn_send(d, d->suspend_port))
		evtchn_send_global_virq(VIRQ_DOM_EXC);
}

void domain_resume(struct domain *d)
{
	bool was;

	spin_lock(&d->lock);
	was = d->is_shut_down;
	d->is_shutting_down = d->is_shut_down = false;
	d->shutdown_code = 0xff;
	spin_unlock(&d->lock);
	if (was)
		domain_unpause(d);
}

void domain_crash(struct domain *d, const char *fmt, ...)
{
	const struct vcpu *v = current;
	char why[160];
	va_list ap;

	if (d->is_shutting_down)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (v->domain == d) {
		printk(LVL_ERR "d%uv%u crashed: %s", d->id, v->id, why);
		show_registers(guest_regs());
	} else {
		printk(LVL_ERR "d%u crashed: %s", d->id, why);
	}
	domain_shutdown(d, SHUTDOWN_crash);
}

/* ---- the way out -------------------------------------------------------------------------------- */

enum {
	KILL_PAUSE,
	KILL_EVTCHN,
	KILL_GRANT,
	KILL_VCPUS,
	KILL_MEMORY,
	KILL_SHARED,
	KILL_DONE
};

/* Frames of ours that the domain could map hold a reference on it as its own
 * do. They go now, or with the last mapping another domain has of them. */
static void unshare_info(struct domain *d)
{
	struct page_info *pg;

	if (!d->shared)
		return;
	pg = virt_to_page(d->shared);
	WRITE_ONCE(d->shared, NULL);
	smp_quiesce();
	if (page_unshare(pg))
		heap_free(pg, 0, true);
}

static int kill_stage(struct domain *d)
{
	struct vcpu *v;
	int rc;

	switch (d->kill_stage) {
	case KILL_PAUSE:
		domain_pause(d);
		spin_lock(&d->evtchn.lock);
		d->dying = DOMDYING_DYING;
		spin_unlock(&d->evtchn.lock);
		return 0;
	case KILL_EVTCHN:
		for_each_vcpu(d, v) {
			timer_kill(&v->singleshot_timer);
			timer_kill(&v->periodic_timer);
			timer_kill(&v->poll_timer);
			guest_area_drop(&v->runstate_area);
			guest_area_drop(&v->time_area);
		}
		rc = evtchn_destroy(d);
		if (rc)
			return rc;
		pirq_domain_done(d);
		return 0;
	case KILL_GRANT:
		return grant_release_mappings(d);
	case KILL_VCPUS:
		for_each_vcpu(d, v) {
			rc = pv_vcpu_relinquish(v);
			if (rc)
				return rc;
			vcpu_info_release(v);
		}
		return 0;
	case KILL_MEMORY:
		return domain_relinquish_memory(d);
	case KILL_SHARED:
		grant_unshare(d);
		unshare_info(d);
		return 0;
	default:
		return 0;
	}
}

int domain_kill(struct domain *d)
{
	int rc;

	if (d == current->domain || d == hardware_domain)
		return -EINVAL;
	if (d->dying == DOMDYING_DEAD)
		return 0;
	while (d->kill_stage < KILL_DONE) {
		rc = kill_stage(d);
		if (rc)
			return rc;
		d->kill_stage++;
		if (hypercall_preempt())
			return -ERESTART;
	}
	d->dying = DOMDYING_DEAD;
	evtchn_send_global_virq(VIRQ_DOM_EXC);
	domain_put(d); /* its life */
	return 0;
}
