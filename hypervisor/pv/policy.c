/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU policies: the CPUID leaves (and two MSRs) a domain may see. Four are made
 * at boot: raw (what the processor says), host (what we use), PV maximum and PV
 * default; every domain has its own, starting as the default, which tools may
 * narrow until the domain first runs.
 *
 * The feature masks name what a PV guest can use without our doing anything
 * more, in the words of public/arch-x86/cpufeatureset.h. What is left out on
 * purpose: superpages, PCID, SMEP/SMAP/UMIP (ours), MONITOR, x2APIC, VMX/SVM,
 * FSGSBASE (its kernel side costs a trap each context switch), the speculation
 * control MSRs, transactional memory, CET, protection keys, 5-level paging.
 */
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/smp.h>
#include <public/sysctl.h>

#include "policy.h"

#define FEATURE_WORDS 19

/* Word: register of a leaf. */
static const struct {
	u32 leaf, sub;
	u8 reg; /* 0..3: a..d */
	u32 pv; /* bits a PV guest may see */
} words[FEATURE_WORDS] = {
	[0] = { 1, NO_SUBLEAF, 3, 0x0f89cbf5 },
	[1] = { 1, NO_SUBLEAF, 2, 0xf6d83203 },
	[2] = { 0x80000001, NO_SUBLEAF, 3, 0xe8500800 },
	[3] = { 0x80000001, NO_SUBLEAF, 2, 0x042109e1 },
	[4] = { 0xd, 1, 0, 0x00000007 },
	[5] = { 7, 0, 1, 0xfdaf0328 },
	[6] = { 7, 0, 2, 0x02405f43 },
	[7] = { 0x80000007, NO_SUBLEAF, 3, 0x00000100 },
	[8] = { 0x80000008, NO_SUBLEAF, 1, 0x00000005 },
	[9] = { 7, 0, 3, 0x0000441c },
	[10] = { 7, 1, 0, 0x00001c30 },
	[11] = { 0x80000021, NO_SUBLEAF, 0, 0x00000044 },
	[12] = { 7, 1, 1, 0 },
	[13] = { 7, 2, 3, 0 },
	[14] = { 7, 1, 2, 0 },
	[15] = { 7, 1, 3, 0 },
};

static struct cpu_policy raw, host, pv_max, pv_default;

const struct xen_cpuid_leaf *policy_find(const struct cpu_policy *p, u32 leaf,
					 u32 sub)
{
	for (u32 i = 0; i < p->nr; i++)
		if (p->leaf[i].leaf == leaf &&
		    (p->leaf[i].subleaf == sub ||
		     p->leaf[i].subleaf == NO_SUBLEAF))
			return &p->leaf[i];
	return NULL;
}

static u32 *reg_of(struct xen_cpuid_leaf *l, u8 reg)
{
	return reg == 0 ? &l->a : reg == 1 ? &l->b : reg == 2 ? &l->c : &l->d;
}

static u32 *feature_word(struct cpu_policy *p, u32 w)
{
	struct xen_cpuid_leaf *l;

	if (!words[w].leaf)
		return NULL;
	l = (void *)policy_find(p, words[w].leaf, words[w].sub);
	return l ? reg_of(l, words[w].reg) : NULL;
}

/* ---- reading the processor -------------------------------------------------- */

static void add(struct cpu_policy *p, u32 leaf, u32 sub)
{
	struct cpuid_regs r = cpuid(leaf, sub == NO_SUBLEAF ? 0 : sub);

	if (p->nr < POLICY_LEAVES)
		p->leaf[p->nr++] = (struct xen_cpuid_leaf){ leaf, sub, r.a,
							    r.b,  r.c, r.d };
}

