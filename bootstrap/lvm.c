/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lvm.h. All commands run under the keeper (BH_RUN_KEEP): a half-done LVM
 * command can leave devices suspended, so it is always let finish.
 */
#include "lvm.h"

#include <errno.h>
#include <json-c/json.h>

#include <bulkhead/run.h>

#include "conf.h"
#include "journal.h"

static char *jdup(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v))
		return strdup("");
	return strdup(json_object_get_string(v) ? json_object_get_string(v)
						: "");
}

static uint64_t jnum(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v))
		return 0;
	return strtoull(json_object_get_string(v), NULL, 10);
}

static double jpct(json_object *o, const char *key)
{
	json_object *v;
	const char *s;

	if (!json_object_object_get_ex(o, key, &v))
		return -1;
	s = json_object_get_string(v);
	return s && *s ? strtod(s, NULL) : -1;
}

static json_object *rows(json_object *root, const char *key)
{
	json_object *report, *first, *arr;

	if (!json_object_object_get_ex(root, "report", &report) ||
	    json_object_array_length(report) < 1)
		return NULL;
	first = json_object_array_get_idx(report, 0);
	return json_object_object_get_ex(first, key, &arr) ? arr : NULL;
}

static int parse_vgs(json_object *arr, struct lvm *l)
{
	size_t n = arr ? json_object_array_length(arr) : 0;

	l->vg = calloc(n + 1, sizeof(*l->vg));
	if (!l->vg)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(arr, i);
		struct vg *v = &l->vg[l->n_vg++];

		v->name = jdup(o, "vg_name");
		v->size = jnum(o, "vg_size");
		v->free = jnum(o, "vg_free");
		v->extent = jnum(o, "vg_extent_size");
		if (!v->name)
			return -ENOMEM;
	}
	return 0;
}

static int parse_lvs(json_object *arr, struct lvm *l)
{
	size_t n = arr ? json_object_array_length(arr) : 0;

	l->lv = calloc(n + 1, sizeof(*l->lv));
	if (!l->lv)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(arr, i);
		struct lv *v = &l->lv[l->n_lv++];
		_cleanup_free_ char *tags = jdup(o, "lv_tags");

		v->vg = jdup(o, "vg_name");
		v->name = jdup(o, "lv_name");
		v->uuid = jdup(o, "lv_uuid");
		v->attr = jdup(o, "lv_attr");
		v->pool = jdup(o, "pool_lv");
		v->origin = jdup(o, "origin");
		v->size = jnum(o, "lv_size");
		v->data_pct = jpct(o, "data_percent");
		v->meta_pct = jpct(o, "metadata_percent");
		if (!v->vg || !v->name || !v->uuid || !v->attr || !v->pool ||
		    !v->origin || !tags || strv_split(&v->tags, tags, ",") < 0)
			return -ENOMEM;
	}
	return 0;
}

int lvm_parse(const char *vgs_json, const char *lvs_json, struct lvm *ret)
{
	json_object *a = json_tokener_parse(vgs_json);
	json_object *b = json_tokener_parse(lvs_json);
	struct lvm l = { 0 };
	int r = -EINVAL;

	if (a && b) {
		r = parse_vgs(rows(a, "vg"), &l);
		if (r >= 0)
			r = parse_lvs(rows(b, "lv"), &l);
	}
	json_object_put(a);
	json_object_put(b);
	if (r < 0)
		lvm_done(&l);
	else
		*ret = l;
	return r;
}

void lvm_done(struct lvm *l)
{
	for (size_t i = 0; i < l->n_vg; i++)
		free(l->vg[i].name);
	for (size_t i = 0; i < l->n_lv; i++) {
		struct lv *v = &l->lv[i];

		free(v->vg);
		free(v->name);
		free(v->uuid);
		free(v->attr);
		free(v->pool);
		free(v->origin);
		strv_done(&v->tags);
	}
	free(l->vg);
	free(l->lv);
	memset(l, 0, sizeof(*l));
}

