/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between entry.S, cpu/traps.c and pv/: what assembly calls, and back. */
#pragma once

#include <bh/types.h>

struct cpu_user_regs;
struct vcpu;

#define TRAP_DE        0
#define TRAP_DB        1
#define TRAP_NMI       2
#define TRAP_BP        3
#define TRAP_UD        6
#define TRAP_NM        7
#define TRAP_DF        8
#define TRAP_SS        12
#define TRAP_GP        13
#define TRAP_PF        14
#define TRAP_MC        18
#define TRAP_SYSCALL   0x100       /* in entry_vector, see entry.S */
#define TRAP_HAS_ERROR 0x60227d00U /* vectors that push an error code */

#define PFEC_P    0x01U
#define PFEC_W    0x02U
#define PFEC_U    0x04U
#define PFEC_RSVD 0x08U
#define PFEC_I    0x10U

/* cpu/traps.c */
extern bool smap_active; /* entry code must close SMAP */
void do_guest_trap(struct cpu_user_regs *regs, struct vcpu *v);
void do_hv_trap(struct cpu_user_regs *regs);
void do_nmi(struct cpu_user_regs *regs);
void do_double_fault(struct cpu_user_regs *regs) __noreturn;
void do_machine_check(struct cpu_user_regs *regs);

/* pv/traps.c, called by entry.S with interrupts off */
void pv_syscall_bounce(struct vcpu *v, struct cpu_user_regs *regs);
void pv_syscall32_bounce(struct vcpu *v, struct cpu_user_regs *regs);
void pv_deliver_work(struct vcpu *v, struct cpu_user_regs *regs);
/* True: nothing else is to be done before the guest runs. */
bool pv_deliver_event(struct vcpu *v, struct cpu_user_regs *regs);
void pv_iret_fault(struct vcpu *v, struct cpu_user_regs *regs);
/* pv/hypercall.c, interrupts on */
void pv_hypercall(struct vcpu *v, struct cpu_user_regs *regs);

/* pv/traps.c, for the dispatch: delivers at once through the trap table. */
void pv_bounce_trap(struct vcpu *v, struct cpu_user_regs *regs, u8 vector,
		    u32 error);
void pv_bounce_page_fault(struct vcpu *v, struct cpu_user_regs *regs, u32 error,
			  unsigned long cr2);
/* Failsafe callback instead of going on with lost segment registers. */
void pv_bounce_failsafe(struct vcpu *v, struct cpu_user_regs *regs,
			const u16 sel[4] /* ds es fs gs */);
/* `int n`: true when it was delivered. */
bool pv_software_int(struct vcpu *v, struct cpu_user_regs *regs, u8 vector);

/* entry.S */
extern char guest_iret[];
void resume_guest(void) __noreturn;
void enter_idle(void) __noreturn;

/* Copies up to n instruction bytes at the guest's RIP; how many were there. */
unsigned int pv_fetch_insn(const struct cpu_user_regs *regs, u8 *buf,
			   unsigned int n);
static inline bool is_canonical(unsigned long a)
{
	return (long)(a << 16) >> 16 == (long)a;
}
