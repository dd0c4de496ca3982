/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privileged instructions of guests, which fault because the guest's kernel
 * runs in ring 3: port I/O, CLI/STI, control and debug registers, MSRs, CPUID
 * behind the forced-emulation prefix and the like.
 *
 * The instruction is fetched byte by byte from the guest, so it may end right
 * before an unmapped page; it is fetched once. What is not known here is not
 * emulated: the guest gets its #GP.
 */
#include <bh/config.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/smp.h>
#include <bh/traps.h>

struct insn {
	u8 b[15];
	unsigned int have, pos;
	bool opsize16, addrsize, rep, repne, lock;
	u8 rex;
	enum {
		SEG_NONE,
		SEG_FS,
		SEG_GS
	} seg;
	bool code64;
	struct vcpu *v;
	struct cpu_user_regs *regs;
};

#define REX_W 8
#define REX_R 4
#define REX_B 1

/* Next byte; false: the guest's code ends here, or 15 bytes are used up. */
static bool next(struct insn *in, u8 *out)
{
	if (in->pos == in->have) {
		if (in->have == sizeof(in->b) ||
		    get_guest_u8(&in->b[in->have],
				 GPTR(in->regs->rip + in->have)))
			return false;
		in->have++;
	}
	*out = in->b[in->pos++];
	return true;
}

static u64 *gpr(struct cpu_user_regs *r, unsigned int n)
{
	u64 *const map[16] = { &r->rax, &r->rcx, &r->rdx, &r->rbx,
			       &r->rsp, &r->rbp, &r->rsi, &r->rdi,
			       &r->r8,  &r->r9,  &r->r10, &r->r11,
			       &r->r12, &r->r13, &r->r14, &r->r15 };

	return map[n & 15];
}

/* The instruction is done. */
static bool retire(struct insn *in)
{
	struct vcpu *v = in->v;

	in->regs->rip += in->pos;
	in->regs->rflags &= ~RFLAGS_RF;
	if (unlikely(in->regs->rflags & RFLAGS_TF)) {
		v->pv.dr6 |= 0x4000;
		pv_inject_trap(v, TRAP_DB, -1);
	}
	return true;
}

/* ---- ports ---------------------------------------------------------------------------- */

/* The guest's own permission bitmap (PHYSDEVOP_set_iobitmap). */
static bool iobmp_allows(struct vcpu *v, u16 port, unsigned int len)
{
	bool user = !v->pv.kernel_mode, ok = false;
	u8 lo, hi = 0xff;

	if ((u32)port + len > v->pv.iobmp_limit || gptr_null(v->pv.iobmp))
		return false;
	if (user)
		write_cr3(mfn_x(v->pv.kernel_l4) << PAGE_SHIFT);
	if (!get_guest_u8(&lo, gptr_add(v->pv.iobmp, port / 8))) {
		if (port / 8 != (port + len - 1) / 8 &&
		    get_guest_u8(&hi, gptr_add(v->pv.iobmp, port / 8 + 1)))
			hi = 0xff;
		ok = !(((hi << 8 | lo) >> (port & 7)) & ((1U << len) - 1));
	}
	if (user)
		write_cr3(v->pv.cr3);
	return ok;
}

static bool port_allowed(struct vcpu *v, u16 port, unsigned int len)
{
	/* The kernel counts as ring 1, so IOPL 1 is enough for it. */
	unsigned int cpl =
		!v->pv.kernel_mode                                     ? 3
		: VM_ASSIST(v->domain, VMASST_TYPE_architectural_iopl) ? 0
								       : 1;

	return v->pv.iopl >= cpl || iobmp_allows(v, port, len);
}

static void set_rax(struct cpu_user_regs *regs, unsigned int len, u32 val)
{
	if (len == 4)
		regs->rax = val;
	else if (len == 2)
		regs->rax = (regs->rax & ~0xffffUL) | (u16)val;
	else
		regs->rax = (regs->rax & ~0xffUL) | (u8)val;
}

