/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paravirtualised guests: what a PV vCPU and domain carry, and what the parts
 * of pv/ offer to the rest. Guest kernel and guest user both run in ring 3 on
 * two different top-level tables; `kernel_mode` says which is active.
 */
#pragma once

#include <bh/types.h>
#include <public/xen.h>

struct domain;
struct vcpu;
struct page_info;
struct cpu_user_regs;

struct pv_domain {
	bool log_dirty;
	u32 nr_l4_pinned;
};

#define PV_TRAP_BOUNCE_MAX 32
struct pv_vcpu {
	struct cpu_user_regs regs; /* saved while not running */
	bool kernel_mode;          /* guest kernel (else guest user) */
	u8 work; /* something for pv_deliver_work() on the way out */
	struct trap_info trap[256];
	/* Page tables: frames with type references held. */
	mfn_t kernel_l4, user_l4; /* INVALID_MFN: none */
	/* Tables whose teardown was preempted, a reference held on each. */
	struct page_info *deferred[4];
	unsigned long cr3; /* value to load now */
	u64 *gdt_ldt_ptes; /* 32 entries: 16 GDT, 16 LDT pages */
	mfn_t gdt_frames[14];
	u32 gdt_ents;
	unsigned long ldt_base;
	u32 ldt_ents;
	u32 ldt_mapped; /* bit per LDT page mapped */
	u64 kernel_ss, kernel_sp;
	unsigned long event_callback, failsafe_callback, syscall_callback,
		syscall32_callback, sysenter_callback;
	bool failsafe_masks, syscall_masks, syscall32_masks, sysenter_masks;
	unsigned long fs_base, gs_base_kernel, gs_base_user; /* saved */
	unsigned long cr0_ts; /* virtual CR0.TS */
	unsigned long cr2;
	unsigned long cr4; /* guest's view */
	unsigned long dr[4], dr6, dr7;
	u64 xcr0, xcr0_accum;
	void *xsave_area; /* 64-byte aligned */
	u64 tsc_aux;
	u64 misc_features;
	u32 iopl;
	gptr_t iobmp;
	u32 iobmp_limit;
	bool nmi_pending, nmi_masked, mce_masked;
	unsigned long nmi_callback;
	/* Exception to deliver on the way out (set by pv_inject_*). */
	struct {
		bool pending;
		u8 vector;
		bool has_error;
		u32 error;
	} inject;
};

/* ---- traps and state (pv/traps.c, pv/context.c) --------------------------- */
int pv_domain_init(struct domain *d);
void pv_domain_done(struct domain *d);
int pv_vcpu_init(struct vcpu *v);
void pv_vcpu_done(struct vcpu *v);
/* Delivers on return to the guest: fault semantics, RIP unchanged. */
void pv_inject_trap(struct vcpu *v, u8 vector, s32 error /* -1: none */);
void pv_inject_page_fault(struct vcpu *v, u32 error, unsigned long cr2);
void pv_toggle_mode(struct vcpu *v); /* kernel <-> user, reloads CR3, GS */
/* Checks and loads a vcpu_guest_context (VCPUOP_initialise, setvcpucontext). v
 * is not running. *progress starts 0 and is kept over -ERESTART. */
int pv_set_context(struct vcpu *v, const struct vcpu_guest_context *c);
void pv_get_context(struct vcpu *v, struct vcpu_guest_context *c);
/* Drops page-table, GDT and LDT references. 0 or -ERESTART. v not running. */
int pv_vcpu_relinquish(struct vcpu *v);
/* Makes v's live register state (FPU, segment bases) current in v->pv, when v
 * is not running but its state may still be in the CPU. */
void pv_sync_state(struct vcpu *v);
/* Interrupts off. An idle CPU gives up the address space it still has; false:
 * it has none, or is not idle. */
bool pv_idle_leave(void);
/* Control and debug registers as the guest sees them. */
#define PV_CR4_VISIBLE    0x660UL /* PAE, MCE, OSFXSR, OSXMMEXCPT */
#define PV_VM_ASSIST_MASK 0x3fUL  /* the VMASST_TYPE_* bits we take */
unsigned long pv_clean_cr4(const struct vcpu *v, unsigned long cr4);
unsigned long pv_clean_dr7(unsigned long dr7);
unsigned long pv_read_cr0(const struct vcpu *v);
int pv_set_debugreg(struct vcpu *v, unsigned int nr, unsigned long val);
void pv_load_debug(const struct vcpu *v); /* v is current */
void pv_load_cr4(const struct vcpu *v);   /* v is current */
/* NMI to a guest vCPU (VCPUOP_send_nmi). */
void pv_send_nmi(struct vcpu *v);

/* ---- descriptors (pv/descriptor.c) ---------------------------------------- */
/* May the guest hold this descriptor? Forces DPL 3; false: no. */
bool pv_fix_descriptor(struct domain *d, u64 *desc);
void pv_gdt_release(struct vcpu *v);
/* Checks and installs a GDT; v is current (flush the TLB) or not running. */
int pv_set_gdt(struct vcpu *v, const unsigned long *frames, u32 ents);
bool pv_ldt_release(struct vcpu *v); /* true: something was unmapped */
/* #PF inside the LDT window: true if the page is mapped now. */
bool pv_ldt_fault(struct vcpu *v, unsigned long offset);

/* ---- page tables (pv/mmu*.c) ----------------------------------------------- */
/* Enters v's address space (v->pv.cr3) on this CPU, flushing all of the TLB.
 * Between v's own two modes use tlb_write_cr3(v->pv.cr3). */
