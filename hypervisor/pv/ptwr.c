/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writable page tables: a guest kernel that writes to one of its level-1 tables
 * (mapped read-only) gets its instruction carried out here, entry by entry
 * through the same checks as a hypercall.
 *
 * Everything that is not clearly such a write is left to the guest as the page
 * fault it is: copy-on-write and Linux' probing writes arrive here as well.
 */
#include <bh/guest_access.h>
#include <public/xen.h>

#include "decode.h"
#include "mmu_private.h"

static void load_gprs(const struct cpu_user_regs *r, u64 *g)
{
	g[0] = r->rax;
	g[1] = r->rcx;
	g[2] = r->rdx;
	g[3] = r->rbx;
	g[4] = r->rsp;
	g[5] = r->rbp;
	g[6] = r->rsi;
	g[7] = r->rdi;
	g[8] = r->r8;
	g[9] = r->r9;
	g[10] = r->r10;
	g[11] = r->r11;
	g[12] = r->r12;
	g[13] = r->r13;
	g[14] = r->r14;
	g[15] = r->r15;
}

static void store_gpr(struct cpu_user_regs *r, unsigned int n, u64 v)
{
	u64 *const where[16] = {
		&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp,
		&r->rsi, &r->rdi, &r->r8,  &r->r9,  &r->r10, &r->r11,
		&r->r12, &r->r13, &r->r14, &r->r15,
	};

	*where[n] = v;
}

/* The level-1 table of d that va maps read-only, or NULL. */
static struct page_info *ptwr_target(struct vcpu *v, unsigned long va)
{
	struct page_info *pg;
	u64 e, x;

	if (!pv_read_l1e(v, va, &e) || (e & (PTE_P | PTE_W)) != PTE_P ||
	    !frame_is_ram(pte_mfn(e)))
		return NULL;
	pg = frame_table + pte_mfn(e);
	x = READ_ONCE(pg->type);
	if ((x & PGT_TYPE_MASK) != PGT_L1 || !(x & PGT_COUNT_MASK) ||
	    pg->owner != domain_frame(v->domain))
		return NULL;
	return pg;
}

static bool fetch_insn(unsigned long rip, struct rmw_insn *in)
{
	unsigned int n = 15, page = PAGE_SIZE - (rip & ~PAGE_MASK);
	u8 buf[16];

	if (copy_from_guest(buf, GPTR(rip), n)) {
		/* The next page need not be there. */
		if (page >= n || copy_from_guest(buf, GPTR(rip), page))
			return false;
		n = page;
	}
	return rmw_decode(buf, n, in) == 0;
}

/* Carries it out on the locked table. 0, -EAGAIN, -E. */
static int ptwr_apply(struct domain *d, const struct rmw_insn *in, u64 *slot,
		      unsigned int byte, const u64 *gpr, u64 rflags,
		      struct rmw_result *res)
{
	u64 old = READ_ONCE(*slot), new, mask;
	unsigned int sh = byte * 8;

	mask = in->size == 8 ? ~0UL : ((1UL << (8 * in->size)) - 1) << sh;
	rmw_execute(in, (old & mask) >> sh, gpr, rflags, res);
	if (!res->write_mem)
		return 0;
	new = (old & ~mask) | res->mem << sh;
	if (in->op == RMW_MOV && in->size == 8)
		return l1_update(d, d, slot, 0, new, 0);
	return l1_update(d, d, slot, old, new, L1_EXPECT);
}

static void ptwr_retire(struct vcpu *v, struct cpu_user_regs *regs,
			const struct rmw_insn *in, const struct rmw_result *res,
			const u64 *gpr)
{
	unsigned int n = res->write_rax ? 0 : in->reg;
	bool high = in->high && !res->write_rax;

	if (res->write_reg || res->write_rax)
		store_gpr(regs, n,
			  rmw_merge_reg(gpr[n], res->reg, in->size, high));
	regs->rflags = res->rflags & ~RFLAGS_RF;
	regs->rip += in->len;
	if (unlikely(regs->rflags & RFLAGS_TF)) {
		v->pv.dr6 |= 0x4000; /* BS: single step */
		pv_inject_trap(v, 1, -1);
	}
}

bool pv_ptwr_fault(struct vcpu *v, unsigned long addr,
		   struct cpu_user_regs *regs)
{
	struct domain *d = v->domain;
	struct rmw_result res;
	struct page_info *pg;
	struct rmw_insn in;
	u64 gpr[16], *slot;
	int rc;

	if (!VM_ASSIST(d, VMASST_TYPE_writable_pagetables))
		return false;
	if (unlikely(d->pv.log_dirty) && pv_log_dirty_fault(v, addr))
		return true;
	pg = ptwr_target(v, addr);
	if (!pg || !fetch_insn(regs->rip, &in))
		return false;
	load_gprs(regs, gpr);
	if (rmw_address(&in, gpr, regs->rip) != addr || (addr & (in.size - 1)))
		return false;
	slot = (u64 *)page_to_virt(pg) + (addr & ~PAGE_MASK) / 8;
	do {
		if (!page_lock(pg, PGT_L1))
			return false;
		rc = -EINVAL;
		if (pg->owner == domain_frame(d))
			rc = ptwr_apply(d, &in, slot, addr & 7, gpr,
					regs->rflags, &res);
		page_unlock(pg);
	} while (rc == -EAGAIN);
	if (rc)
		return false;
	ptwr_retire(v, regs, &in, &res, gpr);
	return true;
}
