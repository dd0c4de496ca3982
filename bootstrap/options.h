/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of options: read and checked, with the files they name, before anything
 * is changed, so that a bad key file cannot leave half a guest.
 */
#pragma once

#include "nic.h"

/* Appends the public keys in the file; refuses private ones and junk. */
int opt_ssh_key(const char *file, struct buf *keys);
/* Hashes the first line; the password itself is wiped. */
int opt_password_file(const char *file, char **ret_hash);
int opt_script(const char *file, struct strv *scripts);
int opt_role(const char *name, struct strv *roles);
int opt_user_data(const char *file, char **ret_text);
int opt_network(const char *v, enum netstyle *ret);
/* Seconds, 1 to a day. */
int opt_timeout(const char *v, unsigned long *ret);
/* A copy of v in place of *p; nothing for NULL. */
int opt_text(char **p, const char *v);
/* Bytes; a bare number counts MiB. */
int opt_size(const char *what, const char *v, uint64_t *ret);
/* The same from the host's settings, unless *p was given; else dflt. */
int opt_size_conf(uint64_t *p, const char *key, uint64_t dflt);
/* A string that will stand in double quotes in a guest's configuration. */
int opt_cfg_string(const char *what, const char *v, char **ret);
