/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domctl operations on whole domains: life cycle, limits, scheduling
 * parameters, information. Called with the domctl lock held.
 */
#include "control_private.h"

#include <bh/hypercall.h>

static domid_t next_id = 1;

/* Ids go round, so that one is not soon used again. -ENOSPC: all in use. */
static int free_id(domid_t *id)
{
	struct domain *d;

	for (u32 tries = 1; tries < DOMID_FIRST_RESERVED; tries++) {
		domid_t try = next_id;

		next_id = try + 1U < DOMID_FIRST_RESERVED ? try + 1 : 1;
		d = domain_by_id(try);
		if (!d) {
			*id = try;
			return 0;
		}
		domain_put(d);
	}
	return -ENOSPC;
}

long domctl_createdomain(struct vcpu *v, struct domain *none,
			 struct xen_domctl *op)
{
	const struct xen_domctl_createdomain *c = &op->u.createdomain;
	struct domain_config cfg = {
		.flags = c->flags,
		.max_vcpus = c->max_vcpus,
		.max_evtchn_port = (s32)c->max_evtchn_port,
		.max_grant_frames = c->max_grant_frames,
		.max_maptrack_frames = c->max_maptrack_frames,
		.max_grant_version = XEN_DOMCTL_GRANT_version(c->grant_opts),
	};
	domid_t id = op->domain;
	struct domain *d;
	int rc;

	/* PV guests only, no IOMMU, no pools, no tracing. */
	if ((c->flags & ~XEN_DOMCTL_CDF_xs_domain) || c->iommu_opts ||
	    c->vmtrace_size || c->cpupool_id || c->arch.emulation_flags ||
	    (c->grant_opts & ~XEN_DOMCTL_GRANT_version_mask) ||
	    (c->arch.misc_flags & ~1U))
		return -EINVAL;
	if (!c->max_vcpus || c->max_vcpus > MAX_VCPUS)
		return -EINVAL;
	memcpy(cfg.handle, c->handle, sizeof(cfg.handle));
	if (!id || id >= DOMID_FIRST_RESERVED) {
		rc = free_id(&id);
		if (rc)
			return rc;
	}
	rc = domain_create(id, &cfg, false, &d);
	if (rc)
		return rc;
	d->misc_flags = c->arch.misc_flags;
	op->domain = d->id;
	domain_put(d);
	return 0;
}

long domctl_destroydomain(struct vcpu *v, struct domain *d,
			  struct xen_domctl *op)
{
	return domain_kill(d);
}

long domctl_pausedomain(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
	return domain_pause_by_controller(d);
}

long domctl_unpausedomain(struct vcpu *v, struct domain *d,
			  struct xen_domctl *op)
{
	return domain_unpause_by_controller(d);
}

static u32 info_flags(struct domain *d, u64 *cpu_time, u32 *online, u32 *max_id)
{
	u32 flags = XEN_DOMINF_blocked;
	struct vcpu *v;

	*cpu_time = 0;
	*online = 0;
	*max_id = XEN_INVALID_MAX_VCPU_ID;
	for_each_vcpu(d, v) {
		*max_id = v->id;
		*cpu_time += vcpu_cpu_time(v);
		if (test_bit(VPF_DOWN, &v->pause_flags))
			continue;
		++*online;
		if (!test_bit(VPF_BLOCKED, &v->pause_flags))
			flags &= ~XEN_DOMINF_blocked;
		if (v->is_running)
			flags |= XEN_DOMINF_running;
	}
	if (d->dying == DOMDYING_DEAD)
		flags |= XEN_DOMINF_dying;
	if (d->is_shut_down)
		flags |= XEN_DOMINF_shutdown |
			 (u32)d->shutdown_code << XEN_DOMINF_shutdownshift;
	if (d->controller_pause_count)
		flags |= XEN_DOMINF_paused;
	if (d->debugger_attached)
		flags |= XEN_DOMINF_debugged;
	if (d->createflags & XEN_DOMCTL_CDF_xs_domain)
		flags |= XEN_DOMINF_xs_domain;
	return flags;
}