static void read_leaf(struct cpu_policy *p, u32 leaf)
{
	u32 sub, max;

	switch (leaf) {
	case 4: /* caches, until one of type 0 */
		for (sub = 0; sub < 6; sub++) {
			add(p, 4, sub);
			if (!(cpuid(4, sub).a & 0x1f))
				break;
		}
		break;
	case 7:
		max = min(cpuid(7, 0).a, 2U);
		for (sub = 0; sub <= max; sub++)
			add(p, 7, sub);
		break;
	case 0xb:
		add(p, 0xb, 0);
		add(p, 0xb, 1);
		break;
	case 0xd:
		add(p, 0xd, 0);
		add(p, 0xd, 1);
		for (sub = 2; sub < 63; sub++)
			if (cpu_has.xcr0_max >> sub & 1)
				add(p, 0xd, sub);
		break;
	default:
		add(p, leaf, NO_SUBLEAF);
	}
}

static void read_raw(struct cpu_policy *p)
{
	u32 max = min(cpu_has.max_leaf, 0x1cU);

	for (u32 leaf = 0; leaf <= max; leaf++)
		read_leaf(p, leaf);
	for (u32 leaf = 0x80000000; leaf <= min(cpu_has.max_ext, 0x80000021U);
	     leaf++)
		read_leaf(p, leaf);
}

/* ---- making a PV view -------------------------------------------------------- */

static void hide_xstate_features(struct cpu_policy *p)
{
	u32 *w1 = feature_word(p, 1), *w5 = feature_word(p, 5),
	    *w6 = feature_word(p, 6), *w9 = feature_word(p, 9),
	    *w10 = feature_word(p, 10);

	if (!cpu_has.xsave && w1)
		*w1 &= ~(1U << 26);
	if (!(cpu_has.xcr0_max & 4)) { /* no AVX */
		if (w1)
			*w1 &= ~(1U << 28 | 1U << 29 | 1U << 12);
		if (w5)
			*w5 &= ~(1U << 5);
		if (w6)
			*w6 &= ~(3U << 9);
		if (w10)
			*w10 &= ~(1U << 4);
	}
	if ((cpu_has.xcr0_max & 0xe0) != 0xe0) { /* no AVX-512 */
		if (w5)
			*w5 &= ~0xdc230000U;
		if (w6)
			*w6 &= ~(1U << 1 | 1U << 6 | 0xfU << 11);
		if (w9)
			*w9 &= ~(3U << 2);
		if (w10)
			*w10 &= ~(1U << 5);
	}
}

static void fix_xstate(struct xen_cpuid_leaf *l)
{
	if (l->subleaf == 0) {
		l->a = cpu_has.xcr0_max;
		l->d = cpu_has.xcr0_max >> 32;
		l->b = l->c = cpu_has.xsave_size;
	} else if (l->subleaf == 1) {
		l->b = l->c = l->d = 0; /* no supervisor states */
	}
}

/* Leaves that are not features, as a PV guest should see them. */
static void fix_leaf(struct xen_cpuid_leaf *l)
{
	switch (l->leaf) {
	case 0:
		l->a = min(l->a, 0xdU);
		break;
	case 1:
		l->b &= 0x0000ff00; /* CLFLUSH size only: no ids, no threads */
		break;
	case 4:
		l->a &= 0x00003fff; /* caches, but no sharing */
		break;
	case 6:
		l->a &= 1U << 2; /* always-running APIC timer */
		l->b = l->c = l->d = 0;
		break;
	case 3:
	case 5:
	case 8:
	case 9:
	case 0xa:
	case 0xb:
	case 0xc:
		l->a = l->b = l->c = l->d = 0;
		break;
	case 7:
		if (l->subleaf == 0)
			l->a = min(l->a, 1U);
		else
			l->b = l->c = l->d = 0;
		break;
	case 0xd:
		fix_xstate(l);
		break;
	case 0x80000000:
		l->a = min(l->a, 0x80000008U);
		break;
	case 0x80000007:
		l->a = l->b = l->c = 0;
		break;
	case 0x80000008:
		l->a &= 0xffff;
		l->c = l->d = 0;
		break;
	}
}

