/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See conf.h. Values are checked where they are used, with the same checks as
 * the command line's; here only the keys are known.
 */
#include "conf.h"

#include <errno.h>

#include <bulkhead/pairs.h>

#include "util.h"

static struct {
	const char *key;
	char *value;
} settings[] = {
	{ "volume-group", NULL },
	{ "thin-pool", NULL },
	{ "bridge", NULL },
	{ "template", NULL },
	{ "memory", NULL },
	{ "vcpus", NULL },
	{ "disk", NULL },
	{ "swap", NULL },
	{ "pool-data-limit", NULL },
	{ "pool-metadata-limit", NULL },
	{ "gateway", NULL },
	{ "netmask", NULL },
	{ "dns", NULL },
	{ "ssh-key", NULL },
	{ "role-path", NULL },
	{ "wait-timeout", NULL },
	{ "mirror", NULL },
	{ "wipe", NULL },
	{ "wipe-new", NULL },
};

struct reading {
	const char *path;
	conf_fn fn;
	void *arg;
};

static int pair(unsigned int line, const char *key, const char *value,
		void *arg)
{
	const struct reading *r = arg;

	if (!value)
		return fail(VMB_USAGE,
			    "%s:%u: expected \"key = value\", found \"%.60s\"",
			    r->path, line, key);
	return r->fn(r->path, line, key, value, r->arg);
}

int conf_parse(const char *path, char *text, conf_fn fn, void *arg)
{
	struct reading r = { path, fn, arg };

	return bh_pairs_parse(text, pair, &r) < 0 ? -VMB_USAGE : 0;
}

int conf_read(const char *path, conf_fn fn, void *arg)
{
	_cleanup_free_ char *text = NULL;
	int r = bh_read_file(path, 1 << 20, &text, NULL);

	if (r < 0)
		return fail(VMB_MISSING, "cannot read %s: %s", path,
			    strerror(-r));
	return conf_parse(path, text, fn, arg);
}

static int set(const char *file, unsigned int line, const char *key,
	       const char *value, void *arg __unused_arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (!streq(settings[i].key, key))
			continue;
		if (bh_startswith(key, "wipe") && *value &&
		    !streq(value, "yes") && !streq(value, "no"))
			return fail(VMB_USAGE, "%s:%u: %s: expected yes or no",
				    file, line, key);
		free(settings[i].value);
		settings[i].value = *value ? strdup(value) : NULL;
		return 0;
	}
	return fail(VMB_USAGE,
		    "%s:%u: unknown setting \"%s\"; vm-bootstrap(8) lists them",
		    file, line, key);
}

int conf_load(void)
{
	_cleanup_free_ char *path = etc_path("bootstrap.conf");

	if (!path)
		return oom();
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	return conf_read(path, set, NULL);
}

const char *conf_get(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (streq(settings[i].key, key))
			return settings[i].value;
	return NULL;
}

double conf_percent(const char *key, double dflt)
{
	const char *v = conf_get(key);
	double d = v ? strtod(v, NULL) : dflt;

	return d > 0 && d <= 100 ? d : dflt;
}

bool conf_yes(const char *key, bool dflt)
{
	const char *v = conf_get(key);

	return v ? streq(v, "yes") : dflt;
}
