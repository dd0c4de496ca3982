/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small hypercalls by which a guest sets what a processor would keep in
 * registers: trap table, callbacks, kernel stack, segment bases, CR0.TS, debug
 * registers, and which assists it wants.
 *
 * An address the guest gives here is loaded into RIP or a base register later,
 * where a non-canonical one would fault in the hypervisor: refused at once.
 */
#include <bh/config.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/smp.h>
#include <bh/traps.h>
#include <public/callback.h>

long do_set_trap_table(struct vcpu *v, unsigned long a[6])
{
	gptr_t p = GPTR(a[0]);
	struct trap_info t;

	if (gptr_null(p)) {
		memset(v->pv.trap, 0, sizeof(v->pv.trap));
		return 0;
	}
	for (;;) {
		if (hypercall_preempt()) {
			a[0] = p.a;
			return -ERESTART;
		}
		if (copy_from_guest(&t, p, sizeof(t)))
			return -EFAULT;
		if (!t.address)
			return 0;
		if (!is_canonical(t.address))
			return -EINVAL;
		t.cs |= 3;
		v->pv.trap[t.vector] = t;
		p = gptr_add(p, sizeof(t));
	}
}

/* ---- callbacks ---------------------------------------------------------------- */

static long set_callback(struct vcpu *v, u16 type, bool mask,
			 unsigned long address)
{
	if (!is_canonical(address))
		return -EINVAL;
	switch (type) {
	case CALLBACKTYPE_event:
		v->pv.event_callback = address;
		return 0;
	case CALLBACKTYPE_failsafe:
		v->pv.failsafe_callback = address;
		v->pv.failsafe_masks = mask;
		return 0;
	case CALLBACKTYPE_syscall:
		v->pv.syscall_callback = address;
		v->pv.syscall_masks = mask;
		return 0;
	case CALLBACKTYPE_syscall32:
		v->pv.syscall32_callback = address;
		v->pv.syscall32_masks = mask;
		return 0;
	case CALLBACKTYPE_nmi:
		v->pv.nmi_callback = address;
		return 0;
	}
	/* sysenter: 32-bit processes use SYSCALL or int 0x80 instead. */
	return type == CALLBACKTYPE_sysenter ? -ENOSYS : -EINVAL;
}

long do_callback_op(struct vcpu *v, unsigned long a[6])
{
	struct callback_register r;
	struct callback_unregister u;

	switch (a[0]) {
	case CALLBACKOP_register:
		if (copy_from_guest(&r, GPTR(a[1]), sizeof(r)))
			return -EFAULT;
		return set_callback(v, r.type, r.flags & CALLBACKF_mask_events,
				    r.address);
	case CALLBACKOP_unregister:
		if (copy_from_guest(&u, GPTR(a[1]), sizeof(u)))
			return -EFAULT;
		if (u.type != CALLBACKTYPE_nmi)
			return -EINVAL; /* the others cannot be done without */
		v->pv.nmi_callback = 0;
		return 0;
	}
	return -ENOSYS;
}

long do_set_callbacks(struct vcpu *v, unsigned long a[6])
{
	if (!is_canonical(a[0]) || !is_canonical(a[1]) || !is_canonical(a[2]))
		return -EINVAL;
	v->pv.event_callback = a[0];
	v->pv.failsafe_callback = a[1];
	v->pv.syscall_callback = a[2];
	return 0;
}

/* ---- stack, segment bases, FPU ------------------------------------------------- */

long do_stack_switch(struct vcpu *v, unsigned long a[6])
{
	v->pv.kernel_ss = (u16)a[0] | 3;
	v->pv.kernel_sp = a[1];
	return 0;
}

static void load_user_gs(u16 sel)
{
	swapgs();
	__asm__ goto("1: mov %0, %%gs\n\t" EX_GOTO(1b, fault)
		     :
		     : "r"((u32)sel)
		     : "memory"
		     : fault);
	swapgs();
	return;
fault:
	__asm__ volatile("mov %0, %%gs" ::"r"(0) : "memory");
	swapgs();
}