static void make_pv(struct cpu_policy *p, const struct cpu_policy *from)
{
	u32 common;

	p->nr = 0;
	for (u32 i = 0; i < from->nr; i++) {
		const struct xen_cpuid_leaf *l = &from->leaf[i];

		if ((l->leaf < 0x80000000 && l->leaf > 0xd) ||
		    l->leaf > 0x80000008 ||
		    (l->leaf == 0xd && !cpu_has.xsave) ||
		    (l->leaf == 7 && l->subleaf > 1))
			continue;
		p->leaf[p->nr++] = *l;
		fix_leaf(&p->leaf[p->nr - 1]);
	}
	for (u32 w = 0; w < FEATURE_WORDS; w++) {
		u32 *f = feature_word(p, w);

		if (f)
			*f &= words[w].pv;
	}
	if (feature_word(p, 1))
		*feature_word(p, 1) |= 1U << 31; /* HYPERVISOR */
	common = 0x0183f3ff; /* AMD repeats part of leaf 1 in 0x80000001 */
	if (cpu_has.amd && feature_word(p, 2))
		*feature_word(p, 2) |= *feature_word(p, 0) & common;
	if (!cpu_has.tsc_invariant && feature_word(p, 7))
		*feature_word(p, 7) = 0;
	hide_xstate_features(p);
}

int cpu_policy_init(void)
{
	read_raw(&raw);
	host = raw;
	make_pv(&pv_max, &host);
	pv_default = pv_max;
	return 0;
}

int domain_policy_init(struct domain *d)
{
	d->policy = xmalloc(sizeof(*d->policy));
	if (!d->policy)
		return -ENOMEM;
	*d->policy = pv_default;
	return 0;
}

/* ---- for the tools --------------------------------------------------------------- */

static int select_policy(int which, struct cpu_policy **p)
{
	switch (which) {
	case XEN_SYSCTL_cpu_policy_raw:
		*p = &raw;
		return 0;
	case XEN_SYSCTL_cpu_policy_host:
		*p = &host;
		return 0;
	case XEN_SYSCTL_cpu_policy_pv_max:
		*p = &pv_max;
		return 0;
	case XEN_SYSCTL_cpu_policy_pv_default:
		*p = &pv_default;
		return 0;
	case XEN_SYSCTL_cpu_policy_hvm_max:
	case XEN_SYSCTL_cpu_policy_hvm_default:
		return -EOPNOTSUPP; /* no HVM guests */
	}
	return -EINVAL;
}

int cpu_policy_get(int which, struct domain *d, gptr_t leaves, u32 *nr_leaves,
		   gptr_t msrs, u32 *nr_msrs)
{
	struct cpu_policy *p = d ? d->policy : NULL;
	struct xen_msr_entry m[2];
	u32 n;
	int rc = d ? 0 : select_policy(which, &p);

	if (rc)
		return rc;
	if (gptr_null(leaves) && gptr_null(msrs)) { /* how much room? */
		*nr_leaves = POLICY_LEAVES_ASKED;
		*nr_msrs = ARRAY_SIZE(m);
		return 0;
	}
	if (!gptr_null(leaves)) {
		if (*nr_leaves < p->nr)
			return -ENOBUFS;
		if (copy_to_guest(leaves, p->leaf, p->nr * sizeof(p->leaf[0])))
			return -EFAULT;
		/* libxc writes its edited copy, empty leaves included, into a
		 * buffer of the number it is told here: repeats of the first
		 * leaf make that number large enough and change nothing. */
		for (n = p->nr; n < min(*nr_leaves, (u32)POLICY_LEAVES_ASKED);
		     n++)
			if (copy_to_guest(
				    gptr_add(leaves, n * sizeof(p->leaf[0])),
				    &p->leaf[0], sizeof(p->leaf[0])))
				return -EFAULT;
		*nr_leaves = n;
	}
	if (!gptr_null(msrs)) {
		if (*nr_msrs < ARRAY_SIZE(m))
			return -ENOBUFS;
		memset(m, 0, sizeof(m));
		m[0].idx = 0xce;
		m[0].val = p->platform_info;
		m[1].idx = 0x10a;
		m[1].val = p->arch_caps;
		if (copy_to_guest(msrs, m, sizeof(m)))
			return -EFAULT;
		*nr_msrs = ARRAY_SIZE(m);
	}
	return 0;
}

