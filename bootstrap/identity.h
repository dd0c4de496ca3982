/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What makes a copy of a file system a machine of its own: names, ids, keys,
 * users, mounts, network. identity_apply() runs after chroot into the guest's
 * root and treats every file there as written by an adversary: it creates
 * files anew and renames them into place, reads only regular files of sane
 * size, and executes nothing.
 */
#pragma once

#include <stdbool.h>

#include "nic.h"

struct identity {
	const char *hostname; /* may be fully qualified */
	const char *root_uuid, *old_uuid, *swap_uuid, *fstype;
	const char *ssh_keys;      /* text of authorized_keys, or NULL */
	const char *user;          /* also make this user */
	const char *password_hash; /* crypt(3) string, or NULL: locked */
	const char *user_data;     /* cloud-init user-data, or NULL */
	bool keep_root;            /* clone: leave users and passwords alone */
	bool own_kernel;           /* fail unless it has one to boot */
	bool mounts_only;          /* all else it has and keeps */
	enum netstyle net;
	bool net_detect;
	const struct nic *nics;
	size_t n_nics;
};

struct hostkeys {
	struct {
		char *name, *text;
		unsigned int mode;
	} key[8];
	unsigned int n;
	bool wanted;
};

/* Made before the chroot, by the host's ssh-keygen, in memory only. */
int hostkeys_make(struct hostkeys *k, const char *mnt);
void hostkeys_done(struct hostkeys *k);
int identity_apply(const struct identity *id, const struct hostkeys *keys);

/* Parts, exposed for tests; relative to the current root directory. */
char *fstab_rewrite(const char *old, const struct identity *id);
/* Hash of a password by crypt(3), sha512 or yescrypt. */
int password_hash(const char *password, char **ret);

/* Template clean-up: what must not be the same in two guests is removed. */
int identity_strip(void);
