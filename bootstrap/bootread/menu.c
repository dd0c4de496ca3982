/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the three menu formats share, and where they are looked for. A one-time
 * choice (grub-reboot, next_entry) cannot be erased from a read-only volume;
 * it is identified by the environment block's content and time instead, and
 * the caller remembers that it was used.
 */
#define _GNU_SOURCE
#include "menu.h"

#include <ctype.h>
#include <errno.h>

void menu_done(struct menu *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->e[i].title);
		free(m->e[i].id);
		free(m->e[i].kernel);
		free(m->e[i].cmdline);
		strv_done(&m->e[i].initrd);
	}
	free(m->e);
	memset(m, 0, sizeof(*m));
}

struct entry *menu_add(struct menu *m)
{
	struct entry *e;

	if (m->n >= MAX_ENTRIES)
		return NULL;
	e = realloc(m->e, (m->n + 1) * sizeof(*e));
	if (!e)
		return NULL;
	m->e = e;
	e = &m->e[m->n++];
	memset(e, 0, sizeof(*e));
	e->parent = -1;
	return e;
}

int vars_set(struct vars *v, const char *key, const char *value)
{
	size_t n = strlen(key);
	char *kv = bh_asprintf("%s=%s", key, value);

	if (!kv)
		return -ENOMEM;
	for (size_t i = 0; i < v->kv.n; i++)
		if (strncmp(v->kv.v[i], key, n) == 0 && v->kv.v[i][n] == '=') {
			free(v->kv.v[i]);
			v->kv.v[i] = kv;
			return 0;
		}
	if (v->kv.n >= 512 || strv_add(&v->kv, kv) < 0) {
		free(kv);
		return -ENOMEM;
	}
	free(kv);
	return 0;
}

const char *vars_get(const struct vars *v, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < v->kv.n; i++)
		if (strncmp(v->kv.v[i], key, n) == 0 && v->kv.v[i][n] == '=')
			return v->kv.v[i] + n + 1;
	return "";
}

void vars_done(struct vars *v)
{
	strv_done(&v->kv);
}

/* 1024 bytes: a comment line, KEY=VALUE lines, padding of '#'. */
void grubenv_parse(const char *text, size_t n, struct vars *v)
{
	_cleanup_free_ char *copy = strndup(text, n);
	char *save = NULL;

	for (char *l = copy ? strtok_r(copy, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save)) {
		char *eq = strchr(l, '=');

		if (*l == '#' || !eq || eq == l)
			continue;
		*eq = 0;
		(void)vars_set(v, l, eq + 1);
	}
}

int menu_first(const struct menu *m, int parent)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->e[i].parent != parent)
			continue;
		if (m->e[i].kernel)
			return (int)i;
		/* A submenu: the first entry inside it, if there is one. */
		if ((int)i != parent && menu_first(m, (int)i) >= 0)
			return menu_first(m, (int)i);
	}
	return -1;
}

static int find_level(const struct menu *m, const char *word, int parent)
{
	unsigned long want, seen = 0;

	if (bh_parse_u64(word, 10, MAX_ENTRIES, &want) >= 0)
		for (size_t i = 0; i < m->n; i++)
			if (m->e[i].parent == parent && seen++ == want)
				return (int)i;
	for (size_t i = 0; i < m->n; i++)
		if (m->e[i].parent == parent &&
		    (streq(m->e[i].id, word) || streq(m->e[i].title, word)))
			return (int)i;
	return -1;
}

int menu_find(const struct menu *m, const char *spec)
{
	_cleanup_free_ char *copy = strdup(spec);
	int at = -1;
	char *p = copy, *gt;

	if (!copy || !*copy)
		return -1;
	for (;;) {
		int next;

		gt = strchr(p, '>');
		if (gt)
			*gt = 0;
		next = find_level(m, p, at);
		/* A bare id may name an entry inside a submenu. */
		for (size_t i = 0; next < 0 && at < 0 && !gt && i < m->n; i++)
			if (streq(m->e[i].id, p))
				next = (int)i;
		if (next < 0)
			return -1;
		at = next;
		if (!gt)
			break;
		p = gt + 1;
	}
	return m->e[at].kernel ? at : menu_first(m, at);
}

static uint64_t identify(const char *text, size_t n, uint64_t mtime)
{
	uint64_t h = 0xcbf29ce484222325u ^ mtime;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
	return h ? h : 1;
}

static void load_env(struct vfs *v, const char *prefix, uint64_t ignore,
		     struct vars *vars, struct menu *m)
{
	_cleanup_free_ char *path = bh_asprintf("%s/grubenv", prefix);
	_cleanup_free_ char *text = NULL;
	uint64_t mtime = 0;
	size_t n;