long do_set_segment_base(struct vcpu *v, unsigned long a[6])
{
	unsigned long base = a[1];

	if (a[0] == SEGBASE_GS_USER_SEL) {
		load_user_gs(base);
		return 0;
	}
	if (!is_canonical(base))
		return -EINVAL;
	switch (a[0]) {
	case SEGBASE_FS:
		wrmsr(MSR_FS_BASE, base);
		return 0;
	case SEGBASE_GS_USER:
		wrmsr(MSR_KERNEL_GS_BASE, base);
		return 0;
	case SEGBASE_GS_KERNEL:
		wrmsr(MSR_GS_BASE, base);
		return 0;
	}
	return -EINVAL;
}

long do_fpu_taskswitch(struct vcpu *v, unsigned long a[6])
{
	if (a[0]) {
		v->pv.cr0_ts = CR0_TS;
		write_cr0(read_cr0() | CR0_TS);
	} else {
		v->pv.cr0_ts = 0;
		clts();
	}
	return 0;
}

/* ---- control and debug registers -------------------------------------------------- */

unsigned long pv_read_cr0(const struct vcpu *v)
{
	return (read_cr0() & ~CR0_TS) | v->pv.cr0_ts;
}

unsigned long pv_clean_cr4(const struct vcpu *v, unsigned long cr4)
{
	unsigned long allow = CR4_TSD | CR4_DE;
	u32 r[4];

	pv_cpuid((struct vcpu *)v, 1, 0, r);
	if (r[2] >> 26 & 1)
		allow |= CR4_OSXSAVE;
	pv_cpuid((struct vcpu *)v, 7, 0, r);
	if (r[1] & 1)
		allow |= CR4_FSGSBASE;
	return PV_CR4_VISIBLE | (cr4 & allow);
}

unsigned long pv_clean_dr7(unsigned long dr7)
{
	return (dr7 & 0xffff03ff) | 0x400;
}

#define DR7_GD 0x2000UL

int pv_set_debugreg(struct vcpu *v, unsigned int nr, unsigned long val)
{
	bool live = v == current;

	if ((nr == 4 || nr == 5) && !(v->pv.cr4 & CR4_DE))
		nr += 2;
	switch (nr) {
	case 0 ... 3:
		if (!is_canonical(val) ||
		    (val >= HV_VIRT_START && val < HV_VIRT_END))
			return -EPERM;
		v->pv.dr[nr] = val;
		break;
	case 6:
		v->pv.dr6 = (val & 0xe00f) | 0xffff0ff0;
		return 0;
	case 7:
		if (val >> 32 || val & DR7_GD)
			return -EPERM;
		/* I/O breakpoints exist only with CR4.DE. */
		for (unsigned int i = 0; i < 4; i++)
			if ((val >> (16 + 4 * i) & 3) == 2 &&
			    !(v->pv.cr4 & CR4_DE))
				return -EPERM;
		v->pv.dr7 = pv_clean_dr7(val);
		break;
	default:
		return -EINVAL;
	}
	if (live)
		pv_load_debug(v);
	return 0;
}

long do_set_debugreg(struct vcpu *v, unsigned long a[6])
{
	return a[0] > 7 ? -EINVAL : pv_set_debugreg(v, a[0], a[1]);
}

long do_get_debugreg(struct vcpu *v, unsigned long a[6])
{
	unsigned long nr = a[0];

	if ((nr == 4 || nr == 5) && !(v->pv.cr4 & CR4_DE))
		nr += 2;
	switch (nr) {
	case 0 ... 3:
		return v->pv.dr[index_nospec(nr, 4)];
	case 6:
		return v->pv.dr6;
	case 7:
		return v->pv.dr7;
	}
	return -EINVAL;
}

/* ---- assists ------------------------------------------------------------------------ */

long do_vm_assist(struct vcpu *v, unsigned long a[6])
{
	unsigned long type = (u32)a[1];

	if (type >= BITS_PER_LONG || !(PV_VM_ASSIST_MASK >> type & 1))
		return -EINVAL;
	switch ((u32)a[0]) {
	case VMASST_CMD_enable:
		set_bit(type, &v->domain->vm_assist);
		return 0;
	case VMASST_CMD_disable:
		clear_bit(type, &v->domain->vm_assist);
		return 0;
	}
	return -ENOSYS;
}
