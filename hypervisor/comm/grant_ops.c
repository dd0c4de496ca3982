/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grant tables: set-up, queries, versions, and the hypercall itself.
 *
 * Not offered: GNTTABOP_cache_flush (Arm only; -ENOSYS).
 */
#include <bh/errno.h>
#include <bh/grant.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>

#include "grant_private.h"

s16 grant_target(struct vcpu *v, domid_t dom, struct domain **ret)
{
	struct domain *d = domain_by_any_id(dom);

	if (!d)
		return GNTST_bad_domain;
	if (d->is_system || !d->grant) {
		domain_put(d);
		return GNTST_bad_domain;
	}
	if (d != v->domain && !is_control_domain(v->domain)) {
		domain_put(d);
		return GNTST_permission_denied;
	}
	*ret = d;
	return GNTST_okay;
}

/* Writes the machine frame numbers of n pages to a guest array of 64 bits. */
static long put_frame_list(gptr_t list, void *const *pages, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u64 mfn = mfn_x(virt_to_mfn(pages[i]));

		if (copy_to_guest(gptr_add(list, i * sizeof(mfn)), &mfn,
				  sizeof(mfn)))
			return -EFAULT;
	}
	return 0;
}

long grant_op_setup_table(struct vcpu *v, void *arg)
{
	struct gnttab_setup_table *op = arg;
	struct grant_table *gt;
	struct domain *d;
	long rc = 0;

	op->status = grant_target(v, op->dom, &d);
	if (op->status)
		return 0;
	gt = d->grant;
	if (op->nr_frames > gt->max_frames) {
		printk(LVL_GUEST "domain %u: %u grant frames asked, limit %u\n",
		       d->id, op->nr_frames, gt->max_frames);
		op->status = GNTST_general_error;
	} else {
		spin_lock(&gt->lock);
		if (op->nr_frames > gt->nr_frames &&
		    grant_grow(d, op->nr_frames))
			op->status = GNTST_general_error;
		spin_unlock(&gt->lock);
	}
	if (!op->status)
		rc = put_frame_list(GPTR(op->frame_list.p), gt->frames,
				    op->nr_frames);
	domain_put(d);
	return rc;
}

long grant_op_query_size(struct vcpu *v, void *arg)
{
	struct gnttab_query_size *op = arg;
	struct domain *d;

	op->status = grant_target(v, op->dom, &d);
	if (op->status)
		return 0;
	op->nr_frames = d->grant->nr_frames;
	op->max_nr_frames = d->grant->max_frames;
	domain_put(d);
	return 0;
}

/* Anything pinned, reserved references excepted? Lock held. */
static bool in_use(struct grant_table *gt)
{
	for (u32 ref = 0; ref < gt_entries(gt); ref++) {
		struct active *act = grant_active(gt, ref, false);

		if (act && (act->ro || act->rw))
			return true;
	}
	return false;
}

/* Keeps the entries the tools filled in before the guest ran. Lock held. */
static int switch_version(struct domain *d, u32 version)
{
	struct grant_table *gt = d->grant;
	struct grant_entry_v1 keep[GT_RESERVED];
	int rc;

	for (u32 i = 0; i < GT_RESERVED; i++) {
		if (gt->version == 1) {
			keep[i] = *gt_v1(gt, i);
			continue;
		}
		keep[i] = (struct grant_entry_v1){
			.flags = gt_v2(gt, i)->hdr.flags,
			.domid = gt_v2(gt, i)->hdr.domid,
			.frame = gt_v2(gt, i)->full_page.frame,
		};
		if ((keep[i].flags & GTF_type_mask) != GTF_permit_access ||
		    (keep[i].flags & GTF_sub_page))
			keep[i].flags = GTF_invalid;
	}
	if (version == 2) {
		u32 old = gt->version;

		gt->version = 2; /* grant_grow() adds the status frames */
		rc = grant_grow(d, gt->nr_frames);
		if (rc) {
			gt->version = old;
			return rc;
		}
	}
	for (u32 i = 0; i < gt->nr_frames; i++)
		memset(gt->frames[i], 0, PAGE_SIZE);
	for (u32 i = 0; i < gt->nr_status; i++)
		memset(gt->status[i], 0, PAGE_SIZE);
	gt->version = version;
	for (u32 i = 0; i < GT_RESERVED; i++) {
		if (version == 1) {
			*gt_v1(gt, i) = keep[i];
			continue;
		}
		gt_v2(gt, i)->full_page.frame = keep[i].frame;
		gt_v2(gt, i)->hdr.domid = keep[i].domid;
		gt_v2(gt, i)->hdr.flags =
			keep[i].flags & ~(GTF_reading | GTF_writing);
	}
	return 0;
}

long grant_op_set_version(struct vcpu *v, void *arg)
{
	struct gnttab_set_version *op = arg;
	struct grant_table *gt = v->domain->grant;
	u32 want = op->version;
	long rc = 0;

	if (want != 1 && want != 2)
		return -EINVAL;
	if (want > gt->max_version)
		return -EPERM;
	spin_lock(&gt->lock);
	op->version = gt->version;
	if (want != gt->version) {
		rc = in_use(gt) ? -EBUSY : switch_version(v->domain, want);
		op->version = gt->version;
	}
	spin_unlock(&gt->lock);
	return rc;
}

