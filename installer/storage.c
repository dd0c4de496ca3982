/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage: a volume group and in it a thin pool. Adopts what is there, makes
 * what is missing, and never touches a device that holds anything unless told
 * to. Part of the group stays free, so that the pool can grow by itself
 * (LVM's autoextend) before it fills.
 */
#include <blkid/blkid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bulkhead/pairs.h>
#include <bulkhead/util.h>

#include "setup.h"

#define PROFILE "/etc/lvm/profile/bulkhead.profile"
#define CONF    "/etc/bulkhead/bootstrap.conf"
#define OURS    "# Written by bulkhead-setup"

static const char profile_text[] =
	"# Written by bulkhead-setup: the thin pool grows before it fills.\n"
	"activation {\n"
	"\tthin_pool_autoextend_threshold=80\n"
	"\tthin_pool_autoextend_percent=20\n"
	"}\n";

/* First word of a command's output, or an empty string. */
static int first_word(const char *const argv[], char *buf, size_t size)
{
	_cleanup_free_ char *out = NULL;
	int r = run_output(argv, &out);

	buf[0] = '\0';
	if (!r) {
		char *w = bh_strip(out);

		w[strcspn(w, " \t\n")] = '\0';
		snprintf(buf, size, "%s", w);
	}
	return r;
}

static bool vg_exists(const char *vg)
{
	const char *const argv[] = { "vgs", "--noheadings", "-o", "vg_name", vg,
				     NULL };
	_cleanup_free_ char *out = NULL;

	return *vg && !run_output(argv, &out);
}

/* The first thin pool of the group. */
static bool find_pool(const char *vg, char *pool, size_t size)
{
	const char *const argv[] = { "lvs", "--noheadings",
				     "-o",  "lv_name",
				     "-S",  "segtype=thin-pool",
				     vg,    NULL };

	return !first_word(argv, pool, size) && *pool;
}

static bool pool_exists(void)
{
	char found[128], sel[256];
	const char *const argv[] = { "lvs",      "--noheadings",
				     "-o",       "lv_name",
				     "-S",       sel,
				     answers.vg, NULL };

	snprintf(sel, sizeof(sel), "segtype=thin-pool&&lv_name=%s",
		 answers.pool);
	return !first_word(argv, found, sizeof(found)) && *found;
}

static int device_is_empty(const char *dev)
{
	blkid_probe p = blkid_new_probe_from_filename(dev);
	const char *type = NULL;
	int r;

	if (!p) {
		report(R_BAD, "cannot open %s: is it a disk or partition?",
		       dev);
		return -ENODEV;
	}
	blkid_probe_enable_partitions(p, 1);
	r = blkid_do_safeprobe(p);
	if (r == 0)
		if (blkid_probe_lookup_value(p, "TYPE", &type, NULL))
			blkid_probe_lookup_value(p, "PTTYPE", &type, NULL);
	/* 1 is nothing; others are several things at once, or cannot be read */
	if (r != 1 && !answers.force)
		report(R_BAD,
		       "%s holds data (%s): choose another device, or "
		       "say --force to overwrite it",
		       dev,
		       type      ? type
		       : r == -2 ? "of more than one kind"
				 : "unknown");
	blkid_free_probe(p);
	return r != 1 && !answers.force ? -EBUSY : 0;
}

static int plan(char *text, size_t size)
{
	if (!*answers.vg) {
		const char *const argv[] = { "vgs", "--noheadings", "-o",
					     "vg_name", NULL };

		first_word(argv, answers.vg, sizeof(answers.vg));
	}
	if (!*answers.vg)
		snprintf(answers.vg, sizeof(answers.vg), "bulkhead");
	if (!vg_exists(answers.vg)) {
		if (!*answers.pv) {
			report(R_BAD,
			       "no volume group %s: give it a disk or "
			       "partition with --pv DEVICE",
			       answers.vg);
			return -ENODEV;
		}
		snprintf(text, size,
			 "make volume group %s on %s, with thin "
			 "pool %s",
			 answers.vg, answers.pv,
			 *answers.pool ? answers.pool : "thin");
		if (!*answers.pool)
			snprintf(answers.pool, sizeof(answers.pool), "thin");
		return 1;
	}
	if (!*answers.pool &&
	    !find_pool(answers.vg, answers.pool, sizeof(answers.pool)))
		snprintf(answers.pool, sizeof(answers.pool), "thin");
	if (!pool_exists()) {
		snprintf(text, size,
			 "adopt volume group %s, make thin pool %s "
			 "in it",
			 answers.vg, answers.pool);
		return 1;
	}
	snprintf(text, size, "volume group %s with thin pool %s", answers.vg,
		 answers.pool);
	return state_get("storage.conf") ? 0 : 1;
}

static int make_vg(void)
{
	const char *argv[40] = { "vgcreate", answers.vg };
	char list[512], *save = NULL;
	int n = 2, r;

	memcpy(list, answers.pv, sizeof(list));
	for (char *d = strtok_r(list, ",", &save); d && n < 38;
	     d = strtok_r(NULL, ",", &save)) {
		r = device_is_empty(d);
		if (r)
			return r;
		argv[n++] = d;
	}
	if (answers.force)
		argv[n++] = "-ff", argv[n++] = "-y";
	r = run(argv);
	if (!r)
		r = state_add("storage.vg", answers.vg);
	return r ? r : state_add("storage.pv", answers.pv);
}

/* Metadata for a mapping of every 64 KiB chunk, four times over for snapshots;
 * LVM's own limits are 2 MiB and 16 GiB. */
static void metadata_size(char *buf, size_t size)
{
	const char *const argv[] = {
		"vgs", "--noheadings", "--nosuffix", "--units", "m",
		"-o",  "vg_free",      answers.vg,   NULL
	};
	char word[64];
	unsigned long mib;

	first_word(argv, word, sizeof(word));
	mib = strtoul(word, NULL, 10) * 4 / 1024; /* 64 B per 64 KiB, x 4 */
	mib = mib < 64 ? 64 : mib > 15 * 1024 ? 15 * 1024 : mib;
	snprintf(buf, size, "%lum", mib);
}

static int make_pool(void)
{
	char meta[32], full[300];
	const char *argv[] = { "lvcreate",
			       "-y",
			       "-q",
			       "--type",
			       "thin-pool",
			       "-n",
			       answers.pool,
			       "--chunksize",
			       "64k",
			       "--poolmetadatasize",
			       meta,
			       strchr(answers.pool_size, '%') ? "-l" : "-L",
			       answers.pool_size,
			       answers.vg,
			       NULL };
	int r;

	if (!*answers.pool_size)
		snprintf(answers.pool_size, sizeof(answers.pool_size),
			 "80%%FREE");
	argv[11] = strchr(answers.pool_size, '%') ? "-l" : "-L";
	metadata_size(meta, sizeof(meta));
	r = run(argv);
	snprintf(full, sizeof(full), "%s/%s", answers.vg, answers.pool);
	return r ? r : state_add("storage.pool", full);
}

static int one_setting(unsigned int line __unused_arg,
		       const char *key __unused_arg,
		       const char *value __unused_arg, void *arg)
{
	*(bool *)arg = true;
	return 0;
}

/* Ours, or nothing in it but comments. */
static bool may_replace_conf(void)
{
	_cleanup_free_ char *text = NULL;
	bool settings = false;

	if (bh_read_file(CONF, 1 << 20, &text, NULL) < 0)
		return access(CONF, F_OK) < 0;
	if (bh_startswith(text, OURS))
		return true;
	(void)bh_pairs_parse(text, one_setting, &settings);
	return !settings;
}

static int write_conf(void)
{
	char full[300];
	const char *const argv[] = { "lvchange", "--metadataprofile",
				     "bulkhead", full, NULL };
	_cleanup_free_ char *text =
		bh_asprintf(OURS "; defaults of vm-bootstrap.\n"
				 "volume-group = %s\nthin-pool = %s\n%s%s\n",
			    answers.vg, answers.pool,
			    *answers.bridge ? "bridge = " : "", answers.bridge);
	int r;

	if (opt_dry_run)
		return 0;
	if (!text)
		return -ENOMEM;
	r = bh_mkdir_p("/etc/bulkhead", 0755);
	if (!r)
		r = bh_mkdir_p("/etc/lvm/profile", 0755);
	if (!r)
		r = bh_write_file(PROFILE, profile_text, strlen(profile_text),
				  0644);
	if (!r && may_replace_conf())
		r = bh_write_file(CONF, text, strlen(text), 0644);
	else if (!r)
		report(R_WARN,
		       "%s has settings and stays as it is; see that it names volume group %s and thin pool %s",
		       CONF, answers.vg, answers.pool);
	if (r) {
		report(R_BAD, "cannot write configuration: %s", strerror(-r));
		return r;
	}
	snprintf(full, sizeof(full), "%s/%s", answers.vg, answers.pool);
	r = run(argv);
	return r ? r : state_add("storage.conf", full);
}

static int apply(void)
{
	int r = 0;

	if (!vg_exists(answers.vg))
		r = make_vg();
	if (!r && !pool_exists())
		r = make_pool();
	return r ? r : write_conf();
}

static bool lv_exists(const char *lv)
{
	const char *const argv[] = { "lvs", lv, NULL };
	_cleanup_free_ char *out = NULL;

	return !run_output(argv, &out);
}

static bool holds_volumes(const char *pool)
{
	const char *const argv[] = { "lvs",        "--noheadings", "-o",
				     "thin_count", pool,           NULL };
	char n[32];

	return !first_word(argv, n, sizeof(n)) && strtoul(n, NULL, 10);
}

static int undo_conf(const char *pool)
{
	const char *const argv[] = { "lvchange", "--detachprofile", pool,
				     NULL };

	if (!state_get("storage.conf"))
		return 0;
	printf("    removing %s, %s\n", CONF, PROFILE);
	if (may_replace_conf())
		unlink(CONF);
	if (lv_exists(pool) && run(argv))
		return -EIO;
	unlink(PROFILE);
	return state_drop("storage.conf");
}

static int undo_vg(const char *vg)
{
	const char *const remove[] = { "vgremove", vg, NULL };
	const char *argv[40] = { "pvremove" };
	const char *pv = state_get("storage.pv");
	_cleanup_free_ char *list = strdup(pv ? pv : "");
	char *save = NULL;
	int n = 1, r = vg_exists(vg) ? run(remove) : 0;

	if (r || !list)
		return r ? r : -ENOMEM;
	r = state_drop("storage.vg");
	for (char *d = strtok_r(list, ",", &save); d && n < 38;
	     d = strtok_r(NULL, ",", &save))
		argv[n++] = d;
	if (!r && n > 1)
		r = run(argv);
	return r ? r : state_drop("storage.pv");
}

/* Volumes with guests stay: only an empty pool and group are removed. */
static int undo(void)
{
	const char *vg = state_get("storage.vg");
	const char *pool = state_get("storage.pool"); /* group/pool */
	const char *used = state_get("storage.conf");
	int r = 0;

	if (pool && holds_volumes(pool)) {
		report(R_BAD,
		       "thin pool %s still holds volumes: remove the guests "
		       "first",
		       pool);
		return -EBUSY;
	}
	if (used)
		r = undo_conf(used);
	if (!r && pool) {
		const char *const argv[] = { "lvremove", "-y", pool, NULL };

		r = lv_exists(pool) ? run(argv) : 0;
		if (!r)
			r = state_drop("storage.pool");
	}
	return r || !vg ? r : undo_vg(vg);
}

const struct step step_storage = { "storage", plan, apply, undo };
