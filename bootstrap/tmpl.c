/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tmpl.h. */
#define _GNU_SOURCE
#include "tmpl.h"

#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>

#include "fs.h"
#include "guest.h"
#include "guestfs.h"
#include "journal.h"
#include "lock.h"
#include "names.h"
#include "ns.h"

static const struct {
	const char *key;
	size_t off;
} text_keys[] = {
#define T(k, f)                             \
	{                                   \
		k, offsetof(struct tmpl, f) \
	}
	T("name", name),       T("vg", vg),
	T("lv", lv),           T("fstype", fstype),
	T("uuid", uuid),       T("boot", boot),
	T("network", network), T("distribution", distribution),
	T("suite", suite),     T("description", description),
	T("created", created), T("kernel-args", kernel_args),
	T("source", source),
};

static char **text_at(const struct tmpl *t, size_t i)
{
	return (char **)((char *)(uintptr_t)t + text_keys[i].off);
}

void tmpl_done(struct tmpl *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++)
		free(*text_at(t, i));
	memset(t, 0, sizeof(*t));
}

char *tmpl_to_json(const struct tmpl *t)
{
	json_object *o = json_object_new_object();
	char *text;

	json_object_object_add(o, "schema", json_object_new_int(1));
	for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++)
		if (*text_at(t, i))
			json_object_object_add(
				o, text_keys[i].key,
				json_object_new_string(*text_at(t, i)));
	json_object_object_add(o, "version",
			       json_object_new_int((int)t->version));
	json_object_object_add(o, "size",
			       json_object_new_int64((int64_t)t->size));
	json_object_object_add(o, "disk",
			       json_object_new_int64((int64_t)t->disk));
	json_object_object_add(o, "memory",
			       json_object_new_int64((int64_t)t->memory));
	json_object_object_add(o, "thin", json_object_new_boolean(t->thin));
	text = bh_asprintf("%s\n",
			   json_object_to_json_string_ext(
				   o, JSON_C_TO_STRING_PRETTY |
					      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}

static int64_t num(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v)
						     : 0;
}

int tmpl_parse(const char *json, struct tmpl *ret)
{
	json_object *o = json_tokener_parse(json), *v;
	struct tmpl t = { 0 };

	if (!o || json_object_get_type(o) != json_type_object) {
		json_object_put(o);
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++)
		if (json_object_object_get_ex(o, text_keys[i].key, &v) && v)
			*text_at(&t, i) = strdup(json_object_get_string(v));
	t.version = (unsigned int)num(o, "version");
	t.size = (uint64_t)num(o, "size");
	t.disk = (uint64_t)num(o, "disk");
	t.memory = (uint64_t)num(o, "memory");
	t.thin = num(o, "thin");
	json_object_put(o);
	if (!t.name || !t.vg || !t.lv || !t.fstype || !t.uuid || !t.boot) {
		tmpl_done(&t);
		return -EINVAL;
	}
	*ret = t;
	return 0;
}

char *tmpl_meta_path(const char *name, unsigned int version)
{
	return state_path("templates/%s@%u.json", name, version);
}

int tmpl_all(struct tmpl_list *ret)
{
	_cleanup_free_ char *dir = state_path("templates");
	struct dirent **list = NULL;
	int n = dir ? scandir(dir, &list, NULL, versionsort) : -1;

	memset(ret, 0, sizeof(*ret));
	ret->t = calloc(n > 0 ? (size_t)n : 1, sizeof(*ret->t));
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/%s", dir, list[i]->d_name);
		_cleanup_free_ char *text = NULL;

		if (bh_endswith(list[i]->d_name, ".json") && p && ret->t &&
		    bh_read_file(p, 1 << 20, &text, NULL) >= 0) {
			if (tmpl_parse(text, &ret->t[ret->n]) < 0)
				note("%s is damaged, ignored", p);
			else
				ret->n++;
		}
		free(list[i]);
	}
	free(list);
	return ret->t ? 0 : oom();
}

void tmpl_list_done(struct tmpl_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		tmpl_done(&l->t[i]);
	free(l->t);
	memset(l, 0, sizeof(*l));
}

