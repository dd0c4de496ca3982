/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may be called what. One name becomes a file name, an LVM volume, a
 * systemd instance, a hostname and a store node, so it must be good for all
 * of them; '+' and '_' are kept out of names because volume names use them as
 * separators, which makes two different guests' volumes differ for certain.
 */
#pragma once

#include <stdbool.h>

/* Each returns 0 or fails with one clear line. */
int name_check_guest(const char *name);
int name_check_template(const char *name);
int name_check_snapshot(const char *name);
int name_check_vg(const char *name);
int name_check_user(const char *name);
int name_check_bridge(const char *name);
int name_check_hostname(const char *name);
bool name_is_reserved_lv(const char *lv);

/* Volume names; the caller frees. */
char *lv_root(const char *guest);
char *lv_swap(const char *guest);
char *lv_snap(const char *guest, const char *snapshot);
char *lv_template(const char *name, unsigned int version);
