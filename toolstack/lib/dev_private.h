/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vbd.c and vif.c share and nobody else needs: writing a device's nodes. */
#pragma once

#include "bulkhead/domstore.h"

/*
 * Makes both directories with their owners and permissions, and the nodes that
 * every kind of device has. Their paths are left in be and fe for the rest.
 */
int dev_make(struct bh_xs *xs, bh_xs_tx tx, enum bh_devkind k, uint32_t domid,
	     uint32_t devid, char be[96], char fe[96]) __must_check;

/* dir/node = the formatted value. */
int dev_put(struct bh_xs *xs, bh_xs_tx tx, const char *dir, const char *node,
	    const char *fmt, ...) __printf_like(5, 6) __must_check;
