/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domain control: one small function for each operation the toolstack uses.
 */
#include "bulkhead/hv.h"

int bh_hv_domain_create(struct bh_hv *h, const struct bh_guest_cfg *c,
			uint32_t *ret_domid)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain };
	struct xen_sysctl_physinfo pi;
	int r = bh_hv_physinfo(h, &pi);

	if (r < 0)
		return r;
	memcpy(op.u.createdomain.handle, c->uuid, 16);
	op.u.createdomain.max_vcpus = c->maxvcpus;
	op.u.createdomain.max_evtchn_port = (uint32_t)c->max_evtchn;
	op.u.createdomain.max_grant_frames = c->max_grant_frames;
	op.u.createdomain.max_maptrack_frames = c->max_maptrack_frames;
	op.u.createdomain.grant_opts = XEN_DOMCTL_GRANT_version(
		pi.capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v2 ? 2 : 1);
	r = bh_hv_domctl(h, &op);
	if (r == 0)
		*ret_domid = op.domain;
	return r;
}

static int simple(struct bh_hv *h, uint32_t cmd, uint32_t domid)
{
	struct xen_domctl op = { .cmd = cmd, .domain = (domid_t)domid };

	return bh_hv_domctl(h, &op);
}

int bh_hv_domain_destroy(struct bh_hv *h, uint32_t domid)
{
	return simple(h, XEN_DOMCTL_destroydomain, domid);
}

int bh_hv_domain_pause(struct bh_hv *h, uint32_t domid)
{
	return simple(h, XEN_DOMCTL_pausedomain, domid);
}

int bh_hv_domain_unpause(struct bh_hv *h, uint32_t domid)
{
	return simple(h, XEN_DOMCTL_unpausedomain, domid);
}

int bh_hv_domain_resume(struct bh_hv *h, uint32_t domid)
{
	return simple(h, XEN_DOMCTL_resumedomain, domid);
}

int bh_hv_domain_info(struct bh_hv *h, uint32_t domid,
		      struct xen_domctl_getdomaininfo *ret)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_getdomaininfo,
				 .domain = (domid_t)domid };
	int r = bh_hv_domctl(h, &op);

	if (r < 0)
		return r;
	if (op.u.getdomaininfo.domain != domid)
		return -ESRCH; /* it answered with the next one */
	*ret = op.u.getdomaininfo;
	return 0;
}

int bh_hv_domain_list(struct bh_hv *h, struct xen_domctl_getdomaininfo **ret,
		      size_t *ret_n)
{
	const size_t batch = 256;
	struct xen_domctl_getdomaininfo *list = NULL;
	size_t n = 0, alloc = 0, mark = bh_hv_mark(h);
	struct xen_domctl_getdomaininfo *b;
	uint32_t first = 0;
	int r = 0;

	b = bh_hv_buf(h, batch * sizeof(*b));
	if (!b)
		return -ENOMEM;
	for (;;) {
		struct xen_sysctl op = { .cmd = XEN_SYSCTL_getdomaininfolist };
		uint32_t k;

		op.u.getdomaininfolist.first_domain = (domid_t)first;
		op.u.getdomaininfolist.max_domains = (uint32_t)batch;
		set_xen_guest_handle(op.u.getdomaininfolist.buffer, b);
		r = bh_hv_sysctl(h, &op);
		if (r < 0)
			break;
		k = op.u.getdomaininfolist.num_domains;
		r = bh_grow(&list, &alloc, n + k + 1, sizeof(*list));
		if (r < 0)
			break;
		memcpy(list + n, b, k * sizeof(*b));
		n += k;
		if (k < batch)
			break;
		first = b[k - 1].domain + 1u;
	}
	bh_hv_release(h, mark);
	if (r < 0) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int bh_hv_domain_set_max_mem(struct bh_hv *h, uint32_t domid, uint64_t kib)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_max_mem,
				 .domain = (domid_t)domid };

	op.u.max_mem.max_memkb = kib;
	return bh_hv_domctl(h, &op);
}

int bh_hv_domain_set_max_vcpus(struct bh_hv *h, uint32_t domid, uint32_t n)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_max_vcpus,
				 .domain = (domid_t)domid };

	op.u.max_vcpus.max = n;
	return bh_hv_domctl(h, &op);
}

int bh_hv_domain_set_handle(struct bh_hv *h, uint32_t domid,
			    const uint8_t handle[16])
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_setdomainhandle,
				 .domain = (domid_t)domid };

	memcpy(op.u.setdomainhandle.handle, handle, 16);
	return bh_hv_domctl(h, &op);
}

int bh_hv_domain_set_64bit(struct bh_hv *h, uint32_t domid)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_set_address_size,
				 .domain = (domid_t)domid };

	op.u.address_size.size = 64;
	return bh_hv_domctl(h, &op);
}

