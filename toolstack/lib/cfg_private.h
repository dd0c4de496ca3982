/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between cfg.c (single settings) and cfg_guest.c (the whole).
 */
#pragma once

#include "bulkhead/cfg.h"

struct bh_cfg_ctx {
	struct bh_cfg_doc *doc;
	struct bh_guest_cfg *c;
	char *root, *extra, *cmdline;
	uint32_t nics;
	struct bh_err *e;
};

/* Fails with file and line. */
#define ERR(x, v, code, fmt, ...)                                       \
	bh_fail((x)->e, code, "%s:%u: " fmt, (x)->doc->path, (v)->line, \
		##__VA_ARGS__)

int bh_cfg_nomem(struct bh_cfg_ctx *x);
int bh_cfg_add_vif(struct bh_cfg_ctx *x, const struct bh_vif *f);
/* Applies every setting of the document, in its order. */
int bh_cfg_apply(struct bh_cfg_ctx *x,
		 void (*warn)(void *arg, const char *text), void *arg);
