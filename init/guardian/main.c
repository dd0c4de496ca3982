/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thin-pool guardian: run by a timer, looks at every thin pool with a tag or
 * volume of ours and acts before a pool fills, because a full pool damages
 * every file system on it at once:
 *
 *   warn     (80 %)  journal and motd
 *   refuse   (90 %)  vm-bootstrap makes no new volumes (marker file in
 *                    /run/bulkhead/pool-refuse.d/VG_POOL)
 *   stop     (97 %)  running guests with a volume on the pool are paused, so
 *                    that they wait instead of losing writes; unpausing is the
 *                    administrator's, after room was made
 *
 * Data and metadata count alike. Thresholds: /etc/default/bulkhead.
 */
#include <dirent.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bulkhead/pairs.h>
#include <bulkhead/run.h>
#include <bulkhead/util.h>

#define MARKS "/run/bulkhead/pool-refuse.d"
#define MOTD  "/run/motd.d/51-bulkhead-pool"

static double warn_at = 80, refuse_at = 90, stop_at = 97;

static int setting(unsigned int line __unused_arg, const char *key,
		   const char *value, void *arg)
{
	static const struct {
		const char *key;
		double *value;
	} map[] = { { "POOL_WARN", &warn_at },
		    { "POOL_REFUSE", &refuse_at },
		    { "POOL_STOP", &stop_at } };
	double d = value ? strtod(value, NULL) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (streq(key, map[i].key) && d > 0 && d <= 100)
			*map[i].value = d;
	return 0;
}

static const char *field(struct json_object *row, const char *key)
{
	struct json_object *o;

	return json_object_object_get_ex(row, key, &o)
		       ? json_object_get_string(o)
		       : "";
}

/* The array of rows in lvs's JSON report, or NULL. */
static struct json_object *rows(struct json_object *root)
{
	struct json_object *r, *lv;

	if (!json_object_object_get_ex(root, "report", &r) ||
	    !json_object_array_length(r) ||
	    !json_object_object_get_ex(json_object_array_get_idx(r, 0), "lv",
				       &lv))
		return NULL;
	return lv;
}

/* The guest a volume belongs to by its tag, or NULL. Caller frees. */
static char *guest_of(const char *tags)
{
	const char *p = strstr(tags, "bulkhead.guest=");
	const char *v = p ? p + strlen("bulkhead.guest=") : NULL;

	return v && *v ? strndup(v, strcspn(v, ",")) : NULL;
}

static void pause_guests(struct json_object *all, const char *vg,
			 const char *pool)
{
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *row = json_object_array_get_idx(all, i);
		_cleanup_free_ char *guest = guest_of(field(row, "lv_tags"));
		const char *const argv[] = { "bhctl", "pause", guest, NULL };

		if (!guest || !streq(field(row, "vg_name"), vg) ||
		    !streq(field(row, "pool_lv"), pool))
			continue;
		if (!bh_run(argv, 0, NULL, NULL))
			bh_log(BH_ERR,
			       "guest %s paused: its thin pool %s/%s is "
			       "about to fill; make room (lvextend, or "
			       "remove snapshots), then bhctl unpause "
			       "%s",
			       guest, vg, pool, guest);
	}
}

static void mark(const char *vg, const char *pool, bool on, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), MARKS "/%s_%s", vg, pool);
	if (!on)
		unlink(path);
	else if (bh_mkdir_p(MARKS, 0755) < 0 ||
		 bh_write_file(path, text, strlen(text), 0644) < 0)
		bh_log(BH_ERR, "cannot write %s", path);
}

/* One pool; appends to the notice when there is something to say. */
static void look_at(struct json_object *all, struct json_object *row,
		    FILE *notice)
{
	const char *vg = field(row, "vg_name"), *pool = field(row, "lv_name");
	double data = strtod(field(row, "data_percent"), NULL);
	double meta = strtod(field(row, "metadata_percent"), NULL);
	double worst = data > meta ? data : meta;
	_cleanup_free_ char *text = bh_asprintf(
		"thin pool %s/%s: data %.1f %%, metadata %.1f %%%s\n", vg, pool,
		data, meta,
		worst >= stop_at     ? ": guests on it are paused"
		: worst >= refuse_at ? ": new volumes are refused"
				     : "");

	if (!text)
		return;
	mark(vg, pool, worst >= refuse_at, text);
	if (worst < warn_at)
		return;
	bh_log(worst >= refuse_at ? BH_ERR : BH_WARNING,
	       "%.*s; extend it: "
	       "lvextend -L +10G %s/%s",
	       (int)strlen(text) - 1, text, vg, pool);
	fputs(text, notice);
	if (worst >= stop_at)
		pause_guests(all, vg, pool);
}

int main(int argc, char **argv)
{
	const char *const lvs[] = {
		"lvs",
		"--reportformat",
		"json",
		"-a",
		"-o",
		"vg_name,lv_name,segtype,pool_lv,data_percent,metadata_percent,"
		"lv_tags",
		NULL
	};
	_cleanup_free_ char *out = NULL, *notice = NULL;
	struct json_object *root, *all;
	size_t len;
	FILE *f;

	bh_log_setup("bulkhead-pool-guardian", BH_INFO);
	if (argc > 1) {
		bool help = streq(argv[1], "--help");

		fprintf(help ? stdout : stderr,
			"usage: %s\nLooks at the thin pools once; run by "
			"bulkhead-pool-guardian.timer.\n",
			argv[0]);
		return help ? 0 : 2;
	}
	(void)bh_pairs_read("/etc/default/bulkhead", setting, NULL);
	if (bh_run(lvs, 0, &out, NULL)) {
		bh_log(BH_ERR, "lvs failed: thin pools are not watched");
		return 1;
	}
	root = json_tokener_parse(out);
	all = root ? rows(root) : NULL;
	f = open_memstream(&notice, &len);
	if (!all || !f) {
		bh_log(BH_ERR, "lvs gave no report that can be read");
		return 1;
	}
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *row = json_object_array_get_idx(all, i);

		if (streq(field(row, "segtype"), "thin-pool"))
			look_at(all, row, f);
	}
	fclose(f);
	json_object_put(root);
	if (!len)
		unlink(MOTD);
	else if (bh_mkdir_p("/run/motd.d", 0755) < 0 ||
		 bh_write_file(MOTD, notice, len, 0644) < 0)
		bh_log(BH_WARNING, "cannot write " MOTD);
	return 0;
}
