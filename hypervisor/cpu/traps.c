/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions, sorted: those of a guest are repaired here or handed to pv/,
 * those of the hypervisor itself are expected (exception table), harmless
 * (stale translation, debug register hit) or the end.
 *
 * From a guest we come with interrupts off and enable them only where the work
 * is long; the page-fault bounce, the hot path, never does.
 */
#include <bh/config.h>
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/sections.h>
#include <bh/smp.h>
#include <bh/symbols.h>
#include <bh/traps.h>
#include <bh/watchdog.h>

bool smap_active;

static const char *const names[32] = {
	"divide error",
	"debug",
	"NMI",
	"breakpoint",
	"overflow",
	"bound",
	"invalid opcode",
	"no FPU",
	"double fault",
	"?",
	"invalid TSS",
	"segment not present",
	"stack fault",
	"general protection",
	"page fault",
	"?",
	"FPU error",
	"alignment",
	"machine check",
	"SIMD error",
};

/* ---- exception table --------------------------------------------------------- */

bool extable_fixup(struct cpu_user_regs *regs)
{
	for (const struct ex_entry *e = __ex_table_start; e < __ex_table_end;
	     e++) {
		if ((unsigned long)&e->insn + e->insn != regs->rip)
			continue;
		regs->rip = (unsigned long)&e->fixup + e->fixup;
		return true;
	}
	return false;
}

int rdmsr_safe(u32 msr, u64 *v)
{
	u32 lo, hi;

	__asm__ goto("1: rdmsr\n\t" EX_GOTO(1b, fault)
		     : "=a"(lo), "=d"(hi)
		     : "c"(msr)
		     :
		     : fault);
	*v = lo | (u64)hi << 32;
	return 0;
fault:
	return -EFAULT;
}

int wrmsr_safe(u32 msr, u64 v)
{
	__asm__ goto("1: wrmsr\n\t" EX_GOTO(1b, fault)
		     :
		     : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32))
		     : "memory"
		     : fault);
	return 0;
fault:
	return -EFAULT;
}

/* ---- page faults of the hypervisor itself --------------------------------------- */

/* Do the current page tables allow this access? Then the TLB was stale. */
static bool access_allowed(unsigned long va, u32 error)
{
	u64 need = PTE_P | (error & PFEC_W ? PTE_W : 0), e;
	paddr_t table = read_cr3();

	for (int shift = 39; shift >= 12; shift -= 9) {
		mfn_t mfn = _mfn((table & PADDR_MASK) >> PAGE_SHIFT);

		if (!mfn_valid(mfn))
			return false;
		e = ((u64 *)mfn_to_virt(mfn))[va >> shift & 511];
		if ((e & need) != need || (error & PFEC_I && e & PTE_NX))
			return false;
		if (shift < 39 && shift > 12 && e & PTE_PS)
			return true;
		table = e;
	}
	return true;
}

/*
 * QEMU 7.2 applies SMAP where no processor does: to supervisor accesses with AC
 * set, and to accesses of ring 3 right after it was entered. Live without SMAP
 * there. True: it was on, and the access is worth another try.
 */
static bool smap_off(unsigned long va)
{
	static bool said;
	struct cpu *c = this_cpu();

	if (!(c->cr4 & CR4_SMAP) || !(cpuid(1, 0).c >> 31) ||
	    va - HV_VIRT_START < HV_VIRT_END - HV_VIRT_START)
		return false;
	c->cr4 &= ~CR4_SMAP;
	write_cr4(c->cr4);
	if (!said)
		printk(LVL_WARN
		       "this machine's SMAP faults where it must not (an emulator's defect): turned off\n");
	said = true;
	return true;
}

static bool smap_defect(const struct cpu_user_regs *regs, unsigned long va)
{
	return (regs->eflags & RFLAGS_AC) && (regs->error_code & PFEC_P) &&
	       access_allowed(va, regs->error_code) && smap_off(va);
}

