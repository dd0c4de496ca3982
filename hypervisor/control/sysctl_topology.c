/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sysctl operations about the hardware: processors, memory, nodes, pools.
 * There is one NUMA node and one pool.
 */
#include "control_private.h"

#include <bh/boot.h>
#include <bh/cpuops.h>
#include <bh/smp.h>

/* Bits of the APIC id below the core and below the package (SDM vol. 3, 9.9). */
static void apic_shifts(unsigned int *core, unsigned int *package)
{
	struct cpuid_regs r;
	unsigned int threads;

	*core = *package = 0;
	if (cpuid(0, 0).a >= 0xb) {
		r = cpuid(0xb, 0);
		if (r.b & 0xffff) {
			*core = r.a & 31;
			*package = cpuid(0xb, 1).a & 31;
			return;
		}
	}
	r = cpuid(1, 0);
	threads = r.d & (1U << 28) ? (r.b >> 16) & 0xff : 1;
	while ((1U << *package) < threads)
		++*package;
}

static u64 total_pages(void)
{
	u64 n = 0;

	for (unsigned int i = 0; i < boot_info.nr_e820; i++)
		if (boot_info.e820[i].type == E820_RAM)
			n += boot_info.e820[i].size >> PAGE_SHIFT;
	return n;
}

long sysctl_physinfo(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_physinfo *p = &op->u.physinfo;
	unsigned int core, package, cpu, sockets = 0;
	u64 seen[4] = { 0 };
	struct domain *d;
	u32 next = 0;

	memset(p, 0, sizeof(*p));
	apic_shifts(&core, &package);
	for_each_online_cpu(cpu) {
		u32 id = cpus[cpu]->apic_id >> package;

		if (id < 256 && !test_bit(id, seen)) {
			__set_bit(id, seen);
			sockets++;
		}
	}
	p->nr_cpus = bitmap_weight(cpu_online_map.bits, NR_CPUS);
	p->threads_per_core = min(1U << core, p->nr_cpus);
	sockets = max(sockets, 1U);
	p->cores_per_socket =
		max(p->nr_cpus / sockets / p->threads_per_core, 1U);
	p->max_cpu_id = nr_cpu_ids - 1;
	p->nr_nodes = 1;
	p->cpu_khz = cpu_khz;
	p->capabilities = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1 |
			  XEN_SYSCTL_PHYSCAP_gnttab_v2;
	p->total_pages = total_pages();
	p->free_pages = heap_free_pages();
	while ((d = domain_get_next(next)) != NULL) {
		next = d->id + 1U;
		p->outstanding_pages += d->outstanding_pages;
		domain_put(d);
	}
	p->max_mfn = max_mfn - 1;
	(void)cpu_featureset(XEN_SYSCTL_cpu_featureset_host, p->hw_cap,
			     ARRAY_SIZE(p->hw_cap));
	return 0;
}

long sysctl_cputopoinfo(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_cputopoinfo *t = &op->u.cputopoinfo;
	struct xen_sysctl_cputopo topo;
	unsigned int core, package;
	u32 n = nr_cpu_ids, want = t->num_cpus;

	t->num_cpus = n;
	if (gptr_null(GPTR(t->cputopo.p)))
		return 0;
	apic_shifts(&core, &package);
	n = min(n, want);
	for (u32 i = 0; i < n; i++) {
		topo = (struct xen_sysctl_cputopo){ XEN_INVALID_CORE_ID,
						    XEN_INVALID_SOCKET_ID,
						    XEN_INVALID_NODE_ID };
		if (cpumask_test(i, &cpu_online_map)) {
			u32 id = cpus[i]->apic_id;

			topo.core = (id & ((1U << package) - 1)) >> core;
			topo.socket = id >> package;
			topo.node = 0;
		}
		if (copy_to_guest(
			    gptr_add(GPTR(t->cputopo.p), i * sizeof(topo)),
			    &topo, sizeof(topo)))
			return -EFAULT;
	}
	t->num_cpus = n;
	return 0;
}

long sysctl_numainfo(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_numainfo *t = &op->u.numainfo;
	struct xen_sysctl_meminfo mem = { .memsize = max_mfn << PAGE_SHIFT,
					  .memfree = heap_free_pages()
						     << PAGE_SHIFT };
	u32 distance = 10;
	bool room = t->num_nodes > 0;

	if (gptr_null(GPTR(t->meminfo.p)) && gptr_null(GPTR(t->distance.p))) {
		t->num_nodes = 1;
		return 0;
	}
	if (room && !gptr_null(GPTR(t->meminfo.p)) &&
	    copy_to_guest(GPTR(t->meminfo.p), &mem, sizeof(mem)))
		return -EFAULT;
	if (room && !gptr_null(GPTR(t->distance.p)) &&
	    copy_to_guest(GPTR(t->distance.p), &distance, sizeof(distance)))
		return -EFAULT;
	t->num_nodes = room;
	return 0;
}

long sysctl_pcitopoinfo(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_pcitopoinfo *t = &op->u.pcitopoinfo;
	const u32 node = 0;

	if (gptr_null(GPTR(t->devs.p)) || gptr_null(GPTR(t->nodes.p)))
		return -EINVAL;
	t->num_devs = min(t->num_devs, 4096U);
	for (u32 i = 0; i < t->num_devs; i++)
		if (copy_to_guest(gptr_add(GPTR(t->nodes.p), i * sizeof(node)),
				  &node, sizeof(node)))
			return -EFAULT;
	return 0;
}

long sysctl_availheap(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_availheap *a = &op->u.availheap;

	a->avail_bytes = a->node > 0 ? 0 : heap_free_pages() << PAGE_SHIFT;
	return 0;
}

static u32 count_domains(void)
{
	struct domain *d;
	u32 n = 0, next = 0;

	while ((d = domain_get_next(next)) != NULL) {
		next = d->id + 1U;
		domain_put(d);
		n++;
	}
	return n;
}

long sysctl_cpupool_op(struct vcpu *v, struct xen_sysctl *op)
{
	struct xen_sysctl_cpupool_op *p = &op->u.cpupool_op;
	cpumask_t none;

	switch (p->op) {
	case XEN_SYSCTL_CPUPOOL_OP_INFO:
		/* The first pool with this id or a higher one. */
		if (p->cpupool_id &&
		    p->cpupool_id != XEN_SYSCTL_CPUPOOL_PAR_ANY)
			return -ENOENT;
		p->cpupool_id = 0;
		p->sched_id = XEN_SCHEDULER_CREDIT2;
		p->n_dom = count_domains();
		return cpumask_to_guest(&p->cpumap, &cpu_online_map);
	case XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
		memset(&none, 0, sizeof(none));
		return cpumask_to_guest(&p->cpumap, &none);
	case XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN:
		return p->cpupool_id ? -ENOENT : 0;
	default:
		return -EOPNOTSUPP;
	}
}