int lvm_load(const char *vg, struct lvm *ret)
{
	const char *vgs[] = { "vgs",  "--reportformat",
			      "json", "--units",
			      "b",    "--nosuffix",
			      "-o",   "vg_name,vg_size,vg_free,vg_extent_size",
			      vg,     NULL };
	const char *lvs[] = {
		"lvs",
		"--reportformat",
		"json",
		"--units",
		"b",
		"--nosuffix",
		"-o",
		"vg_name,lv_name,lv_uuid,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,lv_tags",
		vg,
		NULL
	};
	_cleanup_free_ char *a = NULL, *b = NULL, *err = NULL;
	int rc;

	rc = bh_run(vgs, BH_RUN_KEEP | BH_RUN_QUIET, &a, &err);
	if (rc == 127)
		return fail(
			VMB_MISSING,
			"the LVM commands are not installed; install the package lvm2");
	if (rc && vg)
		return fail(
			VMB_MISSING,
			"there is no volume group \"%s\"; \"vgs\" lists those there are, --vg names another",
			vg);
	if (!rc)
		rc = bh_run(lvs, BH_RUN_KEEP | BH_RUN_QUIET, &b, &err);
	if (rc)
		return fail(VMB_FAILED, "LVM does not answer: %s",
			    err ? bh_strip(err) : "lvs failed");
	if (lvm_parse(a ? a : "", b ? b : "", ret) < 0)
		return fail(
			VMB_FAILED,
			"cannot understand the report of lvs; is this LVM 2.02.158 or later?");
	return 0;
}

const struct vg *lvm_vg(const struct lvm *l, const char *vg)
{
	for (size_t i = 0; i < l->n_vg; i++)
		if (streq(l->vg[i].name, vg))
			return &l->vg[i];
	return NULL;
}

const struct lv *lvm_lv(const struct lvm *l, const char *vg, const char *lv)
{
	for (size_t i = 0; i < l->n_lv; i++)
		if (streq(l->lv[i].vg, vg) && streq(l->lv[i].name, lv))
			return &l->lv[i];
	return NULL;
}

bool lv_is_pool(const struct lv *lv)
{
	return lv->attr[0] == 't';
}

bool lv_is_thin(const struct lv *lv)
{
	return lv->attr[0] == 'V' || *lv->pool;
}

bool lv_is_origin(const struct lv *lv)
{
	return lv->attr[0] == 'o' || lv->attr[0] == 'O';
}

bool lv_reads_blank(const struct lv *pool)
{
	return pool && strlen(pool->attr) > 7 && pool->attr[7] == 'z';
}

bool lv_is_open(const struct lv *lv)
{
	return strlen(lv->attr) > 5 && lv->attr[5] == 'o';
}

static bool is_plain_snapshot(const struct lv *lv)
{
	return lv->attr[0] == 's' || lv->attr[0] == 'S';
}

bool lv_is_overrun(const struct lv *lv)
{
	return is_plain_snapshot(lv) && strlen(lv->attr) > 4 &&
	       (lv->attr[4] == 'I' || lv->attr[4] == 'S' ||
		lv->data_pct >= 100);
}

const struct lv *lvm_stranger_on(const struct lvm *l, const struct lv *lv,
				 const char *owner)
{
	for (size_t i = 0; i < l->n_lv; i++) {
		const struct lv *s = &l->lv[i];

		if (is_plain_snapshot(s) && streq(s->vg, lv->vg) &&
		    streq(s->origin, lv->name) && !strv_has(&s->tags, owner))
			return s;
	}
	return NULL;
}

