/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dom0's share of the machine, fixed on the hypervisor's command line (a dom0
 * that balloons is a dom0 that stalls), and the boot set that uses it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/util.h>

#include "setup.h"

#define DEFAULTS "/etc/default/bulkhead"

/* An eighth of the machine, at least 512 MiB and at most 8 GiB; small machines
 * give dom0 half. */
static uint32_t default_memory(void)
{
	uint64_t mib = host.ram_mib / 8;

	if (mib < 1024)
		mib = 1024;
	if (mib > host.ram_mib / 2)
		mib = host.ram_mib / 2;
	if (mib > 8192)
		mib = 8192;
	if (mib < 512)
		mib = 512;
	return mib & ~63U;
}

/* What an earlier run set stays unless another share is asked for: a second run
 * sees other figures (under the hypervisor all of the memory), not other wishes. */
static void keep_share(const char *cmdline)
{
	const char *m = strstr(cmdline, "dom0_mem=");
	const char *c = strstr(cmdline, "dom0_max_vcpus=");

	if (m && !answers.dom0_mib)
		answers.dom0_mib = strtoul(m + strlen("dom0_mem="), NULL, 10);
	if (c && !answers.dom0_vcpus)
		answers.dom0_vcpus =
			strtoul(c + strlen("dom0_max_vcpus="), NULL, 10);
}

/* The value of BULKHEAD_CMDLINE in the file's text. */
static char *cmdline_of(const char *text)
{
	for (const char *l = text; l; l = strchr(l, '\n')) {
		const char *v;

		l += *l == '\n';
		v = bh_startswith(l, "BULKHEAD_CMDLINE=");
		if (v) {
			v += *v == '"';
			return strndup(v, strcspn(v, "\"\n"));
		}
	}
	return strdup("console=com1,vga");
}

/* A command line without our two options, and with them new. */
static char *with_share(const char *old)
{
	_cleanup_free_ char *copy = strdup(old);
	char *out = NULL, *save = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f || !copy)
		return NULL;
	for (char *w = strtok_r(copy, " ", &save); w;
	     w = strtok_r(NULL, " ", &save))
		if (!bh_startswith(w, "dom0_mem=") &&
		    !bh_startswith(w, "dom0_max_vcpus="))
			fprintf(f, "%s ", w);
	fprintf(f, "dom0_mem=%uM,max:%uM dom0_max_vcpus=%u", answers.dom0_mib,
		answers.dom0_mib, answers.dom0_vcpus);
	fclose(f);
	return out;
}

/* The file's text with this command line (at the end if it had none). */
static char *edit(const char *text, const char *cmdline)
{
	_cleanup_free_ char *copy = strdup(text);
	char *out = NULL, *save = copy, *line;
	bool seen = false;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f || !copy)
		return NULL;
	while ((line = strsep(&save, "\n"))) {
		if (bh_startswith(line, "BULKHEAD_CMDLINE=")) {
			fprintf(f, "BULKHEAD_CMDLINE=\"%s\"\n", cmdline);
			seen = true;
		} else {
			fprintf(f, save ? "%s\n" : "%s", line);
		}
	}
	if (!seen)
		fprintf(f, "BULKHEAD_CMDLINE=\"%s\"\n", cmdline);
	fclose(f);
	return out;
}

static int read_defaults(char **text)
{
	size_t len;
	int r = bh_read_file(DEFAULTS, 65536, text, &len);

	if (r == -ENOENT)
		*text = strdup("");
	return r == -ENOENT ? 0 : r;
}

static int write_defaults(const char *text, const char *cmdline)
{
	_cleanup_free_ char *new = edit(text, cmdline);
	int r = new ? bh_write_file(DEFAULTS, new, strlen(new), 0644) : -ENOMEM;

	if (r)
		report(R_BAD, "cannot write %s: %s", DEFAULTS, strerror(-r));
	return r;
}

static int plan(char *text, size_t size)
{
	_cleanup_free_ char *file = NULL, *old = NULL, *new = NULL;
	int r = read_defaults(&file);

	old = r || !file ? NULL : cmdline_of(file);
	if (!old)
		return r ? r : -ENOMEM;
	if (state_get("dom0"))
		keep_share(old);
	if (!answers.dom0_mib)
		answers.dom0_mib = default_memory();
	if (!answers.dom0_vcpus)
		answers.dom0_vcpus = MIN(host.cpus, 4U);
	if (answers.dom0_mib + 256ULL > host.ram_mib) {
		report(R_BAD, "dom0 memory %u MiB does not fit into %llu MiB",
		       answers.dom0_mib, (unsigned long long)host.ram_mib);
		return -EINVAL;
	}
	new = with_share(old);
	if (!new)
		return -ENOMEM;
	snprintf(text, size, "%u MiB of %llu and %u processors for dom0",
		 answers.dom0_mib, (unsigned long long)host.ram_mib,
		 answers.dom0_vcpus);
	return !streq(old, new);
}

static int apply(void)
{
	_cleanup_free_ char *file = NULL, *old = NULL, *new = NULL;
	int r = read_defaults(&file);

	old = r || !file ? NULL : cmdline_of(file);
	new = old ? with_share(old) : NULL;
	if (!new)
		return r ? r : -ENOMEM;
	printf("    %s: BULKHEAD_CMDLINE=\"%s\"\n", DEFAULTS, new);
	if (opt_dry_run)
		return 0;
	if (!state_get("dom0")) /* else it is already what was there first */
		r = state_add("dom0", old);
	return r ? r : write_defaults(file, new);
}

static int undo(void)
{
	const char *before = state_get("dom0");
	_cleanup_free_ char *file = NULL;
	int r;

	if (!before)
		return 0;
	r = read_defaults(&file);
	if (!r && file)
		r = write_defaults(file, before);
	return r ? r : state_drop("dom0");
}

const struct step step_dom0 = { "dom0", plan, apply, undo };

/* ---- boot ----------------------------------------------------------------------- */

static int plan_boot(char *text, size_t size)
{
	snprintf(text, size, "make the boot set that the next boot tries");
	return 1; /* bootset itself knows whether there is anything to do */
}

static int apply_boot(void)
{
	const char *const argv[] = { "/usr/libexec/bulkhead/bootset", "update",
				     NULL };
	const char *const units[] = { "systemctl",
				      "enable",
				      "-q",
				      "bulkhead-store.service",
				      "bulkhead-guests.target",
				      "bulkhead-boot-check.service",
				      "bulkhead-deadman.service",
				      "bulkhead-health.service",
				      "bulkhead-pool-guardian.timer",
				      NULL };
	int r = run(argv);

	if (!r)
		r = run(units);
	return r ? r : state_add("boot", "yes");
}

static int undo_boot(void)
{
	const char *const argv[] = { "/usr/libexec/bulkhead/bootset", "default",
				     "none", NULL };
	int r = state_get("boot") ? run(argv) : 0;

	return r ? r : state_drop("boot");
}

const struct step step_boot = { "boot", plan_boot, apply_boot, undo_boot };
