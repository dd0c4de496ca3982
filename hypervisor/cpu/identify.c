/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processors can do, and their control registers.
 *
 * Every CPU gets the same settings, taken from what the boot CPU reports.
 * SMEP and SMAP are on where they exist (smep=, smap=); UMIP only by option,
 * because PV guests and their programs run at CPL 3 and some use SIDT and
 * friends natively. (Intel SDM vol. 3, 2.5; AMD APM vol. 2, 3.1.)
 */
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/desc.h>
#include <bh/machine.h>
#include <bh/smp.h>
#include <bh/traps.h>

struct cpu_features cpu_has __read_mostly;

static bool opt_smep = true, opt_smap = true, opt_umip;
static bool opt_xsave = true;
PARAM_BOOL("smep", opt_smep);
PARAM_BOOL("smap", opt_smap);
PARAM_BOOL("umip", opt_umip);
PARAM_BOOL("xsave", opt_xsave);

/* XSAVE components a PV guest may have: x87, SSE, AVX, AVX-512. */
#define XCR0_ALLOWED 0xe7UL

static void identify_xsave(void)
{
	struct cpuid_regs r = cpuid(0xd, 0);
	u64 max = (r.a | (u64)r.d << 32) & XCR0_ALLOWED;

	if ((max & 3) != 3) {
		cpu_has.xsave = false;
		return;
	}
	if (!(max & 4) || (max & 0xe0) != 0xe0)
		max &= ~0xe0UL; /* AVX-512 whole and upon AVX, or not */
	cpu_has.xcr0_max = max;
	cpu_has.xsave_size = 576;
	for (unsigned int i = 2; i < 63; i++) {
		if (!(max >> i & 1))
			continue;
		r = cpuid(0xd, i);
		if (r.a + r.b > cpu_has.xsave_size)
			cpu_has.xsave_size = r.a + r.b;
	}
}

void cpu_identify(void)
{
	struct cpuid_regs r = cpuid(0, 0);
	u32 sig;

	cpu_has.max_leaf = r.a;
	cpu_has.intel = r.b == 0x756e6547;                    /* "Genu" */
	cpu_has.amd = r.b == 0x68747541 || r.b == 0x6f677948; /* Auth, Hygo */
	cpu_has.max_ext = cpuid(0x80000000, 0).a;

	r = cpuid(1, 0);
	sig = r.a;
	cpu_has.family = sig >> 8 & 0xf;
	if (cpu_has.family == 0xf)
		cpu_has.family += sig >> 20 & 0xff;
	cpu_has.model = (sig >> 4 & 0xf) | (sig >> 12 & 0xf0);
	cpu_has.xsave = opt_xsave && (r.c >> 26 & 1);
	cpu_has.pcid = r.c >> 17 & 1;
	cpu_has.x2apic = r.c >> 21 & 1;
	cpu_has.pge = r.d >> 13 & 1;

	if (cpu_has.max_leaf >= 7) {
		r = cpuid(7, 0);
		cpu_has.fsgsbase = r.b & 1;
		cpu_has.smep = opt_smep && (r.b >> 7 & 1);
		cpu_has.smap = opt_smap && (r.b >> 20 & 1);
		cpu_has.umip = opt_umip && (r.c >> 2 & 1);
	}
	if (cpu_has.xsave && cpu_has.max_leaf >= 0xd)
		identify_xsave();
	else
		cpu_has.xsave = false;
	if (!cpu_has.xsave) {
		cpu_has.xcr0_max = 3;
		cpu_has.xsave_size = 576;
	}
	cpu_has.paddr_bits = 36;
	if (cpu_has.max_ext >= 0x80000001) {
		r = cpuid(0x80000001, 0);
		cpu_has.svm = r.c >> 2 & 1;
		cpu_has.nx = r.d >> 20 & 1;
		cpu_has.fxsr_opt = r.d >> 25 & 1;
		cpu_has.page1g = r.d >> 26 & 1;
		cpu_has.rdtscp = r.d >> 27 & 1;
	}
	if (cpu_has.max_ext >= 0x80000007)
		cpu_has.tsc_invariant = cpuid(0x80000007, 0).d >> 8 & 1;
	if (cpu_has.max_ext >= 0x80000008)
		cpu_has.paddr_bits = cpuid(0x80000008, 0).a & 0xff;
	if (!cpu_has.nx)
		panic("the processor has no NX bit; Bulkhead needs it\n");
}

void cpu_init_local(void)
{
	struct cpu *c = this_cpu();
	unsigned long cr4 = CR4_PAE | CR4_PSE | CR4_MCE | CR4_DE | CR4_OSFXSR |
			    CR4_OSXMMEXC;

	if (cpu_has.pge)
		cr4 |= CR4_PGE;
	if (cpu_has.xsave)
		cr4 |= CR4_OSXSAVE;
	if (cpu_has.fsgsbase)
		cr4 |= CR4_FSGSBASE;
	if (cpu_has.smep)
		cr4 |= CR4_SMEP;
	if (cpu_has.smap)
		cr4 |= CR4_SMAP;
	if (cpu_has.umip)
		cr4 |= CR4_UMIP;
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG);
	write_cr4(cr4);
	c->cr4 = cr4;
	if (cpu_has.smap) {
		smap_active = true; /* entry code closes it from here on */
		clac();
	}
	wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~EFER_SVME) | EFER_SCE | EFER_NX);
	wrmsr(MSR_PAT, HV_PAT);
	write_dr7(0x400);
	if (cpu_has.rdtscp)
		wrmsr(MSR_TSC_AUX, 0);
	syscall_init_cpu();
}
