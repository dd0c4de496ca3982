/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers when it is not on a CPU: switching, and setting and
 * reading them as a vcpu_guest_context.
 *
 * A CPU that goes idle keeps everything of the vCPU that ran: most of the time
 * the next thing it does is to run it again, and then there is nothing to save,
 * load or flush. The vCPU's state is put away when another one takes the CPU or
 * when somebody needs it (pv_sync_state()); until then sched.on_cpu says that it
 * cannot be moved. Its translations, guest-global ones too, are flushed when it
 * is put away.
 */
#include <bh/config.h>
#include <bh/cpuops.h>
#include <bh/desc.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/smp.h>
#include <bh/traps.h>

/* ---- segment registers and bases ----------------------------------------------- */

#define READ_SEL(reg)                                              \
	({                                                         \
		u16 s_;                                            \
		__asm__ volatile("mov %%" #reg ", %0" : "=r"(s_)); \
		s_;                                                \
	})
/* Loads a selector; false (and a null selector) when the guest's tables do not
 * allow it. */
#define DEFINE_LOAD_SEL(reg)                                                \
	static bool load_##reg(u16 sel)                                     \
	{                                                                   \
		__asm__ goto("1: mov %0, %%" #reg "\n\t" EX_GOTO(1b, fault) \
			     :                                              \
			     : "r"((u32)sel)                                \
			     : "memory"                                     \
			     : fault);                                      \
		return true;                                                \
	fault:                                                              \
		__asm__ volatile("mov %0, %%" #reg ::"r"(0) : "memory");    \
		return false;                                               \
	}
DEFINE_LOAD_SEL(ds)
DEFINE_LOAD_SEL(es)
DEFINE_LOAD_SEL(fs)
DEFINE_LOAD_SEL(gs)

static unsigned long read_fs_base(void)
{
	unsigned long v;

	if (!(this_cpu()->cr4 & CR4_FSGSBASE))
		return rdmsr(MSR_FS_BASE);
	__asm__ volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static unsigned long read_gs_base(void)
{
	unsigned long v;

	if (!(this_cpu()->cr4 & CR4_FSGSBASE))
		return rdmsr(MSR_GS_BASE);
	__asm__ volatile("rdgsbase %0" : "=r"(v));
	return v;
}

static void write_fs_base(unsigned long v)
{
	if (this_cpu()->cr4 & CR4_FSGSBASE)
		__asm__ volatile("wrfsbase %0" ::"r"(v));
	else
		wrmsr(MSR_FS_BASE, v);
}

static void write_gs_base(unsigned long v)
{
	if (this_cpu()->cr4 & CR4_FSGSBASE)
		__asm__ volatile("wrgsbase %0" ::"r"(v));
	else
		wrmsr(MSR_GS_BASE, v);
}

/* QEMU lets WRFSBASE set non-canonical bases, which then cannot be loaded by
 * MSR any more. */
static unsigned long canonical_or_0(unsigned long v)
{
	return is_canonical(v) ? v : 0;
}

static void save_bases(struct vcpu *v)
{
	unsigned long gs = canonical_or_0(read_gs_base());
	unsigned long gs_other = canonical_or_0(rdmsr(MSR_KERNEL_GS_BASE));

	v->pv.fs_base = canonical_or_0(read_fs_base());
	v->pv.gs_base_kernel = v->pv.kernel_mode ? gs : gs_other;
	v->pv.gs_base_user = v->pv.kernel_mode ? gs_other : gs;
}

static void save_segments(struct vcpu *v, struct cpu_user_regs *regs)
{
	regs->ds = READ_SEL(ds);
	regs->es = READ_SEL(es);
	regs->fs = READ_SEL(fs);
	regs->gs = READ_SEL(gs);
	save_bases(v);
}

static void load_segments(struct vcpu *v, struct cpu_user_regs *regs)
{
	bool ok = true, kernel = v->pv.kernel_mode;

	if (regs->ds | READ_SEL(ds))
		ok &= load_ds(regs->ds);
	if (regs->es | READ_SEL(es))
		ok &= load_es(regs->es);
	if (regs->fs | READ_SEL(fs))
		ok &= load_fs(regs->fs);
	if (regs->gs | READ_SEL(gs))
		ok &= load_gs(regs->gs);
	write_fs_base(v->pv.fs_base);
	write_gs_base(kernel ? v->pv.gs_base_kernel : v->pv.gs_base_user);
	wrmsr(MSR_KERNEL_GS_BASE,
	      kernel ? v->pv.gs_base_user : v->pv.gs_base_kernel);
	if (unlikely(!ok)) {
		const u16 sel[4] = { regs->ds, regs->es, regs->fs, regs->gs };

		regs->ds = READ_SEL(ds);
		regs->es = READ_SEL(es);
		regs->fs = READ_SEL(fs);
		regs->gs = READ_SEL(gs);
		pv_bounce_failsafe(v, regs, sel);
	}
}

/* ---- debug registers, CR4 --------------------------------------------------------- */

static void save_debug(struct vcpu *v)
{
	if (v->pv.dr7 & 0xff)
		write_dr7(0x400);
}

void pv_load_debug(const struct vcpu *v)
{
	if (!(v->pv.dr7 & 0xff)) {
		write_dr7(0x400);
		return;
	}
	write_dr0(v->pv.dr[0]);
	write_dr1(v->pv.dr[1]);
	write_dr2(v->pv.dr[2]);
	write_dr3(v->pv.dr[3]);
	write_dr6(0xffff0ff0);
	write_dr7(v->pv.dr7);
}

/* The only bit of the guest's CR4 that the hardware's follows is TSD: RDTSC of
 * guest processes must fault when the guest says so. */
void pv_load_cr4(const struct vcpu *v)
{
	struct cpu *c = this_cpu();
	unsigned long cr4 = (c->cr4 & ~CR4_TSD) | (v->pv.cr4 & CR4_TSD);

	if (cr4 == c->cr4)
		return;
	c->cr4 = cr4;
	write_cr4(cr4);
}

/* ---- the switch --------------------------------------------------------------------- */

/* The vCPU whose state an idle CPU still holds: written by that CPU only. */
static struct vcpu *left_in[NR_CPUS];
/* All but its address space, which was asked to flush and went instead. */
static bool left_without_cr3[NR_CPUS];

static void leave_address_space(struct vcpu *v)
{
	desc_load_idle();
	desc_load_ldt(0, 0);
	pv_unload_cr3(v); /* global entries of its processes too */
}

static void enter_address_space(struct vcpu *v)
{
	/* Before the first translation. */
	cpumask_set(smp_processor_id(), &v->dirty_cpus);
	tlb_enter_guest(v->pv.cr3);
	desc_load_for_vcpu(v);
	desc_load_ldt(LDT_VIRT(v), v->pv.ldt_ents);
}

bool pv_idle_leave(void)
{
	unsigned int cpu = smp_processor_id();
	struct vcpu *v = left_in[cpu];

	if (!v || left_without_cr3[cpu] || !is_idle_vcpu(current))
		return false;
	leave_address_space(v);
	left_without_cr3[cpu] = true;
	return true;
}

static void load_state(struct vcpu *v)
{
	struct cpu_user_regs *regs = guest_regs();

	memcpy(regs, &v->pv.regs, sizeof(*regs));
	enter_address_space(v);
	load_segments(v, regs);
	pv_load_debug(v);
	pv_load_cr4(v);
	if (cpu_has.rdtscp)
		wrmsr(MSR_TSC_AUX, v->pv.tsc_aux);
	fpu_restore(v);
}

static void save_state(struct vcpu *v)
{
	struct cpu_user_regs *regs = guest_regs();

	save_segments(v, regs);
	memcpy(&v->pv.regs, regs, sizeof(*regs));
	save_debug(v);
	fpu_save(v);
}

/* Takes v's state and address space out of this CPU. */
static void put_away(struct vcpu *v)
{
	save_state(v);
	if (!left_without_cr3[smp_processor_id()])
		leave_address_space(v);
	left_without_cr3[smp_processor_id()] = false;
	smp_mb(); /* pairs with pv_sync_state() */
	WRITE_ONCE(left_in[smp_processor_id()], NULL);
}

void context_switch(struct vcpu *prev, struct vcpu *next)
{
	struct vcpu **left = &left_in[smp_processor_id()];
	struct vcpu *owner = is_idle_vcpu(prev) ? *left : prev;

	ASSERT(!irq_enabled());
	cpu_info()->cur = next;
	if (is_idle_vcpu(next) && likely(!prev->sched.needs_move)) {
		WRITE_ONCE(*left, prev);
		sched_context_switched(prev, next);
		enter_idle();
	}
	if (owner == next) {
		WRITE_ONCE(*left, NULL);
		if (left_without_cr3[smp_processor_id()]) {
			left_without_cr3[smp_processor_id()] = false;
			enter_address_space(next);
		}
		sched_context_switched(prev, next);
		resume_guest();
	}
	if (owner)
		put_away(owner);
	sched_context_switched(prev, next);
	if (owner)
		sched_state_saved(owner); /* last: it may run elsewhere now */
	if (is_idle_vcpu(next))
		enter_idle();
	load_state(next);
	resume_guest();
}

static void sync_here(void *arg)
{
	struct vcpu *v = arg;

	if (left_in[smp_processor_id()] != v || !is_idle_vcpu(current))
		return;
	put_away(v);
	sched_state_saved(v);
}

void pv_sync_state(struct vcpu *v)
{
	unsigned int cpu = v->processor;
	unsigned long flags;
	cpumask_t m;

	if (READ_ONCE(left_in[cpu]) != v)
		return;
	if (cpu == smp_processor_id()) {
		flags = irq_save();
		sync_here(v);
		irq_restore(flags);
		return;
	}
	memset(&m, 0, sizeof(m));
	cpumask_set(cpu, &m);
	smp_call(&m, sync_here, v);
}

/* ---- life ------------------------------------------------------------------------------ */

int pv_domain_init(struct domain *d)
{
	return domain_policy_init(d);
}

void pv_domain_done(struct domain *d)
{
	xfree(d->policy);
	d->policy = NULL;
}

int pv_vcpu_init(struct vcpu *v)
{
	int rc = fpu_vcpu_init(v);

	if (rc)
		return rc;
	v->pv.kernel_mode = true;
	v->pv.kernel_l4 = v->pv.user_l4 = INVALID_MFN;
	v->pv.dr6 = 0xffff0ff0;
	v->pv.dr7 = 0x400;
	v->pv.cr4 = PV_CR4_VISIBLE;
	pv_gdt_release(v); /* all pages to the empty one */
	v->pv.gdt_ldt_ptes[15] = v->pv.gdt_ldt_ptes[0];
	return 0;
}

void pv_vcpu_done(struct vcpu *v)
{
	fpu_vcpu_done(v);
}

static int drop_l4(struct vcpu *v, mfn_t *slot)
{
	mfn_t mfn = *slot;
	int rc;

	if (mfn_eq(mfn, INVALID_MFN))
		return 0;
	*slot = INVALID_MFN;
	rc = page_put_type(mfn_to_page(mfn), true);
	if (rc == -ERESTART)
		pv_defer_release_to(v, mfn_to_page(mfn));
	else
		page_put(mfn_to_page(mfn));
	return rc;
}

int pv_vcpu_relinquish(struct vcpu *v)
{
	int rc;

	pv_ldt_release(v);
	pv_gdt_release(v);
	rc = pv_drain_deferred(v);
	if (!rc)
		rc = drop_l4(v, &v->pv.user_l4);
	if (!rc)
		rc = drop_l4(v, &v->pv.kernel_l4);
	return rc;
}

/* ---- vcpu_guest_context ------------------------------------------------------------------ */

static bool outside_hv(unsigned long a)
{
	return is_canonical(a) && !(a >= HV_VIRT_START && a < HV_VIRT_END);
}

static int check_context(const struct vcpu *v,
			 const struct vcpu_guest_context *c)
{
	if (!is_canonical(c->user_regs.rip) ||
	    !is_canonical(c->user_regs.rsp) || !is_canonical(c->kernel_sp) ||
	    !is_canonical(c->fs_base) || !is_canonical(c->gs_base_kernel) ||
	    !is_canonical(c->gs_base_user) ||
	    !is_canonical(c->event_callback_eip) ||
	    !is_canonical(c->failsafe_callback_eip) ||
	    !is_canonical(c->syscall_callback_eip))
		return -EINVAL;
	if (c->ldt_ents > 8192 || (c->ldt_ents && (c->ldt_base & ~PAGE_MASK ||
						   !outside_hv(c->ldt_base))))
		return -EINVAL;
	if (c->gdt_ents > FIRST_RESERVED_GDT_ENTRY)
		return -EINVAL;
	for (unsigned int i = 0; i < 256; i++)
		if (!is_canonical(c->trap_ctxt[i].address))
			return -EINVAL;
	for (unsigned int i = 0; i < 4; i++)
		if (!outside_hv(c->debugreg[i]))
			return -EINVAL;
	if (!v->initialised)
		return 0;
	/* What pins other memory cannot be changed any more. */
	if (c->ctrlreg[3] >> PAGE_SHIFT != mfn_x(v->pv.kernel_l4) ||
	    c->ldt_base != v->pv.ldt_base || c->ldt_ents != v->pv.ldt_ents ||
	    c->gdt_ents != v->pv.gdt_ents)
		return -EOPNOTSUPP;
	for (unsigned int i = 0; i < DIV_ROUND_UP(v->pv.gdt_ents, 512); i++)
		if (c->gdt_frames[i] != mfn_x(v->pv.gdt_frames[i]))
			return -EOPNOTSUPP;
	return 0;
}

static int take_l4(struct vcpu *v, unsigned long cr3, mfn_t *slot)
{
	mfn_t mfn = _mfn(cr3 >> PAGE_SHIFT);
	int rc;

	if (!mfn_eq(*slot, INVALID_MFN)) /* done before -ERESTART */
		return mfn_eq(*slot, mfn) ? 0 : -EINVAL;
	if (!mfn_valid(mfn))
		return -EINVAL;
	rc = page_get_and_type(mfn_to_page(mfn), v->domain, PGT_L4, true);
	if (rc)
		return rc == -ERESTART ? rc : -EINVAL;
	*slot = mfn;
	return 0;
}

static void set_registers(struct vcpu *v, const struct vcpu_guest_context *c)
{
	struct cpu_user_regs *r = &v->pv.regs;

	*r = c->user_regs;
	r->error_code = 0;
	r->entry_vector = 0;
	r->saved_upcall_mask = 0;
	r->cs |= 3;
	r->ss |= 3;
	v->pv.iopl = r->rflags >> 12 & 3;
	r->rflags = (r->rflags & 0x254dd5) | RFLAGS_IF | RFLAGS_MBS;
	v->pv.kernel_mode = c->flags & VGCF_in_kernel;
	v->pv.kernel_ss = c->kernel_ss | 3;
	v->pv.kernel_sp = c->kernel_sp;
	v->pv.fs_base = c->fs_base;
	v->pv.gs_base_kernel = c->gs_base_kernel;
	v->pv.gs_base_user = c->gs_base_user;
	v->pv.event_callback = c->event_callback_eip;
	v->pv.failsafe_callback = c->failsafe_callback_eip;
	v->pv.syscall_callback = c->syscall_callback_eip;
	v->pv.failsafe_masks = c->flags & VGCF_failsafe_disables_events;
	v->pv.syscall_masks = c->flags & VGCF_syscall_disables_events;
	memcpy(v->pv.trap, c->trap_ctxt, sizeof(v->pv.trap));
	for (unsigned int i = 0; i < 256; i++)
		v->pv.trap[i].cs |= 3;
	memcpy(v->pv.dr, c->debugreg, sizeof(v->pv.dr));
	v->pv.dr6 = (c->debugreg[6] & 0xe00f) | 0xffff0ff0;
	v->pv.dr7 = pv_clean_dr7(c->debugreg[7]);
	v->pv.cr0_ts = c->ctrlreg[0] & CR0_TS;
	v->pv.cr4 =
		c->ctrlreg[4] ? pv_clean_cr4(v, c->ctrlreg[4]) : PV_CR4_VISIBLE;
	if (c->flags & VGCF_I387_VALID)
		fpu_set_legacy(v, c->fpu_ctxt.x);
}

int pv_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
	int rc = check_context(v, c);

	if (rc)
		return rc;
	if (!v->initialised) {
		/* What failed before may be half torn down still, and there
		 * is room to remember little of that. */
		if (pv_drain_deferred(current) || pv_drain_deferred(v))
			return -ERESTART;
		rc = take_l4(v, c->ctrlreg[3], &v->pv.kernel_l4);
		if (!rc && c->ctrlreg[1])
			rc = take_l4(v, c->ctrlreg[1], &v->pv.user_l4);
		if (!rc)
			rc = pv_set_gdt(v, c->gdt_frames, c->gdt_ents);
		if (rc && rc != -ERESTART) {
			(void)drop_l4(v, &v->pv.user_l4);
			(void)drop_l4(v, &v->pv.kernel_l4);
		}
		if (rc)
			return rc;
		v->pv.ldt_base = c->ldt_base;
		v->pv.ldt_ents = c->ldt_ents;
	}
	if (!(c->flags & VGCF_in_kernel) && mfn_eq(v->pv.user_l4, INVALID_MFN))
		return -EINVAL;
	set_registers(v, c);
	if (v->id == 0)
		v->domain->vm_assist = c->vm_assist & PV_VM_ASSIST_MASK;
	/*
	 * A builder masks events through the shared page and still asks for
	 * IF in rflags: that must not unmask them before the guest has a
	 * callback. The other way round there is nothing to lose.
	 */
	if (!(c->user_regs.rflags & RFLAGS_IF))
		v->info->evtchn_upcall_mask = 1;
	pv_update_cr3(v);
	v->initialised = true;
	return 0;
}

void pv_get_context(struct vcpu *v, struct vcpu_guest_context *c)
{
	const struct cpu_user_regs *r =
		v == current ? guest_regs() : &v->pv.regs;

	memset(c, 0, sizeof(*c));
	if (v == current) {
		save_segments(v, guest_regs());
		fpu_save(v);
		fpu_restore(v);
	}
	memcpy(c->fpu_ctxt.x, v->pv.xsave_area, sizeof(c->fpu_ctxt));
	c->flags = VGCF_I387_VALID | (v->pv.kernel_mode ? VGCF_in_kernel : 0) |
		   (v->pv.failsafe_masks ? VGCF_failsafe_disables_events : 0) |
		   (v->pv.syscall_masks ? VGCF_syscall_disables_events : 0);
	if (!test_bit(VPF_DOWN, &v->pause_flags))
		c->flags |= VGCF_online;
	c->user_regs = *r;
	c->user_regs.error_code = c->user_regs.entry_vector = 0;
	c->user_regs.rflags &= ~(RFLAGS_IF | RFLAGS_IOPL);
	c->user_regs.rflags |= (unsigned long)v->pv.iopl << 12;
	if (!v->info->evtchn_upcall_mask)
		c->user_regs.rflags |= RFLAGS_IF;
	if (v->pv.kernel_mode)
		c->user_regs.cs &= ~3;
	memcpy(c->trap_ctxt, v->pv.trap, sizeof(c->trap_ctxt));
	c->ldt_base = v->pv.ldt_base;
	c->ldt_ents = v->pv.ldt_ents;
	c->gdt_ents = v->pv.gdt_ents;
	for (unsigned int i = 0; i < DIV_ROUND_UP(v->pv.gdt_ents, 512); i++)
		c->gdt_frames[i] = mfn_x(v->pv.gdt_frames[i]);
	c->kernel_ss = v->pv.kernel_ss;
	c->kernel_sp = v->pv.kernel_sp;
	c->ctrlreg[0] = pv_read_cr0(v);
	c->ctrlreg[2] = v->pv.cr2;
	if (!mfn_eq(v->pv.kernel_l4, INVALID_MFN))
		c->ctrlreg[3] = mfn_x(v->pv.kernel_l4) << PAGE_SHIFT;
	if (!mfn_eq(v->pv.user_l4, INVALID_MFN))
		c->ctrlreg[1] = mfn_x(v->pv.user_l4) << PAGE_SHIFT;
	c->ctrlreg[4] = v->pv.cr4;
	memcpy(c->debugreg, v->pv.dr, sizeof(v->pv.dr));
	c->debugreg[6] = v->pv.dr6;
	c->debugreg[7] = v->pv.dr7;
	c->event_callback_eip = v->pv.event_callback;
	c->failsafe_callback_eip = v->pv.failsafe_callback;
	c->syscall_callback_eip = v->pv.syscall_callback;
	c->vm_assist = v->domain->vm_assist;
	c->fs_base = v->pv.fs_base;
	c->gs_base_kernel = v->pv.gs_base_kernel;
	c->gs_base_user = v->pv.gs_base_user;
}
