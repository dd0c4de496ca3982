/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domctl operations on a domain's resources: log-dirty, permissions, the
 * hypercall page, frame types for saving, CPU policy, TSC.
 */
#include "control_private.h"

#include <bh/control.h>
#include <bh/hypercall.h>

/* Both are replaced by mm/'s when the build has it. */
long domctl_shadow_op(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
	return log_dirty_op(d, &op->u.shadow_op);
}

long domctl_iomem_permission(struct vcpu *v, struct domain *d,
			     struct xen_domctl *op)
{
	const struct xen_domctl_iomem_permission *p = &op->u.iomem_permission;
	u64 last = p->first_mfn + p->nr_mfns - 1;

	if (!p->nr_mfns || last < p->first_mfn ||
	    last >> (PADDR_BITS - PAGE_SHIFT))
		return -EINVAL;
	if (!p->allow_access)
		return rangeset_remove(d->iomem_caps, p->first_mfn, last);
	/* Never RAM; only what the giver may use itself. */
	if (!rangeset_contains(v->domain->iomem_caps, p->first_mfn, last))
		return -EPERM;
	return rangeset_add(d->iomem_caps, p->first_mfn, last);
}

long domctl_ioport_permission(struct vcpu *v, struct domain *d,
			      struct xen_domctl *op)
{
	const struct xen_domctl_ioport_permission *p = &op->u.ioport_permission;

	if (!p->nr_ports || p->first_port > 0xffff ||
	    p->nr_ports > 0x10000 - p->first_port)
		return -EINVAL;
	if (!p->allow_access)
		return rangeset_remove(d->ioport_caps, p->first_port,
				       p->first_port + p->nr_ports - 1);
	if (!rangeset_contains(v->domain->ioport_caps, p->first_port,
			       p->first_port + p->nr_ports - 1))
		return -EPERM;
	return rangeset_add(d->ioport_caps, p->first_port,
			    p->first_port + p->nr_ports - 1);
}

/*
 * Slot n, 32 bytes: push %rcx; push %r11; mov $n,%eax; syscall; pop %r11;
 * pop %rcx; ret. iret never comes back and hands its frame over with rax on it.
 */
void pv_fill_hypercall_page(void *page)
{
	u8 *p = page;

	memset(page, 0xcc, PAGE_SIZE);
	for (u32 n = 0; n < PAGE_SIZE / 32; n++, p += 32) {
		static const u8 call[] = { 0x51, 0x41, 0x53, 0xb8, 0,
					   0,    0,    0,    0x0f, 0x05,
					   0x41, 0x5b, 0x59, 0xc3 };
		static const u8 iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, 23,
					   0,    0,    0,    0x0f, 0x05 };

		if (n == __HYPERVISOR_iret) {
			memcpy(p, iret, sizeof(iret));
		} else {
			memcpy(p, call, sizeof(call));
			p[4] = n;
		}
	}
}

long domctl_hypercall_init(struct vcpu *v, struct domain *d,
			   struct xen_domctl *op)
{
	struct page_info *pg =
		page_from_mfn(_mfn(op->u.hypercall_init.gmfn), d);

	if (!pg)
		return -EACCES;
	if (page_get_type(pg, PGT_WRITABLE, false)) {
		page_put(pg);
		return -EACCES;
	}
	pv_fill_hypercall_page(page_to_virt(pg));
	page_put_and_type(pg);
	return 0;
}

long domctl_set_address_size(struct vcpu *v, struct domain *d,
			     struct xen_domctl *op)
{
	return op->u.address_size.size == 64 ? 0 : -EINVAL;
}

long domctl_get_address_size(struct vcpu *v, struct domain *d,
			     struct xen_domctl *op)
{
	op->u.address_size.size = 64;
	return 0;
}