static bool emul_io(struct insn *in, u8 op)
{
	struct cpu_user_regs *regs = in->regs;
	unsigned int len = !(op & 1) ? 1 : in->opsize16 ? 2 : 4;
	u16 port = regs->rdx;
	u8 imm;

	if (!(op & 8)) { /* port in the instruction */
		if (!next(in, &imm))
			return false;
		port = imm;
	}
	if (!port_allowed(in->v, port, len))
		return false;
	if (op & 2)
		guest_io_write(in->v->domain, port, len, regs->rax);
	else
		set_rax(regs, len, guest_io_read(in->v->domain, port, len));
	return retire(in);
}

/* Is [va, va + len) there for this access? If not, the guest gets the fault. */
static bool probe(struct insn *in, unsigned long va, unsigned int len,
		  bool write)
{
	u32 error = (write ? PFEC_W : 0) | (in->v->pv.kernel_mode ? 0 : PFEC_U);

	for (unsigned int i = 0; i < 2; i++, va += len - 1) {
		u64 e = 0;

		if (!gptr_ok(GPTR(va), 1))
			e = 0;
		else if (pv_read_l1e(in->v, va, &e) && e & PTE_P &&
			 (!write || e & PTE_W))
			continue;
		pv_bounce_page_fault(in->v, in->regs,
				     error | (e & PTE_P ? PFEC_P : 0), va);
		return false;
	}
	return true;
}

/* INS and OUTS. A long repetition is left and executed again, so that other
 * work is not held up. */
static bool emul_string_io(struct insn *in, u8 op)
{
	struct cpu_user_regs *regs = in->regs;
	struct vcpu *v = in->v;
	bool out = op & 2, rep = in->rep || in->repne;
	unsigned int len = !(op & 1) ? 1 : in->opsize16 ? 2 : 4;
	u64 mask = in->code64 && !in->addrsize   ? ~0UL
		   : in->code64 || !in->addrsize ? 0xffffffff
						 : 0xffff;
	u64 *index = out ? &regs->rsi : &regs->rdi;
	long step = regs->rflags & RFLAGS_DF ? -(long)len : (long)len;
	unsigned long base = 0;
	u16 port = regs->rdx;
	u32 val;

	if (!port_allowed(v, port, len))
		return false;
	if (out && in->seg == SEG_FS)
		base = rdmsr(MSR_FS_BASE);
	else if (out && in->seg == SEG_GS)
		base = rdmsr(MSR_GS_BASE);
	for (unsigned int n = 0; !rep || (regs->rcx & mask); n++) {
		unsigned long va = base + (*index & mask);

		if (n == 256)
			return true; /* RIP unchanged: goes on here */
		if (!probe(in, va, len, !out))
			return true;
		val = 0;
		if (out) {
			if (copy_from_guest(&val, GPTR(va), len))
				return false;
			guest_io_write(v->domain, port, len, val);
		} else {
			val = guest_io_read(v->domain, port, len);
			if (copy_to_guest(GPTR(va), &val, len))
				return false;
		}
		*index = (*index & ~mask) | ((*index + step) & mask);
		if (!rep)
			break;
		regs->rcx = (regs->rcx & ~mask) | ((regs->rcx - 1) & mask);
	}
	return retire(in);
}

/* ---- control, debug, model-specific registers --------------------------------------------- */

static bool read_cr(struct vcpu *v, unsigned int nr, u64 *val)
{
	switch (nr) {
	case 0:
		*val = pv_read_cr0(v);
		return true;
	case 2:
		*val = v->pv.cr2;
		return true;
	case 3:
		*val = mfn_x(v->pv.kernel_l4) << PAGE_SHIFT;
		return true;
	case 4:
		*val = v->pv.cr4;
		return true;
	}
	return false;
}

/* 1 done, 0 refused, -ERESTART. */
static int write_cr(struct vcpu *v, unsigned int nr, u64 val)
{
	int rc;

	switch (nr) {
	case 0:
		if ((val ^ pv_read_cr0(v)) & ~CR0_TS)
			return 0;
		v->pv.cr0_ts = val & CR0_TS;
		if (val & CR0_TS)
			write_cr0(read_cr0() | CR0_TS);
		else
			clts();
		return 1;
	case 2:
		v->pv.cr2 = val;
		v->info->arch.cr2 = val;
		return 1;
	case 3:
		rc = pv_new_baseptr(v, _mfn(val >> PAGE_SHIFT));
		return rc == -ERESTART ? rc : rc == 0;
	case 4:
		v->pv.cr4 = pv_clean_cr4(v, val);
		pv_load_cr4(v);
		return 1;
	}
	return 0;
}