int tmpl_find(const char *spec, const char *vg, struct tmpl *ret)
{
	struct tmpl_list all __attribute__((cleanup(tmpl_list_done))) = { 0 };
	_cleanup_free_ char *name = strdup(spec);
	struct tmpl *best = NULL;
	unsigned long want = 0;
	char *at = name ? strchr(name, '@') : NULL;

	if (!name)
		return oom();
	if (at) {
		*at++ = 0;
		if (bh_parse_u64(at, 10, 1000000, &want) < 0 || want == 0)
			return fail(
				VMB_USAGE,
				"template \"%s\": expected NAME or NAME@VERSION",
				spec);
	}
	if (name_check_template(name) < 0)
		return -VMB_USAGE;
	if (tmpl_all(&all) < 0)
		return -VMB_FAILED;
	for (size_t i = 0; i < all.n; i++) {
		struct tmpl *t = &all.t[i];

		if (!streq(t->name, name) || (want && t->version != want))
			continue;
		/* One in the same volume group can be snapshot, so it wins. */
		if (!best || (streq(t->vg, vg) && !streq(best->vg, vg)) ||
		    (streq(t->vg, vg) == streq(best->vg, vg) &&
		     t->version > best->version))
			best = t;
	}
	if (!best)
		return fail(
			VMB_MISSING,
			"there is no template \"%s\"; build it with \"vm-bootstrap template build %s\", or see \"vm-bootstrap template list\"",
			spec, name);
	*ret = *best;
	memset(best, 0, sizeof(*best));
	return 0;
}

bool tmpl_exists(const char *name)
{
	struct tmpl_list all __attribute__((cleanup(tmpl_list_done))) = { 0 };
	bool found = false;

	(void)tmpl_all(&all);
	for (size_t i = 0; i < all.n; i++)
		found = found || streq(all.t[i].name, name);
	return found;
}

struct fill_job {
	struct tmpl_make *m;
	const char *dev;
};

static int fill_fn(void *arg)
{
	struct fill_job *j = arg;
	int r = guestfs_mount(j->dev, j->m->t->fstype, false, j->m->untrusted);

	if (r < 0)
		return r;
	r = j->m->fill(guestfs_mnt(), j->m->arg);
	if (r >= 0)
		r = guestfs_enter();
	if (r >= 0) {
		r = identity_strip();
		if (guestfs_leave() < 0)
			r = -VMB_FAILED;
	}
	return guestfs_umount() < 0 ? -VMB_FAILED : r;
}

static unsigned int next_version(const char *name, const struct lvm *l)
{
	struct tmpl_list all __attribute__((cleanup(tmpl_list_done))) = { 0 };
	unsigned int v = 1;

	(void)tmpl_all(&all);
	for (size_t i = 0; i < all.n; i++)
		if (streq(all.t[i].name, name) && all.t[i].version >= v)
			v = all.t[i].version + 1;
	for (size_t i = 0; i < l->n_lv; i++) {
		const char *t = lv_tag(&l->lv[i], TAG_TEMPLATE);
		const char *plus = strrchr(l->lv[i].name, '+');
		unsigned long n;

		if (streq(t, name) && plus &&
		    bh_parse_u64(plus + 1, 10, 1u << 30, &n) >= 0 && n >= v)
			v = (unsigned int)n + 1;
	}
	return v;
}

