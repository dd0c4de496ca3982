/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcpu_op: a domain's dealings with its own vCPUs. Starting and stopping them,
 * registering the records we keep in guest memory, timers.
 *
 * One function for each operation, found through a table: `self` operations
 * are for the calling vCPU only.
 */
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>

static long op_initialise(struct vcpu *v, gptr_t arg)
{
	struct vcpu_guest_context *c;
	long rc;

	if (v->initialised)
		return -EEXIST;
	/* Two callers at once: the second comes back later. */
	if (test_and_set_bit(0, &v->init_busy))
		return -ERESTART;
	rc = -ENOMEM;
	c = xmalloc(sizeof(*c));
	if (c) {
		rc = -EEXIST;
		if (!v->initialised) {
			rc = -EFAULT;
			if (!copy_from_guest(c, arg, sizeof(*c)))
				rc = pv_set_context(v, c);
		}
		if (!rc)
			v->initialised = true;
	}
	xfree(c);
	clear_bit(0, &v->init_busy);
	return rc;
}

static long op_up(struct vcpu *v, gptr_t arg)
{
	if (!v->initialised)
		return -EINVAL;
	if (test_and_clear_bit(VPF_DOWN, &v->pause_flags))
		vcpu_wake(v);
	return 0;
}

static long op_down(struct vcpu *v, gptr_t arg)
{
	struct domain *d = v->domain;
	struct vcpu *o;

	for_each_vcpu(d, o)
		if (o != v && !test_bit(VPF_DOWN, &o->pause_flags))
			goto others;
	/* The last one: the domain stops. */
	domain_shutdown(d, SHUTDOWN_poweroff);
	return 0;
others:
	if (!test_and_set_bit(VPF_DOWN, &v->pause_flags))
		vcpu_sleep_nosync(v);
	return 0;
}

static long op_is_up(struct vcpu *v, gptr_t arg)
{
	return !test_bit(VPF_DOWN, &v->pause_flags);
}

static long op_get_runstate(struct vcpu *v, gptr_t arg)
{
	struct vcpu_runstate_info r;

	vcpu_runstate_get(v, &r);
	return copy_to_guest(arg, &r, sizeof(r));
}

/* Registered areas come as a struct that holds just the address. */
static long area_register(struct vcpu *v, struct guest_area *ga, gptr_t arg,
			  unsigned int len)
{
	struct domain *d = v->domain;
	u64 addr;
	long rc;

	if (copy_from_guest(&addr, arg, sizeof(addr)))
		return -EFAULT;
	/* One at a time for each vCPU. */
	if (test_and_set_bit(0, &v->init_busy))
		return -ERESTART;
	rc = d->dying ? -EINVAL
		      : guest_area_set(ga, GPTR(addr), addr ? len : 0);
	clear_bit(0, &v->init_busy);
	return rc;
}

static long op_register_runstate(struct vcpu *v, gptr_t arg)
{
	long rc = area_register(v, &v->runstate_area, arg,
				sizeof(struct vcpu_runstate_info));

	if (!rc)
		vcpu_runstate_update_guest(v);
	return rc;
}

static long op_register_time(struct vcpu *v, gptr_t arg)
{
	long rc = area_register(v, &v->time_area, arg,
				sizeof(struct vcpu_time_info));

	if (!rc && v->time_area.va[0]) {
		v->time_gen = 0;
		time_update_vcpu(v);
	}
	return rc;
}

static long op_register_info(struct vcpu *v, gptr_t arg)
{
	struct vcpu_register_vcpu_info r;

	if (copy_from_guest(&r, arg, sizeof(r)))
		return -EFAULT;
	return vcpu_info_register(v, r.mfn, r.offset);
}

static long op_set_periodic(struct vcpu *v, gptr_t arg)
{
	struct vcpu_set_periodic_timer p;

	if (copy_from_guest(&p, arg, sizeof(p)))
		return -EFAULT;
	if (p.period_ns < (u64)MILLISECS(1) || p.period_ns > STIME_MAX / 2)
		return -EINVAL;
	v->periodic_period = p.period_ns;
	v->periodic_last = NOW();
	timer_set(&v->periodic_timer, v->periodic_last + v->periodic_period);
	return 0;
}

static long op_stop_periodic(struct vcpu *v, gptr_t arg)
{
	v->periodic_period = 0;
	timer_stop(&v->periodic_timer);
	return 0;
}

static long op_set_singleshot(struct vcpu *v, gptr_t arg)
{
	struct vcpu_set_singleshot_timer s;

	if (copy_from_guest(&s, arg, sizeof(s)))
		return -EFAULT;
	/* A time in the past fires at once, whatever the flags: guests take
	 * an error for a broken hypervisor. */
	timer_set(&v->singleshot_timer,
		  (s_time_t)min(s.timeout_abs_ns, (u64)STIME_MAX));
	return 0;
}

static long op_stop_singleshot(struct vcpu *v, gptr_t arg)
{
	timer_stop(&v->singleshot_timer);
	return 0;
}

static long op_send_nmi(struct vcpu *v, gptr_t arg)
{
	pv_send_nmi(v);
	return 0;
}

static long op_get_physid(struct vcpu *v, gptr_t arg)
{
	struct vcpu_get_physid id;
	const struct cpu *c = cpus[v->processor];

	if (!v->domain->is_pinned)
		return -EINVAL;
	id.phys_id = c->apic_id | (u64)c->acpi_id << 32;
	return copy_to_guest(arg, &id, sizeof(id));
}

static const struct {
	long (*fn)(struct vcpu *v, gptr_t arg);
	bool self;
} ops[] = {
	[VCPUOP_initialise] = { op_initialise },
	[VCPUOP_up] = { op_up },
	[VCPUOP_down] = { op_down },
	[VCPUOP_is_up] = { op_is_up },
	[VCPUOP_get_runstate_info] = { op_get_runstate },
	[VCPUOP_register_runstate_memory_area] = { op_register_runstate },
	[VCPUOP_set_periodic_timer] = { op_set_periodic },
	[VCPUOP_stop_periodic_timer] = { op_stop_periodic },
	[VCPUOP_set_singleshot_timer] = { op_set_singleshot, true },
	[VCPUOP_stop_singleshot_timer] = { op_stop_singleshot, true },
	[VCPUOP_register_vcpu_info] = { op_register_info },
	[VCPUOP_send_nmi] = { op_send_nmi },
	[VCPUOP_get_physid] = { op_get_physid },
	[VCPUOP_register_vcpu_time_memory_area] = { op_register_time },
};

long do_vcpu_op(struct vcpu *v, unsigned long a[6])
{
	unsigned int cmd = (u32)a[0];
	struct vcpu *target = domain_vcpu(v->domain, (u32)a[1]);

	if (!target)
		return -ENOENT;
	if (cmd >= ARRAY_SIZE(ops))
		return -ENOSYS;
	cmd = index_nospec(cmd, ARRAY_SIZE(ops));
	if (!ops[cmd].fn)
		return -ENOSYS;
	if (ops[cmd].self && target != v)
		return -EINVAL;
	return ops[cmd].fn(target, GPTR(a[2]));
}