int bh_hv_domain_hypercall_page(struct bh_hv *h, uint32_t domid, uint64_t mfn)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_hypercall_init,
				 .domain = (domid_t)domid };

	op.u.hypercall_init.gmfn = mfn;
	return bh_hv_domctl(h, &op);
}

int bh_hv_domain_set_time_offset(struct bh_hv *h, uint32_t domid, int32_t sec)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_settimeoffset,
				 .domain = (domid_t)domid };

	op.u.settimeoffset.time_offset_seconds = sec;
	return bh_hv_domctl(h, &op);
}

int bh_hv_domain_shutdown(struct bh_hv *h, uint32_t domid, unsigned int why)
{
	size_t mark = bh_hv_mark(h);
	struct sched_remote_shutdown *op = bh_hv_buf(h, sizeof(*op));
	long r = -ENOMEM;

	if (op) {
		op->domain_id = (domid_t)domid;
		op->reason = why;
		r = bh_hv_call(h, __HYPERVISOR_sched_op,
			       SCHEDOP_remote_shutdown, (uintptr_t)op, 0, 0, 0);
	}
	bh_hv_release(h, mark);
	return (int)r;
}

int bh_hv_boot_watchdog_done(struct bh_hv *h)
{
	size_t mark = bh_hv_mark(h);
	struct sched_watchdog *op = bh_hv_buf(h, sizeof(*op));
	long r = -ENOMEM;

	if (op) {
		*op = (struct sched_watchdog){ .id = 0, .timeout = 0 };
		r = bh_hv_call(h, __HYPERVISOR_sched_op, SCHEDOP_watchdog,
			       (uintptr_t)op, 0, 0, 0);
	}
	bh_hv_release(h, mark);
	return (int)r;
}

int bh_hv_tsc_get(struct bh_hv *h, uint32_t domid,
		  struct xen_domctl_tsc_info *ret)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_gettscinfo,
				 .domain = (domid_t)domid };
	int r = bh_hv_domctl(h, &op);

	if (r == 0)
		*ret = op.u.tsc_info;
	return r;
}

int bh_hv_tsc_set(struct bh_hv *h, uint32_t domid,
		  const struct xen_domctl_tsc_info *info)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_settscinfo,
				 .domain = (domid_t)domid };

	op.u.tsc_info = *info;
	return bh_hv_domctl(h, &op);
}

int bh_hv_page_types(struct bh_hv *h, uint32_t domid, xen_pfn_t *mfns, size_t n)
{
	size_t mark = bh_hv_mark(h), done = 0;
	xen_pfn_t *b = bh_hv_buf(h, 1024 * sizeof(*b));
	int r = b ? 0 : -ENOMEM;

	while (r == 0 && done < n) {
		struct xen_domctl op = { .cmd = XEN_DOMCTL_getpageframeinfo3,
					 .domain = (domid_t)domid };
		size_t k = MIN(n - done, (size_t)1024);

		memcpy(b, mfns + done, k * sizeof(*b));
		op.u.getpageframeinfo3.num = k;
		set_xen_guest_handle(op.u.getpageframeinfo3.array, b);
		r = bh_hv_domctl(h, &op);
		if (r == 0)
			memcpy(mfns + done, b, k * sizeof(*b));
		done += k;
	}
	bh_hv_release(h, mark);
	return r;
}

static int context_op(struct bh_hv *h, uint32_t cmd, uint32_t domid,
		      uint32_t vcpu, vcpu_guest_context_t *ctxt)
{
	struct xen_domctl op = { .cmd = cmd, .domain = (domid_t)domid };
	size_t mark = bh_hv_mark(h);
	vcpu_guest_context_t *b = bh_hv_buf(h, sizeof(*b));
	int r = -ENOMEM;

	if (b) {
		*b = *ctxt;
		op.u.vcpucontext.vcpu = vcpu;
		set_xen_guest_handle(op.u.vcpucontext.ctxt, b);
		r = bh_hv_domctl(h, &op);
		if (r == 0)
			*ctxt = *b;
	}
	bh_hv_release(h, mark);
	return r;
}

int bh_hv_vcpu_set_context(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			   const vcpu_guest_context_t *ctxt)
{
	vcpu_guest_context_t copy = *ctxt;

	return context_op(h, XEN_DOMCTL_setvcpucontext, domid, vcpu, &copy);
}

int bh_hv_vcpu_get_context(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			   vcpu_guest_context_t *ctxt)
{
	*ctxt = (vcpu_guest_context_t){};
	return context_op(h, XEN_DOMCTL_getvcpucontext, domid, vcpu, ctxt);
}

