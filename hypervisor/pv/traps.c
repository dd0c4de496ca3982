/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending a guest's vCPU into one of its handlers: exceptions through the trap
 * table, event upcalls, system calls, the failsafe callback. A bounce frame is
 * pushed on the guest kernel's stack and the registers are changed so that
 * leaving the hypervisor enters the handler. A stack that cannot be written is
 * the guest's double fault: the domain is crashed.
 *
 * Frame, low to high: RCX, R11, [error code], RIP, CS, RFLAGS, RSP, SS. CS has
 * the upcall mask in bits 32-39 and RPL 0 when the guest's kernel was
 * interrupted; RFLAGS shows IF as the inverse of the mask.
 */
#include <bh/config.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/irq.h>
#include <bh/smp.h>
#include <bh/traps.h>

#define GUEST_FLAGS_OFF                                                        \
	(RFLAGS_AC | RFLAGS_VM | RFLAGS_RF | RFLAGS_NT | RFLAGS_TF |           \
	 RFLAGS_IOPL)

void pv_toggle_mode(struct vcpu *v)
{
	bool kernel = !v->pv.kernel_mode;

	swapgs();
	v->pv.kernel_mode = kernel;
	v->pv.cr3 = mfn_x(kernel ? v->pv.kernel_l4 : v->pv.user_l4)
		    << PAGE_SHIFT;
	/* Nothing else changes: user entries may stay in the TLB (global). */
	write_cr3(v->pv.cr3);
}

/* RFLAGS as the guest may see them. */
static unsigned long guest_rflags(const struct vcpu *v,
				  const struct cpu_user_regs *regs)
{
	unsigned long f = regs->rflags & ~(RFLAGS_IF | RFLAGS_IOPL);

	if (!v->info->evtchn_upcall_mask)
		f |= RFLAGS_IF;
	if (unlikely(VM_ASSIST(v->domain, VMASST_TYPE_architectural_iopl)))
		f |= (unsigned long)v->pv.iopl << 12;
	return f;
}

/* Writes n words below sp, w[0] lowest. SMAP is open for just this. */
static __attribute__((always_inline)) inline bool push_words(unsigned long sp,
							      const u64 *w,
							      unsigned int n)
{
	u64 *p = (u64 *)sp;

	if (cpu_has.smap)
		stac();
	for (unsigned int i = 0; i < n; i++)
		__asm__ goto("1: mov %1, %0\n\t" EX_TABLE(1b, %l[fault])
			     :
			     : "m"(p[i]), "r"(w[i])
			     : "memory"
			     : fault);
	if (cpu_has.smap)
		clac();
	return true;
fault:
	if (cpu_has.smap)
		clac();
	return false;
}

/* Where the frame goes: its upper end. Also switches to the guest's kernel. */
static __attribute__((always_inline)) inline unsigned long
kernel_stack(struct vcpu *v, const struct cpu_user_regs *regs)
{
	if (v->pv.kernel_mode)
		return regs->rsp & ~15UL;
	pv_toggle_mode(v);
	return v->pv.kernel_sp & ~15UL;
}

static inline bool stack_ok(unsigned long sp, unsigned long bytes)
{
	/* All of [sp - bytes, sp) outside the hypervisor's range. */
	return sp - bytes >= HV_VIRT_END || sp <= HV_VIRT_START;
}

static __attribute__((always_inline)) inline void
enter_handler(struct cpu_user_regs *regs, unsigned long rip, unsigned long sp)
{
	regs->rip = rip;
	regs->cs = GUEST_CS64;
	regs->ss = GUEST_DS;
	regs->rsp = sp;
	regs->rflags = (regs->rflags & ~GUEST_FLAGS_OFF) | RFLAGS_IF;
	regs->entry_vector |= TRAP_SYSCALL;
}

