/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files behind domctl and sysctl. */
#pragma once

#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <public/domctl.h>
#include <public/sysctl.h>

/* d has a reference, or is NULL for operations that look themselves. */
typedef long domctl_fn(struct vcpu *v, struct domain *d, struct xen_domctl *op);

domctl_fn domctl_createdomain, domctl_destroydomain, domctl_pausedomain,
	domctl_unpausedomain, domctl_getdomaininfo, domctl_max_mem,
	domctl_max_vcpus, domctl_setdomainhandle, domctl_setdebugging,
	domctl_settimeoffset, domctl_resumedomain, domctl_subscribe,
	domctl_set_virq_handler, domctl_scheduler_op;
domctl_fn domctl_setvcpuaffinity, domctl_getvcpuaffinity, domctl_setvcpucontext,
	domctl_getvcpucontext, domctl_getvcpuinfo, domctl_set_ext_vcpucontext,
	domctl_get_ext_vcpucontext, domctl_setvcpuextstate,
	domctl_getvcpuextstate, domctl_get_vcpu_msrs, domctl_set_vcpu_msrs,
	domctl_sendtrigger;
domctl_fn domctl_shadow_op, domctl_iomem_permission, domctl_ioport_permission,
	domctl_hypercall_init, domctl_set_address_size, domctl_get_address_size,
	domctl_gettscinfo, domctl_settscinfo, domctl_getpageframeinfo3,
	domctl_nodeaffinity, domctl_get_cpu_policy, domctl_set_cpu_policy;

void domain_info_fill(struct domain *d, struct xen_domctl_getdomaininfo *info);

/* Guest bitmaps of CPUs or nodes. Bits beyond ours are ignored / zero. */
int cpumask_from_guest(cpumask_t *m, const struct xenctl_bitmap *map);
int cpumask_to_guest(const struct xenctl_bitmap *map, const cpumask_t *m);

typedef long sysctl_fn(struct vcpu *v, struct xen_sysctl *op);
sysctl_fn sysctl_physinfo, sysctl_cputopoinfo, sysctl_numainfo,
	sysctl_pcitopoinfo, sysctl_cpupool_op, sysctl_availheap;