int bh_hv_vcpu_info(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
		    struct xen_domctl_getvcpuinfo *ret)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_getvcpuinfo,
				 .domain = (domid_t)domid };
	int r;

	op.u.getvcpuinfo.vcpu = vcpu;
	r = bh_hv_domctl(h, &op);
	if (r == 0)
		*ret = op.u.getvcpuinfo;
	return r;
}

int bh_hv_vcpu_set_affinity(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			    bool soft, const struct bh_cpumap *m)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_setvcpuaffinity,
				 .domain = (domid_t)domid };
	size_t mark = bh_hv_mark(h);
	uint8_t *bits = bh_hv_buf(h, BH_CPUMAP_BYTES);
	struct xenctl_bitmap *map = soft ? &op.u.vcpuaffinity.cpumap_soft
					 : &op.u.vcpuaffinity.cpumap_hard;
	int r = -ENOMEM;

	if (bits) {
		if (m->any)
			memset(bits, 0xff, BH_CPUMAP_BYTES);
		else
			memcpy(bits, m->bits, BH_CPUMAP_BYTES);
		op.u.vcpuaffinity.vcpu = vcpu;
		op.u.vcpuaffinity.flags =
			soft ? XEN_VCPUAFFINITY_SOFT : XEN_VCPUAFFINITY_HARD;
		set_xen_guest_handle(map->bitmap, bits);
		map->nr_bits = BH_CPUMAP_BYTES * 8;
		r = bh_hv_domctl(h, &op);
	}
	bh_hv_release(h, mark);
	return r;
}

int bh_hv_vcpu_get_affinity(struct bh_hv *h, uint32_t domid, uint32_t vcpu,
			    struct bh_cpumap *hard, struct bh_cpumap *soft)
{
	struct xen_domctl op = { .cmd = XEN_DOMCTL_getvcpuaffinity,
				 .domain = (domid_t)domid };
	size_t mark = bh_hv_mark(h);
	uint8_t *b = bh_hv_buf(h, BH_CPUMAP_BYTES);
	uint8_t *s = bh_hv_buf(h, BH_CPUMAP_BYTES);
	int r = -ENOMEM;

	if (b && s) {
		op.u.vcpuaffinity.vcpu = vcpu;
		op.u.vcpuaffinity.flags =
			XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
		set_xen_guest_handle(op.u.vcpuaffinity.cpumap_hard.bitmap, b);
		op.u.vcpuaffinity.cpumap_hard.nr_bits = BH_CPUMAP_BYTES * 8;
		set_xen_guest_handle(op.u.vcpuaffinity.cpumap_soft.bitmap, s);
		op.u.vcpuaffinity.cpumap_soft.nr_bits = BH_CPUMAP_BYTES * 8;
		r = bh_hv_domctl(h, &op);
		if (r == 0) {
			*hard = (struct bh_cpumap){};
			*soft = (struct bh_cpumap){};
			memcpy(hard->bits, b, BH_CPUMAP_BYTES);
			memcpy(soft->bits, s, BH_CPUMAP_BYTES);
		}
	}
	bh_hv_release(h, mark);
	return r;
}

/* credit and credit2 carry weight and cap at the same places. */
static int sched_op(struct bh_hv *h, uint32_t cmd, uint32_t domid,
		    struct xen_domctl *op)
{
	uint32_t id;
	int r = bh_hv_sched_id(h, &id);

	if (r < 0)
		return r;
	if (id != XEN_SCHEDULER_CREDIT && id != XEN_SCHEDULER_CREDIT2)
		return -EOPNOTSUPP;
	op->cmd = XEN_DOMCTL_scheduler_op;
	op->domain = (domid_t)domid;
	op->u.scheduler_op.sched_id = id;
	op->u.scheduler_op.cmd = cmd;
	return bh_hv_domctl(h, op);
}

int bh_hv_sched_get(struct bh_hv *h, uint32_t domid, uint32_t *ret_weight,
		    uint32_t *ret_cap)
{
	struct xen_domctl op = {};
	int r = sched_op(h, XEN_DOMCTL_SCHEDOP_getinfo, domid, &op);

	if (r == 0) {
		*ret_weight = op.u.scheduler_op.u.credit2.weight;
		*ret_cap = op.u.scheduler_op.u.credit2.cap;
	}
	return r;
}

int bh_hv_sched_set(struct bh_hv *h, uint32_t domid, uint32_t weight,
		    uint32_t cap)
{
	struct xen_domctl op = {};
	uint32_t w, k;
	int r = bh_hv_sched_get(h, domid, &w, &k);

	if (r < 0)
		return r;
	if (weight)
		w = weight;
	if (cap != UINT32_MAX)
		k = cap;
	op.u.scheduler_op.u.credit2.weight = (uint16_t)w;
	op.u.scheduler_op.u.credit2.cap = (uint16_t)k;
	return sched_op(h, XEN_DOMCTL_SCHEDOP_putinfo, domid, &op);
}
