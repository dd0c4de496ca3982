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

#define GUEST_FLAGS_OFF                                              \
	(RFLAGS_AC | RFLAGS_VM | RFLAGS_RF | RFLAGS_NT | RFLAGS_TF | \
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
				  const struct cpu_user_regs *regs, u8 masked)
{
	unsigned long f = regs->rflags & ~(RFLAGS_IF | RFLAGS_IOPL);

	if (!masked)
		f |= RFLAGS_IF;
	if (unlikely(VM_ASSIST(v->domain, VMASST_TYPE_architectural_iopl)))
		f |= (unsigned long)v->pv.iopl << 12;
	return f;
}

/* One word to or from guest memory, SMAP open; leaves by label `fault`. */
#define PUT(p, off, val)                                          \
	__asm__ goto("1: movq %1, %c2(%0)\n\t" EX_GOTO(1b, fault) \
		     :                                            \
		     : "r"(p), "r"((u64)(val)), "i"(off)          \
		     : "memory"                                   \
		     : fault)
#define GET(val, p, off)                                          \
	__asm__ goto("1: movq %c2(%1), %0\n\t" EX_GOTO(1b, fault) \
		     : "=r"(val)                                  \
		     : "r"(p), "i"(off)                           \
		     :                                            \
		     : fault)

static __attribute__((always_inline)) inline void user_open(void)
{
	if (cpu_has.smap)
		stac();
}

static __attribute__((always_inline)) inline void user_close(void)
{
	if (cpu_has.smap)
		clac();
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
bounce(struct vcpu *v, struct cpu_user_regs *regs, unsigned long rip, bool mask,
       bool has_error, u32 error)
{
	u8 masked = v->info->evtchn_upcall_mask;
	u64 cs = (v->pv.kernel_mode ? regs->cs & ~3UL : regs->cs) |
		 (u64)masked << 32;
	unsigned long sp = kernel_stack(v, regs);

	/* The frame is written from its end; error and the two registers go
	 * below what every frame has. */
	if (unlikely(!stack_ok(sp, 64)))
		goto bad;
	user_open();
	PUT(sp, -8, regs->ss);
	PUT(sp, -16, regs->rsp);
	PUT(sp, -24, guest_rflags(v, regs, masked));
	PUT(sp, -32, cs);
	PUT(sp, -40, regs->rip);
	if (has_error) {
		PUT(sp, -48, error);
		PUT(sp, -56, regs->r11);
		PUT(sp, -64, regs->rcx);
		sp -= 64;
	} else {
		PUT(sp, -48, regs->r11);
		PUT(sp, -56, regs->rcx);
		sp -= 56;
	}
	user_close();
	if (mask)
		v->info->evtchn_upcall_mask = 1;
	enter_handler(regs, rip, sp);
	return true;

fault:
	user_close();
bad:
	domain_crash(
		v->domain,
		"no writable kernel stack at %#lx for a trap frame (handler %#lx)",
		sp, rip);
	return false;
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

void pv_bounce_page_fault(struct vcpu *v, struct cpu_user_regs *regs, u32 error,
			  unsigned long cr2)
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
		unsigned long h = v->pv.nmi_callback
					  ? v->pv.nmi_callback
					  : v->pv.trap[TRAP_NMI].address;

		v->pv.nmi_pending = false;
		if (h && bounce(v, regs, h, true, false, 0))
			v->pv.nmi_masked = true;
	}
}

bool pv_deliver_event(struct vcpu *v, struct cpu_user_regs *regs)
{
	if (unlikely(!v->pv.event_callback)) {
		domain_crash(v->domain, "event pending and no callback");
		return false;
	}
	return bounce(v, regs, v->pv.event_callback, true, false, 0);
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
	u8 masked = v->info->evtchn_upcall_mask;
	u64 w[11] = {
		regs->rcx,
		regs->r11,
		sel[0],
		sel[1],
		sel[2],
		sel[3],
		regs->rip,
		(v->pv.kernel_mode ? regs->cs & ~3UL : regs->cs) |
			(u64)masked << 32,
		guest_rflags(v, regs, masked),
		regs->rsp,
		regs->ss,
	};
	unsigned long sp = kernel_stack(v, regs) - sizeof(w);

	if (!v->pv.failsafe_callback || copy_to_guest(GPTR(sp), w, sizeof(w))) {
		domain_crash(
			v->domain,
			"segment registers cannot be loaded and the failsafe callback cannot be called");
		return;
	}
	if (v->pv.failsafe_masks)
		v->info->evtchn_upcall_mask = 1;
	enter_handler(regs, v->pv.failsafe_callback, sp);
}

/* ---- the IRET hypercall ----------------------------------------------------------- */

/* Offsets in its frame. */
#define IRET_RAX    0
#define IRET_R11    8
#define IRET_RCX    16
#define IRET_FLAGS  24
#define IRET_RIP    32
#define IRET_CS     40
#define IRET_RFLAGS 48
#define IRET_RSP    56
#define IRET_SS     64
#define IRET_SIZE   72

/* Everything that is rare: assists, NMIs. */
static __attribute__((noinline)) void iret_rare(struct vcpu *v, u64 rflags)
{
	if (VM_ASSIST(v->domain, VMASST_TYPE_architectural_iopl))
		v->pv.iopl = rflags >> 12 & 3;
	if (v->pv.nmi_masked) {
		v->pv.nmi_masked = false;
		v->pv.work = 1;
	}
}

long do_iret(struct vcpu *v, unsigned long a[6])
{
	struct cpu_user_regs *regs = guest_regs();
	unsigned long sp = regs->rsp;
	u64 rax, r11, rcx, flags, rip, cs, rflags, rsp, ss;

	if (unlikely(!stack_ok(sp + IRET_SIZE, IRET_SIZE)))
		goto bad;
	user_open();
	GET(rax, sp, IRET_RAX);
	GET(r11, sp, IRET_R11);
	GET(rcx, sp, IRET_RCX);
	GET(flags, sp, IRET_FLAGS);
	GET(rip, sp, IRET_RIP);
	GET(cs, sp, IRET_CS);
	GET(rflags, sp, IRET_RFLAGS);
	GET(rsp, sp, IRET_RSP);
	GET(ss, sp, IRET_SS);
	user_close();

	if ((cs & 3) == 3) {
		if (unlikely(mfn_eq(v->pv.user_l4, INVALID_MFN))) {
			domain_crash(
				v->domain,
				"iret to user mode without a user page table");
			return 0;
		}
		pv_toggle_mode(v);
	}
	v->info->evtchn_upcall_mask = !(rflags & RFLAGS_IF);
	if (unlikely(v->pv.nmi_masked ||
		     VM_ASSIST(v->domain, VMASST_TYPE_architectural_iopl)))
		iret_rare(v, rflags);
	rflags = (rflags & 0x254dd5) | RFLAGS_IF | RFLAGS_MBS;
	regs->rip = rip;
	regs->cs = cs | 3;
	regs->ss = ss | 3;
	regs->rsp = rsp;
	regs->rflags = rflags;
	if (unlikely(flags & VGCF_in_syscall)) {
		regs->cs = GUEST_CS64;
		regs->ss = GUEST_DS;
		return rax;
	}
	/* SYSRET does the same where RCX and R11 fit, only faster. */
	if (rcx != rip || r11 != rflags || regs->cs != GUEST_CS64 ||
	    regs->ss != GUEST_DS)
		regs->entry_vector = 0;
	regs->r11 = r11;
	regs->rcx = rcx;
	return rax;

fault:
	user_close();
bad:
	domain_crash(v->domain, "iret frame at %#lx cannot be read", sp);
	return 0;
}
