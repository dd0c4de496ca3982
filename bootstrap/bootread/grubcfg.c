/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * grub.cfg: the subset of GRUB's script language that grub-mkconfig (2.06 and
 * 2.12, Debian's and Fedora's) writes: set, if with [ tests ], function
 * bodies (skipped), menuentry and submenu, linux and initrd, load_env, blscfg,
 * variables in words. Everything else is a command without effect here, and
 * as a condition false. There are no loops, so every run ends.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>

#include "menu.h"

#define MAX_WORDS 64
#define MAX_DEPTH 16

enum stop {
	S_EOF,
	S_BRACE,
	S_FI,
	S_ELSE,
	S_ELIF
};
enum end {
	E_LINE,
	E_OPEN,
	E_CLOSE,
	E_EOF
};

struct grub {
	const char *text, *p;
	struct vfs *v;
	const char *prefix;
	struct vars *vars;
	struct menu *m;
	int parent;          /* submenu being read */
	struct entry *entry; /* entry being run, or NULL */
	/* The command just read. */
	char *w[MAX_WORDS];
	unsigned int n;
	enum end end;
	const char *after_first;
};

static void words_done(struct grub *g)
{
	while (g->n)
		free(g->w[--g->n]);
}

static int add_var(struct grub *g, struct buf *b)
{
	char name[64];
	size_t n = 0;
	bool brace = *g->p == '{';

	if (brace)
		g->p++;
	if (*g->p == '?') {
		g->p++;
		return buf_addf(b, "0");
	}
	while ((isalnum((unsigned char)*g->p) || *g->p == '_') &&
	       n < sizeof(name) - 1)
		name[n++] = *g->p++;
	name[n] = 0;
	if (brace && *g->p == '}')
		g->p++;
	return buf_addf(b, "%s", vars_get(g->vars, name));
}

/* One word with its quotes resolved. Returns false where no word begins. */
static bool word(struct grub *g, struct buf *b, bool *ret_quoted)
{
	bool any = false;

	*ret_quoted = false;
	for (;; any = true) {
		char c = *g->p;

		if (!c || strchr(" \t\n;", c))
			return any;
		if (c == '\\' && g->p[1]) {
			if (g->p[1] != '\n' && buf_add(b, g->p + 1, 1) < 0)
				return false;
			g->p += 2;
		} else if (c == '\'') {
			const char *e = strchr(g->p + 1, '\'');

			*ret_quoted = true;
			if (!e)
				e = g->p + strlen(g->p);
			(void)buf_add(b, g->p + 1, (size_t)(e - g->p - 1));
			g->p = *e ? e + 1 : e;
		} else if (c == '"') {
			*ret_quoted = true;
			for (g->p++; *g->p && *g->p != '"';) {
				if (*g->p == '\\' && g->p[1]) {
					(void)buf_add(b, g->p + 1, 1);
					g->p += 2;
				} else if (*g->p == '$') {
					g->p++;
					(void)add_var(g, b);
				} else {
					(void)buf_add(b, g->p++, 1);
				}
			}
			if (*g->p)
				g->p++;
		} else if (c == '$') {
			g->p++;
			(void)add_var(g, b);
		} else if ((c == '{' || c == '}') && any) {
			return true;
		} else {
			(void)buf_add(b, g->p++, 1);
			if (c == '{' || c == '}')
				return true;
		}
	}
}

/* Reads one command into g->w; unset variables make no word, as in GRUB. */
static void command(struct grub *g)
{
	words_done(g);
	for (;;) {
		_cleanup_buf_ struct buf b = { 0 };
		bool quoted;

		while (*g->p == ' ' || *g->p == '\t' ||
		       (g->p[0] == '\\' && g->p[1] == '\n'))
			g->p += *g->p == '\\' ? 2 : 1;
		if (*g->p == '#')
			g->p += strcspn(g->p, "\n");
		if (!*g->p || *g->p == '\n' || *g->p == ';') {
			g->end = *g->p ? E_LINE : E_EOF;
			if (*g->p)
				g->p++;
			return;
		}
		(void)buf_add(&b, "", 0);
		(void)word(g, &b, &quoted);
		if (!quoted && streq(b.s, "{")) {
			g->end = E_OPEN;
			return;
		}
		if (!quoted && streq(b.s, "}")) {
			g->end = E_CLOSE;
			return;
		}
		if (g->n == 0)
			g->after_first = g->p;
		if ((b.n || quoted) && g->n < MAX_WORDS)
			g->w[g->n++] = TAKE_PTR(b.s);
	}
}

