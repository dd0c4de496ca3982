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

/* The value of BULKHEAD_CMDLINE without our two options, and with them new. */
static char *new_cmdline(const char *old)
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

/* The file with the BULKHEAD_CMDLINE line replaced (or added at the end). */
static char *edit(const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	char *out = NULL, *save = copy, *line;
	bool seen = false;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f || !copy)
		return NULL;
	while ((line = strsep(&save, "\n"))) {
		const char *v = bh_startswith(line, "BULKHEAD_CMDLINE=");

		if (v) {
			_cleanup_free_ char *val = strdup(v + (*v == '"'));
			_cleanup_free_ char *cmd = NULL;

			val[strcspn(val, "\"")] = '\0';
			cmd = new_cmdline(val);
			fprintf(f, "BULKHEAD_CMDLINE=\"%s\"\n", cmd);
			seen = true;
		} else {
			fprintf(f, save ? "%s\n" : "%s", line);
		}
	}
	if (!seen) {
		_cleanup_free_ char *cmd = new_cmdline("console=com1,vga");

		fprintf(f, "BULKHEAD_CMDLINE=\"%s\"\n", cmd);
	}
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

static int plan(char *text, size_t size)
{
	_cleanup_free_ char *old = NULL, *new = NULL;
	int r;

	if (!answers.dom0_mib)
		answers.dom0_mib = default_memory();
	if (!answers.dom0_vcpus)
		answers.dom0_vcpus = MIN(host.cpus, 4U);
	if (answers.dom0_mib + 256ULL > host.ram_mib) {
		report(R_BAD, "dom0 memory %u MiB does not fit into %llu MiB",
		       answers.dom0_mib, (unsigned long long)host.ram_mib);
		return -EINVAL;
	}
	r = read_defaults(&old);
	new = r ? NULL : edit(old);
	if (!new)
		return r ? r : -ENOMEM;
	snprintf(text, size, "dom0: %u MiB of %llu, %u processors",
		 answers.dom0_mib, (unsigned long long)host.ram_mib,
		 answers.dom0_vcpus);
	return !streq(old, new);
}

static int apply(void)
{
	_cleanup_free_ char *old = NULL, *new = NULL;
	int r = read_defaults(&old);

	new = r ? NULL : edit(old);
	if (!new)
		return r ? r : -ENOMEM;
	if (opt_dry_run)
		return 0;
	r = bh_write_file(DEFAULTS, new, strlen(new), 0644);
	if (r)
		report(R_BAD, "cannot write %s: %s", DEFAULTS, strerror(-r));
	return r ? r : state_add("dom0", "yes");
}

static int undo(void)
{
	return state_drop("dom0"); /* harmless on plain Linux: it stays */
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
	int r = run(argv);

	return r ? r : state_drop("boot");
}

const struct step step_boot = { "boot", plan_boot, apply_boot, undo_boot };
