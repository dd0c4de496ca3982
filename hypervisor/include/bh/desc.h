/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor tables, and the contract between cpu/desc.c (set-up) and
 * cpu/entry.S (the code they lead to).
 *
 * The hypervisor's selectors lie in page 14 of every GDT. Each CPU has one
 * such page; a running vCPU's PERDOMAIN window maps the page of the CPU it
 * runs on behind the guest's own 14 pages.
 */
#pragma once

#include <bh/types.h>

struct vcpu;
struct cpu;

/*
 * Provided by cpu/entry.S.
 *
 * trap_entry_table[n] is the address of the IDT stub of vector n.
 *
 * syscall_entry and syscall32_entry are reached from the per-CPU stub with
 * interrupts off, all general registers but RSP as SYSCALL left them (RCX =
 * guest RIP, R11 = guest RFLAGS), the guest's RSP already saved in
 * cpu_info.guest_regs.rsp and RSP = &cpu_info.guest_regs.rsp, so the entry goes
 * on by pushing RFLAGS (r11), CS, RIP (rcx) and storing SS.
 */
extern const u64 trap_entry_table[256];
void syscall_entry(void);
void syscall32_entry(void);

/* GDT, TSS, IDT and the SYSCALL stub of CPU c, whose stack block exists. */
int desc_prepare_cpu(struct cpu *c);
/* Loads them on this CPU. After mm_boot_init(). */
void desc_load_cpu(void);
/* SYSCALL MSRs and stub of this CPU; needs ioremap(). */
void syscall_init_cpu(void);

/*
 * Context switch, interrupts off: desc_load_idle() before the old vCPU's CR3
 * goes away (a GDT that is mapped everywhere), desc_load_for_vcpu() once v's
 * page tables are loaded (GDTR = GDT_VIRT(v), page 14 = this CPU's).
 */
void desc_load_idle(void);
void desc_load_for_vcpu(struct vcpu *v);
/* LDTR: 0 entries loads a null selector. base lies in v's window. */
void desc_load_ldt(unsigned long base, unsigned int nr_ents);
