/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways to fill a template's fresh file system. All run in ns_run's child
 * with the volume mounted at mnt.
 */
#pragma once

#include "recipe.h"

struct fill_recipe {
	const struct recipe *recipe;
	const char *mirror; /* from the command line, or NULL */
	const char *boot;
	char *const *uuid; /* where the volume's UUID will be, once known */
};

/* A static one on the host, or NULL. */
const char *find_busybox(void);
int fill_tiny(const char *mnt, void *fill_recipe);
int fill_debian(const char *mnt, void *fill_recipe);
int fill_dnf(const char *mnt, void *fill_recipe);

/*
 * The file with the key of the archive that line nr of a sources.list, or
 * stanza nr of a file of stanzas, describes; NULL if none is named.
 */
char *apt_signed_by(const char *text, bool stanzas, unsigned int nr);

struct fill_import {
	const char *file; /* tarball or raw image */
	const char *raw;  /* where a qcow2 one is unpacked */
	const char *boot; /* boot mode: a guest's own kernel needs a menu */
	char *const *uuid;
};
int fill_tar(const char *mnt, void *fill_import);
int fill_image(const char *mnt, void *fill_import);
/* True if the file is a disk or file-system image, not an archive. */
bool import_is_image(const char *file);
bool import_is_qcow2(const char *file);
/*
 * Such an image can name other files that belong to it, any file of the host,
 * and qemu-img would copy from them: it must be complete in itself.
 */
int import_check_qcow2(const char *file);
struct archive;
/* The compressions of an archive that is read. */
void import_filters(struct archive *a);
/* Sum of what is in the archive, to size the volume. */
int import_measure(const char *file, uint64_t *ret_bytes);

/*
 * Makes or finds the directory where, "/boot" or "/var/log", below mnt. The
 * image's files are there already, and nothing was entered: a link in its place
 * would be followed on the host.
 */
int import_dir(const char *mnt, const char *where, char **ret);
/* Like cp -a; what is in the way is replaced, never written through. */
int import_copy_tree(const char *from, const char *to);

/* What every guest made by us gets: ready mark, growth, first boot menu. */
int fill_guest_tools(const char *mnt);
int fill_boot_menu(const char *mnt, const char *uuid);