int lvm_check_strangers(const struct lvm *l, const char *vg, const char *owner)
{
	for (size_t i = 0; i < l->n_lv; i++) {
		const struct lv *v = &l->lv[i];
		const struct lv *s;

		if (!streq(v->vg, vg) || !strv_has(&v->tags, owner))
			continue;
		s = lvm_stranger_on(l, v, owner);
		if (s)
			return fail(
				VMB_CONFLICT,
				"volume %s/%s has a snapshot, %s, that is not vm-bootstrap's and would go with it; remove that first (lvremove %s/%s)",
				vg, v->name, s->name, vg, s->name);
	}
	return 0;
}

const char *lv_tag(const struct lv *lv, const char *prefix)
{
	for (size_t i = 0; i < lv->tags.n; i++)
		if (bh_startswith(lv->tags.v[i], prefix))
			return lv->tags.v[i] + strlen(prefix);
	return NULL;
}

char *lv_device(const char *vg, const char *lv)
{
	return bh_asprintf("/dev/%s/%s", vg, lv);
}

static const struct lv *pool_of(const struct lvm *l, const char *vg,
				const char *want, unsigned int *n)
{
	const struct lv *found = NULL;

	*n = 0;
	for (size_t i = 0; i < l->n_lv; i++) {
		const struct lv *v = &l->lv[i];

		if (!streq(v->vg, vg) || !lv_is_pool(v))
			continue;
		if (want && !streq(v->name, want))
			continue;
		found = v;
		(*n)++;
	}
	return found;
}

static int choose_vg(const struct lvm *l, const char *want,
		     const struct vg **ret)
{
	const struct vg *with_pool = NULL;
	unsigned int pools = 0, n;

	if (!want)
		want = conf_get("volume-group");
	if (want) {
		*ret = lvm_vg(l, want);
		return *ret ? 0
			    : fail(VMB_MISSING,
				   "there is no volume group \"%s\"; \"vgs\" lists those there are, --vg names another",
				   want);
	}
	if (l->n_vg == 0)
		return fail(
			VMB_MISSING,
			"this host has no LVM volume group; make one (vgcreate, or bulkhead-setup)");
	if (l->n_vg == 1) {
		*ret = &l->vg[0];
		return 0;
	}
	for (size_t i = 0; i < l->n_vg; i++)
		if (pool_of(l, l->vg[i].name, NULL, &n)) {
			with_pool = &l->vg[i];
			pools++;
		}
	if (pools != 1)
		return fail(
			VMB_USAGE,
			"this host has %zu volume groups; say which with --vg, or volume-group in /etc/bulkhead/bootstrap.conf",
			l->n_vg);
	*ret = with_pool;
	return 0;
}

int lvm_choose(const struct lvm *l, const char *want, const char *want_pool,
	       const struct vg **ret_vg, const struct lv **ret_pool)
{
	unsigned int n;
	int r = choose_vg(l, want, ret_vg);

	if (r < 0)
		return r;
	if (!want_pool)
		want_pool = conf_get("thin-pool");
	if (streq(want_pool, "none")) {
		*ret_pool = NULL;
		return 0;
	}
	*ret_pool = pool_of(l, (*ret_vg)->name, want_pool, &n);
	if (want_pool && !*ret_pool)
		return fail(
			VMB_MISSING,
			"volume group %s has no thin pool \"%s\"; \"--pool none\" uses plain volumes",
			(*ret_vg)->name, want_pool);
	if (n > 1)
		return fail(
			VMB_USAGE,
			"volume group %s has %u thin pools; say which with --pool",
			(*ret_vg)->name, n);
	return 0;
}

/* The guardian marks a pool that is about to fill (POOL_REFUSE), and takes the
 * mark away when there is room again. */
static bool lvm_guarded(const char *vg, const char *pool)
{
	_cleanup_free_ char *path =
		bh_asprintf("/run/bulkhead/pool-refuse.d/%s_%s", vg, pool);

	return path && !access(path, F_OK);
}

char *lvm_filling_tag(uint64_t bytes)
{
	return bh_asprintf(TAG_FILLING "%llu", (unsigned long long)bytes);
}