long domctl_gettscinfo(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
	struct xen_domctl_tsc_info *t = &op->u.tsc_info;

	t->tsc_mode = d->tsc_mode;
	t->gtsc_khz = cpu_khz;
	t->incarnation = d->tsc_incarnation;
	t->elapsed_nsec = NOW();
	return 0;
}

long domctl_settscinfo(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
	const struct xen_domctl_tsc_info *t = &op->u.tsc_info;

	/* Guests read the TSC themselves: 1 (always emulate) is not offered,
	 * 0 (default) leaves the choice to us. */
	if (t->tsc_mode == 1)
		return -EOPNOTSUPP;
	if (t->tsc_mode > 2)
		return -EINVAL;
	d->tsc_mode = t->tsc_mode;
	d->tsc_incarnation = t->incarnation;
	return 0;
}

static u32 frame_info(struct domain *d, u64 mfn)
{
	struct page_info *pg = page_from_mfn(_mfn(mfn), d);
	u32 info = XEN_DOMCTL_PFINFO_NOTAB;
	u64 type;

	if (!pg)
		return XEN_DOMCTL_PFINFO_XTAB;
	type = READ_ONCE(pg->type);
	if (READ_ONCE(pg->count) & PGC_BROKEN) {
		info = XEN_DOMCTL_PFINFO_BROKEN;
	} else if ((type & PGT_COUNT_MASK) && (type & PGT_VALIDATED)) {
		info = pgt_level(type) << XEN_DOMCTL_PFINFO_LTAB_SHIFT;
		if (info && (type & PGT_PINNED))
			info |= XEN_DOMCTL_PFINFO_LPINTAB;
	}
	page_put(pg);
	return info;
}

long domctl_getpageframeinfo3(struct vcpu *v, struct domain *d,
			      struct xen_domctl *op)
{
	const struct xen_domctl_getpageframeinfo3 *g = &op->u.getpageframeinfo3;
	gptr_t p = GPTR(g->array.p);
	u64 buf[64], n;
	int rc;

	if (g->num > 1024)
		return -E2BIG;
	for (u64 i = 0; i < g->num; i += n) {
		n = min(g->num - i, (u64)ARRAY_SIZE(buf));
		rc = copy_from_guest(buf, gptr_add(p, i * 8), n * 8);
		if (rc)
			return rc;
		for (u64 k = 0; k < n; k++)
			buf[k] = frame_info(d, buf[k]);
		rc = copy_to_guest(gptr_add(p, i * 8), buf, n * 8);
		if (rc)
			return rc;
	}
	return 0;
}

/* One NUMA node: any affinity is that. */
long domctl_nodeaffinity(struct vcpu *v, struct domain *d,
			 struct xen_domctl *op)
{
	cpumask_t nodes;

	if (op->cmd == XEN_DOMCTL_setnodeaffinity) {
		if (cpumask_from_guest(&nodes, &op->u.nodeaffinity.nodemap))
			return -EFAULT;
		return cpumask_empty(&nodes) ? -EINVAL : 0;
	}
	memset(&nodes, 0, sizeof(nodes));
	cpumask_set(0, &nodes);
	return cpumask_to_guest(&op->u.nodeaffinity.nodemap, &nodes);
}

long domctl_get_cpu_policy(struct vcpu *v, struct domain *d,
			   struct xen_domctl *op)
{
	struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;

	return cpu_policy_get(-1, d, GPTR(p->leaves.p), &p->nr_leaves,
			      GPTR(p->msrs.p), &p->nr_msrs);
}

long domctl_set_cpu_policy(struct vcpu *v, struct domain *d,
			   struct xen_domctl *op)
{
	struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;

	if (d->creation_finished)
		return -EEXIST;
	p->err_leaf = p->err_subleaf = p->err_msr = ~0U;
	return cpu_policy_set(d, GPTR(p->leaves.p), p->nr_leaves,
			      GPTR(p->msrs.p), p->nr_msrs, &p->err_leaf,
			      &p->err_subleaf, &p->err_msr);
}
