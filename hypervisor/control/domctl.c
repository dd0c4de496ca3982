/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domctl: what the control domain does to other domains. This is the table of
 * operations and the way in; each operation is one function in domctl_*.c.
 *
 * Operations are serialised by one lock. Who finds it taken is sent round
 * through its guest (-ERESTART) instead of spinning: operations may take
 * milliseconds, and events and interrupts must not wait for them.
 */
#include "control_private.h"

#include <bh/hypercall.h>

enum {
	ANY_DOM = 1,  /* looks the domain up itself, or creates it */
	OUT = 2,      /* copies the structure back on success */
	OUT_ERR = 4,  /* and on failure */
	NOT_SELF = 8, /* -EINVAL on the caller's own domain */
};

#define OP(name, flags) [XEN_DOMCTL_##name] = { domctl_##name, (flags) }
static const struct {
	domctl_fn *fn;
	unsigned int flags;
} ops[] = {
	OP(createdomain, ANY_DOM | OUT),
	OP(destroydomain, NOT_SELF),
	OP(pausedomain, NOT_SELF),
	OP(unpausedomain, 0),
	OP(getdomaininfo, ANY_DOM | OUT),
	OP(setvcpuaffinity, OUT),
	OP(getvcpuaffinity, OUT),
	OP(shadow_op, NOT_SELF | OUT),
	OP(max_mem, 0),
	OP(setvcpucontext, NOT_SELF),
	OP(getvcpucontext, NOT_SELF),
	OP(getvcpuinfo, OUT),
	OP(max_vcpus, 0),
	OP(scheduler_op, OUT),
	OP(setdomainhandle, 0),
	OP(setdebugging, NOT_SELF),
	OP(iomem_permission, 0),
	OP(ioport_permission, 0),
	OP(hypercall_init, 0),
	OP(settimeoffset, 0),
	OP(resumedomain, NOT_SELF),
	OP(sendtrigger, 0),
	OP(subscribe, 0),
	OP(set_address_size, 0),
	OP(get_address_size, OUT),
	OP(set_ext_vcpucontext, NOT_SELF),
	OP(get_ext_vcpucontext, OUT),
	OP(gettscinfo, OUT),
	OP(settscinfo, NOT_SELF),
	OP(getpageframeinfo3, 0),
	OP(setvcpuextstate, NOT_SELF),
	OP(getvcpuextstate, NOT_SELF | OUT),
	OP(set_virq_handler, 0),
	[XEN_DOMCTL_setnodeaffinity] = { domctl_nodeaffinity, 0 },
	[XEN_DOMCTL_getnodeaffinity] = { domctl_nodeaffinity, OUT },
	OP(get_vcpu_msrs, NOT_SELF | OUT | OUT_ERR),
	OP(set_vcpu_msrs, NOT_SELF | OUT | OUT_ERR),
	OP(get_cpu_policy, OUT | OUT_ERR),
	OP(set_cpu_policy, NOT_SELF | OUT | OUT_ERR),
};

/* Known to the ABI, not offered here. docs/limits.md lists them. */
static long refused(u32 cmd)
{
	switch (cmd) {
	case XEN_DOMCTL_irq_permission:
	case XEN_DOMCTL_gethvmcontext:
	case XEN_DOMCTL_sethvmcontext:
	case XEN_DOMCTL_gethvmcontext_partial:
	case XEN_DOMCTL_setvnumainfo:
	case XEN_DOMCTL_soft_reset:
	case XEN_DOMCTL_vm_event_op:
	case XEN_DOMCTL_mem_sharing_op:
	case XEN_DOMCTL_monitor_op:
	case XEN_DOMCTL_psr_cmt_op:
	case XEN_DOMCTL_psr_alloc:
	case XEN_DOMCTL_vmtrace_op:
	case XEN_DOMCTL_get_paging_mempool_size:
	case XEN_DOMCTL_set_paging_mempool_size:
		return -EOPNOTSUPP;
	case XEN_DOMCTL_assign_device:
	case XEN_DOMCTL_test_assign_device:
	case XEN_DOMCTL_deassign_device:
		return -ENODEV; /* no IOMMU */
	default:
		return -ENOSYS;
	}
}

static struct spinlock domctl_lock = SPINLOCK_INIT(LOCK_DOMCTL);

static long run(struct vcpu *v, struct xen_domctl *op, unsigned int cmd)
{
	unsigned int flags = ops[cmd].flags;
	struct domain *d = NULL;
	long rc;

	if (!(flags & ANY_DOM)) {
		d = domain_by_any_id(op->domain);
		if (!d)
			return -ESRCH;
		if ((flags & NOT_SELF) && d == v->domain) {
			domain_put(d);
			return -EINVAL;
		}
	}
	if (!spin_trylock(&domctl_lock)) {
		rc = -ERESTART;
	} else {
		rc = ops[cmd].fn(v, d, op);
		spin_unlock(&domctl_lock);
	}
	if (d)
		domain_put(d);
	return rc;
}

long do_domctl(struct vcpu *v, unsigned long a[6])
{
	struct xen_domctl op;
	unsigned int cmd;
	long rc;

	if (!is_control_domain(v->domain))
		return -EPERM;
	if (copy_from_guest(&op, GPTR(a[0]), sizeof(op)))
		return -EFAULT;
	if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
		return -EACCES;
	cmd = op.cmd;
	if (cmd >= ARRAY_SIZE(ops))
		return refused(cmd);
	cmd = index_nospec(cmd, ARRAY_SIZE(ops));
	if (!ops[cmd].fn)
		return refused(cmd);
	rc = run(v, &op, cmd);
	if (rc != -ERESTART &&
	    (rc < 0 ? ops[cmd].flags & OUT_ERR : ops[cmd].flags & OUT) &&
	    copy_to_guest(GPTR(a[0]), &op, sizeof(op)))
		rc = -EFAULT;
	return rc;
}
