/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mapping pages that other domains granted, through /dev/xen/gntdev.
 *
 * References 0 and 1 of every domain are written by its builder for the
 * console and the store ring (GNTTAB_RESERVED_*), so that no daemon needs the
 * right to map arbitrary memory of a guest.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/util.h"

int bh_gnt_open(void) __must_check;

/* Maps one granted page read-write. The guest may write it at any time. */
int bh_gnt_map(int fd, uint32_t domid, uint32_t ref, void **ret) __must_check;
void bh_gnt_unmap(int fd, void *page);