static bool file_there(struct grub *g, const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t n;

	return g->v &&
	       g->v->ops->read(g->v, path, 4u << 20, &text, &n, NULL) >= 0 &&
	       n > 0;
}

/* One primary of [ ... ], advancing *i. */
static bool primary(struct grub *g, unsigned int *i, unsigned int end)
{
	const char *a = g->w[*i];

	if (streq(a, "!") && *i + 1 < end) {
		(*i)++;
		return !primary(g, i, end);
	}
	if (*i + 2 < end &&
	    (streq(g->w[*i + 1], "=") || streq(g->w[*i + 1], "==") ||
	     streq(g->w[*i + 1], "!="))) {
		bool eq = streq(a, g->w[*i + 2]);

		if (g->w[*i + 1][0] == '!')
			eq = !eq;
		*i += 3;
		return eq;
	}
	if (a[0] == '-' && a[1] && !a[2] && *i + 1 < end) {
		const char *b = g->w[*i + 1];

		*i += 2;
		switch (a[1]) {
		case 'n':
			return *b;
		case 'z':
			return !*b;
		case 'f':
		case 's':
		case 'e':
			return file_there(g, b);
		default:
			return false;
		}
	}
	(*i)++;
	return *a;
}

static bool condition(struct grub *g, unsigned int from)
{
	unsigned int i = from, end = g->n;
	bool val;

	if (i < end && (streq(g->w[i], "[") || streq(g->w[i], "test"))) {
		i++;
		if (end > i && streq(g->w[end - 1], "]"))
			end--;
	} else {
		return i < end && streq(g->w[i], "true");
	}
	if (i >= end)
		return false;
	val = primary(g, &i, end);
	while (i + 1 < end) {
		bool either = streq(g->w[i], "-o"), more;

		if (!either && !streq(g->w[i], "-a"))
			break;
		i++;
		more = primary(g, &i, end);
		val = either ? val || more : val && more;
	}
	return val;
}

static enum stop run_list(struct grub *g, unsigned int depth, bool skip);

static enum stop handle_if(struct grub *g, unsigned int depth, bool skip)
{
	bool cond = !skip && condition(g, 1), taken = false;

	for (;;) {
		enum stop s = run_list(g, depth + 1, skip || taken || !cond);

		taken = taken || cond;
		if (s == S_ELIF)
			cond = !skip && !taken && condition(g, 1);
		else if (s == S_ELSE)
			cond = !taken;
		else
			return s;
	}
}

static void skip_block(struct grub *g)
{
	unsigned int open = 1;

	while (open) {
		command(g);
		if (g->end == E_EOF)
			return;
		open += g->end == E_OPEN;
		open -= g->end == E_CLOSE;
	}
}

static void run_entry(struct grub *g, unsigned int depth, struct entry *e)
{
	g->entry = e;
	(void)run_list(g, depth + 1, false);
	g->entry = NULL;
}

static void handle_entry(struct grub *g, unsigned int depth, bool skip)
{
	bool sub = streq(g->w[0], "submenu");
	struct entry *e = skip || g->entry ? NULL : menu_add(g->m);
	int self = (int)g->m->n - 1, outer = g->parent;

	if (!e || g->end != E_OPEN) {
		if (g->end == E_OPEN)
			skip_block(g);
		return;
	}
	/* The list does not grow while an entry is run: e stays valid. */
	e->parent = g->parent;
	e->title = g->n > 1 ? strdup(g->w[1]) : strdup("");
	for (unsigned int i = 2; i + 1 < g->n; i++)
		if (streq(g->w[i], "--id") && !e->id)
			e->id = strdup(g->w[i + 1]);
	if (!sub) {
		run_entry(g, depth, e);
		return;
	}
	g->parent = self;
	(void)run_list(g, depth + 1, false);
	g->parent = outer;
}

/* "(hd0,msdos1)/vmlinuz" and "($root)/vmlinuz" mean this file system. */
static const char *plain_path(const char *p)
{
	const char *e;

	if (*p != '(')
		return p;
	e = strchr(p, ')');
	return e ? e + 1 : p;
}