static bool hv_page_fault(struct cpu_user_regs *regs)
{
	struct vcpu *v = current;
	unsigned long va = read_cr2();
	static unsigned long last_va[NR_CPUS], last_rip[NR_CPUS];
	unsigned int cpu = smp_processor_id();

	if (v && !is_idle_vcpu(v) && va - LDT_VIRT(v) < 16 * PAGE_SIZE &&
	    pv_ldt_fault(v, va - LDT_VIRT(v)))
		return true;
	if (smap_defect(regs, va))
		return true;
	if (v && !is_idle_vcpu(v) && unlikely(v->domain->pv.log_dirty) &&
	    (regs->error_code & (PFEC_P | PFEC_W)) == (PFEC_P | PFEC_W) &&
	    pv_log_dirty_fault(v, va))
		return true;
	if (access_allowed(va, regs->error_code) &&
	    !(va == last_va[cpu] && regs->rip == last_rip[cpu])) {
		/* Stale: the fault itself has dropped the translation. */
		last_va[cpu] = va;
		last_rip[cpu] = regs->rip;
		return true;
	}
	last_va[cpu] = 0;
	return false;
}

static void __noreturn fatal_trap(struct cpu_user_regs *regs, const char *what)
{
	console_force_sync();
	show_registers(regs);
	backtrace(regs->rip, regs->rsp, regs->rbp);
	panic("%s in the hypervisor at %pS\n", what, (void *)regs->rip);
}

void do_hv_trap(struct cpu_user_regs *regs)
{
	u8 vector = regs->entry_vector;

	switch (vector) {
	case TRAP_DB:
		/* A guest's breakpoint on data we touched for it, or MOV SS
		 * right before SYSCALL. Nothing of ours uses it. */
		write_dr6(0xffff0ff0);
		regs->rflags &= ~RFLAGS_TF;
		return;
	case TRAP_PF:
		if (hv_page_fault(regs))
			return;
		break;
	case TRAP_NM:
		/* The boot code and fpu.c clear TS before they touch the FPU. */
		break;
	}
	if (regs->rip == (unsigned long)guest_iret)
		cpu_info()->scratch[1] = vector | (u64)regs->error_code << 32;
	if (extable_fixup(regs))
		return;
	fatal_trap(regs, vector < 32 && names[vector] ? names[vector]
						      : "unexpected trap");
}

void do_double_fault(struct cpu_user_regs *regs)
{
	fatal_trap(regs, "double fault");
}

/* Errors of the hardware come to the boot CPU alone (LINT1). */
void do_nmi(struct cpu_user_regs *regs)
{
	u8 reason = smp_processor_id() ? 0 : inb(0x61) & 0xc0;

	if (likely(!reason)) {
		watchdog_nmi(regs);
		return;
	}
	printk(LVL_ERR "NMI: %s error (reason %02x)\n",
	       reason & 0x80 ? "memory" : "I/O", reason);
	/* Off and on again: clears it. */
	outb((inb(0x61) & 0x0f) | 0x0c, 0x61);
	outb(inb(0x61) & 0x03, 0x61);
	if (!hardware_domain || !hardware_domain->vcpu[0])
		return;
	if (hardware_domain->shared)
		hardware_domain->shared->arch.nmi_reason |=
			reason & 0x80 ? 2 : 1;
	pv_send_nmi(hardware_domain->vcpu[0]);
}

void do_machine_check(struct cpu_user_regs *regs)
{
	u64 status, cap = 0;

	(void)rdmsr_safe(0x179, &cap);
	for (unsigned int i = 0; i < (cap & 0xff); i++)
		if (!rdmsr_safe(0x401 + 4 * i, &status) && status >> 63)
			printk(LVL_ERR "machine check: bank %u status %016lx\n",
			       i, status);
	fatal_trap(regs, "machine check");
}

/* ---- exceptions of a guest --------------------------------------------------------- */

