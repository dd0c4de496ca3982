/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory hypercalls made on behalf of another domain.
 *
 * Lists are passed in pieces that fit the arena. The hypervisor preempts long
 * operations by itself, so a piece either completes or says how far it got.
 */
#include "bulkhead/hv.h"

#define CHUNK 16384u

static long memory_op(struct bh_hv *h, unsigned int cmd, void *arg)
{
	return bh_hv_call(h, __HYPERVISOR_memory_op, cmd, (uintptr_t)arg, 0, 0,
			  0);
}

long bh_hv_populate(struct bh_hv *h, uint32_t domid, unsigned int order,
		    xen_pfn_t *list, size_t n)
{
	size_t mark = bh_hv_mark(h), done = 0;
	size_t most = MIN(n, (size_t)CHUNK);
	struct xen_memory_reservation *op = bh_hv_buf(h, sizeof(*op));
	xen_pfn_t *ext = bh_hv_buf(h, most * sizeof(*ext));
	long r = 0;

	if (!op || !ext) {
		bh_hv_release(h, mark);
		return -ENOMEM;
	}
	while (done < n) {
		size_t k = MIN(n - done, most);

		memcpy(ext, list + done, k * sizeof(*ext));
		*op = (struct xen_memory_reservation){
			.nr_extents = k,
			.extent_order = order,
			.domid = (domid_t)domid,
		};
		set_xen_guest_handle(op->extent_start, ext);
		r = memory_op(h, XENMEM_populate_physmap, op);
		if (r <= 0)
			break;
		memcpy(list + done, ext, (size_t)r * sizeof(*ext));
		done += (size_t)r;
		if ((size_t)r < k)
			break;
	}
	bh_hv_release(h, mark);
	return r < 0 && done == 0 ? r : (long)done;
}

int bh_hv_claim(struct bh_hv *h, uint32_t domid, uint64_t pages)
{
	size_t mark = bh_hv_mark(h);
	struct xen_memory_reservation *op = bh_hv_buf(h, sizeof(*op));
	long r = -ENOMEM;

	if (op) {
		op->nr_extents = pages;
		op->domid = (domid_t)domid;
		r = memory_op(h, XENMEM_claim_pages, op);
	}
	bh_hv_release(h, mark);
	return (int)r;
}

int bh_hv_set_memory_map(struct bh_hv *h, uint32_t domid, uint64_t bytes)
{
	struct e820entry {
		uint64_t addr, size;
		uint32_t type;
	} __attribute__((packed)) * map;
	size_t mark = bh_hv_mark(h);
	struct xen_foreign_memory_map *op = bh_hv_buf(h, sizeof(*op));
	long r = -ENOMEM;

	map = bh_hv_buf(h, sizeof(*map));
	if (op && map) {
		*map = (struct e820entry){ .size = bytes, .type = 1 };
		op->domid = (domid_t)domid;
		op->map.nr_entries = 1;
		set_xen_guest_handle(op->map.buffer, (void *)map);
		r = memory_op(h, XENMEM_set_memory_map, op);
	}
	bh_hv_release(h, mark);
	return (int)r;
}

long bh_hv_max_mfn(struct bh_hv *h)
{
	return memory_op(h, XENMEM_maximum_ram_page, NULL);
}

int bh_hv_m2p_frames(struct bh_hv *h, xen_pfn_t *mfns, size_t n, size_t *ret)
{
	size_t mark = bh_hv_mark(h);
	struct xen_machphys_mfn_list *op = bh_hv_buf(h, sizeof(*op));
	xen_pfn_t *list = bh_hv_buf(h, n * sizeof(*list));
	long r = -ENOMEM;

	if (op && list) {
		op->max_extents = (unsigned int)n;
		set_xen_guest_handle(op->extent_start, list);
		r = memory_op(h, XENMEM_machphys_mfn_list, op);
		if (r == 0) {
			memcpy(mfns, list, op->nr_extents * sizeof(*list));
			*ret = op->nr_extents;
		}
	}
	bh_hv_release(h, mark);
	return (int)r;
}

int bh_hv_mmuext(struct bh_hv *h, uint32_t domid, const struct mmuext_op *ops,
		 size_t n, size_t *ret_done)
{
	const size_t most = 1024;
	size_t mark = bh_hv_mark(h), done = 0;
	struct mmuext_op *b = bh_hv_buf(h, MIN(n, most) * sizeof(*b));
	unsigned int *pdone = bh_hv_buf(h, sizeof(*pdone));
	long r = b && pdone ? 0 : -ENOMEM;

	while (r == 0 && done < n) {
		size_t k = MIN(n - done, most);

		memcpy(b, ops + done, k * sizeof(*b));
		*pdone = 0;
		r = bh_hv_call(h, __HYPERVISOR_mmuext_op, (uintptr_t)b, k,
			       (uintptr_t)pdone, domid, 0);
		done += r < 0 ? MIN(*pdone, k) : k;
	}
	bh_hv_release(h, mark);
	if (ret_done)
		*ret_done = done;
	return r < 0 ? (int)r : 0;
}

int bh_hv_m2p_update(struct bh_hv *h, uint32_t domid, uint64_t mfn,
		     uint64_t pfn)
{
	size_t mark = bh_hv_mark(h);
	struct mmu_update *u = bh_hv_buf(h, sizeof(*u));
	long r = -ENOMEM;

	if (u) {
		u->ptr = mfn << BH_PAGE_SHIFT | MMU_MACHPHYS_UPDATE;
		u->val = pfn;
		r = bh_hv_call(h, __HYPERVISOR_mmu_update, (uintptr_t)u, 1, 0,
			       domid, 0);
	}
	bh_hv_release(h, mark);
	return (int)r;
}