void pv_load_cr3(struct vcpu *v);
/* Leaves it for the hypervisor's own tables and flushes all of the TLB. */
void pv_unload_cr3(struct vcpu *v);
/* Recomputes v->pv.cr3 from kernel_l4/user_l4/kernel_mode. */
void pv_update_cr3(struct vcpu *v);
/* NEW_BASEPTR; v current. 0 or -E, -ERESTART. */
int pv_new_baseptr(struct vcpu *v, mfn_t mfn);
/* NEW_USER_BASEPTR; INVALID_MFN: none. */
int pv_new_user_baseptr(struct vcpu *v, mfn_t mfn);
/* Device frames nobody may map writable (MSI-X tables, I/O APICs). NULL: none. */
extern struct rangeset *mmio_ro_ranges;
/* Writes the hypervisor's slots into a table about to become an L4. */
void pv_l4_init_slots(u64 *l4, struct domain *d);
/* Validation and teardown of a table page, by page_get_type/page_put_type. */
int pv_table_validate(struct page_info *pg, u64 type, bool preemptible);
int pv_table_release(struct page_info *pg, u64 type, bool preemptible);
/* Keeps a PARTIAL table, with the caller's general reference, to be torn down
 * by pv_drain_deferred(). */
void pv_defer_release(struct page_info *pg);
void pv_defer_release_to(struct vcpu *v, struct page_info *pg);
/* 0 or -ERESTART. v is current or not running. */
int pv_drain_deferred(struct vcpu *v);
/* Gives back both references of a table; a big one later, piece by piece. */
void pv_put_table(struct page_info *pg);
/* Log-dirty: takes write permission from / gives it back to every entry of a
 * locked level-1 table. */
void pv_l1_log_dirty(struct domain *d, struct page_info *pg, bool protect);
/* Write fault on va: true when the log had taken the permission; it is back. */
bool pv_log_dirty_fault(struct vcpu *v, unsigned long va);
/* #PF by a guest kernel write on a read-only mapped own L1 table: emulates the
 * instruction. true: handled (or a fault was injected). */
bool pv_ptwr_fault(struct vcpu *v, unsigned long addr,
		   struct cpu_user_regs *regs);
/* Reads the guest's own tables on the current CR3: L1 entry mapping va. False
 * if none. */
bool pv_read_l1e(struct vcpu *v, unsigned long va, u64 *l1e);
/* The same in its kernel's tables, whichever mode it is in. */
bool pv_read_kernel_l1e(struct vcpu *v, unsigned long va, u64 *l1e);
/*
 * Grant map/unmap through page tables. Map: puts `pte` (frame with references
 * already taken by the caller) into the slot given by address (contains_pte:
 * machine address of the slot; else virtual address). Unmap: the slot must hold
 * `frame` with just these rights, as its references are then the caller's to
 * drop; replaces it by new_pte (0: clear). GNTST_* codes. TLB flush is the
 * caller's.
 */
int pv_grant_map(struct vcpu *v, u64 addr, bool contains_pte, u64 pte);
int pv_grant_unmap(struct vcpu *v, u64 addr, bool contains_pte, mfn_t frame,
		   bool ro, u64 new_pte);
/* Takes the present entry of va out of its table, references and all, to be put
 * in elsewhere by pv_grant_unmap(), or given up. False: there is none. */
bool pv_entry_take(struct vcpu *v, unsigned long va, u64 *pte);
/* Back where it came from; if that is not possible its references go. */
void pv_entry_restore(struct vcpu *v, unsigned long va, u64 pte);

/* ---- emulation (pv/emul*.c) ------------------------------------------------- */
/* #GP in the guest: privileged instruction? true: done (or injected). */
bool pv_emulate_privileged(struct vcpu *v, struct cpu_user_regs *regs);
/* #UD: forced-emulation prefix + CPUID. */
bool pv_emulate_forced(struct vcpu *v, struct cpu_user_regs *regs);
/* CPUID as this vCPU sees it. */
void pv_cpuid(struct vcpu *v, u32 leaf, u32 sub, u32 out[4]);
/* MSRs: 0 or -EINVAL (-> #GP). */
int pv_rdmsr(struct vcpu *v, u32 msr, u64 *val);
int pv_wrmsr(struct vcpu *v, u32 msr, u64 val);

/* ---- CPU policy (pv/policy.c), for domctl and sysctl ------------------------ */
struct xen_cpuid_leaf;
struct xen_msr_entry;
int cpu_policy_init(void); /* raw, host, PV maximum and default */
int domain_policy_init(struct domain *d);
/* which: XEN_SYSCTL_cpu_policy_*; d: that domain's policy instead. Copies at
 * most *nr of each and returns the needed counts; -ENOBUFS when too small. */
int cpu_policy_get(int which, struct domain *d, gptr_t leaves, u32 *nr_leaves,
		   gptr_t msrs, u32 *nr_msrs);
int cpu_policy_set(struct domain *d, gptr_t leaves, u32 nr_leaves, gptr_t msrs,
		   u32 nr_msrs, u32 *err_leaf, u32 *err_sub, u32 *err_msr);
/* Feature set words as XEN_SYSCTL_get_cpu_featureset; returns their number. */
u32 cpu_featureset(int index, u32 *words, u32 max);

/* ---- FPU (cpu/fpu.c) --------------------------------------------------------- */
void fpu_init_cpu(void);
int fpu_vcpu_init(struct vcpu *v);
void fpu_vcpu_done(struct vcpu *v);
void fpu_save(struct vcpu *v);
void fpu_restore(struct vcpu *v);
/* Replaces x87 and SSE state by a 512-byte FXSAVE image. */
void fpu_set_legacy(struct vcpu *v, const void *fxsave);
