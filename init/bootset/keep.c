/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `apt autoremove` must not offer what boot sets are made of: a set's files
 * are hard links and would stay, but not the kernel's modules, and its menu
 * entry would name a version nobody has. The packages' prerm scripts refuse
 * too; this keeps apt from getting that far. A set that failed keeps nothing.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bulkhead/util.h>

#include "bootset.h"

#define APT_DIR "/etc/apt/apt.conf.d"
#define FILE_   APT_DIR "/52bulkhead-boot-sets"

/* A pattern for apt: the name and version and nothing else. */
static void print_pattern(FILE *f, const char *name, const char *version)
{
	fprintf(f, "\t\"^%s", name);
	for (; *version; version++)
		fprintf(f, strchr(".+", *version) ? "\\%c" : "%c", *version);
	fprintf(f, "$\";\n");
}

int keep_packages(const struct bootsets *b)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t len;
	FILE *f;
	int r;

	if (access(root_path(path, sizeof(path), APT_DIR), F_OK))
		return 0; /* not a Debian system */
	f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	fprintf(f, "// Written by bootset: what boot sets are made of.\n"
		   "APT::NeverAutoRemove {\n");
	for (unsigned int i = 0; i < b->nr; i++) {
		if (streq(b->set[i].state, "bad"))
			continue;
		print_pattern(f, "bulkhead-hypervisor-", b->set[i].hypervisor);
		print_pattern(f, "linux-image-", b->set[i].kernel);
	}
	fprintf(f, "};\n");
	fclose(f);
	r = bh_write_file(root_path(path, sizeof(path), FILE_), text, len,
			  0644);
	return r ? bh_log_errno(BH_ERR, r, "cannot write %s", path) : 0;
}
