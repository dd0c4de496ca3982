/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory_op: how much memory a domain has, and questions about the machine's.
 * For PV guests GMFNs are machine frame numbers; the guest keeps its own P2M,
 * we keep the M2P.
 *
 * Long lists are preemptible: extents done so far travel in the upper bits of
 * the command, as the ABI provides. XENMEM_exchange is in mm/exchange.c.
 */
#include <bh/boot.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/grant.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/page.h>
#include <public/memory.h>

#include "mm_private.h"

#define EXTENT_SHIFT 6 /* MEMOP_EXTENT_SHIFT */
#define CMD_MASK     ((1UL << EXTENT_SHIFT) - 1)

struct domain *memory_op_domain(struct vcpu *v, domid_t id, long *rc)
{
	struct domain *d;

	*rc = 0;
	if (id == DOMID_SELF || id == v->domain->id)
		d = domain_by_any_id(v->domain->id);
	else if (!is_control_domain(v->domain)) {
		*rc = -EPERM;
		return NULL;
	} else
		d = domain_by_id(id);
	if (d && d->is_system) {
		domain_put(d);
		d = NULL;
	}
	if (!d)
		*rc = -ESRCH;
	return d;
}

unsigned int memory_op_max_order(const struct vcpu *v)
{
	return is_control_domain(v->domain) ? 18 : 9;
}

/* ---- reservations ------------------------------------------------------------ */

struct extents {
	struct vcpu *v;
	struct domain *d;
	gptr_t list;
	unsigned int order, addr_bits;
	unsigned long nr, done;
};

static bool populate_one(struct extents *x, unsigned long i, bool set_m2p)
{
	gptr_t p = gptr_add(x->list, i * sizeof(xen_pfn_t));
	struct page_info *pg;
	u64 pfn = 0;
	mfn_t mfn;

	if (set_m2p && get_guest_u64(&pfn, p))
		return false;
	pg = domain_alloc_pages(x->d, x->order, x->addr_bits, 0);
	if (!pg)
		return false;
	mfn = page_to_mfn(pg);
	for (unsigned long k = 0; set_m2p && k < 1UL << x->order; k++)
		m2p_set(_mfn(mfn_x(mfn) + k), pfn + k);
	return gptr_null(x->list) || !put_guest_u64(p, mfn_x(mfn));
}

static bool decrease_one(struct extents *x, unsigned long i)
{
	u64 mfn;

	if (get_guest_u64(&mfn, gptr_add(x->list, i * sizeof(xen_pfn_t))))
		return false;
	for (unsigned long k = 0; k < 1UL << x->order; k++) {
		struct page_info *pg = page_from_mfn(_mfn(mfn + k), x->d);
		bool was_his;

		if (!pg)
			return false;
		was_his = !(pg->count & PGC_XENHEAP) && domain_release_page(pg);
		if (was_his)
			m2p_set(_mfn(mfn + k), M2P_INVALID);
		page_put(pg);
		if (!was_his)
			return false;
	}
	return true;
}

static long op_reservation(struct vcpu *v, unsigned int cmd, unsigned long a[6],
			   unsigned long start)
{
	struct xen_memory_reservation r;
	struct extents x = { .v = v };
	unsigned long i;
	bool ok = true;
	long rc;

	if (copy_from_guest(&r, GPTR(a[1]), sizeof(r)))
		return start;
	if (r.nr_extents > ~0UL >> EXTENT_SHIFT || start > r.nr_extents ||
	    r.extent_order > memory_op_max_order(v))
		return start;
	x.d = memory_op_domain(v, r.domid, &rc);
	if (!x.d)
		return start;
	x.list = GPTR(r.extent_start.p);
	x.order = r.extent_order;
	x.addr_bits = XENMEMF_get_address_bits(r.mem_flags);
	if (x.addr_bits && x.addr_bits <= PAGE_SHIFT)
		ok = false;
	for (i = start; ok && i < r.nr_extents; i++) {
		if (i != start && hypercall_preempt()) {
			domain_put(x.d);
			a[0] = cmd | i << EXTENT_SHIFT;
			return -ERESTART;
		}
		if (cmd == XENMEM_decrease_reservation)
			ok = decrease_one(&x, i);
		else
			ok = populate_one(&x, i,
					  cmd == XENMEM_populate_physmap);
		if (!ok)
			break;
	}
	domain_put(x.d);
	return i;
}