static bool emul_mov_cr_dr(struct insn *in, u8 op)
{
	struct vcpu *v = in->v;
	unsigned int nr;
	u64 *reg, val;
	u8 modrm;
	int rc;

	if (!next(in, &modrm))
		return false;
	nr = (modrm >> 3 & 7) | (in->rex & REX_R ? 8 : 0);
	reg = gpr(in->regs, (modrm & 7) | (in->rex & REX_B ? 8 : 0));
	switch (op) {
	case 0x20:
		if (!read_cr(v, nr, &val))
			return false;
		*reg = val;
		return retire(in);
	case 0x22:
		rc = write_cr(v, nr, *reg);
		if (rc == -ERESTART)
			return true;
		return rc ? retire(in) : false;
	case 0x21:
		if ((nr == 4 || nr == 5) && !(v->pv.cr4 & CR4_DE))
			nr += 2;
		if (nr < 4)
			*reg = v->pv.dr[nr];
		else if (nr == 6 || nr == 7)
			*reg = nr == 6 ? v->pv.dr6 : v->pv.dr7;
		else
			return false;
		return retire(in);
	case 0x23:
		return pv_set_debugreg(v, nr, *reg) ? false : retire(in);
	}
	return false;
}

static bool emul_rdmsr(struct insn *in)
{
	struct cpu_user_regs *regs = in->regs;
	u64 val = 0;

	/* Before it has a #GP handler a guest cannot survive the fault. */
	if (pv_rdmsr(in->v, regs->rcx, &val) && in->v->pv.trap[TRAP_GP].address)
		return false;
	regs->rax = (u32)val;
	regs->rdx = val >> 32;
	return retire(in);
}

static bool emul_wrmsr(struct insn *in)
{
	struct cpu_user_regs *regs = in->regs;

	if (pv_wrmsr(in->v, regs->rcx, (u32)regs->rax | regs->rdx << 32) &&
	    in->v->pv.trap[TRAP_GP].address)
		return false;
	return retire(in);
}

static bool emul_xsetbv(struct insn *in)
{
	struct cpu_user_regs *regs = in->regs;
	struct vcpu *v = in->v;
	u64 val = (u32)regs->rax | regs->rdx << 32;
	u32 leaf[4];

	if (!cpu_has.xsave || (u32)regs->rcx || !(v->pv.cr4 & CR4_OSXSAVE))
		return false;
	pv_cpuid(v, 0xd, 0, leaf);
	if (!(val & 1) || val & ~(leaf[0] | (u64)leaf[3] << 32) ||
	    val & ~cpu_has.xcr0_max)
		return false;
	/* AVX builds on SSE, AVX-512 on AVX and comes whole. */
	if ((val & 4 && !(val & 2)) ||
	    (val & 0xe0 && ((val & 0xe0) != 0xe0 || !(val & 4))))
		return false;
	/* New components start in their initial state, not in what the last
	 * user of this processor left. */
	fpu_save(v);
	v->pv.xcr0 = val;
	v->pv.xcr0_accum |= val;
	fpu_restore(v);
	return retire(in);
}

static void do_cpuid(struct vcpu *v, struct cpu_user_regs *regs)
{
	u32 r[4];

	pv_cpuid(v, regs->rax, regs->rcx, r);
	regs->rax = r[0];
	regs->rbx = r[1];
	regs->rcx = r[2];
	regs->rdx = r[3];
}

static bool emul_rdtsc(struct insn *in, bool with_aux)
{
	struct cpu_user_regs *regs = in->regs;
	u64 tsc = rdtsc();

	if (!in->v->pv.kernel_mode)
		return false; /* the guest wants it to fault */
	regs->rax = (u32)tsc;
	regs->rdx = tsc >> 32;
	if (with_aux)
		regs->rcx = in->v->pv.tsc_aux;
	return retire(in);
}

