/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recipes: how a template is made, as a short declarative file. Looked for in
 * /etc/bulkhead/templates, then among those shipped.
 */
#pragma once

#include <stdint.h>

#include "util.h"

struct recipe {
	char *name, *path, *description;
	char *builder; /* debian, dnf, tiny */
	char *distribution, *suite, *mirror, *components, *features;
	char *boot, *fstype, *network, *kernel_args;
	uint64_t build_size, disk, memory;
	struct strv packages, boot_packages, run;
};

int recipe_load(const char *name, struct recipe *ret);
int recipe_parse(const char *path, char *text, struct recipe *ret);
void recipe_done(struct recipe *r);
#define _cleanup_recipe_ __attribute__((cleanup(recipe_done)))
/* Names of all recipes there are. */
int recipe_names(struct strv *ret);