static __attribute__((always_inline)) inline bool
bounce(struct vcpu *v, struct cpu_user_regs *regs, unsigned long rip,
       bool mask, bool has_error, u32 error)
{
	bool was_kernel = v->pv.kernel_mode;
	u64 cs = (was_kernel ? regs->cs & ~3UL : regs->cs) |
		 (u64)v->info->evtchn_upcall_mask << 32;
	unsigned long sp = kernel_stack(v, regs);
	u64 w[8];
	bool ok;

	w[0] = regs->rcx;
	w[1] = regs->r11;
	if (has_error) {
		w[2] = error;
		w[3] = regs->rip;
		w[4] = cs;
		w[5] = guest_rflags(v, regs);
		w[6] = regs->rsp;
		w[7] = regs->ss;
		ok = stack_ok(sp, 64) && push_words(sp -= 64, w, 8);
	} else {
		w[2] = regs->rip;
		w[3] = cs;
		w[4] = guest_rflags(v, regs);
		w[5] = regs->rsp;
		w[6] = regs->ss;
		ok = stack_ok(sp, 56) && push_words(sp -= 56, w, 7);
	}
	if (unlikely(!ok)) {
		domain_crash(v->domain,
			     "no writable kernel stack at %#lx for a trap frame (handler %#lx)",
			     sp, rip);
		return false;
	}
	if (mask)
		v->info->evtchn_upcall_mask = 1;
	enter_handler(regs, rip, sp);
	return true;
}

static void no_handler(struct vcpu *v, unsigned int vector, u32 error)
{
	domain_crash(v->domain,
		     "exception %u (error %#x) and the guest has no handler",
		     vector, error);
}

void pv_bounce_trap(struct vcpu *v, struct cpu_user_regs *regs, u8 vector,
		    u32 error)
{
	const struct trap_info *ti = &v->pv.trap[vector];

	v->domain->stats_faults_bounced++;
	if (unlikely(!ti->address)) {
		no_handler(v, vector, error);
		return;
	}
	bounce(v, regs, ti->address, ti->flags & 4,
	       vector < 32 && TRAP_HAS_ERROR >> vector & 1, error);
}

void pv_bounce_page_fault(struct vcpu *v, struct cpu_user_regs *regs,
			  u32 error, unsigned long cr2)
{
	const struct trap_info *ti = &v->pv.trap[TRAP_PF];

	v->pv.cr2 = cr2;
	v->info->arch.cr2 = cr2;
	if (unlikely(!ti->address)) {
		no_handler(v, TRAP_PF, error);
		return;
	}
	bounce(v, regs, ti->address, ti->flags & 4, true, error);
}

bool pv_software_int(struct vcpu *v, struct cpu_user_regs *regs, u8 vector)
{
	const struct trap_info *ti = &v->pv.trap[vector];

	if (!ti->address || (ti->flags & 3) < (v->pv.kernel_mode ? 1 : 3))
		return false;
	if (vector != 0x80) /* its gate is open: RIP is already behind it */
		regs->rip += 2;
	bounce(v, regs, ti->address, ti->flags & 4, false, 0);
	return true;
}

void pv_inject_trap(struct vcpu *v, u8 vector, s32 error)
{
	v->pv.inject.vector = vector;
	v->pv.inject.has_error = error >= 0;
	v->pv.inject.error = error >= 0 ? error : 0;
	v->pv.inject.pending = true;
	v->pv.work = 1;
}

void pv_inject_page_fault(struct vcpu *v, u32 error, unsigned long cr2)
{
	v->pv.cr2 = cr2;
	v->info->arch.cr2 = cr2;
	pv_inject_trap(v, TRAP_PF, error);
}

void pv_send_nmi(struct vcpu *v)
{
	WRITE_ONCE(v->pv.nmi_pending, true);
	WRITE_ONCE(v->pv.work, 1);
	vcpu_unblock(v);
	if (v != current && READ_ONCE(v->is_running))
		smp_send_ipi(v->processor, VEC_EVENT_CHECK);
}

void pv_deliver_work(struct vcpu *v, struct cpu_user_regs *regs)
{
	v->pv.work = 0;
	if (v->pv.inject.pending) {
		v->pv.inject.pending = false;
		pv_bounce_trap(v, regs, v->pv.inject.vector,
			       v->pv.inject.error);
	}
	if (v->pv.nmi_pending && !v->pv.nmi_masked) {
		unsigned long h = v->pv.nmi_callback ?
					  v->pv.nmi_callback :
					  v->pv.trap[TRAP_NMI].address;

		v->pv.nmi_pending = false;
		if (h && bounce(v, regs, h, true, false, 0))
			v->pv.nmi_masked = true;
	}
}

void pv_deliver_event(struct vcpu *v, struct cpu_user_regs *regs)
{
	if (unlikely(!v->pv.event_callback)) {
		domain_crash(v->domain, "event pending and no callback");
		return;
	}
	bounce(v, regs, v->pv.event_callback, true, false, 0);
}

/* ---- system calls of guest processes ------------------------------------------- */

