/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A second domain for test kernels: a copy of this very kernel, as its memory
 * is at that moment, at the same addresses in frames of its own, entering a
 * function of it. It has no start info, no shared info and no console: it
 * makes hypercalls, computes, and leaves what it found in its variables, which
 * domu_copy() reads.
 */
#include "domu.h"

#define TABLES 4 /* L4, L3, L2, L1 */

extern char _start[], _end[];

static char window_page[4096] PAGE_ALIGNED;
static char domu_stack[8192] __attribute__((aligned(16)));

long domctl(struct xen_domctl *op, u32 cmd, u32 domid)
{
	op->cmd = cmd;
	op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	op->domain = domid;
	return HC(__HYPERVISOR_domctl, op);
}

/* Another domain's frame in our window. */
static void *foreign(const struct domu *u, u64 mfn)
{
	struct mmu_update req = { pte_maddr((u64)window_page, 1),
				  mfn << 12 | PTE_P | PTE_W | PTE_U | PTE_A |
					  PTE_D };

	EQ(HC(__HYPERVISOR_mmu_update, &req, 1, 0, u->id), 0);
	EQ(mmuext(MMUEXT_INVLPG_LOCAL, (u64)window_page, 0), 0);
	return window_page;
}

static void window_back(void)
{
	struct mmu_update req = { pte_maddr((u64)window_page, 1),
				  mfn_of(window_page) << 12 | PTE_P | PTE_W |
					  PTE_U | PTE_A | PTE_D };

	EQ(HC(__HYPERVISOR_mmu_update, &req, 1, 0, DOMID_SELF), 0);
	EQ(mmuext(MMUEXT_INVLPG_LOCAL, (u64)window_page, 0), 0);
}

static u64 image_mfn(const struct domu *u, u64 va)
{
	return u->mfn[TABLES + ((va - (u64)_start) >> 12)];
}

void domu_copy(const struct domu *u, void *to, const void *va, size_t n)
{
	const char *from = foreign(u, image_mfn(u, (u64)va & ~4095UL));

	memcpy(to, from + ((u64)va & 4095), n);
	window_back();
}

static void create(struct domu *u)
{
	struct xen_domctl op = { 0 };

	op.u.createdomain.max_vcpus = 1;
	op.u.createdomain.max_evtchn_port = 1023;
	op.u.createdomain.max_grant_frames = 4;
	op.u.createdomain.max_maptrack_frames = 4;
	op.u.createdomain.grant_opts = 1;
	EQ(domctl(&op, XEN_DOMCTL_createdomain, 0), 0);
	u->id = op.domain;
	op.u.max_mem.max_memkb = ARRAY_SIZE(u->mfn) * 4;
	EQ(domctl(&op, XEN_DOMCTL_max_mem, u->id), 0);
	op.u.max_vcpus.max = 1;
	EQ(domctl(&op, XEN_DOMCTL_max_vcpus, u->id), 0);
}

static void fill(struct domu *u, unsigned int image)
{
	u64 va = (u64)_start, *t;
	u64 up[3] = { va >> 39 & 511, va >> 30 & 511, va >> 21 & 511 };

	for (unsigned int i = 0; i < image; i++)
		memcpy(foreign(u, u->mfn[TABLES + i]), _start + i * 4096, 4096);
	for (unsigned int l = 0; l < 3; l++) {
		t = memset(foreign(u, u->mfn[l]), 0, 4096);
		t[up[l]] = u->mfn[l + 1] << 12 | PTE_P | PTE_W | PTE_U | PTE_A;
	}
	t = memset(foreign(u, u->mfn[3]), 0, 4096);
	for (unsigned int i = 0; i < image; i++)
		t[(va >> 12 & 511) + i] = u->mfn[TABLES + i] << 12 | PTE_P |
					  PTE_W | PTE_U | PTE_A | PTE_D;
	window_back();
}

void domu_poke(const struct domu *u, void *va, const void *from, size_t n)
{
	char *to = foreign(u, image_mfn(u, (u64)va & ~4095UL));

	memcpy(to + ((u64)va & 4095), from, n);
	window_back();
}

void domu_start_paused(struct domu *u, void (*fn)(void))
{
	static struct vcpu_guest_context c;
	struct xen_memory_reservation r = { 0 };
	struct xen_domctl op = { 0 };
	unsigned int image = (_end - _start + 4095) / 4096;

	create(u);
	CHECK(TABLES + image <= ARRAY_SIZE(u->mfn));
	r.nr_extents = TABLES + image;
	r.domid = u->id;
	for (unsigned int i = 0; i < r.nr_extents; i++)
		u->mfn[i] = i;
	SET_HANDLE(r.extent_start, u->mfn);
	EQ(HC(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &r),
	   r.nr_extents);
	fill(u, image);

	memset(&c, 0, sizeof(c));
	c.flags = VGCF_in_kernel | VGCF_online;
	c.user_regs.rip = (u64)fn;
	c.user_regs.rsp = c.kernel_sp =
		(u64)domu_stack + sizeof(domu_stack) - 8;
	c.user_regs.cs = FLAT_KERNEL_CS;
	c.user_regs.ss = c.kernel_ss = FLAT_KERNEL_SS;
	c.ctrlreg[3] = u->mfn[0] << 12;
	SET_HANDLE(op.u.vcpucontext.ctxt, &c);
	op.u.vcpucontext.vcpu = 0;
	EQ(domctl(&op, XEN_DOMCTL_setvcpucontext, u->id), 0);
}

void domu_start(struct domu *u, void (*fn)(void))
{
	struct xen_domctl op = { 0 };

	domu_start_paused(u, fn);
	EQ(domctl(&op, XEN_DOMCTL_unpausedomain, u->id), 0);
}

void domu_info(const struct domu *u, struct xen_domctl_getdomaininfo *ret)
{
	struct xen_domctl op = { 0 };

	EQ(domctl(&op, XEN_DOMCTL_getdomaininfo, u->id), 0);
	EQ(op.domain, u->id);
	*ret = op.u.getdomaininfo;
}

void domu_destroy(struct domu *u)
{
	struct xen_domctl op = { 0 };

	EQ(domctl(&op, XEN_DOMCTL_destroydomain, u->id), 0);
}

u64 free_frames(void)
{
	struct xen_sysctl op = {
		.cmd = XEN_SYSCTL_physinfo,
		.interface_version = XEN_SYSCTL_INTERFACE_VERSION,
	};

	EQ(HC(__HYPERVISOR_sysctl, &op), 0);
	return op.u.physinfo.free_pages + op.u.physinfo.scrub_pages;
}

void sleep_ms(unsigned int ms)
{
	struct sched_poll p = { .nr_ports = 0 };

	p.timeout = now() + ms * 1000000UL;
	EQ(HC(__HYPERVISOR_sched_op, SCHEDOP_poll, &p), 0);
}
