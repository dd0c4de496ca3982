/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the grant_*.c files share: the table itself and pinning of entries. */
#pragma once

#include <bh/domain.h>
#include <bh/spinlock.h>
#include <public/grant_table.h>

#define GT_MAX_FRAMES     1024u /* hard limit, 512 or 256 entries each */
#define GT_MAX_TRACK      4096u /* maptrack pages */
#define GT_DEFAULT_FRAMES 64u
#define GT_DEFAULT_TRACK  1024u
#define GT_RESERVED       8u /* first references kept for the tools */
#define V1_PER_FRAME      (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define V2_PER_FRAME      (PAGE_SIZE / sizeof(union grant_entry_v2))
#define STATUS_PER_FRAME  (PAGE_SIZE / sizeof(grant_status_t))
#define ACT_PER_PAGE      (PAGE_SIZE / sizeof(struct active))
#define TRACK_PER_PAGE    (PAGE_SIZE / sizeof(struct maptrack))
#define TRACK_NONE        (~0u)
#define TRACK_MAPS        (GNTMAP_host_map | GNTMAP_device_map)
#define TRACK_BUSY        0x8000u /* an unmap is at work on it */

/* In use by somebody: what was true when the first user pinned the entry. */
struct active {
	u32 frame;
	u16 ro, rw;    /* pins: mappings and copies in progress */
	u16 off, len;  /* bytes allowed (v2 sub-page; else 0, PAGE_SIZE) */
	domid_t owner; /* v2 transitive: domain of the frame; else DOMID_SELF */
	u16 pad;
};
_Static_assert(sizeof(struct active) == 16, "256 a page");

/* One mapping this domain holds, indexed by handle. */
struct maptrack {
	u32 ref; /* free: next free handle */
	domid_t dom;
	u16 flags; /* GNTMAP_*, TRACK_BUSY; 0: free */
};

struct grant_table {
	struct spinlock lock; /* guards everything but maptrack */
	u32 version, max_version;
	u32 nr_frames, max_frames, nr_status;
	void **frames;       /* [max_frames] */
	void **status;       /* [max status frames] */
	struct active **act; /* pages made when first used */
	u32 nr_act_pages;
	struct spinlock track_lock;
	struct maptrack **track; /* pages */
	u32 nr_track, max_track; /* entries, pages */
	u32 track_free;
	u32 release_pos; /* grant_release_mappings() progress */
};

static inline u32 gt_entries(const struct grant_table *gt)
{
	return gt->nr_frames * (gt->version == 2 ? V2_PER_FRAME : V1_PER_FRAME);
}
static inline struct grant_entry_v1 *gt_v1(struct grant_table *gt, u32 ref)
{
	return (struct grant_entry_v1 *)gt->frames[ref / V1_PER_FRAME] +
	       ref % V1_PER_FRAME;
}
static inline union grant_entry_v2 *gt_v2(struct grant_table *gt, u32 ref)
{
	return (union grant_entry_v2 *)gt->frames[ref / V2_PER_FRAME] +
	       ref % V2_PER_FRAME;
}
static inline grant_status_t *gt_status(struct grant_table *gt, u32 ref)
{
	return (grant_status_t *)gt->status[ref / STATUS_PER_FRAME] +
	       ref % STATUS_PER_FRAME;
}

struct pin { /* result of grant_pin() */
	mfn_t mfn;
	struct domain *owner; /* reference held: rd, or the transitive end */
	u16 off, len;
	u32 ref;
};

/* Bounds-checked active entry, made if needed. NULL: bad reference. Lock held. */
struct active *grant_active(struct grant_table *gt, u32 ref, bool create);
/*
 * Takes one pin on reference ref of rd for domain ldom and marks the entry as
 * in use. Whole-page grants only unless `copy`. GNTST_*. Undo: grant_unpin().
 */
s16 grant_pin(struct domain *rd, domid_t ldom, u32 ref, bool ro, bool copy,
	      struct pin *ret);
void grant_unpin(struct domain *rd, u32 ref, bool ro);
/* Grows rd's table to nr frames. 0 or -E. Lock held. */
int grant_grow(struct domain *d, u32 nr);
/* Locks the table of `dom` for an operation on it by v: reference in *ret. */
s16 grant_target(struct vcpu *v, domid_t dom, struct domain **ret);

/* Sub-operations: array element op, in place. Returns 0 or -E. */
long grant_op_map(struct vcpu *v, void *op);
/* GNTTABOP_unmap_grant_ref and _unmap_and_replace over guest arrays. */
long grant_unmap_array(struct vcpu *v, unsigned long a[6], bool replace);
long grant_op_setup_table(struct vcpu *v, void *op);
long grant_op_query_size(struct vcpu *v, void *op);
long grant_op_set_version(struct vcpu *v, void *op);
long grant_op_get_status_frames(struct vcpu *v, void *op);
long grant_op_get_version(struct vcpu *v, void *op);
long grant_op_swap(struct vcpu *v, void *op);
long grant_op_dump(struct vcpu *v, void *op);
long grant_op_copy(struct vcpu *v, void *op);
long grant_op_transfer(struct vcpu *v, void *op);