void pv_syscall_bounce(struct vcpu *v, struct cpu_user_regs *regs)
{
	unsigned long cb = v->pv.syscall_callback;

	if (unlikely(!cb)) {
		regs->entry_vector = 0;
		regs->rip -= 2;
		pv_bounce_trap(v, regs, TRAP_UD, 0);
		return;
	}
	if (bounce(v, regs, cb, v->pv.syscall_masks, false, 0))
		regs->rflags &= ~RFLAGS_DF;
}

void pv_syscall32_bounce(struct vcpu *v, struct cpu_user_regs *regs)
{
	unsigned long cb = v->pv.syscall32_callback;

	if (v->pv.kernel_mode || !cb) {
		regs->entry_vector = 0;
		regs->rip -= 2;
		pv_bounce_trap(v, regs, TRAP_UD, 0);
		return;
	}
	if (bounce(v, regs, cb, v->pv.syscall32_masks, false, 0))
		regs->rflags &= ~RFLAGS_DF;
}

/* The registers we were about to load for the guest cannot be: it gets the
 * fault as if its own IRET had raised it. */
void pv_iret_fault(struct vcpu *v, struct cpu_user_regs *regs)
{
	u64 what = cpu_info()->scratch[1];

	regs->entry_vector = 0;
	pv_bounce_trap(v, regs, (u8)what, what >> 32);
}

void pv_bounce_failsafe(struct vcpu *v, struct cpu_user_regs *regs,
			const u16 sel[4])
{
	bool was_kernel = v->pv.kernel_mode;
	u64 w[11] = {
		regs->rcx, regs->r11, sel[0], sel[1], sel[2], sel[3],
		regs->rip,
		(was_kernel ? regs->cs & ~3UL : regs->cs) |
			(u64)v->info->evtchn_upcall_mask << 32,
		guest_rflags(v, regs), regs->rsp, regs->ss,
	};
	unsigned long sp = kernel_stack(v, regs);

	if (!v->pv.failsafe_callback || !stack_ok(sp, sizeof(w)) ||
	    !push_words(sp -= sizeof(w), w, ARRAY_SIZE(w))) {
		domain_crash(v->domain,
			     "segment registers cannot be loaded and the failsafe callback cannot be called");
		return;
	}
	if (v->pv.failsafe_masks)
		v->info->evtchn_upcall_mask = 1;
	enter_handler(regs, v->pv.failsafe_callback, sp);
}

/* ---- the IRET hypercall ----------------------------------------------------------- */

struct iret_frame {
	u64 rax, r11, rcx, flags, rip, cs, rflags, rsp, ss;
};

long do_iret(struct vcpu *v, unsigned long a[6])
{
	struct cpu_user_regs *regs = guest_regs();
	struct iret_frame f;

	if (unlikely(copy_from_guest(&f, GPTR(regs->rsp), sizeof(f)))) {
		domain_crash(v->domain, "iret frame at %#lx cannot be read",
			     regs->rsp);
		return 0;
	}
	if ((f.cs & 3) == 3) {
		if (unlikely(mfn_eq(v->pv.user_l4, INVALID_MFN))) {
			domain_crash(v->domain,
				     "iret to user mode without a user page table");
			return 0;
		}
		pv_toggle_mode(v);
	}
	if (unlikely(VM_ASSIST(v->domain, VMASST_TYPE_architectural_iopl)))
		v->pv.iopl = f.rflags >> 12 & 3;
	regs->rip = f.rip;
	regs->cs = f.cs | 3;
	regs->ss = f.ss | 3;
	regs->rsp = f.rsp;
	regs->rflags = (f.rflags & 0x254dd5) | RFLAGS_IF | RFLAGS_MBS;
	if (!(f.flags & VGCF_in_syscall)) {
		/* SYSRET does the same where RCX and R11 fit, only faster. */
		if (f.rcx != f.rip || f.r11 != regs->rflags ||
		    regs->cs != GUEST_CS64 || regs->ss != GUEST_DS)
			regs->entry_vector = 0;
		regs->r11 = f.r11;
		regs->rcx = f.rcx;
	} else {
		regs->cs = GUEST_CS64;
		regs->ss = GUEST_DS;
	}
	v->info->evtchn_upcall_mask = !(f.rflags & RFLAGS_IF);
	if (unlikely(v->pv.nmi_masked)) {
		v->pv.nmi_masked = false;
		v->pv.work = 1;
	}
	v->pv.mce_masked = false;
	return f.rax;
}
