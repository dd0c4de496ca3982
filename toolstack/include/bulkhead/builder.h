/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building a PV domain in memory: populate, load, page tables, start info,
 * first vCPU. The domain is left paused; store and devices are others' work.
 */
#pragma once

#include "bulkhead/hv.h"
#include "bulkhead/image.h"

/*
 * Where everything goes, in guest page frames. Pure arithmetic over the
 * kernel's wishes, so that it can be tested without a hypervisor.
 */
struct bh_layout {
	uint64_t nr_pages;
	uint64_t kernel_pfn, kernel_end_pfn;
	uint64_t start_info_pfn, store_pfn, console_pfn;
	uint64_t pt_pfn, nr_pt; /* L4 first */
	uint64_t stack_pfn;
	uint64_t initrd_pfn, nr_initrd;
	uint64_t p2m_pfn, nr_p2m;       /* data pages */
	uint64_t p2m_pt_pfn, nr_p2m_pt; /* 0 if inside the initial mapping */
	uint64_t p2m_va;
	uint64_t map_pages;  /* initial mapping: frames 0..n at virt_base */
	uint64_t used_pages; /* first frame nobody uses */
};

int bh_layout_plan(const struct bh_kernel *k, uint64_t nr_pages,
		   uint64_t initrd_bytes, struct bh_layout *ret,
		   struct bh_err *e);

struct bh_domain {
	uint32_t domid;
	uint64_t console_mfn, store_mfn;
	uint32_t console_port, store_port; /* in the guest */
	void *console; /* the ring, mapped; NULL or one page */
};

/* Creates the empty domain with its limits, scheduling and event channels. */
int bh_domain_new(struct bh_hv *h, const struct bh_guest_cfg *c,
		  struct bh_domain *ret, struct bh_err *e);
/* Gives it memory and something to run. */
int bh_domain_load(struct bh_hv *h, const struct bh_guest_cfg *c,
		   const struct bh_kernel *k, const void *initrd,
		   size_t initrd_len, const char *cmdline, struct bh_domain *d,
		   struct bh_err *e);

/* Pieces that restoring a saved domain shares. */
int bh_domain_populate(struct bh_hv *h, uint32_t domid, uint64_t nr_pages,
		       xen_pfn_t *p2m, struct bh_err *e);
int bh_domain_seed_grants(struct bh_hv *h, const struct bh_domain *d);
