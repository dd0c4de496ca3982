/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID as a PV guest sees it through the forced-emulation prefix: its domain's
 * policy, what depends on the vCPU's state, and the hypervisor leaves
 * (public/arch-x86/cpuid.h).
 */
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/smp.h>
#include <public/arch-x86/cpuid.h>

#include "policy.h"

/* Bytes of the XSAVE area, standard format, for the components in xcr0. */
static u32 xsave_bytes(u64 xcr0)
{
	u32 size = 576;

	for (u32 i = 2; i < 63; i++) {
		struct cpuid_regs r;

		if (!(xcr0 >> i & 1))
			continue;
		r = cpuid(0xd, i);
		size = max(size, r.a + r.b);
	}
	return size;
}

static void tsc_leaf(struct vcpu *v, u32 sub, u32 out[4])
{
	u64 khz = cpu_khz;

	switch (sub) {
	case 0:
		out[0] = cpu_has.tsc_invariant ? 1U << 1 : 0;
		out[0] |= cpu_has.rdtscp ? 1U << 2 : 0;
		out[1] = v->domain->tsc_mode;
		out[2] = khz;
		out[3] = v->domain->tsc_incarnation;
		break;
	case 1:
		out[2] = this_cpu()->time.mul;
		out[3] = this_cpu()->time.shift;
		break;
	case 2:
		out[0] = khz;
		break;
	}
}

static void hypervisor_leaf(struct vcpu *v, u32 leaf, u32 sub, u32 out[4])
{
	switch (leaf) {
	case 0:
		out[0] = XEN_CPUID_LEAF(XEN_CPUID_MAX_NUM_LEAVES);
		out[1] = XEN_CPUID_SIGNATURE_EBX;
		out[2] = XEN_CPUID_SIGNATURE_ECX;
		out[3] = XEN_CPUID_SIGNATURE_EDX;
		break;
	case 1:
		out[0] = BH_XEN_MAJOR << 16 | BH_XEN_MINOR;
		break;
	case 2:
		out[0] = 1; /* hypercall page, for kernels that use one */
		out[1] = 0x40000000;
		out[2] = XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD;
		break;
	case 3:
		tsc_leaf(v, sub, out);
		break;
	case 5: {
		unsigned int bits = 64 - __builtin_clzl(max_mfn | 1);

		out[1] = bits + PAGE_SHIFT;
		break;
	}
	}
}

void pv_cpuid(struct vcpu *v, u32 leaf, u32 sub, u32 out[4])
{
	const struct xen_cpuid_leaf *l;

	memset(out, 0, 4 * sizeof(out[0]));
	if (leaf >= XEN_CPUID_FIRST_LEAF &&
	    leaf <= XEN_CPUID_FIRST_LEAF + 0xff) {
		if (leaf - XEN_CPUID_FIRST_LEAF <= XEN_CPUID_MAX_NUM_LEAVES)
			hypervisor_leaf(v, leaf - XEN_CPUID_FIRST_LEAF, sub,
					out);
		return;
	}
	l = policy_find(v->domain->policy, leaf, sub);
	if (!l)
		return;
	out[0] = l->a;
	out[1] = l->b;
	out[2] = l->c;
	out[3] = l->d;
	switch (leaf) {
	case 1:
		/* Linux asks before it sets CR4.OSXSAVE and would go without. */
		if (out[2] & 1U << 26)
			out[2] |= 1U << 27;
		break;
	case 0xd:
		if (sub <= 1)
			out[1] = xsave_bytes(v->pv.xcr0);
		break;
	}
}
