/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domctl operations on one vCPU: affinity, register state for building, saving
 * and restoring. The state of a vCPU is touched only while its domain is
 * paused, which pause_for() makes sure of.
 */
#include "control_private.h"

#include <bh/smp.h>
#include <bh/timer.h>

#define XSAVE_HDR         16 /* xcr0, xcr0_accum before the XSAVE area */
#define MSR_MISC_FEATURES 0x140

int cpumask_from_guest(cpumask_t *m, const struct xenctl_bitmap *map)
{
	u32 bits = min(map->nr_bits, (u32)NR_CPUS), bytes = (bits + 7) / 8;

	memset(m, 0, sizeof(*m));
	if (bytes && copy_from_guest(m->bits, GPTR(map->bitmap.p), bytes))
		return -EFAULT;
	if (bits % 8)
		((u8 *)m->bits)[bytes - 1] &= (1U << (bits % 8)) - 1;
	return 0;
}

int cpumask_to_guest(const struct xenctl_bitmap *map, const cpumask_t *m)
{
	u32 bytes = (map->nr_bits + 7ULL) / 8, n = min(bytes, NR_CPUS / 8U);
	u8 last;

	if (!map->nr_bits)
		return 0;
	if (n && copy_to_guest(GPTR(map->bitmap.p), m->bits, n))
		return -EFAULT;
	if (bytes > n)
		return clear_guest(gptr_add(GPTR(map->bitmap.p), n), bytes - n);
	if (map->nr_bits % 8) {
		last = ((const u8 *)m->bits)[n - 1] &
		       ((1U << (map->nr_bits % 8)) - 1);
		return copy_to_guest(gptr_add(GPTR(map->bitmap.p), n - 1),
				     &last, 1);
	}
	return 0;
}

long domctl_setvcpuaffinity(struct vcpu *caller, struct domain *d,
			    struct xen_domctl *op)
{
	struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
	struct vcpu *v = domain_vcpu(d, a->vcpu);
	cpumask_t m, online;
	int rc;

	if (!v)
		return -ESRCH;
	if (!(a->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)) ||
	    (a->flags & ~(XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT |
			  XEN_VCPUAFFINITY_FORCE)))
		return -EINVAL;
	if (a->flags & XEN_VCPUAFFINITY_FORCE)
		(void)vcpu_pin_override(v, -1);
	if (a->flags & XEN_VCPUAFFINITY_HARD) {
		rc = cpumask_from_guest(&m, &a->cpumap_hard);
		if (!rc)
			rc = vcpu_set_hard_affinity(v, &m);
		if (rc)
			return rc;
		cpumask_and(&m, &m, &cpu_online_map);
		rc = cpumask_to_guest(&a->cpumap_hard, &m);
		if (rc)
			return rc;
	}
	if (a->flags & XEN_VCPUAFFINITY_SOFT) {
		rc = cpumask_from_guest(&m, &a->cpumap_soft);
		if (!rc)
			rc = vcpu_set_soft_affinity(v, &m);
		if (rc)
			return rc;
		cpumask_and(&online, &v->sched.hard, &cpu_online_map);
		cpumask_and(&m, &m, &online);
		return cpumask_to_guest(&a->cpumap_soft, &m);
	}
	return 0;
}

long domctl_getvcpuaffinity(struct vcpu *caller, struct domain *d,
			    struct xen_domctl *op)
{
	struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
	struct vcpu *v = domain_vcpu(d, a->vcpu);
	int rc = 0;

	if (!v)
		return -ESRCH;
	if (a->flags & XEN_VCPUAFFINITY_HARD)
		rc = cpumask_to_guest(&a->cpumap_hard, &v->sched.hard);
	if (!rc && (a->flags & XEN_VCPUAFFINITY_SOFT))
		rc = cpumask_to_guest(&a->cpumap_soft, &v->sched.soft);
	return rc;
}

long domctl_getvcpuinfo(struct vcpu *caller, struct domain *d,
			struct xen_domctl *op)
{
	struct xen_domctl_getvcpuinfo *i = &op->u.getvcpuinfo;
	struct vcpu *v = domain_vcpu(d, i->vcpu);

	if (!v)
		return -ESRCH;
	i->online = !test_bit(VPF_DOWN, &v->pause_flags);
	i->blocked = test_bit(VPF_BLOCKED, &v->pause_flags);
	i->running = v->is_running;
	i->cpu_time = vcpu_cpu_time(v);
	i->cpu = v->processor;
	return 0;
}

/* ---- register context ------------------------------------------------------------- */

static long context_reset(struct domain *d, struct vcpu *v)
{
	int rc = pv_vcpu_relinquish(v);

	if (!rc) {
		v->initialised = false;
		set_bit(VPF_DOWN, &v->pause_flags);
	}
	return rc;
}

