/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot menus: what grub.cfg (the subset grub-mkconfig writes), Boot Loader
 * Specification entries and extlinux.conf say, as one list of entries and the
 * one that would be booted. Pure functions of text, so that they are tested
 * and fuzzed on the build host.
 */
#pragma once

#include "vfs.h"

#define MAX_ENTRIES 256

struct entry {
	char *title, *id;
	char *kernel, *cmdline; /* kernel NULL: a submenu */
	struct strv initrd;
	int parent; /* index of the submenu it is in, or -1 */
};

struct menu {
	struct entry *e;
	size_t n;
	int chosen;    /* what would be booted; -1: nothing */
	uint64_t once; /* identifies the one-time choice used, or 0 */
	bool has_once;
};

void menu_done(struct menu *m);
struct entry *menu_add(struct menu *m);

/* KEY=VALUE store of grubenv. */
struct vars {
	struct strv kv;
};
int vars_set(struct vars *v, const char *key, const char *value);
const char *vars_get(const struct vars *v, const char *key);
void vars_done(struct vars *v);
void grubenv_parse(const char *text, size_t n, struct vars *v);

/* GRUB: text of grub.cfg; bls_dir's entries are added where it says blscfg. */
int grub_parse(const char *text, struct vfs *v, const char *prefix,
	       struct vars *vars, struct menu *ret);
int bls_parse(struct vfs *v, const char *dir, struct vars *vars,
	      struct menu *ret);
int extlinux_parse(const char *text, const char *dir, struct menu *ret);
/* Resolves "1>2", a title or an id; -1 if there is none. */
int menu_find(const struct menu *m, const char *spec);
int menu_first(const struct menu *m, int parent);

/* Looks in all the known places; ignore_once: a one-time choice taken before. */
int menu_load(struct vfs *v, uint64_t ignore_once, struct menu *ret);
