/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers as a PV guest sees them. Few are real; for the rest
 * the guest gets a #GP, which every current kernel survives (it probes with
 * fix-ups). -EINVAL means #GP.
 */
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/smp.h>

#include "policy.h"

#define MSR_TSC             0x10
#define MSR_SMI_COUNT       0x34
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_UCODE_REV       0x8b
#define MSR_PLATFORM_INFO   0xce
#define MSR_ARCH_CAPS       0x10a
#define MSR_MISC_FEATURES   0x140
#define MSR_MCG_CAP         0x179
#define MSR_MCG_STATUS      0x17a
#define MSR_MISC_ENABLE     0x1a0
#define MSR_NB_CFG          0xc001001f
#define MSR_HWCR            0xc0010015
#define MSR_MMIO_CONF       0xc0010058
#define MSR_DE_CFG          0xc0011029

static bool is_canonical(u64 a)
{
	return (u64)((s64)(a << 16) >> 16) == a;
}

/* AMD's P-state, north bridge and MMIO configuration: read as 0, writes go
 * nowhere. */
static bool amd_ignored(u32 msr)
{
	return cpu_has.amd && (msr == MSR_NB_CFG || msr == MSR_MMIO_CONF ||
			       (msr >= 0xc0010061 && msr <= 0xc001006b));
}

int pv_rdmsr(struct vcpu *v, u32 msr, u64 *val)
{
	*val = 0;
	switch (msr) {
	case MSR_FS_BASE:
		*val = rdmsr(MSR_FS_BASE);
		return 0;
	case MSR_GS_BASE:
		*val = rdmsr(MSR_GS_BASE);
		return 0;
	case MSR_KERNEL_GS_BASE:
		*val = rdmsr(MSR_KERNEL_GS_BASE);
		return 0;
	case MSR_TSC_AUX:
		if (!cpu_has.rdtscp)
			return -EINVAL;
		*val = v->pv.tsc_aux;
		return 0;
	case MSR_EFER:
		*val = rdmsr(MSR_EFER) & ~(u64)EFER_SVME;
		return 0;
	case MSR_TSC:
		*val = rdtsc();
		return 0;
	case MSR_APIC_BASE:
		*val = 0xfee00800 | (v->id == 0 ? 0x100 : 0);
		return 0;
	case MSR_PAT:
		*val = HV_PAT;
		return 0;
	case MSR_UCODE_REV:
		return rdmsr_safe(msr, val) ? -EINVAL : 0;
	case MSR_FEATURE_CONTROL:
		*val = 1;
		return cpu_has.intel ? 0 : -EINVAL;
	case MSR_PLATFORM_INFO:
		*val = v->domain->policy->platform_info;
		return cpu_has.intel ? 0 : -EINVAL;
	case MSR_MISC_FEATURES:
		*val = v->pv.misc_features;
		return cpu_has.intel ? 0 : -EINVAL;
	case MSR_MCG_CAP: /* no banks */
	case MSR_MCG_STATUS:
		return 0;
	case MSR_MISC_ENABLE:
		if (!cpu_has.intel || rdmsr_safe(msr, val))
			return -EINVAL;
		*val = (*val | 3UL << 11) & ~(1UL << 7); /* no PMU, no PEBS */
		return 0;
	case MSR_DE_CFG:
		*val = 2; /* LFENCE is serialising */
		return cpu_has.amd ? 0 : -EINVAL;
	case MSR_HWCR:
		*val = 1UL << 24; /* TSC runs at the P0 frequency */
		return cpu_has.amd ? 0 : -EINVAL;
	}
	return amd_ignored(msr) ? 0 : -EINVAL;
}

int pv_wrmsr(struct vcpu *v, u32 msr, u64 val)
{
	u64 cur;

	switch (msr) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
		if (!is_canonical(val))
			return -EINVAL;
		wrmsr(msr, val);
		return 0;
	case MSR_TSC_AUX:
		if (!cpu_has.rdtscp || val >> 32)
			return -EINVAL;
		v->pv.tsc_aux = val;
		wrmsr(MSR_TSC_AUX, val);
		return 0;
	case MSR_EFER:
	case MSR_MISC_ENABLE:
	case MSR_PAT:
		return !pv_rdmsr(v, msr, &cur) && cur == val ? 0 : -EINVAL;
	case MSR_UCODE_REV: /* Linux writes 0 before it reads the revision */
		return val ? -EINVAL : 0;
	case MSR_MISC_FEATURES:
	case MSR_MCG_STATUS:
		return val ? -EINVAL : 0;
	}
	return amd_ignored(msr) ? 0 : -EINVAL;
}
