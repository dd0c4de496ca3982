/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypercall table, its one dispatcher, and multicall.
 *
 * A handler that returns -ERESTART has left its progress in a[]: those
 * registers are written back and the instruction is executed again once the
 * vCPU runs next, which lets interrupts and other vCPUs in.
 */
#include <bh/config.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/traps.h>

struct hcall {
	hypercall_fn *fn;
	u8 nargs; /* registers this call may read and clobber, at most 4 */
};

#define HCALL(op, n) [__HYPERVISOR_##op] = { do_##op, (n) }
static const struct hcall hcalls[] = {
	HCALL(set_trap_table, 1),
	HCALL(mmu_update, 4),
	HCALL(set_gdt, 2),
	HCALL(stack_switch, 2),
	HCALL(set_callbacks, 3),
	HCALL(fpu_taskswitch, 1),
	HCALL(platform_op, 1),
	HCALL(set_debugreg, 2),
	HCALL(get_debugreg, 1),
	HCALL(update_descriptor, 2),
	HCALL(memory_op, 2),
	HCALL(multicall, 2),
	HCALL(update_va_mapping, 3),
	HCALL(set_timer_op, 1),
	HCALL(xen_version, 2),
	HCALL(console_io, 3),
	HCALL(grant_table_op, 3),
	HCALL(vm_assist, 2),
	HCALL(update_va_mapping_otherdomain, 4),
	HCALL(iret, 0),
	HCALL(vcpu_op, 3),
	HCALL(set_segment_base, 2),
	HCALL(mmuext_op, 4),
	HCALL(sched_op, 2),
	HCALL(callback_op, 2),
	HCALL(event_channel_op, 2),
	HCALL(physdev_op, 2),
	HCALL(sysctl, 1),
	HCALL(domctl, 1),
	HCALL(xenpmu_op, 2),
	[__HYPERVISOR_arch_0] = { do_mca, 1 }, /* xen_mc */
};

static inline const struct hcall *hcall_lookup(unsigned long nr)
{
	const struct hcall *hc;

	if (unlikely(nr >= ARRAY_SIZE(hcalls)))
		return NULL;
	/* nr is the guest's: a mispredicted branch must not read past the
	 * end. */
	hc = &hcalls[index_nospec(nr, ARRAY_SIZE(hcalls))];
	return likely(hc->fn) ? hc : NULL;
}

static void restart(struct cpu_user_regs *regs, const struct hcall *hc,
		    const unsigned long a[6])
{
	switch (hc->nargs) {
	case 4:
		regs->r10 = a[3];
		/* fall through */
	case 3:
		regs->rdx = a[2];
		/* fall through */
	case 2:
		regs->rsi = a[1];
		/* fall through */
	case 1:
		regs->rdi = a[0];
	}
	regs->rip -= 2; /* SYSCALL */
}

void pv_hypercall(struct vcpu *v, struct cpu_user_regs *regs)
{
	unsigned long nr = regs->rax;
	const struct hcall *hc = hcall_lookup(nr);
	unsigned long a[6]; /* no call here takes more than four */
	long rc;

	if (unlikely(!hc)) {
		regs->rax = -ENOSYS;
		return;
	}
	a[0] = regs->rdi;
	a[1] = regs->rsi;
	a[2] = regs->rdx;
	a[3] = regs->r10;
	v->stats_hypercalls[nr]++;
	rc = hc->fn(v, a);
	if (unlikely(rc == -ERESTART))
		restart(regs, hc, a);
	else
		regs->rax = rc;
}

/* ---- multicall ------------------------------------------------------------------- */

_Static_assert(sizeof(struct multicall_entry) == 64, "guest ABI");

/* One entry. 0, -EFAULT, or -ERESTART: the entry is to be run again. */
static long multicall_one(struct vcpu *v, gptr_t p)
{
	struct multicall_entry e;
	const struct hcall *hc;
	long rc;

	if (copy_from_guest(&e, p, sizeof(e)))
		return -EFAULT;
	hc = hcall_lookup(e.op);
	if (!hc) {
		rc = -ENOSYS;
	} else if (e.op == __HYPERVISOR_multicall) {
		rc = -EINVAL; /* no nesting: the stack is finite */
	} else {
		if (e.op < ARRAY_SIZE(v->stats_hypercalls))
			v->stats_hypercalls[e.op]++;
		rc = hc->fn(v, e.args);
	}
	if (unlikely(rc == -ERESTART)) {
		if (copy_to_guest(
			    gptr_add(p, offsetof(struct multicall_entry, args)),
			    e.args, hc->nargs * sizeof(e.args[0])))
			return -EFAULT;
		return -ERESTART;
	}
	if (unlikely(e.op == __HYPERVISOR_iret)) {
		guest_regs()->rax = rc;
		return 1;
	}
	return put_guest_u64(
		gptr_add(p, offsetof(struct multicall_entry, result)), rc);
}

long do_multicall(struct vcpu *v, unsigned long a[6])
{
	gptr_t p = GPTR(a[0]);
	u32 n = a[1];
	long rc = 0;

	for (; n; n--, p = gptr_add(p, sizeof(struct multicall_entry))) {
		if (unlikely(hypercall_preempt())) {
			rc = -ERESTART;
			break;
		}
		rc = multicall_one(v, p);
		if (unlikely(rc))
			break;
	}
	if (rc == -ERESTART) {
		a[0] = p.a;
		a[1] = n;
	}
	/* An iret has loaded other registers: RAX is its frame's. */
	return rc == 1 ? (long)guest_regs()->rax : rc;
}
