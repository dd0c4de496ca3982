/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LVM through its own commands and their JSON reports. A volume is ours only
 * if its tag says so; the tag is given in the same command that makes the
 * volume, so there is no moment at which a volume of ours has no owner.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

#define TAG_GUEST    "bulkhead.guest="
#define TAG_ROLE     "bulkhead.role=" /* root, swap, snapshot, template */
#define TAG_TEMPLATE "bulkhead.template="
#define TAG_TIME     "bulkhead.created="
/* Being written: so many bytes of its thin pool will be used in the end. */
#define TAG_FILLING "bulkhead.filling="

struct vg {
	char *name;
	uint64_t size, free, extent;
};

struct lv {
	char *vg, *name, *uuid, *attr, *pool, *origin;
	uint64_t size;
	double data_pct, meta_pct; /* -1: not applicable */
	struct strv tags;
};

struct lvm {
	struct vg *vg;
	size_t n_vg;
	struct lv *lv;
	size_t n_lv;
};

/* vg may be NULL for all. Fails with exit codes. */
int lvm_load(const char *vg, struct lvm *ret);
/* For unit tests: parses the text of the two reports. */
int lvm_parse(const char *vgs_json, const char *lvs_json, struct lvm *ret);
void lvm_done(struct lvm *l);
#define _cleanup_lvm_ __attribute__((cleanup(lvm_done)))

const struct vg *lvm_vg(const struct lvm *l, const char *vg);
const struct lv *lvm_lv(const struct lvm *l, const char *vg, const char *lv);
bool lv_is_pool(const struct lv *lv);
bool lv_is_thin(const struct lv *lv);
/* Of plain snapshots; thin ones do not bind their origin. */
bool lv_is_origin(const struct lv *lv);
/* Does what was never written in this pool read as zeros for ever? */
bool lv_reads_blank(const struct lv *pool);
bool lv_is_open(const struct lv *lv);
/* A plain snapshot that ran out of room: it holds nothing any more. */
bool lv_is_overrun(const struct lv *lv);
/*
 * A plain snapshot of this volume without that tag, or NULL: it would go with
 * the volume, but whose it is, is not known.
 */
const struct lv *lvm_stranger_on(const struct lvm *l, const struct lv *lv,
				 const char *owner);
/* Fails if any volume with that tag has such a snapshot. */
int lvm_check_strangers(const struct lvm *l, const char *vg, const char *owner);
/* Value of the tag with this prefix, or NULL. */
const char *lv_tag(const struct lv *lv, const char *prefix);
char *lv_device(const char *vg, const char *lv);

/*
 * Chooses the volume group (want, configured, or the only one) and its thin
 * pool (*ret_pool NULL for a classic group).
 */
int lvm_choose(const struct lvm *l, const char *want, const char *want_pool,
	       const struct vg **ret_vg, const struct lv **ret_pool);
/* Enough room for bytes more? Fails with numbers and advice. */
int lvm_check_space(const struct vg *vg, const struct lv *pool, uint64_t bytes);
/* The tag TAG_FILLING for so many bytes, or NULL. */
char *lvm_filling_tag(uint64_t bytes);
/* What volumes being filled will yet take of this thin pool (TAG_FILLING). */
uint64_t lvm_promised(const struct lvm *l, const struct lv *pool);

/* Makes an empty volume; pool NULL for a classic one. */
int lvm_create(const char *vg, const char *pool, const char *lv, uint64_t bytes,
	       const struct strv *tags);
/* A thin snapshot (writable), or with cow_bytes a classic one. */
int lvm_snapshot(const char *vg, const char *origin, const char *lv,
		 uint64_t cow_bytes, const struct strv *tags);
/* To so many bytes in all; extents may be "", or what lvm_extents() gave. */
int lvm_extend(const char *vg, const char *lv, uint64_t bytes,
	       const char *extents);
/* Which extents of the disks a plain volume has: "/dev/sda:0-9 /dev/sdb:3-4". */
int lvm_extents(const char *vg, const char *lv, char **ret);
int lvm_remove(const char *vg, const char *lv);
int lvm_rename(const char *vg, const char *from, const char *to);
int lvm_untag(const char *vg, const char *lv, const char *tag);
int lvm_activate(const char *vg, const char *lv, bool on);
int lvm_cmd(const char *const argv[]);