static long op_query_domain(struct vcpu *v, unsigned int cmd, gptr_t arg)
{
	struct xen_memory_domain q;
	struct domain *d;
	long rc;

	if (copy_from_guest(&q, arg, sizeof(q)))
		return -EFAULT;
	d = memory_op_domain(v, q.domid, &rc);
	if (!d)
		return rc;
	switch (cmd) {
	case XENMEM_current_reservation:
		rc = d->tot_pages;
		break;
	case XENMEM_maximum_reservation:
		rc = min(d->max_pages, (u64)0xffffffff);
		break;
	default: /* XENMEM_maximum_gpfn */
		rc = d->shared ? (long)READ_ONCE(d->shared->arch.max_pfn) - 1
			       : -EINVAL;
	}
	domain_put(d);
	return rc;
}

static long op_claim(struct vcpu *v, gptr_t arg)
{
	struct xen_memory_reservation r;
	struct domain *d;
	long rc;

	if (!is_control_domain(v->domain))
		return -EPERM;
	if (copy_from_guest(&r, arg, sizeof(r)))
		return -EFAULT;
	if (r.extent_start.p || r.extent_order || r.mem_flags)
		return -EINVAL;
	d = memory_op_domain(v, r.domid, &rc);
	if (!d)
		return rc;
	rc = domain_claim_pages(d, r.nr_extents);
	domain_put(d);
	return rc;
}

/* ---- machine-to-phys table -------------------------------------------------------- */

/* Tools map the M2P as frames of DOMID_XEN: give them that owner. */
static void m2p_publish(void)
{
	static struct spinlock lock = SPINLOCK_INIT(LOCK_NONE);
	static bool done;

	spin_lock(&lock);
	for (unsigned int i = 0; !done && i < m2p_nr_chunks(); i++) {
		unsigned long mfn = m2p_chunk_mfn(i);

		for (unsigned long k = 0; mfn && k < 512; k++)
			page_share_with(frame_table + mfn + k, dom_xen, true);
	}
	done = true;
	spin_unlock(&lock);
}

static long op_machphys_list(struct vcpu *v, gptr_t arg)
{
	struct xen_machphys_mfn_list l;
	u64 mfn = 0;
	unsigned int n;

	if (copy_from_guest(&l, arg, sizeof(l)))
		return -EFAULT;
	if (is_control_domain(v->domain))
		m2p_publish();
	n = min(m2p_nr_chunks(), l.max_extents);
	for (unsigned int i = 0; i < n; i++) {
		/* A hole repeats the piece before, so it can be mapped. */
		mfn = m2p_chunk_mfn(i) ? m2p_chunk_mfn(i) : mfn;
		if (put_guest_u64(GPTR(l.extent_start.p + i), mfn))
			return -EFAULT;
	}
	l.nr_extents = n;
	return copy_to_guest(arg, &l, sizeof(l));
}

static long op_machphys_mapping(struct vcpu *v, gptr_t arg)
{
	struct xen_machphys_mapping m = {
		.v_start = M2P_RO_START,
		.v_end = M2P_RO_END,
		.max_mfn = is_control_domain(v->domain)
				   ? max_mfn - 1
				   : (M2P_RO_END - M2P_RO_START) / 8 - 1,
	};

	return copy_to_guest(arg, &m, sizeof(m));
}

/* ---- memory maps -------------------------------------------------------------------- */

