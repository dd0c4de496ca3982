/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File access for identity.c after chroot: safe against whatever a guest may
 * have left in place of a file (links are resolved inside, pipes and devices
 * are not opened, sizes are limited). Also the users of the guest.
 */
#pragma once

#include "util.h"

struct identity;

/* 0, or -errno silently. */
int inguest_read(const char *path, char **ret_text);
/* Gives what was just made in some other way the label SELinux would. */
void inguest_label(const char *path);
/* New file with this content; makes parent directories. Fails aloud. */
int inguest_write(const char *path, const char *text, unsigned int mode);
int inguest_writef(const char *path, unsigned int mode, const char *fmt, ...)
	__printf_like(3, 4);
/* Replaces all occurrences, if the file is there. */
int inguest_replace(const char *path, const char *from, const char *to);
int inguest_replace_in_dir(const char *dir, const char *suffix,
			   const char *from, const char *to);
/* Root's password and keys, and the extra user. */
int inguest_users(const struct identity *id);

/* Line editing of colon files, for tests. */
char *colon_set_field(const char *text, const char *name, unsigned int field,
		      const char *value);
char *group_add_member(const char *text, const char *group, const char *user);
unsigned long passwd_free_id(const char *passwd);
