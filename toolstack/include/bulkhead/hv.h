/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls from dom0's user space, through /dev/xen/privcmd.
 *
 * The hypervisor reads and writes our memory without being able to fault it
 * in. Every argument therefore lives in one arena of resident pages
 * (/dev/xen/hypercall): bh_hv_buf() hands out pieces of it, and the outermost
 * call gives all of it back. One bh_hv belongs to one thread.
 *
 * Functions return 0 or a count, or a negative errno as the hypervisor said
 * it. Interface versions are those of the headers built against; a hypervisor
 * with others answers -EACCES, which callers need not treat specially.
 */
#pragma once

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif

#include <stdint.h>

#include <xen/xen.h>

#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>

#include "bulkhead/cfg.h"

#define BH_PAGE_SIZE  4096u
#define BH_PAGE_SHIFT 12

struct bh_hv;

int bh_hv_open(struct bh_hv **ret);
void bh_hv_close(struct bh_hv *h);
BH_DEFINE_CLEANUP(struct bh_hv *, bh_hv_close);

/* ---- raw --------------------------------------------------------------- */

/* Zeroed memory the hypervisor can reach; NULL if the arena is too small. */
void *bh_hv_buf(struct bh_hv *h, size_t size);
/* Gives back everything handed out since mark was taken. */
size_t bh_hv_mark(const struct bh_hv *h);
void bh_hv_release(struct bh_hv *h, size_t mark);
size_t bh_hv_buf_max(const struct bh_hv *h);

long bh_hv_call(struct bh_hv *h, unsigned int op, uint64_t a0, uint64_t a1,
		uint64_t a2, uint64_t a3, uint64_t a4);
int bh_hv_domctl(struct bh_hv *h, struct xen_domctl *op);
int bh_hv_sysctl(struct bh_hv *h, struct xen_sysctl *op);

/* ---- mapping other domains' memory ------------------------------------- */

/*
 * Maps n frames of domid one after the other. err, if not NULL, receives a
 * negative errno for each frame and holes are then no failure of the call.
 */
int bh_hv_map(struct bh_hv *h, uint32_t domid, int prot, const xen_pfn_t *mfns,
	      size_t n, int *err, void **ret);
int bh_hv_map_resource(struct bh_hv *h, uint32_t domid, unsigned int type,
		       unsigned int id, size_t frames, void **ret);
void bh_hv_unmap(void *p, size_t n);

/* ---- memory ------------------------------------------------------------ */

/* Returns how many extents were populated; mfns is in/out. */
long bh_hv_populate(struct bh_hv *h, uint32_t domid, unsigned int order,
		    xen_pfn_t *pfns_to_mfns, size_t n);
int bh_hv_claim(struct bh_hv *h, uint32_t domid, uint64_t pages);
int bh_hv_set_memory_map(struct bh_hv *h, uint32_t domid, uint64_t bytes);
long bh_hv_max_mfn(struct bh_hv *h);
int bh_hv_m2p_frames(struct bh_hv *h, xen_pfn_t *mfns, size_t n, size_t *ret);
int bh_hv_mmuext(struct bh_hv *h, uint32_t domid, const struct mmuext_op *ops,
		 size_t n, size_t *ret_done);
int bh_hv_m2p_update(struct bh_hv *h, uint32_t domid, uint64_t mfn,
		     uint64_t pfn);

/* ---- domains ----------------------------------------------------------- */

int bh_hv_domain_create(struct bh_hv *h, const struct bh_guest_cfg *c,
			uint32_t *ret_domid);
int bh_hv_domain_destroy(struct bh_hv *h, uint32_t domid);
int bh_hv_domain_pause(struct bh_hv *h, uint32_t domid);
int bh_hv_domain_unpause(struct bh_hv *h, uint32_t domid);
int bh_hv_domain_resume(struct bh_hv *h, uint32_t domid);
/* -ESRCH if there is no such domain. */
int bh_hv_domain_info(struct bh_hv *h, uint32_t domid,
		      struct xen_domctl_getdomaininfo *ret);
int bh_hv_domain_list(struct bh_hv *h, struct xen_domctl_getdomaininfo **ret,
		      size_t *ret_n);
int bh_hv_domain_set_max_mem(struct bh_hv *h, uint32_t domid, uint64_t kib);
int bh_hv_domain_set_max_vcpus(struct bh_hv *h, uint32_t domid, uint32_t n);
int bh_hv_domain_set_handle(struct bh_hv *h, uint32_t domid,
			    const uint8_t handle[16]);
int bh_hv_domain_set_64bit(struct bh_hv *h, uint32_t domid);
int bh_hv_domain_hypercall_page(struct bh_hv *h, uint32_t domid, uint64_t mfn);
int bh_hv_domain_set_time_offset(struct bh_hv *h, uint32_t domid, int32_t sec);
int bh_hv_domain_shutdown(struct bh_hv *h, uint32_t domid, unsigned int why);
int bh_hv_tsc_get(struct bh_hv *h, uint32_t domid,
		  struct xen_domctl_tsc_info *ret);
int bh_hv_tsc_set(struct bh_hv *h, uint32_t domid,
		  const struct xen_domctl_tsc_info *info);
int bh_hv_page_types(struct bh_hv *h, uint32_t domid, xen_pfn_t *mfns,
		     size_t n);

int bh_hv_vcpu_set_context(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			   const vcpu_guest_context_t *ctxt);
int bh_hv_vcpu_get_context(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			   vcpu_guest_context_t *ctxt);
int bh_hv_vcpu_info(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
		    struct xen_domctl_getvcpuinfo *ret);
int bh_hv_vcpu_set_affinity(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			    bool soft, const struct bh_cpumap *m);
int bh_hv_vcpu_get_affinity(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			    struct bh_cpumap *hard, struct bh_cpumap *soft);
/* weight 0 or cap UINT32_MAX leave the value as it is; in/out. */
int bh_hv_sched_get(struct bh_hv *h, uint32_t domid, uint32_t *ret_weight,
		    uint32_t *ret_cap);
int bh_hv_sched_set(struct bh_hv *h, uint32_t domid, uint32_t weight,
		    uint32_t cap);

int bh_hv_evtchn_alloc_unbound(struct bh_hv *h, uint32_t domid, uint32_t remote,
			       uint32_t *ret_port);

/* ---- the host ---------------------------------------------------------- */

int bh_hv_physinfo(struct bh_hv *h, struct xen_sysctl_physinfo *ret);
int bh_hv_sched_id(struct bh_hv *h, uint32_t *ret);
/* Tells the hypervisor that dom0 is well (boot_watchdog=); -EINVAL when no boot
 * watchdog runs, or the hypervisor has none. */
int bh_hv_boot_watchdog_done(struct bh_hv *h);
/* Reads the hypervisor's console ring into a new string. */
int bh_hv_console(struct bh_hv *h, bool clear, char **ret, size_t *ret_len);
int bh_hv_version(struct bh_hv *h, char *buf, size_t size);
int bh_hv_capabilities(struct bh_hv *h, char *buf, size_t size);