static long op_memory_map(struct vcpu *v, gptr_t arg)
{
	struct domain *d = v->domain;
	struct xen_memory_map m;
	u32 n;

	if (copy_from_guest(&m, arg, sizeof(m)))
		return -EFAULT;
	if (!READ_ONCE(d->nr_e820)) {
		/* A kernel without CONFIG_XEN_DOM0 may carry the note of one
		 * that has it, and then asks as an ordinary guest does. */
		if (d == hardware_domain)
			printk(LVL_ERR
			       "dom0's kernel asks for an ordinary guest's memory map: built without CONFIG_XEN_DOM0 it cannot be dom0; use linux-image-amd64, not the cloud kernel\n");
		return -ENOSYS;
	}
	for (n = 0; n < m.nr_entries; n++) {
		struct e820_entry e;

		/* The tools may replace the map at any time. */
		spin_lock(&d->page_lock);
		if (n >= d->nr_e820) {
			spin_unlock(&d->page_lock);
			break;
		}
		e = d->e820[n];
		spin_unlock(&d->page_lock);
		if (copy_to_guest(GPTR((char *)m.buffer.p + n * sizeof(e)), &e,
				  sizeof(e)))
			return -EFAULT;
	}
	m.nr_entries = n;
	return copy_to_guest(arg, &m, sizeof(m));
}

static long op_set_memory_map(struct vcpu *v, gptr_t arg)
{
	struct xen_foreign_memory_map m;
	struct e820_entry *map, *old;
	struct domain *d;
	size_t size;
	long rc;

	if (!is_control_domain(v->domain))
		return -EPERM;
	if (copy_from_guest(&m, arg, sizeof(m)))
		return -EFAULT;
	if (m.map.nr_entries > E820_MAX)
		return -EINVAL;
	d = memory_op_domain(v, m.domid, &rc);
	if (!d)
		return rc;
	size = m.map.nr_entries * sizeof(*map);
	rc = -ENOMEM;
	map = xmalloc(size);
	if (!map)
		goto out;
	rc = copy_from_guest(map, GPTR(m.map.buffer.p), size);
	if (rc) {
		xfree(map);
		goto out;
	}
	spin_lock(&d->page_lock);
	old = d->e820;
	d->e820 = map;
	d->nr_e820 = m.map.nr_entries;
	spin_unlock(&d->page_lock);
	xfree(old);
out:
	domain_put(d);
	return rc;
}

/* Device pages that are ours; dom0 must not put anything on top of them. */
static const struct e820_entry own_devices[] = {
	{ 0xfec00000, 0x1000, E820_RESERVED },   /* first I/O APIC */
	{ 0xfed00000, 0x1000, E820_RESERVED },   /* HPET */
	{ 0xfee00000, 0x100000, E820_RESERVED }, /* local APICs, MSI window */
};

static bool in_host_map(const struct e820_entry *x)
{
	for (unsigned int i = 0; i < boot_info.nr_e820; i++) {
		const struct e820_entry *e = &boot_info.e820[i];

		if (e->addr < x->addr + x->size && x->addr < e->addr + e->size)
			return true;
	}
	return false;
}

static int emit(struct xen_memory_map *m, u32 *n, const struct e820_entry *e)
{
	gptr_t p = GPTR((char *)m->buffer.p + *n * sizeof(*e));

	if (*n >= m->nr_entries)
		return -EINVAL;
	(*n)++;
	return copy_to_guest(p, e, sizeof(*e));
}

static long op_machine_memory_map(struct vcpu *v, gptr_t arg)
{
	struct xen_memory_map m;
	unsigned int o = 0;
	u32 n = 0;
	int rc = 0;

	if (!is_control_domain(v->domain))
		return -EPERM;
	if (copy_from_guest(&m, arg, sizeof(m)))
		return -EFAULT;
	for (unsigned int i = 0; !rc && i <= boot_info.nr_e820; i++) {
		const struct e820_entry *e =
			i < boot_info.nr_e820 ? &boot_info.e820[i] : NULL;

		while (!rc && o < ARRAY_SIZE(own_devices) &&
		       (!e || own_devices[o].addr < e->addr)) {
			const struct e820_entry *x = &own_devices[o++];

			if (!in_host_map(x) &&
			    !rangeset_contains(v->domain->iomem_caps,
					       x->addr >> PAGE_SHIFT,
					       x->addr >> PAGE_SHIFT))
				rc = emit(&m, &n, x);
		}
		if (!rc && e)
			rc = emit(&m, &n, e);
	}
	if (rc)
		return rc;
	m.nr_entries = n;
	return copy_to_guest(arg, &m, sizeof(m));
}