	if (!path || v->ops->read(v, path, 65536, &text, &n, &mtime) < 0)
		return;
	grubenv_parse(text, n, vars);
	if (!*vars_get(vars, "next_entry"))
		return;
	m->once = identify(text, n, mtime);
	if (m->once == ignore)
		(void)vars_set(vars, "next_entry", "");
	else
		m->has_once = true;
}

static int try_grub(struct vfs *v, const char *prefix, uint64_t ignore,
		    struct menu *m)
{
	_cleanup_free_ char *path = bh_asprintf("%s/grub.cfg", prefix);
	_cleanup_free_ char *text = NULL;
	struct vars vars = { 0 };
	size_t n;
	int r;

	r = path ? v->ops->read(v, path, 4u << 20, &text, &n, NULL) : -ENOMEM;
	if (r < 0)
		return r;
	load_env(v, prefix, ignore, &vars, m);
	r = grub_parse(text, v, prefix, &vars, m);
	vars_done(&vars);
	return r < 0 ? r : m->chosen >= 0 ? 0 : -ENOENT;
}

static int try_bls(struct vfs *v, const char *top, uint64_t ignore,
		   struct menu *m)
{
	_cleanup_free_ char *dir = bh_asprintf("%s/loader/entries", top);
	_cleanup_free_ char *conf = bh_asprintf("%s/loader/loader.conf", top);
	static const char *const envs[] = { "grub2", "grub" };
	_cleanup_free_ char *text = NULL;
	struct vars vars = { 0 };
	const char *want;
	size_t n;

	if (!dir || !conf)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(envs); i++) {
		_cleanup_free_ char *p = bh_asprintf("%s/%s", top, envs[i]);

		if (p)
			load_env(v, p, ignore, &vars, m);
	}
	(void)bls_parse(v, dir, &vars, m);
	m->chosen = menu_first(m, -1);
	want = *vars_get(&vars, "next_entry") ? vars_get(&vars, "next_entry")
					      : vars_get(&vars, "saved_entry");
	if (menu_find(m, want) >= 0)
		m->chosen = menu_find(m, want);
	else if (v->ops->read(v, conf, 65536, &text, &n, NULL) >= 0) {
		char *d = bh_startswith(text, "default")
				  ? text
				  : strstr(text, "\ndefault");

		if (d) {
			d = bh_strip(d + strcspn(d, " \t\n") + (*d == '\n'));
			d += bh_startswith(d, "default") ? 7 : 0;
			d[strcspn(d, "\n")] = 0;
			d = bh_strip(d);
			if (bh_endswith(d, ".conf"))
				d[strlen(d) - 5] = 0;
			if (menu_find(m, d) >= 0)
				m->chosen = menu_find(m, d);
		}
	}
	vars_done(&vars);
	return m->chosen >= 0 ? 0 : -ENOENT;
}

static int try_extlinux(struct vfs *v, const char *dir, struct menu *m)
{
	static const char *const names[] = { "extlinux.conf", "syslinux.cfg" };
	int r = -ENOENT;

	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = bh_asprintf("%s/%s", dir, names[i]);
		_cleanup_free_ char *text = NULL;
		size_t n;

		if (path &&
		    v->ops->read(v, path, 1u << 20, &text, &n, NULL) >= 0)
			r = extlinux_parse(text, dir, m);
	}
	return r < 0 ? r : m->chosen >= 0 ? 0 : -ENOENT;
}

int menu_load(struct vfs *v, uint64_t ignore_once, struct menu *ret)
{
	/* The root file system, a /boot of its own, and btrfs's "@". */
	static const char *const tops[] = { "/boot", "", "/@/boot",
					    "/root/boot" };
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		for (int how = 0; how < 5; how++) {
			static const char *const sub[] = { "grub", "grub2", "",
							   "extlinux",
							   "syslinux" };
			_cleanup_free_ char *p =
				bh_asprintf("%s%s%s", tops[i],
					    *sub[how] ? "/" : "", sub[how]);

			memset(ret, 0, sizeof(*ret));
			ret->chosen = -1;
			if (!p)
				return -ENOMEM;
			r = how < 2    ? try_grub(v, p, ignore_once, ret)
			    : how == 2 ? try_bls(v, p, ignore_once, ret)
				       : try_extlinux(v, p, ret);
			if (r >= 0)
				return 0;
			menu_done(ret);
		}
	}
	return r;
}
