/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sched_op and set_timer_op: a guest gives up the processor, waits for event
 * channels, sets its timer, or goes down.
 */
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/watchdog.h>

#define POLL_PORTS_MAX 128

/* Undone by vcpu_unblock(), whoever wakes it. */
static void poll_prepare(struct vcpu *v, u32 port)
{
	struct domain *d = v->domain;

	v->poll_port = port;
	set_bit(v->id, d->evtchn.poll_mask);
	__atomic_add_fetch(&d->evtchn.nr_polling, 1, __ATOMIC_SEQ_CST);
	set_bit(VPF_POLL, &v->pause_flags);
	set_bit(VPF_BLOCKED, &v->pause_flags); /* full barrier */
}

static long op_poll(struct vcpu *v, gptr_t arg)
{
	u32 ports[POLL_PORTS_MAX];
	struct sched_poll p;
	bool ready = false;

	if (copy_from_guest(&p, arg, sizeof(p)))
		return -EFAULT;
	if (p.nr_ports > POLL_PORTS_MAX)
		return -EINVAL;
	if (p.nr_ports && copy_from_guest(ports, GPTR(p.ports.p),
					  p.nr_ports * sizeof(ports[0])))
		return -EFAULT;
	for (u32 i = 0; i < p.nr_ports; i++)
		if (!evtchn_port_valid(v->domain, ports[i]))
			return -EINVAL;

	poll_prepare(v, p.nr_ports == 1 ? ports[0] : ~0U);
	/* An event that came before we were listed shows as pending now. */
	for (u32 i = 0; i < p.nr_ports && !ready; i++)
		ready = evtchn_port_pending(v->domain, ports[i]);
	if (READ_ONCE(v->info->evtchn_upcall_pending) &&
	    !READ_ONCE(v->info->evtchn_upcall_mask))
		ready = true;
	if (ready) {
		vcpu_unblock(v);
		return 0;
	}
	if (p.timeout)
		timer_set(&v->poll_timer,
			  (s_time_t)min(p.timeout, (u64)STIME_MAX));
	else
		timer_stop(&v->poll_timer);
	softirq_raise(SOFTIRQ_SCHED);
	return 0;
}

static long op_shutdown(struct vcpu *v, gptr_t arg)
{
	struct sched_shutdown s;

	if (copy_from_guest(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.reason > SHUTDOWN_MAX)
		return -EINVAL;
	domain_shutdown(v->domain, s.reason);
	return 0;
}

static long op_remote_shutdown(struct vcpu *v, gptr_t arg)
{
	struct sched_remote_shutdown s;
	struct domain *d;
	long rc = 0;

	if (copy_from_guest(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.reason > SHUTDOWN_MAX)
		return -EINVAL;
	if (!is_control_domain(v->domain))
		return -EPERM;
	d = domain_by_id(s.domain_id);
	if (!d)
		return -ESRCH;
	if (d->dying || d == v->domain)
		rc = -EINVAL;
	else
		domain_shutdown(d, s.reason);
	domain_put(d);
	return rc;
}

static long op_shutdown_code(struct vcpu *v, gptr_t arg)
{
	struct domain *d = v->domain;
	struct sched_shutdown s;

	if (copy_from_guest(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.reason > SHUTDOWN_MAX)
		return -EINVAL;
	spin_lock(&d->lock);
	if (!d->is_shutting_down)
		d->shutdown_code = s.reason;
	spin_unlock(&d->lock);
	return 0;
}

/* id 0: takes a free watchdog and returns its number; else feeds or frees.
 * id 0 and timeout 0, dom0: ends the boot watchdog. */
static long op_watchdog(struct vcpu *v, gptr_t arg)
{
	struct domain *d = v->domain;
	struct sched_watchdog w;
	unsigned int i, n = ARRAY_SIZE(d->watchdog);
	long rc = 0;

	if (copy_from_guest(&w, arg, sizeof(w)))
		return -EFAULT;
	if (w.id > n)
		return -EINVAL;
	spin_lock(&d->lock);
	if (!w.id) {
		if (!w.timeout) {
			/* Xen has no meaning for this. */
			rc = d == hardware_domain && watchdog_boot_done()
				     ? 0
				     : -EINVAL;
			goto out;
		}
		for (i = 0; i < n && (d->watchdog_inuse & (1U << i)); i++)
			;
		if (i == n) {
			rc = -ENOSPC;
			goto out;
		}
		d->watchdog_inuse |= 1U << i;
		rc = i + 1;
	} else {
		i = index_nospec(w.id - 1, n);
		if (!(d->watchdog_inuse & (1U << i))) {
			rc = -EINVAL;
			goto out;
		}
	}
	if (w.timeout) {
		timer_set(&d->watchdog[i], NOW() + SECONDS(w.timeout));
	} else {
		timer_stop(&d->watchdog[i]);
		d->watchdog_inuse &= ~(1U << i);
	}
out:
	spin_unlock(&d->lock);
	return rc;
}

static long op_pin_override(struct vcpu *v, gptr_t arg)
{
	struct sched_pin_override p;

	if (v->domain != hardware_domain)
		return -EPERM;
	if (copy_from_guest(&p, arg, sizeof(p)))
		return -EFAULT;
	return vcpu_pin_override(v, p.pcpu < 0 ? -1 : p.pcpu);
}

long do_sched_op(struct vcpu *v, unsigned long a[6])
{
	gptr_t arg = GPTR(a[1]);

	switch ((u32)a[0]) {
	case SCHEDOP_block:
		WRITE_ONCE(v->info->evtchn_upcall_mask, 0);
		vcpu_block();
		return 0;
	case SCHEDOP_yield:
		vcpu_yield();
		return 0;
	case SCHEDOP_poll:
		return op_poll(v, arg);
	case SCHEDOP_shutdown:
		return op_shutdown(v, arg);
	case SCHEDOP_remote_shutdown:
		return op_remote_shutdown(v, arg);
	case SCHEDOP_shutdown_code:
		return op_shutdown_code(v, arg);
	case SCHEDOP_watchdog:
		return op_watchdog(v, arg);
	case SCHEDOP_pin_override:
		return op_pin_override(v, arg);
	default:
		return -ENOSYS;
	}
}

long do_set_timer_op(struct vcpu *v, unsigned long a[6])
{
	if (!a[0])
		timer_stop(&v->singleshot_timer);
	else
		timer_set(&v->singleshot_timer, (s_time_t)a[0]);
	return 0;
}