static bool emul_0f01(struct insn *in)
{
	u8 op;

	if (!next(in, &op))
		return false;
	if (op == 0xf9)
		return emul_rdtsc(in, true);
	if (op == 0xd1 && in->v->pv.kernel_mode)
		return emul_xsetbv(in);
	return false;
}

static bool emul_0f(struct insn *in)
{
	bool kernel = in->v->pv.kernel_mode;
	u8 op;

	if (!next(in, &op))
		return false;
	if (op == 0x01)
		return emul_0f01(in);
	if (op == 0x31)
		return emul_rdtsc(in, false);
	if (!kernel)
		return false;
	switch (op) {
	case 0x06:
		in->v->pv.cr0_ts = 0;
		clts();
		return retire(in);
	case 0x08: /* INVD would lose our data: write it back */
	case 0x09:
		if (is_control_domain(in->v->domain))
			wbinvd();
		return retire(in);
	case 0x20 ... 0x23:
		return emul_mov_cr_dr(in, op);
	case 0x30:
		return emul_wrmsr(in);
	case 0x32:
		return emul_rdmsr(in);
	case 0xa2:
		do_cpuid(in->v, in->regs);
		return retire(in);
	}
	return false;
}

/* Consumes prefixes; the opcode's first byte in *op. */
static bool prefixes(struct insn *in, u8 *op)
{
	for (;;) {
		if (!next(in, op))
			return false;
		if (in->code64 && (*op & 0xf0) == 0x40) {
			in->rex = *op;
			return next(in, op);
		}
		switch (*op) {
		case 0x66:
			in->opsize16 = true;
			break;
		case 0x67:
			in->addrsize = true;
			break;
		case 0xf0:
			in->lock = true;
			break;
		case 0xf2:
			in->repne = true;
			break;
		case 0xf3:
			in->rep = true;
			break;
		case 0x64:
			in->seg = SEG_FS;
			break;
		case 0x65:
			in->seg = SEG_GS;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			in->seg = SEG_NONE;
			break;
		default:
			return true;
		}
	}
}

/* Is this a 64-bit code segment of the guest's (current) tables? A new vCPU
 * starts on one of its own, not on the flat one. */
static bool is_code64(u16 sel)
{
	u32 ar;
	bool ok;

	if (likely(sel == GUEST_CS64))
		return true;
	__asm__("lar %2, %0" : "=r"(ar), "=@ccz"(ok) : "r"((u32)sel));
	return ok && (ar & 0x201800) == 0x201800; /* L, code */
}

bool pv_emulate_privileged(struct vcpu *v, struct cpu_user_regs *regs)
{
	struct insn in = { .v = v, .regs = regs };
	u8 op;

	/* Only flat segments: elsewhere RIP is not an address. */
	in.code64 = is_code64(regs->cs);
	if (!in.code64 && regs->cs != GUEST_CS32)
		return false;
	if (!prefixes(&in, &op) || in.lock)
		return false;
	switch (op) {
	case 0x6c ... 0x6f:
		return emul_string_io(&in, op);
	case 0xe4 ... 0xe7:
	case 0xec ... 0xef:
		return emul_io(&in, op);
	case 0xfa: /* CLI, STI: the event mask is not theirs */
	case 0xfb:
		if (v->pv.iopl < (v->pv.kernel_mode ? 1 : 3))
			return false;
		return retire(&in);
	case 0x0f:
		return emul_0f(&in);
	}
	return false;
}

bool pv_emulate_forced(struct vcpu *v, struct cpu_user_regs *regs)
{
	static const u8 prefix[5] = { 0x0f, 0x0b, 'x', 'e', 'n' };
	u8 b[7];

	if (pv_fetch_insn(regs, b, 7) != 7 || memcmp(b, prefix, 5) ||
	    b[5] != 0x0f || b[6] != 0xa2)
		return false;
	do_cpuid(v, regs);
	regs->rip += 7;
	regs->rflags &= ~RFLAGS_RF;
	return true;
}