/* ---- resources --------------------------------------------------------------------- */

static long acquire_grant_frames(struct domain *d,
				 struct xen_mem_acquire_resource *r)
{
	bool status = r->id == XENMEM_resource_grant_table_id_status;

	if (r->id > XENMEM_resource_grant_table_id_status)
		return -EINVAL;
	if (!r->frame_list.p) {
		if (r->nr_frames)
			return -EINVAL;
		r->nr_frames = grant_max_frames(d, status);
		return 0;
	}
	if (r->frame > ~0U || r->nr_frames > 1024)
		return -EINVAL;
	for (u32 i = 0; i < r->nr_frames; i++) {
		mfn_t mfn;
		int rc = grant_frame_get(d, r->frame + i, status, &mfn);

		if (!rc)
			rc = put_guest_u64(GPTR(r->frame_list.p + i),
					   mfn_x(mfn));
		if (rc)
			return rc;
	}
	return 0;
}

static long op_acquire_resource(struct vcpu *v, gptr_t arg)
{
	struct xen_mem_acquire_resource r;
	struct domain *d;
	long rc;

	if (copy_from_guest(&r, arg, sizeof(r)))
		return -EFAULT;
	if (r.pad)
		return -EINVAL;
	if (!is_control_domain(v->domain))
		return -EPERM;
	d = r.domid == DOMID_SELF ? NULL : memory_op_domain(v, r.domid, &rc);
	if (!d)
		return -ESRCH;
	rc = r.type == XENMEM_resource_grant_table ? acquire_grant_frames(d, &r)
						   : -EOPNOTSUPP;
	domain_put(d);
	if (!rc && !r.frame_list.p &&
	    copy_to_guest(
		    gptr_add(arg, offsetof(struct xen_mem_acquire_resource,
					   nr_frames)),
		    &r.nr_frames, sizeof(r.nr_frames)))
		rc = -EFAULT;
	return rc;
}

/* ---- dispatch ------------------------------------------------------------------------ */

long do_memory_op(struct vcpu *v, unsigned long a[6])
{
	unsigned int cmd = a[0] & CMD_MASK;
	unsigned long start = a[0] >> EXTENT_SHIFT;
	gptr_t arg = GPTR(a[1]);

	switch (cmd) {
	case XENMEM_increase_reservation:
	case XENMEM_decrease_reservation:
	case XENMEM_populate_physmap:
		return op_reservation(v, cmd, a, start);
	}
	if (start)
		return -EINVAL;
	switch (cmd) {
	case XENMEM_exchange:
		return memory_exchange(v, arg);
	case XENMEM_maximum_ram_page:
		return max_mfn;
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
	case XENMEM_maximum_gpfn:
		return op_query_domain(v, cmd, arg);
	case XENMEM_machphys_mfn_list:
		return op_machphys_list(v, arg);
	case XENMEM_machphys_mapping:
		return op_machphys_mapping(v, arg);
	case XENMEM_memory_map:
		return op_memory_map(v, arg);
	case XENMEM_set_memory_map:
		return op_set_memory_map(v, arg);
	case XENMEM_machine_memory_map:
		return op_machine_memory_map(v, arg);
	case XENMEM_claim_pages:
		return op_claim(v, arg);
	case XENMEM_acquire_resource:
		return op_acquire_resource(v, arg);
	case XENMEM_get_sharing_freed_pages:
	case XENMEM_get_sharing_shared_pages:
		return 0; /* no page sharing */
	case XENMEM_add_to_physmap:
	case XENMEM_add_to_physmap_batch:
	case XENMEM_remove_from_physmap:
		return -EACCES; /* translated guests only */
	case XENMEM_set_pod_target:
	case XENMEM_get_pod_target:
		return -EINVAL; /* translated guests only */
	case XENMEM_get_vnumainfo:
		return -EOPNOTSUPP;
	}
	return -ENOSYS;
}
