/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a domain sees of the processor: shared by policy.c, cpuid.c, msr.c. */
#pragma once

#include <bh/types.h>
#include <public/xen.h>

#define POLICY_LEAVES 96
/* The number to report: libxc serialises about 100 leaves, empty ones too, into
 * that many, and takes more than 120 (its own maximum) for an error. */
#define POLICY_LEAVES_ASKED 118
#define NO_SUBLEAF          XEN_CPUID_NO_SUBLEAF

struct cpu_policy {
	u32 nr;
	struct xen_cpuid_leaf leaf[POLICY_LEAVES];
	u64 platform_info; /* MSR 0xce */
	u64 arch_caps;     /* MSR 0x10a */
};

/* The entry for leaf/sub, also when the leaf has no subleaves; NULL: none. */
const struct xen_cpuid_leaf *policy_find(const struct cpu_policy *p, u32 leaf,
					 u32 sub);