static bool is_feature_reg(u32 leaf, u32 sub, u8 reg)
{
	for (u32 w = 0; w < FEATURE_WORDS; w++)
		if (words[w].leaf == leaf && words[w].reg == reg &&
		    (words[w].sub == sub || words[w].sub == NO_SUBLEAF))
			return true;
	return false;
}

/* Narrows one leaf: features can only go, sizes and limits only shrink, the
 * rest (model, caches, names) is the tools' business. */
static void narrow(struct xen_cpuid_leaf *mine, struct xen_cpuid_leaf *want)
{
	for (u8 reg = 0; reg < 4; reg++) {
		u32 *m = reg_of(mine, reg), w = *reg_of(want, reg);

		if (is_feature_reg(mine->leaf, mine->subleaf, reg))
			*m &= w | (mine->leaf == 1 && reg == 2 ? 1U << 31 : 0);
		else if ((mine->leaf == 0 || mine->leaf == 0x80000000) && !reg)
			*m = min(*m, w);
		else if (mine->leaf != 0xd && mine->leaf != 7)
			*m = w;
	}
}

int cpu_policy_set(struct domain *d, gptr_t leaves, u32 nr_leaves, gptr_t msrs,
		   u32 nr_msrs, u32 *err_leaf, u32 *err_sub, u32 *err_msr)
{
	struct cpu_policy *p;
	struct xen_cpuid_leaf want, *mine;
	struct xen_msr_entry m;
	int rc = -EFAULT;

	*err_leaf = *err_sub = *err_msr = ~0U;
	if (d->creation_finished)
		return -EEXIST;
	if (nr_leaves > POLICY_LEAVES * 2 || nr_msrs > 16)
		return -E2BIG;
	p = xmalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = pv_max;
	for (u32 i = 0; i < nr_leaves; i++) {
		if (copy_from_guest(&want, gptr_add(leaves, i * sizeof(want)),
				    sizeof(want)))
			goto out;
		mine = (void *)policy_find(p, want.leaf, want.subleaf);
		if (mine)
			narrow(mine, &want);
	}
	for (u32 i = 0; i < nr_msrs; i++) {
		if (copy_from_guest(&m, gptr_add(msrs, i * sizeof(m)),
				    sizeof(m)))
			goto out;
		if (m.flags || (m.idx != 0xce && m.idx != 0x10a)) {
			*err_msr = m.idx;
			rc = -EINVAL;
			goto out;
		}
	}
	*d->policy = *p;
	rc = 0;
out:
	xfree(p);
	return rc;
}

u32 cpu_featureset(int index, u32 *out, u32 max)
{
	static struct cpu_policy *const sets[] = {
		[XEN_SYSCTL_cpu_featureset_raw] = &raw,
		[XEN_SYSCTL_cpu_featureset_host] = &host,
		[XEN_SYSCTL_cpu_featureset_pv] = &pv_default,
		[XEN_SYSCTL_cpu_featureset_pv_max] = &pv_max,
	};
	struct cpu_policy *p = NULL;

	if (index >= 0 && index < (int)ARRAY_SIZE(sets))
		p = sets[index_nospec(index, ARRAY_SIZE(sets))];
	for (u32 w = 0; w < FEATURE_WORDS && w < max; w++) {
		u32 *f = p ? feature_word(p, w) : NULL;

		out[w] = f ? *f : 0;
	}
	return FEATURE_WORDS;
}
