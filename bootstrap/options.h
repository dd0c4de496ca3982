/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of options that name files: read and checked before anything is
 * changed, so that a bad key file cannot leave half a guest.
 */
#pragma once

#include "util.h"

/* Appends the public keys in the file; refuses private ones and junk. */
int opt_ssh_key(const char *file, struct buf *keys);
/* Hashes the first line; the password itself is wiped. */
int opt_password_file(const char *file, char **ret_hash);
int opt_script(const char *file, struct strv *scripts);
int opt_role(const char *name, struct strv *roles);
int opt_user_data(const char *file, char **ret_text);
/* A string that will stand in double quotes in a guest's configuration. */
int opt_cfg_string(const char *what, const char *v, char **ret);
