/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See recipe.h; vm-bootstrap(8) documents the keys. */
#include "recipe.h"

#include <dirent.h>
#include <errno.h>

#include "conf.h"
#include "names.h"
#include "nic.h"

void recipe_done(struct recipe *r)
{
	free(r->name);
	free(r->path);
	free(r->description);
	free(r->builder);
	free(r->distribution);
	free(r->suite);
	free(r->mirror);
	free(r->components);
	free(r->features);
	free(r->boot);
	free(r->fstype);
	free(r->network);
	free(r->kernel_args);
	strv_done(&r->packages);
	strv_done(&r->boot_packages);
	strv_done(&r->run);
	memset(r, 0, sizeof(*r));
}

static int set_text(char **p, const char *v)
{
	free(*p);
	*p = strdup(v);
	return *p ? 0 : -ENOMEM;
}

static int one(const char *file, unsigned int line, const char *key,
	       const char *value, void *arg)
{
	struct recipe *r = arg;
	const struct {
		const char *key;
		char **text;
		uint64_t *size;
		struct strv *list;
		bool words;
	} keys[] = {
		{ "name", &r->name, NULL, NULL, false },
		{ "description", &r->description, NULL, NULL, false },
		{ "builder", &r->builder, NULL, NULL, false },
		{ "distribution", &r->distribution, NULL, NULL, false },
		{ "suite", &r->suite, NULL, NULL, false },
		{ "mirror", &r->mirror, NULL, NULL, false },
		{ "components", &r->components, NULL, NULL, false },
		{ "fs-features", &r->features, NULL, NULL, false },
		{ "boot", &r->boot, NULL, NULL, false },
		{ "filesystem", &r->fstype, NULL, NULL, false },
		{ "network", &r->network, NULL, NULL, false },
		{ "kernel-args", &r->kernel_args, NULL, NULL, false },
		{ "build-size", NULL, &r->build_size, NULL, false },
		{ "disk", NULL, &r->disk, NULL, false },
		{ "memory", NULL, &r->memory, NULL, false },
		{ "packages", NULL, NULL, &r->packages, true },
		{ "boot-packages", NULL, NULL, &r->boot_packages, true },
		{ "run", NULL, NULL, &r->run, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		int rc = 0;

		if (!streq(keys[i].key, key))
			continue;
		if (keys[i].text)
			rc = set_text(keys[i].text, value);
		else if (keys[i].words)
			rc = strv_split(keys[i].list, value, " \t");
		else if (keys[i].list)
			rc = strv_add(keys[i].list, value);
		else if (parse_size(value, 1ULL << 20, keys[i].size) < 0)
			return fail(
				VMB_USAGE,
				"%s:%u: %s: \"%s\" is not a size, as in 512M or 2G",
				file, line, key, value);
		return rc < 0 ? oom() : 0;
	}
	return fail(
		VMB_USAGE,
		"%s:%u: unknown key \"%s\"; vm-bootstrap(8) lists the keys of a recipe",
		file, line, key);
}

static int dflt(char **p, const char *v)
{
	return *p ? 0 : set_text(p, v);
}

int recipe_parse(const char *path, char *text, struct recipe *ret)
{
	struct recipe r = { 0 };
	enum netstyle style;
	int rc = conf_parse(path, text, one, &r);

	if (rc >= 0 && !r.name)
		rc = fail(VMB_USAGE, "%s: \"name\" is missing", path);
	if (rc >= 0)
		rc = name_check_template(r.name);
	if (rc >= 0 && !r.builder)
		rc = fail(VMB_USAGE,
			  "%s: \"builder\" is missing (debian, dnf or tiny)",
			  path);
	if (rc >= 0 && !streq(r.builder, "debian") &&
	    !streq(r.builder, "dnf") && !streq(r.builder, "tiny"))
		rc = fail(VMB_USAGE,
			  "%s: builder \"%s\": use debian, dnf or tiny", path,
			  r.builder);
	if (rc >= 0 &&
	    (set_text(&r.path, path) < 0 || dflt(&r.boot, "host") < 0 ||
	     dflt(&r.fstype, "ext4") < 0 || dflt(&r.components, "main") < 0))
		rc = oom();
	if (rc >= 0 && !streq(r.boot, "host") && !streq(r.boot, "disk") &&
	    !streq(r.boot, "pvgrub"))
		rc = fail(VMB_USAGE,
			  "%s: boot \"%s\": use host, disk or pvgrub", path,
			  r.boot);
	if (rc >= 0 && r.network && netstyle_parse(r.network, &style) < 0)
		rc = fail(
			VMB_USAGE,
			"%s: network \"%s\": use networkd, ifupdown, networkmanager, netplan, tiny or none",
			path, r.network);
	if (rc < 0) {
		recipe_done(&r);
		return rc;
	}
	if (!r.build_size)
		r.build_size = 2ULL << 30;
	if (!r.memory)
		r.memory = 256ULL << 20;
	*ret = r;
	return 0;
}

static char *find(const char *name)
{
	char *p = etc_path("templates/%s.recipe", name);

	if (p && access(p, F_OK) == 0)
		return p;
	free(p);
	p = data_path("templates/%s.recipe", name);
	if (p && access(p, F_OK) == 0)
		return p;
	free(p);
	return NULL;
}

int recipe_load(const char *name, struct recipe *ret)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	int r;

	/* A path is taken as it is, a name is looked up. */
	if (strchr(name, '/')) {
		path = strdup(name);
	} else {
		if (name_check_template(name) < 0)
			return -VMB_USAGE;
		path = find(name);
	}
	if (!path)
		return fail(
			VMB_MISSING,
			"there is no recipe \"%s\"; \"vm-bootstrap template list --recipes\" shows those there are",
			name);
	r = bh_read_file(path, 1 << 20, &text, NULL);
	if (r < 0)
		return fail(VMB_MISSING, "cannot read recipe %s: %s", path,
			    strerror(-r));
	return recipe_parse(path, text, ret);
}

int recipe_names(struct strv *ret)
{
	_cleanup_free_ char *a = etc_path("templates");
	_cleanup_free_ char *b = data_path("templates");
	const char *dirs[] = { a, b };

	for (size_t d = 0; d < 2; d++) {
		struct dirent **list = NULL;
		int n = dirs[d] ? scandir(dirs[d], &list, NULL, alphasort) : -1;

		for (int i = 0; i < n; i++) {
			char *f = list[i]->d_name;

			if (bh_endswith(f, ".recipe")) {
				f[strlen(f) - 7] = 0;
				if (!strv_has(ret, f) && strv_add(ret, f) < 0)
					return oom();
			}
			free(list[i]);
		}
		free(list);
	}
	return 0;
}
