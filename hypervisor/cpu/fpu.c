/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FPU, SSE and extended state of guests. The hypervisor itself never touches
 * these registers, so they are switched eagerly with the vCPU: no trap, no
 * window in which another guest's registers can be looked at (CVE-2018-3665).
 *
 * XCR0 may grow only (xcr0_accum): state saved with more components than the
 * guest has enabled right now must not be lost.
 */
#include <bh/config.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/smp.h>

#define FXSAVE_SIZE   512
#define XSAVE_HDR_OFF 512

static bool have_xsaveopt;

static void set_xcr0(u64 v)
{
	struct cpu *c = this_cpu();

	if (c->xcr0 == v)
		return;
	xsetbv(0, v);
	c->xcr0 = v;
}

void fpu_init_cpu(void)
{
	clts();
	__asm__ volatile("fninit");
	if (!cpu_has.xsave)
		return;
	this_cpu()->xcr0 = 0;
	set_xcr0(3);
	have_xsaveopt = cpuid(0xd, 1).a & 1;
}

static void init_area(struct vcpu *v)
{
	size_t size = cpu_has.xsave ? cpu_has.xsave_size : FXSAVE_SIZE;

	memset(v->pv.xsave_area, 0, size);
	*(u16 *)v->pv.xsave_area = 0x37f;                 /* FCW */
	*(u32 *)((char *)v->pv.xsave_area + 24) = 0x1f80; /* MXCSR */
}

int fpu_vcpu_init(struct vcpu *v)
{
	size_t size = cpu_has.xsave ? cpu_has.xsave_size : FXSAVE_SIZE;

	/* Whole pages are aligned as XSAVE wants it. */
	v->pv.xsave_area = xzalloc(max(size, (size_t)PAGE_SIZE));
	if (!v->pv.xsave_area)
		return -ENOMEM;
	init_area(v);
	v->pv.xcr0 = v->pv.xcr0_accum = cpu_has.xsave ? 3 : 0;
	return 0;
}

void fpu_vcpu_done(struct vcpu *v)
{
	xfree(v->pv.xsave_area);
	v->pv.xsave_area = NULL;
}

void fpu_save(struct vcpu *v)
{
	u64 mask = v->pv.xcr0_accum;
	char *area = v->pv.xsave_area;

	clts();
	if (!cpu_has.xsave) {
		__asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
		return;
	}
	set_xcr0(mask);
	if (have_xsaveopt)
		__asm__ volatile("xsaveopt64 (%0)" ::"r"(area), "a"((u32)mask),
				 "d"((u32)(mask >> 32))
				 : "memory");
	else
		__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((u32)mask),
				 "d"((u32)(mask >> 32))
				 : "memory");
}

static bool restore_area(struct vcpu *v)
{
	u64 mask = v->pv.xcr0_accum;
	char *area = v->pv.xsave_area;

	if (!cpu_has.xsave) {
		__asm__ goto("1: fxrstor64 (%0)\n\t" EX_GOTO(1b, fault)
			     :
			     : "r"(area)
			     : "memory"
			     : fault);
		return true;
	}
	set_xcr0(mask);
	__asm__ goto("1: xrstor64 (%0)\n\t" EX_GOTO(1b, fault)
		     :
		     : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32))
		     : "memory"
		     : fault);
	return true;
fault:
	return false;
}

void fpu_restore(struct vcpu *v)
{
	static const u32 zero;

	clts();
	/* AMD restores the last-instruction pointers only with an exception
	 * pending: overwrite what the previous guest left. */
	if (cpu_has.amd)
		__asm__ volatile("fnclex; ffree %%st(7); fildl %0" ::"m"(zero));
	if (!restore_area(v)) {
		/* A toolstack loaded nonsense: the guest starts afresh. */
		init_area(v);
		(void)restore_area(v);
	}
	if (cpu_has.xsave)
		set_xcr0(v->pv.xcr0);
	if (v->pv.cr0_ts)
		write_cr0(read_cr0() | CR0_TS);
}

void fpu_set_legacy(struct vcpu *v, const void *fxsave)
{
	u32 mask = 0xffff, area_mask;

	memcpy(v->pv.xsave_area, fxsave, FXSAVE_SIZE);
	/* Reserved MXCSR bits would make the restore fault. */
	area_mask = *(u32 *)((char *)v->pv.xsave_area + 24) & mask;
	*(u32 *)((char *)v->pv.xsave_area + 24) = area_mask;
	if (cpu_has.xsave) {
		u64 *hdr = (u64 *)((char *)v->pv.xsave_area + XSAVE_HDR_OFF);

		memset(hdr, 0, 64);
		hdr[0] = 3;
	}
}
