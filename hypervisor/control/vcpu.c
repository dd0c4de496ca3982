/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs: creation, release, and where their vcpu_info lies.
 *
 * v->info always points to memory we may write: the slot in shared_info, a
 * private copy for ids that shared_info has no room for, or the page a guest
 * registered, which is held referenced and writable until the domain dies.
 */
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/smp.h>

static void singleshot_fired(void *arg)
{
	evtchn_send_virq(arg, VIRQ_TIMER);
}

static void periodic_fired(void *arg)
{
	struct vcpu *v = arg;
	s_time_t now = NOW();

	evtchn_send_virq(v, VIRQ_TIMER);
	if (!v->periodic_period)
		return;
	/* Keeps the beat; ticks that were missed are not made up for. */
	v->periodic_last += v->periodic_period;
	if (v->periodic_last + v->periodic_period <= now)
		v->periodic_last = now;
	timer_set(&v->periodic_timer, v->periodic_last + v->periodic_period);
}

static void poll_timed_out(void *arg)
{
	struct vcpu *v = arg;

	if (test_bit(VPF_POLL, &v->pause_flags))
		vcpu_unblock(v);
}

static struct vcpu *vcpu_alloc(struct domain *d, u32 id, unsigned int cpu)
{
	struct vcpu *v = xzalloc(ROUNDUP(sizeof(*v), PAGE_SIZE));

	if (!v)
		return NULL;
	v->id = id;
	v->domain = d;
	v->processor = cpu;
	timer_init(&v->singleshot_timer, singleshot_fired, v, cpu);
	timer_init(&v->periodic_timer, periodic_fired, v, cpu);
	timer_init(&v->poll_timer, poll_timed_out, v, cpu);
	return v;
}

static int info_init(struct vcpu *v)
{
	struct domain *d = v->domain;

	if (d->shared && v->id < XEN_LEGACY_MAX_VCPUS) {
		v->info = (struct vcpu_info *)&d->shared->vcpu_info[v->id];
		return 0;
	}
	v->info_private = xzalloc(sizeof(*v->info_private));
	if (!v->info_private)
		return -ENOMEM;
	v->info_private->evtchn_upcall_mask = 1;
	v->info = v->info_private;
	return 0;
}

/* Spreads a domain's vCPUs over the CPUs; balancing does the rest. */
static unsigned int initial_cpu(const struct domain *d, u32 id)
{
	unsigned int nr = bitmap_weight(cpu_online_map.bits, NR_CPUS);
	unsigned int skip = nr ? (d->id + id) % nr : 0, cpu;

	for_each_online_cpu(cpu)
		if (!skip--)
			return cpu;
	return 0;
}

int vcpu_create(struct domain *d, u32 id, struct vcpu **ret)
{
	struct vcpu *v;
	int rc;

	if (id >= d->max_vcpus)
		return -EINVAL;
	if (d->vcpu[id])
		return -EEXIST;
	v = vcpu_alloc(d, id, initial_cpu(d, id));
	if (!v)
		return -ENOMEM;
	v->pause_flags = 1UL << VPF_DOWN;
	v->pv.kernel_l4 = v->pv.user_l4 = INVALID_MFN;
	v->pv.kernel_mode = true;
	rc = info_init(v);
	if (rc)
		goto err;
	rc = sched_vcpu_init(v, v->processor);
	if (rc)
		goto err;
	rc = vcpu_mm_init(v);
	if (rc)
		goto err;
	rc = evtchn_vcpu_init(v);
	if (rc)
		goto err_mm;
	rc = pv_vcpu_init(v);
	if (rc)
		goto err_mm;
	smp_wmb(); /* pairs with domain_vcpu(): whole before found */
	WRITE_ONCE(d->vcpu[id], v);
	*ret = v;
	return 0;

err_mm:
	vcpu_mm_done(v);
err:
	xfree(v->info_private);
	xfree(v);
	return rc;
}

struct vcpu *idle_vcpu_create(unsigned int cpu)
{
	struct vcpu *v;

	sched_init_cpu(cpu);
	v = vcpu_alloc(idle_domain, cpu, cpu);
	if (!v || info_init(v))
		return NULL;
	v->pv.kernel_l4 = v->pv.user_l4 = INVALID_MFN;
	v->initialised = v->is_running = true;
	(void)sched_vcpu_init(v, cpu);
	v->runstate.state = RUNSTATE_running;
	idle_domain->vcpu[cpu] = v;
	return v;
}

/* The domain's last reference is gone; nothing runs, nothing finds it. */
void vcpu_free(struct vcpu *v)
{
	timer_kill(&v->singleshot_timer);
	timer_kill(&v->periodic_timer);
	timer_kill(&v->poll_timer);
	sched_vcpu_done(v);
	pv_vcpu_done(v);
	vcpu_mm_done(v);
	v->domain->vcpu[v->id] = NULL;
	xfree(v->info_private);
	xfree(v);
}

int vcpu_info_register(struct vcpu *v, u64 mfn, u32 offset)
{
	struct domain *d = v->domain;
	struct vcpu_info *info;
	struct page_info *pg;

	if (offset > PAGE_SIZE - sizeof(*info) || (offset & 7))
		return -EINVAL;
	if (v->info_page)
		return -EINVAL;
	if (v != current && !test_bit(VPF_DOWN, &v->pause_flags))
		return -EINVAL;
	pg = page_from_mfn(_mfn(mfn), d);
	if (!pg)
		return -EINVAL;
	if (page_get_type(pg, PGT_WRITABLE, false)) {
		page_put(pg);
		return -EINVAL;
	}
	spin_lock(&d->lock);
	if (v->info_page) {
		spin_unlock(&d->lock);
		page_put_and_type(pg);
		return -EINVAL;
	}
	v->info_page = pg;
	info = (void *)((char *)page_to_virt(pg) + offset);
	memcpy(info, v->info, sizeof(*info));
	smp_wmb(); /* contents before the pointer senders follow */
	WRITE_ONCE(v->info, info);
	spin_unlock(&d->lock);
	/* What a sender marked in the old place after the copy. */
	smp_mb();
	evtchn_unmask_all_pending(v);
	v->time_gen = 0;
	time_update_vcpu(v);
	return 0;
}

/* vcpu_info of vCPUs whose domain has none any more. */
static struct vcpu_info dead_info = { .evtchn_upcall_mask = 1 };

void vcpu_info_release(struct vcpu *v)
{
	struct page_info *pg = v->info_page;

	v->info_page = NULL;
	if (READ_ONCE(v->info) == &dead_info)
		return;
	WRITE_ONCE(v->info, &dead_info);
	smp_quiesce();
	if (pg)
		page_put_and_type(pg);
}