long domctl_setvcpucontext(struct vcpu *caller, struct domain *d,
			   struct xen_domctl *op)
{
	struct vcpu *v = domain_vcpu(d, op->u.vcpucontext.vcpu);
	gptr_t from = GPTR(op->u.vcpucontext.ctxt.p);
	struct vcpu_guest_context *c;
	long rc;

	if (!v)
		return -EINVAL;
	if (gptr_null(from)) {
		domain_pause(d);
		rc = context_reset(d, v);
		domain_unpause(d);
		return rc;
	}
	c = xmalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	rc = copy_from_guest(c, from, sizeof(*c));
	if (!rc) {
		domain_pause(d);
		rc = pv_set_context(v, c);
		if (!rc) {
			v->initialised = true;
			/* A builder has cleared shared info since it was made. */
			if (v->id == 0)
				time_update_wallclock(d);
			if (c->flags & VGCF_online)
				clear_bit(VPF_DOWN, &v->pause_flags);
			else
				set_bit(VPF_DOWN, &v->pause_flags);
		}
		domain_unpause(d);
	}
	xfree(c);
	return rc;
}

long domctl_getvcpucontext(struct vcpu *caller, struct domain *d,
			   struct xen_domctl *op)
{
	struct vcpu *v = domain_vcpu(d, op->u.vcpucontext.vcpu);
	struct vcpu_guest_context *c;
	long rc;

	if (!v)
		return -ESRCH;
	if (!v->initialised)
		return -ENODATA;
	c = xzalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	domain_pause(d);
	pv_get_context(v, c);
	domain_unpause(d);
	rc = copy_to_guest(GPTR(op->u.vcpucontext.ctxt.p), c, sizeof(*c));
	xfree(c);
	return rc;
}

static bool canonical(u64 addr)
{
	return (s64)(addr << 16) >> 16 == (s64)addr;
}

long domctl_set_ext_vcpucontext(struct vcpu *caller, struct domain *d,
				struct xen_domctl *op)
{
	const struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;
	struct vcpu *v = domain_vcpu(d, e->vcpu);

	if (!v)
		return -ESRCH;
	if (e->size < offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap) ||
	    !canonical(e->sysenter_callback_eip) ||
	    !canonical(e->syscall32_callback_eip))
		return -EINVAL;
	domain_pause(d);
	v->pv.sysenter_callback = e->sysenter_callback_eip;
	v->pv.sysenter_masks = e->sysenter_disables_events;
	v->pv.syscall32_callback = e->syscall32_callback_eip;
	v->pv.syscall32_masks = e->syscall32_disables_events;
	domain_unpause(d);
	return 0;
}

long domctl_get_ext_vcpucontext(struct vcpu *caller, struct domain *d,
				struct xen_domctl *op)
{
	struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;
	struct vcpu *v = domain_vcpu(d, e->vcpu);

	if (!v)
		return -ESRCH;
	e->size = sizeof(*e);
	e->sysenter_callback_eip = v->pv.sysenter_callback;
	e->sysenter_callback_cs = GUEST_CS64;
	e->sysenter_disables_events = v->pv.sysenter_masks;
	e->syscall32_callback_eip = v->pv.syscall32_callback;
	e->syscall32_callback_cs = GUEST_CS64;
	e->syscall32_disables_events = v->pv.syscall32_masks;
	memset(&e->vmce, 0, sizeof(e->vmce));
	return 0;
}

/* ---- extended state, MSRs ------------------------------------------------------------ */

long domctl_getvcpuextstate(struct vcpu *caller, struct domain *d,
			    struct xen_domctl *op)
{
	struct xen_domctl_vcpuextstate *e = &op->u.vcpuextstate;
	struct vcpu *v = domain_vcpu(d, e->vcpu);
	gptr_t to = GPTR(e->buffer.p);
	u64 size, hdr[2];
	long rc;

	if (!v)
		return -ESRCH;
	size = cpu_has.xsave && v->pv.xsave_area
		       ? XSAVE_HDR + cpu_has.xsave_size
		       : 0;
	if (!e->size && !e->xfeature_mask) {
		e->xfeature_mask = cpu_has.xsave ? cpu_has.xcr0_max : 0;
		e->size = size;
		return 0;
	}
	if (e->size != size || !size)
		return -EINVAL;
	domain_pause(d);
	hdr[0] = v->pv.xcr0;
	hdr[1] = v->pv.xcr0_accum;
	rc = copy_to_guest(to, hdr, sizeof(hdr));
	if (!rc)
		rc = copy_to_guest(gptr_add(to, XSAVE_HDR), v->pv.xsave_area,
				   cpu_has.xsave_size);
	domain_unpause(d);
	return rc;
}