void domain_info_fill(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
	const struct shared_info *shared;

	memset(info, 0, sizeof(*info));
	info->domain = d->id;
	info->flags = info_flags(d, &info->cpu_time, &info->nr_online_vcpus,
				 &info->max_vcpu_id);
	info->tot_pages = d->tot_pages;
	info->max_pages = d->max_pages;
	info->outstanding_pages = d->outstanding_pages;
	shared = READ_ONCE(d->shared);
	info->shared_info_frame = shared ? mfn_x(virt_to_mfn(shared)) : ~0UL;
	memcpy(info->handle, d->handle, sizeof(info->handle));
	info->gpaddr_bits = 64 - __builtin_clzl(max_mfn) + PAGE_SHIFT;
	info->arch_config.misc_flags = d->misc_flags;
}

long domctl_getdomaininfo(struct vcpu *v, struct domain *none,
			  struct xen_domctl *op)
{
	domid_t id = op->domain == DOMID_SELF ? v->domain->id : op->domain;
	struct domain *d = domain_get_next(id);

	if (!d)
		return -ESRCH;
	domain_info_fill(d, &op->u.getdomaininfo);
	op->domain = d->id;
	domain_put(d);
	return 0;
}

long domctl_max_mem(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
	u64 pages = op->u.max_mem.max_memkb >> (PAGE_SHIFT - 10);

	/* May be below what it has: it then gets no more. */
	spin_lock(&d->page_lock);
	d->max_pages = pages;
	spin_unlock(&d->page_lock);
	return 0;
}

long domctl_max_vcpus(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
	struct vcpu *made;
	int rc;

	if (op->u.max_vcpus.max != d->max_vcpus || d->dying)
		return -EINVAL;
	for (u32 i = 0; i < d->max_vcpus; i++) {
		if (d->vcpu[i])
			continue;
		rc = vcpu_create(d, i, &made);
		if (rc)
			return rc;
		if (hypercall_preempt() && i + 1 < d->max_vcpus)
			return -ERESTART;
	}
	return 0;
}

long domctl_setdomainhandle(struct vcpu *v, struct domain *d,
			    struct xen_domctl *op)
{
	memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
	return 0;
}

long domctl_setdebugging(struct vcpu *v, struct domain *d,
			 struct xen_domctl *op)
{
	domain_pause(d);
	d->debugger_attached = op->u.setdebugging.enable;
	domain_unpause(d); /* makes every vCPU load its state again */
	return 0;
}

long domctl_settimeoffset(struct vcpu *v, struct domain *d,
			  struct xen_domctl *op)
{
	d->time_offset = op->u.settimeoffset.time_offset_seconds;
	time_update_wallclock(d);
	return 0;
}

long domctl_resumedomain(struct vcpu *v, struct domain *d,
			 struct xen_domctl *op)
{
	domain_resume(d);
	return 0;
}

long domctl_subscribe(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
	if (op->u.subscribe.port && !evtchn_port_valid(d, op->u.subscribe.port))
		return -EINVAL;
	d->suspend_port = op->u.subscribe.port;
	return 0;
}

long domctl_set_virq_handler(struct vcpu *v, struct domain *d,
			     struct xen_domctl *op)
{
	return evtchn_set_virq_handler(d, op->u.set_virq_handler.virq);
}

long domctl_scheduler_op(struct vcpu *v, struct domain *d,
			 struct xen_domctl *op)
{
	struct xen_domctl_scheduler_op *s = &op->u.scheduler_op;
	u16 weight = d->sched.weight, cap = d->sched.cap;

	if (s->sched_id != XEN_SCHEDULER_CREDIT2)
		return -EINVAL;
	switch (s->cmd) {
	case XEN_DOMCTL_SCHEDOP_putinfo:
		/* Weight 0 and cap ~0 leave the value as it is. */
		if (s->u.credit2.weight)
			weight = s->u.credit2.weight;
		if (s->u.credit2.cap != (u16)~0)
			cap = s->u.credit2.cap;
		return sched_set_params(d, weight, cap);
	case XEN_DOMCTL_SCHEDOP_getinfo:
		s->u.credit2.weight = weight;
		s->u.credit2.cap = cap;
		return 0;
	default:
		return -EINVAL;
	}
}