long grant_op_get_status_frames(struct vcpu *v, void *arg)
{
	struct gnttab_get_status_frames *op = arg;
	struct grant_table *gt;
	struct domain *d;
	long rc = 0;

	op->status = grant_target(v, op->dom, &d);
	if (op->status)
		return 0;
	gt = d->grant;
	if (gt->version != 2 || op->nr_frames > gt->nr_status)
		op->status = GNTST_general_error;
	if (!op->status)
		rc = put_frame_list(GPTR(op->frame_list.p), gt->status,
				    op->nr_frames);
	domain_put(d);
	return rc;
}

long grant_op_get_version(struct vcpu *v, void *arg)
{
	struct gnttab_get_version *op = arg;
	struct domain *d;
	s16 st = grant_target(v, op->dom, &d);

	if (st)
		return st == GNTST_bad_domain ? -ESRCH : -EPERM;
	op->version = d->grant->version;
	domain_put(d);
	return 0;
}

static bool ref_idle(struct grant_table *gt, u32 ref)
{
	struct active *act = grant_active(gt, ref, false);

	return !act || (!act->ro && !act->rw);
}

long grant_op_swap(struct vcpu *v, void *arg)
{
	struct gnttab_swap_grant_ref *op = arg;
	struct grant_table *gt = v->domain->grant;
	u32 a = op->ref_a, b = op->ref_b;

	spin_lock(&gt->lock);
	if (a >= gt_entries(gt) || b >= gt_entries(gt)) {
		op->status = GNTST_bad_gntref;
	} else if (!ref_idle(gt, a) || !ref_idle(gt, b)) {
		op->status = GNTST_eagain;
	} else if (gt->version == 1) {
		struct grant_entry_v1 t = *gt_v1(gt, a);

		*gt_v1(gt, a) = *gt_v1(gt, b);
		*gt_v1(gt, b) = t;
		op->status = GNTST_okay;
	} else {
		union grant_entry_v2 t = *gt_v2(gt, a);

		*gt_v2(gt, a) = *gt_v2(gt, b);
		*gt_v2(gt, b) = t;
		op->status = GNTST_okay;
	}
	spin_unlock(&gt->lock);
	return 0;
}

long grant_op_dump(struct vcpu *v, void *arg)
{
	struct gnttab_dump_table *op = arg;
	struct domain *d;

	/* It goes to the console, which is not a guest's to fill. */
	if (!is_control_domain(v->domain)) {
		op->status = GNTST_permission_denied;
		return 0;
	}
	op->status = grant_target(v, op->dom, &d);
	if (op->status)
		return 0;
	grant_dump(d);
	domain_put(d);
	return 0;
}

/* ---- the hypercall ------------------------------------------------------------- */

static const struct grant_op {
	long (*fn)(struct vcpu *v, void *op);
	u8 size;
	bool single; /* one element only, the count must be 1 */
} ops[] = {
	[GNTTABOP_map_grant_ref] = { grant_op_map,
				     sizeof(struct gnttab_map_grant_ref) },
	[GNTTABOP_setup_table] = { grant_op_setup_table,
				   sizeof(struct gnttab_setup_table), true },
	[GNTTABOP_dump_table] = { grant_op_dump,
				  sizeof(struct gnttab_dump_table), true },
	[GNTTABOP_transfer] = { grant_op_transfer,
				sizeof(struct gnttab_transfer) },
	[GNTTABOP_copy] = { grant_op_copy, sizeof(struct gnttab_copy) },
	[GNTTABOP_query_size] = { grant_op_query_size,
				  sizeof(struct gnttab_query_size), true },
	[GNTTABOP_set_version] = { grant_op_set_version,
				   sizeof(struct gnttab_set_version), true },
	[GNTTABOP_get_status_frames] = { grant_op_get_status_frames,
					 sizeof(struct
						gnttab_get_status_frames),
					 true },
	[GNTTABOP_get_version] = { grant_op_get_version,
				   sizeof(struct gnttab_get_version), true },
	[GNTTABOP_swap_grant_ref] = { grant_op_swap,
				      sizeof(struct gnttab_swap_grant_ref) },
};

/* HYPERVISOR_grant_table_op(cmd, array, count). */
long do_grant_table_op(struct vcpu *v, unsigned long a[6])
{
	u32 cmd = a[0];
	const struct grant_op *op;
	u64 buf[8];
	long rc;

	a[2] = (u32)a[2];
	if ((s32)a[2] < 0)
		return -EINVAL;
	if (cmd == GNTTABOP_unmap_grant_ref ||
	    cmd == GNTTABOP_unmap_and_replace)
		return grant_unmap_array(v, a,
					 cmd == GNTTABOP_unmap_and_replace);
	if (cmd >= ARRAY_SIZE(ops))
		return -ENOSYS;
	op = &ops[index_nospec(cmd, ARRAY_SIZE(ops))];
	if (!op->fn)
		return -ENOSYS;
	if (op->single && a[2] != 1)
		return -EINVAL;
	for (u32 n = 1; a[2]; n++) {
		if (copy_from_guest(buf, GPTR(a[1]), op->size))
			return -EFAULT;
		rc = op->fn(v, buf);
		if (copy_to_guest(GPTR(a[1]), buf, op->size))
			return -EFAULT;
		if (rc)
			return rc;
		a[1] += op->size;
		a[2]--;
		if (a[2] && !(n & 31) && hypercall_preempt())
			return -ERESTART;
	}
	return 0;
}
