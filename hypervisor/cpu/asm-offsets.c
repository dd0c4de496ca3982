/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets of C structures for assembly: compiled to assembly text, from which
 * the build makes asm-offsets.h.
 */
#include <bh/domain.h>
#include <bh/percpu.h>

#define DEFINE(sym, val) \
	__asm__ volatile("\n.ascii \"->" #sym " %c0\"" ::"i"(val))
#define OFFSET(sym, type, field) DEFINE(sym, offsetof(type, field))

void asm_offsets(void);
void asm_offsets(void)
{
	DEFINE(CPU_INFO_SIZE, sizeof(struct cpu_info));
	OFFSET(CPU_INFO_REGS, struct cpu_info, guest_regs);
	OFFSET(CPU_INFO_CURRENT, struct cpu_info, cur);
	OFFSET(CPU_INFO_CPU, struct cpu_info, cpu);
	OFFSET(CPU_INFO_SCRATCH, struct cpu_info, scratch);

	OFFSET(UREGS_r15, struct cpu_user_regs, r15);
	OFFSET(UREGS_r14, struct cpu_user_regs, r14);
	OFFSET(UREGS_r13, struct cpu_user_regs, r13);
	OFFSET(UREGS_r12, struct cpu_user_regs, r12);
	OFFSET(UREGS_rbp, struct cpu_user_regs, rbp);
	OFFSET(UREGS_rbx, struct cpu_user_regs, rbx);
	OFFSET(UREGS_r11, struct cpu_user_regs, r11);
	OFFSET(UREGS_r10, struct cpu_user_regs, r10);
	OFFSET(UREGS_r9, struct cpu_user_regs, r9);
	OFFSET(UREGS_r8, struct cpu_user_regs, r8);
	OFFSET(UREGS_rax, struct cpu_user_regs, rax);
	OFFSET(UREGS_rcx, struct cpu_user_regs, rcx);
	OFFSET(UREGS_rdx, struct cpu_user_regs, rdx);
	OFFSET(UREGS_rsi, struct cpu_user_regs, rsi);
	OFFSET(UREGS_rdi, struct cpu_user_regs, rdi);
	OFFSET(UREGS_error_code, struct cpu_user_regs, error_code);
	OFFSET(UREGS_entry_vector, struct cpu_user_regs, entry_vector);
	OFFSET(UREGS_rip, struct cpu_user_regs, rip);
	OFFSET(UREGS_cs, struct cpu_user_regs, cs);
	OFFSET(UREGS_rflags, struct cpu_user_regs, rflags);
	OFFSET(UREGS_rsp, struct cpu_user_regs, rsp);
	OFFSET(UREGS_ss, struct cpu_user_regs, ss);
	OFFSET(UREGS_es, struct cpu_user_regs, es);

	OFFSET(CPU_SOFTIRQ_PENDING, struct cpu, softirq_pending);
	OFFSET(CPU_IDLE, struct cpu, idle);
	OFFSET(VCPU_DOMAIN, struct vcpu, domain);
	OFFSET(VCPU_INFO, struct vcpu, info);
	OFFSET(VCPU_PV, struct vcpu, pv);
	OFFSET(VCPU_KERNEL_MODE, struct vcpu, pv.kernel_mode);
	OFFSET(VCPU_NR_IRETS, struct vcpu, stats_hypercalls[__HYPERVISOR_iret]);
	OFFSET(VCPU_WORK, struct vcpu, pv.work);
	OFFSET(VINFO_PENDING, struct vcpu_info, evtchn_upcall_pending);
	OFFSET(VINFO_MASK, struct vcpu_info, evtchn_upcall_mask);
}