static void boot_line(struct grub *g)
{
	struct entry *e = g->entry;
	_cleanup_buf_ struct buf b = { 0 };

	if (bh_startswith(g->w[0], "initrd")) {
		for (unsigned int i = 1; i < g->n; i++)
			(void)strv_add(&e->initrd, plain_path(g->w[i]));
		return;
	}
	if (g->n < 2)
		return;
	(void)buf_add(&b, "", 0);
	for (unsigned int i = 2; i < g->n; i++)
		(void)buf_addf(&b, "%s%s", i > 2 ? " " : "", g->w[i]);
	free(e->kernel);
	free(e->cmdline);
	e->kernel = strdup(plain_path(g->w[1]));
	e->cmdline = TAKE_PTR(b.s);
}

static void simple(struct grub *g)
{
	const char *c = g->w[0];
	char *eq;

	unsigned int assigned = streq(c, "set") ? 1 : 0;

	/* "set x=y", and "x=y" alone. */
	if (g->n > assigned && (eq = strchr(g->w[assigned], '=')) &&
	    (assigned || !strchr("[/", *c))) {
		*eq = 0;
		(void)vars_set(g->vars, g->w[assigned], eq + 1);
	} else if (g->entry &&
		   (streq(c, "linux") || streq(c, "linux16") ||
		    streq(c, "linuxefi") || streq(c, "initrd") ||
		    streq(c, "initrd16") || streq(c, "initrdefi"))) {
		boot_line(g);
	} else if (streq(c, "blscfg") && g->v && !g->entry) {
		static const char *const dirs[] = { "/boot/loader/entries",
						    "/loader/entries" };

		for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
			if (bls_parse(g->v, dirs[i], g->vars, g->m) >= 0)
				break;
	}
	/* load_env: the environment was loaded before. Others: no effect. */
}

static enum stop run_list(struct grub *g, unsigned int depth, bool skip)
{
	if (depth > MAX_DEPTH)
		skip = true;
	for (;;) {
		const char *c;

		command(g);
		c = g->n ? g->w[0] : "";
		if (streq(c, "then") || streq(c, "do")) {
			if (g->n > 1 || g->end == E_OPEN)
				g->p = g->after_first;
			continue;
		}
		if (streq(c, "fi"))
			return S_FI;
		if (streq(c, "elif"))
			return S_ELIF;
		if (streq(c, "else")) {
			if (g->n > 1)
				g->p = g->after_first;
			return S_ELSE;
		}
		if (streq(c, "if")) {
			if (depth > MAX_DEPTH + 64)
				return S_EOF;
			if (handle_if(g, depth, skip) != S_FI)
				return S_EOF;
			continue;
		}
		if (streq(c, "function")) {
			if (g->end == E_OPEN)
				skip_block(g);
			continue;
		}
		if (streq(c, "menuentry") || streq(c, "submenu")) {
			handle_entry(g, depth, skip || depth > MAX_DEPTH);
			continue;
		}
		if (g->n && !skip)
			simple(g);
		if (g->end == E_OPEN)
			skip_block(g);
		else if (g->end == E_CLOSE)
			return S_BRACE;
		else if (g->end == E_EOF)
			return S_EOF;
	}
}

int grub_parse(const char *text, struct vfs *v, const char *prefix,
	       struct vars *vars, struct menu *ret)
{
	struct grub g = { .text = text,
			  .p = text,
			  .v = v,
			  .prefix = prefix,
			  .vars = vars,
			  .m = ret,
			  .parent = -1 };
	const char *dflt;

	ret->chosen = -1;
	(void)vars_set(vars, "prefix", prefix);
	(void)vars_set(vars, "feature_menuentry_id", "y");
	(void)vars_set(vars, "feature_default_font_path", "y");
	(void)vars_set(vars, "grub_platform", "pc");
	while (run_list(&g, 0, false) != S_EOF)
		;
	words_done(&g);
	dflt = vars_get(vars, "default");
	ret->chosen = menu_find(ret, *dflt ? dflt : "0");
	/* BLS entries are named by their file, also with .conf or a path. */
	if (ret->chosen < 0)
		ret->chosen = menu_first(ret, -1);
	return 0;
}
