/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest as vm-bootstrap knows it: what is in its state file
 * (/var/lib/bulkhead/bootstrap/guests/NAME.json) and its configuration
 * (/etc/bulkhead/guests/NAME.cfg, xl.cfg syntax). A guest exists if and only
 * if its .cfg exists; the state file is ours, the .cfg is the administrator's
 * to edit from the moment it is written.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lvm.h"
#include "nic.h"

struct guest {
	char *name, *hostname, *uuid, *vg, *template, *boot, *fstype, *created;
	char *kernel, *ramdisk, *extra;
	char *network; /* style asked for; NULL: seen in its files */
	char *more;    /* further lines of the .cfg; not stored */
	uint64_t memory, disk, swap; /* bytes */
	unsigned int vcpus;
	bool thin;
	bool more_disks;  /* than its own; not stored */
	bool host_kernel; /* for want of a domU kernel; not stored */
	struct nic nics[MAX_NICS];
	size_t n_nics;
};

void guest_done(struct guest *g);
#define _cleanup_guest_ __attribute__((cleanup(guest_done)))

char *guest_cfg_path(const char *name);
char *guest_meta_path(const char *name);
bool guest_exists(const char *name);
/* Fails if there is no such guest, or it is not vm-bootstrap's. */
int guest_load(const char *name, struct guest *ret);
/*
 * Then what its .cfg says, which is the administrator's to edit. Fails aloud,
 * with the guest as good as before.
 */
int guest_read_cfg(struct guest *g);
/* Appends a string of the .cfg's syntax. */
int guest_cfg_quote(struct buf *b, const char *text);
int guest_parse(const char *json, struct guest *ret);
/*
 * For one that came in a file: what it says is held to the rules of the command
 * line, and of the host's files it may only name kernels and initrds made for
 * guests; others are forgotten, to be chosen anew. Fails aloud.
 */
int guest_check_foreign(struct guest *g);
char *guest_to_json(const struct guest *g);
char *guest_to_cfg(const struct guest *g);
/* Names of all guests that have a state file. */
int guest_names(struct strv *ret);
/* Kernel, initrd and arguments for the boot mode; fails with the way out. */
int guest_choose_kernel(struct guest *g, const char *args);
/* Makes the initrd for the host's kernel, if it boots that. */
int guest_make_initrd(const struct guest *g);
/* Tags of a volume of this guest. */
int guest_tags(const struct guest *g, const char *role, struct strv *ret);
char *guest_owner_tag(const char *name);
/* Is this MAC address taken by another guest? */
bool guest_mac_taken(const char *mac, const char *except);
char *time_now_text(void);