static int make_volume(struct tmpl_make *m, struct journal *j, struct lvm *l)
{
	_cleanup_free_ char *owner = bh_asprintf(TAG_TEMPLATE "%s", m->t->name);
	_cleanup_free_ char *vg_name = NULL, *filling = NULL;
	_cleanup_strv_ struct strv tags = { 0 };
	_cleanup_lock_ int pool_lock = -1;
	const struct lv *pool;
	const struct vg *vg;
	int r;

	r = lvm_choose(l, m->vg, m->pool, &vg, &pool);
	if (r < 0)
		return r;
	vg_name = strdup(vg->name);
	if (!vg_name)
		return oom();
	pool_lock = lock_take("vg", vg_name, "making a template", LOCK_WAIT);
	if (pool_lock < 0)
		return pool_lock;
	/* What is free now is so until the volume is made. */
	lvm_done(l);
	r = lvm_load(NULL, l);
	if (r >= 0)
		r = lvm_choose(l, vg_name, m->pool, &vg, &pool);
	if (r < 0)
		return r;
	/* Whole extents, so that what is recorded is what LVM makes. */
	m->bytes = (m->bytes + vg->extent - 1) / vg->extent * vg->extent;
	m->t->size = m->bytes;
	m->t->vg = strdup(vg->name);
	m->t->thin = pool != NULL;
	/* How much of it will be used nobody knows: at most all. */
	filling = lvm_filling_tag(m->bytes);
	if (!owner || !m->t->vg || !filling || strv_add(&tags, owner) < 0 ||
	    strv_add(&tags, TAG_ROLE "template") < 0 ||
	    (pool && strv_add(&tags, filling) < 0))
		return oom();
	r = lvm_check_space(vg, pool, m->bytes + lvm_promised(l, pool));
	if (r >= 0)
		r = journal_undo(j, "lv-remove", m->t->vg, m->t->lv, owner,
				 NULL);
	if (r >= 0)
		r = lvm_create(m->t->vg, pool ? pool->name : NULL, m->t->lv,
			       m->bytes, &tags);
	return r;
}

static int publish(struct tmpl_make *m, struct journal **j)
{
	_cleanup_free_ char *meta = tmpl_meta_path(m->t->name, m->t->version);
	_cleanup_free_ char *dir = state_path("templates");
	_cleanup_free_ char *tmp = bh_asprintf("%s.tmp", meta);
	_cleanup_free_ char *json = tmpl_to_json(m->t);
	_cleanup_free_ char *full = bh_asprintf("%s/%s", m->t->vg, m->t->lv);
	_cleanup_free_ char *filling = lvm_filling_tag(m->t->size);
	const char *ro[] = { "lvchange", "-q",    "-y", "-pr",
			     "--deltag", filling, full, NULL };
	int r;

	if (!meta || !dir || !tmp || !json || !full || !filling)
		return oom();
	r = lvm_cmd(ro);
	if (r >= 0)
		r = journal_undo(*j, "unlink", tmp, NULL);
	if (r < 0)
		return r;
	if (bh_mkdir_p(dir, 0755) < 0 ||
	    bh_fill_file(tmp, json, strlen(json), 0644) < 0)
		return fail(VMB_FAILED, "cannot write %s: %m", tmp);
	r = journal_redo(*j, "rename", tmp, meta, NULL);
	return r < 0 ? r : journal_commit(j);
}

int tmpl_make(struct tmpl_make *m)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	struct journal *j _cleanup_journal_ = NULL;
	_cleanup_lock_ int lock = -1;
	_cleanup_free_ char *dev = NULL;
	struct fill_job job = { m, NULL };
	uint8_t uuid[16];
	int r;

	r = fs_check_type(m->t->fstype);
	if (r < 0)
		return r;
	lock = lock_take("template", m->t->name, "building",
			 m->if_missing ? LOCK_WAIT : LOCK_TRY);
	if (lock < 0)
		return lock;
	r = journal_recover_all("template", m->t->name);
	if (m->if_missing && tmpl_exists(m->t->name))
		return 0;
	if (r >= 0)
		r = lvm_load(NULL, &l);
	if (r < 0)
		return r;
	m->t->version = next_version(m->t->name, &l);
	m->t->lv = lv_template(m->t->name, m->t->version);
	uuid_random(uuid);
	m->t->uuid = uuid_text(uuid);
	m->t->created = time_now_text();
	if (!m->t->lv || !m->t->uuid || !m->t->created)
		return oom();
	r = journal_begin("template", m->t->name, "template", &j);
	if (r >= 0 && m->prepare)
		r = m->prepare(m, j);
	if (r >= 0)
		r = make_volume(m, j, &l);
	if (r < 0)
		return r;
	dev = lv_device(m->t->vg, m->t->lv);
	job.dev = dev;
	progress("making the file system", 0);
	r = fs_make(dev, m->t->fstype, m->t->uuid, m->features);
	if (r >= 0)
		r = ns_run(fill_fn, &job);
	if (r >= 0)
		r = publish(m, &j);
	progress_end();
	return r;
}