uint64_t lvm_promised(const struct lvm *l, const struct lv *pool)
{
	uint64_t sum = 0;

	for (size_t i = 0; pool && i < l->n_lv; i++) {
		const struct lv *v = &l->lv[i];
		const char *text = lv_tag(v, TAG_FILLING);
		uint64_t all = text ? strtoull(text, NULL, 10) : 0;
		uint64_t has = v->data_pct > 0 ? (uint64_t)((double)v->size *
							    v->data_pct / 100)
					       : 0;

		if (streq(v->vg, pool->vg) && streq(v->pool, pool->name) &&
		    all > has)
			sum += all - has;
	}
	return sum;
}

int lvm_check_space(const struct vg *vg, const struct lv *pool, uint64_t bytes)
{
	double dl, ml, used;

	if (!pool) {
		if (bytes > vg->free)
			return fail(
				VMB_NOSPACE,
				"volume group %s has %s free, %s needed; add a disk (vgextend), remove a guest, or ask for a smaller --disk",
				vg->name, fmt_size(vg->free), fmt_size(bytes));
		return 0;
	}
	if (lvm_guarded(vg->name, pool->name))
		return fail(
			VMB_NOSPACE,
			"thin pool %s/%s: bulkhead-pool-guardian allows no new volumes (%.1f%% of data, %.1f%% of metadata used); grow it with \"lvextend -L +10G %s/%s\" or remove guests or snapshots",
			vg->name, pool->name, pool->data_pct, pool->meta_pct,
			vg->name, pool->name);
	dl = conf_percent("pool-data-limit", 90);
	ml = conf_percent("pool-metadata-limit", 80);
	used = (double)pool->size * pool->data_pct / 100;
	if (pool->data_pct >= dl ||
	    used + (double)bytes > (double)pool->size * dl / 100)
		return fail(
			VMB_NOSPACE,
			"thin pool %s/%s: %.1f%% of %s data space is used (limit %.0f%%, %s more needed); grow it with \"lvextend -L +10G %s/%s\" or remove guests or snapshots",
			vg->name, pool->name, pool->data_pct,
			fmt_size(pool->size), dl, fmt_size(bytes), vg->name,
			pool->name);
	if (pool->meta_pct >= ml)
		return fail(
			VMB_NOSPACE,
			"thin pool %s/%s: %.1f%% of its metadata is used (limit %.0f%%); grow it with \"lvextend --poolmetadatasize +256M %s/%s\"",
			vg->name, pool->name, pool->meta_pct, ml, vg->name,
			pool->name);
	return 0;
}

int lvm_cmd(const char *const argv[])
{
	_cleanup_free_ char *out = NULL, *err = NULL;
	int rc = bh_run(argv, BH_RUN_KEEP | BH_RUN_QUIET, &out, &err);
	char *text, *nl;

	if (rc == 0)
		return 0;
	/* LVM may warn first; the first line that is no warning says why. */
	text = err ? bh_strip(err) : (char *)"";
	while (bh_startswith(text, "WARNING") && (nl = strchr(text, '\n')))
		text = bh_strip(nl + 1);
	text[strcspn(text, "\n")] = 0;
	return fail(VMB_FAILED, "%s failed: %s", argv[0], text);
}

