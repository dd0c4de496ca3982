/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot Loader Specification entries (Fedora, EL, systemd-boot) and
 * extlinux.conf (also what u-boot-update writes). See menu.h.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>

#include "menu.h"

/* "$kernelopts" and the like come from grubenv. */
static char *expand(const char *s, const struct vars *v)
{
	_cleanup_buf_ struct buf b = { 0 };

	(void)buf_add(&b, "", 0);
	while (*s) {
		char name[64];
		size_t n;

		if (*s != '$') {
			if (buf_add(&b, s++, 1) < 0)
				return NULL;
			continue;
		}
		s++;
		n = 0;
		while ((isalnum((unsigned char)s[n]) || s[n] == '_') &&
		       n < sizeof(name) - 1) {
			name[n] = s[n];
			n++;
		}
		name[n] = 0;
		s += n;
		if (buf_addf(&b, "%s", vars_get(v, name)) < 0)
			return NULL;
	}
	return TAKE_PTR(b.s);
}

static void append_text(char **p, const char *more)
{
	char *n = *p && **p ? bh_asprintf("%s %s", *p, more) : strdup(more);

	free(*p);
	*p = n;
}

static void bls_line(struct entry *e, const char *key, char *value,
		     const struct vars *vars)
{
	if (streq(key, "title")) {
		append_text(&e->title, value);
	} else if (streq(key, "linux")) {
		free(e->kernel);
		e->kernel = strdup(value);
	} else if (streq(key, "initrd")) {
		_cleanup_free_ char *x = expand(value, vars);

		if (x)
			(void)strv_split(&e->initrd, x, " \t");
	} else if (streq(key, "options")) {
		_cleanup_free_ char *x = expand(value, vars);

		if (x)
			append_text(&e->cmdline, x);
	}
}

/* Digits compare as numbers: 6.1.10 is newer than 6.1.9. */
static int newest_first(const void *a, const void *b)
{
	return strverscmp(*(const char *const *)b, *(const char *const *)a);
}

int bls_parse(struct vfs *v, const char *dir, struct vars *vars,
	      struct menu *ret)
{
	_cleanup_strv_ struct strv names = { 0 };
	int r = v->ops->list(v, dir, &names);

	if (r < 0)
		return r;
	if (names.n)
		qsort(names.v, names.n, sizeof(char *), newest_first);
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *p = bh_asprintf("%s/%s", dir, names.v[i]);
		_cleanup_free_ char *text = NULL;
		char *save = NULL;
		struct entry *e;
		size_t n;

		if (!bh_endswith(names.v[i], ".conf") || !p ||
		    v->ops->read(v, p, 65536, &text, &n, NULL) < 0)
			continue;
		e = menu_add(ret);
		if (!e)
			break;
		e->id = strndup(names.v[i], strlen(names.v[i]) - 5);
		for (char *l = strtok_r(text, "\r\n", &save); l;
		     l = strtok_r(NULL, "\r\n", &save)) {
			char *val;

			l = bh_strip(l);
			val = l + strcspn(l, " \t");
			if (*l == '#' || !*val)
				continue;
			*val++ = 0;
			bls_line(e, l, bh_strip(val), vars);
		}
		if (!e->kernel) {
			/* Not for us (an EFI program): as if it were not there. */
			free(e->title);
			free(e->id);
			free(e->cmdline);
			strv_done(&e->initrd);
			ret->n--;
		}
	}
	return 0;
}

static char *absolute(const char *dir, const char *path)
{
	if (*path == '/')
		return strdup(path);
	return bh_asprintf("%s/%s", dir, path);
}

static void ext_initrd(struct entry *e, const char *dir, char *list)
{
	char *save = NULL;

	for (char *t = strtok_r(list, ", \t", &save); t;
	     t = strtok_r(NULL, ", \t", &save)) {
		_cleanup_free_ char *p = absolute(dir, t);

		if (p)
			(void)strv_add(&e->initrd, p);
	}
}

/* "initrd=FILE" among the arguments is extlinux's older way. */
static void ext_append(struct entry *e, const char *dir, const char *args)
{
	_cleanup_strv_ struct strv words = { 0 };

	(void)strv_split(&words, args, " \t");
	for (size_t i = 0; i < words.n; i++) {
		if (bh_startswith(words.v[i], "initrd="))
			ext_initrd(e, dir, words.v[i] + 7);
		else
			append_text(&e->cmdline, words.v[i]);
	}
}

int extlinux_parse(const char *text, const char *dir, struct menu *ret)
{
	_cleanup_free_ char *copy = strdup(text), *dflt = NULL;
	struct entry *e = NULL;
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	ret->chosen = -1;
	for (char *l = strtok_r(copy, "\r\n", &save); l;
	     l = strtok_r(NULL, "\r\n", &save)) {
		char *val;

		l = bh_strip(l);
		val = l + strcspn(l, " \t");
		if (*val)
			*val++ = 0;
		val = bh_strip(val);
		if (!strcasecmp(l, "default")) {
			free(dflt);
			dflt = strdup(val);
		} else if (!strcasecmp(l, "label")) {
			e = menu_add(ret);
			if (!e)
				break;
			e->id = strdup(val);
			e->title = strdup(val);
		} else if (e && (!strcasecmp(l, "kernel") ||
				 !strcasecmp(l, "linux"))) {
			free(e->kernel);
			e->kernel = absolute(dir, val);
		} else if (e && !strcasecmp(l, "initrd")) {
			ext_initrd(e, dir, val);
		} else if (e && !strcasecmp(l, "append")) {
			ext_append(e, dir, val);
		}
	}
	if (dflt)
		ret->chosen = menu_find(ret, dflt);
	if (ret->chosen < 0)
		ret->chosen = menu_first(ret, -1);
	return 0;
}
