/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Grant tables: one domain lets another map, copy or take over its pages. */
#pragma once

#include <bh/types.h>

struct domain;
struct grant_table;
struct page_info;
/* frames < 0: built-in default. */
int grant_init(struct domain *d, int max_frames, int max_maptrack,
	       u32 max_version);
/* Unmaps what d still has mapped of others. 0 or -ERESTART. */
int grant_release_mappings(struct domain *d);
/* Takes the table's frames back from a dead domain. Others may still unmap what
 * it granted. */
void grant_unshare(struct domain *d);
void grant_done(struct domain *d);
/* For acquire_resource / add_to_physmap: frame i of the table (status: v2
 * status frames), growing it if allowed. 0 or -E. */
int grant_frame_get(struct domain *d, unsigned int i, bool status,
		    mfn_t *ret_mfn);
unsigned int grant_max_frames(struct domain *d, bool status);
void grant_dump(struct domain *d);