static int with_tags(struct strv *av, const struct strv *tags)
{
	for (size_t i = 0; tags && i < tags->n; i++)
		if (strv_add(av, "--addtag") < 0 ||
		    strv_add(av, tags->v[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int finish(struct strv *av)
{
	int r = lvm_cmd((const char *const *)av->v);

	fault_point(av->v[0]);
	return r;
}

int lvm_create(const char *vg, const char *pool, const char *lv, uint64_t bytes,
	       const struct strv *tags)
{
	_cleanup_strv_ struct strv av = { 0 };
	int r = strv_split(&av,
			   pool ? "lvcreate -q -y -kn -ay"
				: "lvcreate -q -y -Wy -Zy -ay",
			   " ");

	if (r >= 0)
		r = with_tags(&av, tags);
	if (r >= 0)
		r = strv_addf(&av, "-n%s", lv);
	if (r >= 0)
		r = strv_addf(&av, pool ? "-V%llub" : "-L%llub",
			      (unsigned long long)bytes);
	if (r >= 0 && pool)
		r = strv_addf(&av, "--thinpool=%s", pool);
	if (r >= 0)
		r = strv_add(&av, vg);
	return r < 0 ? oom() : finish(&av);
}

int lvm_snapshot(const char *vg, const char *origin, const char *lv,
		 uint64_t cow_bytes, const struct strv *tags)
{
	_cleanup_strv_ struct strv av = { 0 };
	int r;

	cow_bytes = (cow_bytes + 0xfffff) & ~0xfffffull; /* whole sectors */
	r = strv_split(&av,
		       cow_bytes ? "lvcreate -q -y -s"
				 : "lvcreate -q -y -s -prw -kn -ay",
		       " ");

	if (r >= 0)
		r = with_tags(&av, tags);
	if (r >= 0)
		r = strv_addf(&av, "-n%s", lv);
	if (r >= 0 && cow_bytes)
		r = strv_addf(&av, "-L%llub", (unsigned long long)cow_bytes);
	if (r >= 0)
		r = strv_addf(&av, "%s/%s", vg, origin);
	return r < 0 ? oom() : finish(&av);
}

int lvm_extend(const char *vg, const char *lv, uint64_t bytes,
	       const char *extents)
{
	_cleanup_strv_ struct strv av = { 0 };

	if (strv_split(&av, "lvextend -q -y", " ") < 0 ||
	    strv_addf(&av, "-L%llub", (unsigned long long)bytes) < 0 ||
	    strv_addf(&av, "%s/%s", vg, lv) < 0 ||
	    strv_split(&av, extents, " ") < 0)
		return oom();
	return finish(&av);
}

int lvm_extents(const char *vg, const char *lv, char **ret)
{
	_cleanup_free_ char *full = bh_asprintf("%s/%s", vg, lv);
	const char *lvs[] = { "lvs", "--noheadings",  "--segments",
			      "-o",  "seg_pe_ranges", full,
			      NULL };
	_cleanup_free_ char *out = NULL;

	*ret = NULL;
	if (!full)
		return oom();
	if (bh_run(lvs, BH_RUN_KEEP | BH_RUN_QUIET, &out, NULL) || !out)
		return fail(VMB_FAILED, "lvs does not say where %s is", full);
	for (char *c = out; *c; c++)
		if (*c == '\n')
			*c = ' ';
	*ret = strdup(bh_strip(out));
	return *ret ? 0 : oom();
}

int lvm_remove(const char *vg, const char *lv)
{
	_cleanup_free_ char *full = bh_asprintf("%s/%s", vg, lv);
	const char *av[] = { "lvremove", "-q", "-y", "-f", full, NULL };

	return full ? lvm_cmd(av) : oom();
}

int lvm_rename(const char *vg, const char *from, const char *to)
{
	const char *av[] = { "lvrename", "-q", "-y", vg, from, to, NULL };

	return lvm_cmd(av);
}

int lvm_untag(const char *vg, const char *lv, const char *tag)
{
	_cleanup_free_ char *full = bh_asprintf("%s/%s", vg, lv);
	const char *av[] = {
		"lvchange", "-q", "-y", "--deltag", tag, full, NULL
	};

	return full ? lvm_cmd(av) : oom();
}

int lvm_activate(const char *vg, const char *lv, bool on)
{
	_cleanup_free_ char *full = bh_asprintf("%s/%s", vg, lv);
	const char *av[] = { "lvchange",         "-q", "-y", "-K",
			     on ? "-ay" : "-an", full, NULL };

	return full ? lvm_cmd(av) : oom();
}