/* A saved XSAVE area: only components that xcr0_accum allows, not compacted. */
static bool xsave_ok(const u8 *area, u64 accum)
{
	const u64 *hdr = (const u64 *)(area + 512);

	if (hdr[0] & ~accum)
		return false;
	for (unsigned int i = 1; i < 8; i++)
		if (hdr[i])
			return false;
	/* Reserved MXCSR bits would fault in the hypervisor. */
	return !(*(const u32 *)(area + 24) & ~0xffffU);
}

long domctl_setvcpuextstate(struct vcpu *caller, struct domain *d,
			    struct xen_domctl *op)
{
	const struct xen_domctl_vcpuextstate *e = &op->u.vcpuextstate;
	struct vcpu *v = domain_vcpu(d, e->vcpu);
	gptr_t from = GPTR(e->buffer.p);
	u64 hdr[2], n;
	u8 *area;
	long rc;

	if (!v)
		return -ESRCH;
	if (!cpu_has.xsave || !v->pv.xsave_area)
		return -EOPNOTSUPP;
	if (e->size < XSAVE_HDR + 576 || e->size > XSAVE_HDR + 65536)
		return -EINVAL;
	if (copy_from_guest(hdr, from, sizeof(hdr)))
		return -EFAULT;
	if (!(hdr[0] & 1) || (hdr[0] & ~hdr[1]) || (hdr[1] & ~cpu_has.xcr0_max))
		return -EINVAL;
	n = min(e->size - XSAVE_HDR, (u64)cpu_has.xsave_size);
	area = xzalloc(cpu_has.xsave_size);
	if (!area)
		return -ENOMEM;
	rc = copy_from_guest(area, gptr_add(from, XSAVE_HDR), n);
	if (!rc && !xsave_ok(area, hdr[1]))
		rc = -EINVAL;
	if (!rc) {
		domain_pause(d);
		memcpy(v->pv.xsave_area, area, cpu_has.xsave_size);
		v->pv.xcr0 = hdr[0];
		v->pv.xcr0_accum = hdr[1];
		domain_unpause(d);
	}
	xfree(area);
	return rc;
}

long domctl_get_vcpu_msrs(struct vcpu *caller, struct domain *d,
			  struct xen_domctl *op)
{
	struct xen_domctl_vcpu_msrs *m = &op->u.vcpu_msrs;
	struct vcpu *v = domain_vcpu(d, m->vcpu);
	struct xen_domctl_vcpu_msr out[2];
	u32 n = 0;

	if (!v)
		return -ESRCH;
	if (gptr_null(GPTR(m->msrs.p))) {
		m->msr_count = ARRAY_SIZE(out);
		return 0;
	}
	memset(out, 0, sizeof(out));
	domain_pause(d);
	if (v->pv.misc_features) {
		out[n].index = MSR_MISC_FEATURES;
		out[n++].value = v->pv.misc_features;
	}
	if (v->pv.tsc_aux) {
		out[n].index = 0xc0000103;
		out[n++].value = v->pv.tsc_aux;
	}
	domain_unpause(d);
	if (m->msr_count < n) {
		m->msr_count = n;
		return -ENOBUFS;
	}
	m->msr_count = n;
	return n ? copy_to_guest(GPTR(m->msrs.p), out, n * sizeof(out[0])) : 0;
}

long domctl_set_vcpu_msrs(struct vcpu *caller, struct domain *d,
			  struct xen_domctl *op)
{
	struct xen_domctl_vcpu_msrs *m = &op->u.vcpu_msrs;
	struct vcpu *v = domain_vcpu(d, m->vcpu);
	struct xen_domctl_vcpu_msr msr;
	long rc = 0;
	u32 i;

	if (!v)
		return -ESRCH;
	if (m->msr_count > 64)
		return -EINVAL;
	domain_pause(d);
	for (i = 0; i < m->msr_count && !rc; i++) {
		rc = copy_from_guest(&msr,
				     gptr_add(GPTR(m->msrs.p), i * sizeof(msr)),
				     sizeof(msr));
		if (rc)
			break;
		if (msr.reserved)
			rc = -EINVAL;
		else if (msr.index == MSR_MISC_FEATURES && !(msr.value & ~1UL))
			v->pv.misc_features = msr.value;
		else if (msr.index == 0xc0000103 && !(msr.value >> 32))
			v->pv.tsc_aux = msr.value;
		else
			rc = -EINVAL;
		if (rc)
			break;
	}
	domain_unpause(d);
	m->msr_count = i; /* the one that failed, or all */
	return rc;
}

long domctl_sendtrigger(struct vcpu *caller, struct domain *d,
			struct xen_domctl *op)
{
	struct vcpu *v = domain_vcpu(d, op->u.sendtrigger.vcpu);

	if (!v)
		return -ESRCH;
	if (op->u.sendtrigger.trigger != XEN_DOMCTL_SENDTRIGGER_NMI)
		return -ENOSYS;
	pv_send_nmi(v);
	return 0;
}
