/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates: a read-only volume "template+NAME+VERSION" and a state file
 * beside it. A rebuild makes the next version; guests are independent of the
 * version they came from (a thin snapshot or a copy), so removing one never
 * breaks a guest, and is refused only while a guest is being made from it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lvm.h"

struct tmpl {
	char *name, *vg, *lv, *fstype, *uuid, *boot, *network, *distribution;
	char *suite, *description, *created, *kernel_args, *source;
	unsigned int version;
	uint64_t size, disk, memory;
	bool thin;
};

void tmpl_done(struct tmpl *t);
#define _cleanup_tmpl_ __attribute__((cleanup(tmpl_done)))

/* "NAME" (the newest) or "NAME@VERSION". */
int tmpl_find(const char *spec, const char *vg, struct tmpl *ret);
bool tmpl_exists(const char *name);
char *tmpl_to_json(const struct tmpl *t);
int tmpl_parse(const char *json, struct tmpl *ret);
char *tmpl_meta_path(const char *name, unsigned int version);
struct tmpl_list {
	struct tmpl *t;
	size_t n;
};
int tmpl_all(struct tmpl_list *ret);
void tmpl_list_done(struct tmpl_list *l);
/* Fills a fresh, mounted volume; runs in ns_run with the mount in place. */
typedef int (*tmpl_fill_fn)(const char *mnt, void *arg);

struct journal;
struct tmpl_make {
	struct tmpl *t; /* name, boot, ... set; vg, lv, version filled in */
	const char *vg, *pool; /* wanted, or NULL */
	const char *features;
	uint64_t bytes;
	/* NULL, or what comes before the volume and may set its size. */
	int (*prepare)(struct tmpl_make *m, struct journal *j);
	tmpl_fill_fn fill;
	void *arg;
	bool untrusted; /* nothing in it may run, be set-id or a device */
	/* Wait for whoever makes it, and make it only if it still is not there
	 * (else version stays 0). */
	bool if_missing;
};
int tmpl_make(struct tmpl_make *m);
