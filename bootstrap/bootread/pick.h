/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a file system to a kernel, an initrd and a command line. */
#pragma once

#include "menu.h"

struct pick {
	char *kernel, *ramdisk, *cmdline, *title;
	size_t kernel_len, ramdisk_len;
	uint64_t once; /* a one-time choice was followed */
};

void pick_done(struct pick *p);
/* others: if the chosen entry cannot be read, try the rest of the menu. */
int pick_from(struct vfs *v, uint64_t ignore_once, bool others,
	      struct pick *ret, char *why, size_t why_size);