static void guest_page_fault(struct cpu_user_regs *regs, struct vcpu *v)
{
	unsigned long va = read_cr2();
	u32 error = regs->error_code;

	/* Ring 3 and a supervisor access to a page that is present: no
	 * processor does that (descriptors apart, which we map). */
	if (unlikely((error & (PFEC_P | PFEC_U)) == PFEC_P) && smap_off(va))
		return;
	if (likely(!v->pv.kernel_mode)) {
		if (unlikely(va - LDT_VIRT(v) < 16 * PAGE_SIZE))
			goto window;
		pv_bounce_page_fault(v, regs, error, va);
		return;
	}
	error &= ~PFEC_U;
	if ((error & (PFEC_P | PFEC_W | PFEC_RSVD)) == (PFEC_P | PFEC_W) &&
	    VM_ASSIST(v->domain, VMASST_TYPE_writable_pagetables) &&
	    va - HV_VIRT_START >= HV_VIRT_END - HV_VIRT_START) {
		irq_enable();
		if (pv_ptwr_fault(v, va, regs)) {
			v->domain->stats_ptwr++;
			return;
		}
	}
	if (likely(va - LDT_VIRT(v) >= 16 * PAGE_SIZE)) {
		pv_bounce_page_fault(v, regs, error, va);
		return;
	}
window:
	irq_enable();
	if (pv_ldt_fault(v, va - LDT_VIRT(v)))
		return;
	pv_bounce_page_fault(v, regs, error,
			     v->pv.ldt_base + (va - LDT_VIRT(v)));
}

unsigned int pv_fetch_insn(const struct cpu_user_regs *regs, u8 *buf,
			   unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (get_guest_u8(&buf[i], GPTR(regs->rip + i)))
			break;
	return i;
}

static void guest_gp(struct cpu_user_regs *regs, struct vcpu *v)
{
	u32 error = regs->error_code;
	u8 b[2];

	irq_enable();
	if (error & 2) {
		/* `int n` through a gate we closed. QEMU 7.2 reports n * 16 + 2
		 * instead of n * 8 + 2: the instruction knows better. */
		if (pv_fetch_insn(regs, b, 2) == 2 && b[0] == 0xcd) {
			if (pv_software_int(v, regs, b[1]))
				return;
			error = b[1] * 8 + 2;
		}
	} else if (error == 0 && pv_emulate_privileged(v, regs)) {
		v->domain->stats_priv_emul++;
		return;
	}
	pv_bounce_trap(v, regs, TRAP_GP, error);
}

static void guest_debug(struct cpu_user_regs *regs, struct vcpu *v)
{
	unsigned long dr6 = read_dr6();

	write_dr6(0xffff0ff0);
	v->pv.dr6 = (v->pv.dr6 & ~0xe00fUL) | (dr6 & 0xe00f) | 0xffff0ff0;
	pv_bounce_trap(v, regs, TRAP_DB, 0);
}

static void guest_no_fpu(struct cpu_user_regs *regs, struct vcpu *v)
{
	clts();
	if (!v->pv.cr0_ts)
		return;
	v->pv.cr0_ts = 0;
	pv_bounce_trap(v, regs, TRAP_NM, 0);
}

void do_guest_trap(struct cpu_user_regs *regs, struct vcpu *v)
{
	u8 vector = regs->entry_vector;

	this_cpu()->nr_faults++;
	if (likely(vector == TRAP_PF)) {
		guest_page_fault(regs, v);
		return;
	}
	switch (vector) {
	case TRAP_GP:
		guest_gp(regs, v);
		return;
	case TRAP_DB:
		guest_debug(regs, v);
		return;
	case TRAP_NM:
		guest_no_fpu(regs, v);
		return;
	case TRAP_UD:
		irq_enable();
		if (pv_emulate_forced(v, regs))
			return;
		break;
	case 0x80:
		if (!pv_software_int(v, regs, 0x80)) {
			regs->rip -= 2;
			pv_bounce_trap(v, regs, TRAP_GP, 0x80 * 8 + 2);
		}
		return;
	}
	pv_bounce_trap(v, regs, vector, regs->error_code);
}
