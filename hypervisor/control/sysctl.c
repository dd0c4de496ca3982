/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sysctl: what the control domain asks about, or of, the whole machine. Table
 * of operations; those about the hardware are in sysctl_topology.c.
 */
#include "control_private.h"

#include <bh/console.h>
#include <bh/hypercall.h>

static long sysctl_readconsole(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_readconsole *r = &op->u.readconsole;
	u32 index = r->incremental ? r->index : 0, done = 0;
	char *buf = alloc_page();
	size_t n;
	long rc = 0;

	if (!buf)
		return -ENOMEM;
	while (done < r->count) {
		n = console_ring_read(
			buf, min((size_t)(r->count - done), (size_t)PAGE_SIZE),
			&index, false);
		if (!n)
			break;
		rc = copy_to_guest(gptr_add(GPTR(r->buffer.p), done), buf, n);
		if (rc)
			break;
		done += n;
	}
	if (!rc && r->clear)
		(void)console_ring_read(buf, 0, &index, true);
	free_page(buf);
	r->count = done;
	r->index = index;
	return rc;
}

static long sysctl_sched_id(struct vcpu *v, struct xen_sysctl *op)
{
	/* Ours has credit2's parameters: weight and cap. */
	op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
	return 0;
}

static long sysctl_getdomaininfolist(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
	struct xen_domctl_getdomaininfo info;
	gptr_t to = GPTR(l->buffer.p);
	u32 n = 0, next = l->first_domain;
	struct domain *d;
	long rc = 0;

	while (n < l->max_domains && next < DOMID_FIRST_RESERVED &&
	       (d = domain_get_next(next)) != NULL) {
		next = d->id + 1U;
		domain_info_fill(d, &info);
		domain_put(d);
		rc = copy_to_guest(gptr_add(to, (u64)n * sizeof(info)), &info,
				   sizeof(info));
		if (rc)
			break;
		n++;
	}
	l->num_domains = n;
	return rc;
}

static long sysctl_debug_keys(struct vcpu *v, struct xen_sysctl *op)
{
	const struct xen_sysctl_debug_keys *k = &op->u.debug_keys;
	u8 key;

	for (u32 i = 0; i < min(k->nr_keys, 64U); i++) {
		if (get_guest_u8(&key, gptr_add(GPTR(k->keys.p), i)))
			return -EFAULT;
		keyhandler_run(key);
	}
	return 0;
}

static long sysctl_getcpuinfo(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_getcpuinfo *g = &op->u.getcpuinfo;
	struct xen_sysctl_cpuinfo info;
	u32 n = min(g->max_cpus, nr_cpu_ids);

	for (u32 i = 0; i < n; i++) {
		info.idletime =
			cpumask_test(i, &cpu_online_map) ? cpu_idle_time(i) : 0;
		if (copy_to_guest(gptr_add(GPTR(g->info.p), i * sizeof(info)),
				  &info, sizeof(info)))
			return -EFAULT;
	}
	g->nr_cpus = n;
	return 0;
}

static long sysctl_scheduler_op(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_scheduler_op *s = &op->u.scheduler_op;

	if (s->sched_id != XEN_SCHEDULER_CREDIT2 || s->cpupool_id)
		return -EINVAL;
	switch (s->cmd) {
	case XEN_SYSCTL_SCHEDOP_putinfo:
		/* There is no rate limit to set. */
		return s->u.sched_credit2.ratelimit_us ? -EINVAL : 0;
	case XEN_SYSCTL_SCHEDOP_getinfo:
		s->u.sched_credit2.ratelimit_us = 0;
		return 0;
	default:
		return -EINVAL;
	}
}

static long sysctl_get_cpu_levelling_caps(struct vcpu *v, struct xen_sysctl *op)
{
	op->u.cpu_levelling_caps.caps = 0;
	return 0;
}

static long sysctl_get_cpu_featureset(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_cpu_featureset *f = &op->u.cpu_featureset;
	u32 words[64], n, want = f->nr_features;

	memset(words, 0, sizeof(words));
	n = cpu_featureset(f->index, words, ARRAY_SIZE(words));
	if (!n)
		return -EINVAL;
	f->nr_features = n;
	if (gptr_null(GPTR(f->features.p)))
		return 0;
	if (want < n) {
		if (copy_to_guest(GPTR(f->features.p), words, want * 4))
			return -EFAULT;
		return -ENOBUFS;
	}
	return copy_to_guest(GPTR(f->features.p), words, n * 4);
}

static long sysctl_get_cpu_policy(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_cpu_policy *p = &op->u.cpu_policy;

	return cpu_policy_get(p->index, NULL, GPTR(p->leaves.p), &p->nr_leaves,
			      GPTR(p->msrs.p), &p->nr_msrs);
}

static struct spinlock sysctl_lock = SPINLOCK_INIT(LOCK_SYSCTL);

#define OP(name) [XEN_SYSCTL_##name] = sysctl_##name
static sysctl_fn *const ops[] = {
	OP(readconsole),
	OP(physinfo),
	OP(sched_id),
	OP(getdomaininfolist),
	OP(debug_keys),
	OP(getcpuinfo),
	OP(availheap),
	OP(cputopoinfo),
	OP(numainfo),
	OP(cpupool_op),
	OP(scheduler_op),
	OP(pcitopoinfo),
	OP(get_cpu_levelling_caps),
	OP(get_cpu_featureset),
	OP(get_cpu_policy),
};

long do_sysctl(struct vcpu *v, unsigned long a[6])
{
	struct xen_sysctl op;
	unsigned int cmd;
	long rc;

	if (!is_control_domain(v->domain))
		return -EPERM;
	if (copy_from_guest(&op, GPTR(a[0]), sizeof(op)))
		return -EFAULT;
	if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
		return -EACCES;
	cmd = op.cmd;
	if (cmd > XEN_SYSCTL_get_cpu_policy)
		return -ENOSYS;
	if (cmd >= ARRAY_SIZE(ops))
		return -EOPNOTSUPP;
	cmd = index_nospec(cmd, ARRAY_SIZE(ops));
	if (!ops[cmd])
		return -EOPNOTSUPP;
	if (!spin_trylock(&sysctl_lock))
		return -ERESTART;
	rc = ops[cmd](v, &op);
	spin_unlock(&sysctl_lock);
	if ((!rc || rc == -ENOBUFS) &&
	    copy_to_guest(GPTR(a[0]), &op, sizeof(op)))
		rc = -EFAULT;
	return rc;
}
