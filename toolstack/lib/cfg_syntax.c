/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The syntax of xl.cfg: assignments of strings, numbers and lists.
 *
 *   file  := { [ key ("=" | "+=") value ] (newline | ";") }
 *   value := string | number | "[" { value [","] } "]"
 *
 * Strings take both quote styles and C's escapes; a comment runs from # to the
 * end of the line; a backslash before a newline joins two lines; inside
 * brackets and parentheses a newline is only white space. A later assignment
 * to a key replaces the earlier one, "+=" appends to a string or list.
 *
 * The text may come from anyone who can ask for a guest, so every limit is a
 * named one and nothing recurses deeper than MAX_DEPTH.
 */
#include <ctype.h>

#include "bulkhead/cfg.h"

#define MAX_DEPTH   4
#define MAX_ITEMS   4096u
#define MAX_ENTRIES 1024u

struct lex {
	const char *path;
	const char *p, *end;
	unsigned int line;
	struct bh_err *e;
};

static void value_done(struct bh_cfg_value *v)
{
	free(v->str);
	for (size_t i = 0; i < v->n_items; i++)
		value_done(&v->items[i]);
	free(v->items);
	*v = (struct bh_cfg_value){};
}

void bh_cfg_doc_free(struct bh_cfg_doc *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_entries; i++) {
		free(d->entries[i].key);
		value_done(&d->entries[i].value);
	}
	free(d->entries);
	free(d->path);
	free(d);
}

struct bh_cfg_value *bh_cfg_doc_find(struct bh_cfg_doc *d, const char *key)
{
	for (size_t i = 0; i < d->n_entries; i++)
		if (streq(d->entries[i].key, key)) {
			d->entries[i].used = true;
			return &d->entries[i].value;
		}
	return NULL;
}

/* What stands at the cursor, for "found ..." in messages. */
static const char *found(const struct lex *l, char buf[24])
{
	if (l->p >= l->end)
		return "the end of the file";
	if (*l->p == '\n')
		return "the end of the line";
	if (isprint((unsigned char)*l->p))
		(void)snprintf(buf, 24, "'%c'", *l->p);
	else
		(void)snprintf(buf, 24, "byte 0x%02x", (unsigned char)*l->p);
	return buf;
}

static int fail(const struct lex *l, const char *expected)
{
	char buf[24];

	return bh_fail(l->e, -EINVAL, "%s:%u: found %s, expected %s", l->path,
		       l->line, found(l, buf), expected);
}

/* Skips blanks, comments, joined lines and (if nl) newlines. */
static void skip_space(struct lex *l, bool nl)
{
	while (l->p < l->end) {
		if (*l->p == '#') {
			while (l->p < l->end && *l->p != '\n')
				l->p++;
		} else if (*l->p == '\\' && l->end - l->p > 1 &&
			   l->p[1] == '\n') {
			l->p += 2;
			l->line++;
		} else if (*l->p == '\\' && l->end - l->p > 2 &&
			   l->p[1] == '\r' && l->p[2] == '\n') {
			l->p += 3;
			l->line++;
		} else if (*l->p == '\n' && nl) {
			l->p++;
			l->line++;
		} else if (*l->p == ' ' || *l->p == '\t' || *l->p == '\r' ||
			   *l->p == '\f' || *l->p == '\v') {
			l->p++;
		} else {
			return;
		}
	}
}

static int parse_hex(struct lex *l, char *ret)
{
	unsigned int v = 0, n = 0;

	while (n < 2 && l->p < l->end && isxdigit((unsigned char)*l->p)) {
		int c = tolower((unsigned char)*l->p++);

		v = v * 16 + (unsigned int)(c <= '9' ? c - '0' : c - 'a' + 10);
		n++;
	}
	if (n == 0 || v == 0)
		return fail(l, "two hexadecimal digits, not 00, after \\x");
	*ret = (char)v;
	return 0;
}

static int parse_escape(struct lex *l, char *ret)
{
	static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
	const char *q;
	unsigned int v = 0, n = 0;

	if (l->p >= l->end)
		return fail(l, "a character after the backslash");
	if (*l->p == 'x') {
		l->p++;
		return parse_hex(l, ret);
	}
	if (*l->p >= '0' && *l->p <= '7') {
		while (n < 3 && l->p < l->end && *l->p >= '0' && *l->p <= '7') {
			v = v * 8 + (unsigned int)(*l->p++ - '0');
			n++;
		}
		if (v == 0 || v > 255)
			return fail(l, "an octal escape from \\001 to \\377");
		*ret = (char)v;
		return 0;
	}
	q = *l->p ? strchr(from, *l->p) : NULL;
	if (q)
		*ret = to[q - from];
	else if (strchr("\\'\"?", *l->p) && *l->p)
		*ret = *l->p;
	else
		return fail(l,
			    "one of \\\\ \\' \\\" \\n \\t \\xNN in a string");
	l->p++;
	return 0;
}

static int parse_string(struct lex *l, char **ret)
{
	char quote = *l->p++;
	_cleanup_free_ char *s = malloc((size_t)(l->end - l->p) + 1);
	size_t n = 0;

	if (!s)
		return bh_fail(l->e, -ENOMEM, "%s: out of memory", l->path);
	for (;;) {
		if (l->p >= l->end || *l->p == '\n')
			return fail(l, quote == '"'
					       ? "the closing \" of the string"
					       : "the closing ' of the string");
		if (*l->p == quote) {
			l->p++;
			break;
		}
		if (*l->p == '\0')
			return fail(l, "text without NUL bytes");
		if (*l->p == '\\') {
			int r;

			l->p++;
			r = parse_escape(l, &s[n]);
			if (r < 0)
				return r;
			n++;
			continue;
		}
		s[n++] = *l->p++;
	}
	s[n] = '\0';
	*ret = realloc(s, n + 1);
	if (!*ret)
		return bh_fail(l->e, -ENOMEM, "%s: out of memory", l->path);
	s = NULL;
	return 0;
}

static int parse_number(struct lex *l, struct bh_cfg_value *v)
{
	char buf[32];
	size_t n = 0;
	char *end;

	while (l->p < l->end &&
	       (isalnum((unsigned char)*l->p) || (n == 0 && *l->p == '-'))) {
		if (n >= sizeof(buf) - 1)
			return fail(l, "a number of at most 30 digits");
		buf[n++] = *l->p++;
	}
	buf[n] = '\0';
	errno = 0;
	v->num = strtoll(buf, &end, 0);
	if (errno || end == buf || *end)
		return bh_fail(l->e, -EINVAL,
			       "%s:%u: '%s' is not a number; a text needs "
			       "quotes around it",
			       l->path, l->line, buf);
	v->type = BH_CFG_NUMBER;
	v->str = strdup(buf);
	return v->str ? 0
		      : bh_fail(l->e, -ENOMEM, "%s: out of memory", l->path);
}

static int parse_value(struct lex *l, unsigned int depth,
		       struct bh_cfg_value *v);

static int parse_list(struct lex *l, unsigned int depth, struct bh_cfg_value *v)
{
	char close = *l->p++ == '[' ? ']' : ')';
	int r;

	v->type = BH_CFG_LIST;
	if (depth >= MAX_DEPTH)
		return fail(l, "lists nested at most four deep");
	for (;;) {
		skip_space(l, true);
		if (l->p < l->end && *l->p == close) {
			l->p++;
			return 0;
		}
		if (v->n_items >= MAX_ITEMS)
			return fail(l, "at most 4096 values in a list");
		r = bh_grow(&v->items, &v->a_items, v->n_items + 1,
			    sizeof(v->items[0]));
		if (r < 0)
			return bh_fail(l->e, r, "%s: out of memory", l->path);
		v->items[v->n_items] = (struct bh_cfg_value){};
		v->n_items++;
		r = parse_value(l, depth + 1, &v->items[v->n_items - 1]);
		if (r < 0)
			return r;
		skip_space(l, true);
		if (l->p < l->end && *l->p == ',')
			l->p++;
		else if (l->p >= l->end || *l->p != close)
			return fail(l, close == ']' ? "',' or ']' in the list"
						    : "',' or ')' in the list");
	}
}

static int parse_value(struct lex *l, unsigned int depth,
		       struct bh_cfg_value *v)
{
	skip_space(l, depth > 0);
	v->line = l->line;
	if (l->p >= l->end)
		return fail(l, "a value");
	if (*l->p == '"' || *l->p == '\'') {
		v->type = BH_CFG_STRING;
		return parse_string(l, &v->str);
	}
	if (*l->p == '[' || *l->p == '(')
		return parse_list(l, depth, v);
	if (isalnum((unsigned char)*l->p) || *l->p == '-')
		return parse_number(l, v);
	return fail(l, "a \"string\", a number or a [ list ]");
}

static int append(struct lex *l, struct bh_cfg_value *to,
		  struct bh_cfg_value *v)
{
	char *s;
	int r;

	if (to->type == BH_CFG_STRING && v->type == BH_CFG_STRING) {
		s = bh_asprintf("%s%s", to->str, v->str);
		if (!s)
			return bh_fail(l->e, -ENOMEM, "%s: out of memory",
				       l->path);
		free(to->str);
		to->str = s;
		return 0;
	}
	if (to->type != BH_CFG_LIST || v->type != BH_CFG_LIST)
		return bh_fail(l->e, -EINVAL,
			       "%s:%u: += needs two strings or two lists",
			       l->path, v->line);
	if (to->n_items + v->n_items > MAX_ITEMS)
		return fail(l, "at most 4096 values in a list");
	r = bh_grow(&to->items, &to->a_items, to->n_items + v->n_items,
		    sizeof(to->items[0]));
	if (r < 0)
		return bh_fail(l->e, r, "%s: out of memory", l->path);
	if (v->n_items)
		memcpy(to->items + to->n_items, v->items,
		       v->n_items * sizeof(v->items[0]));
	to->n_items += v->n_items;
	v->n_items = 0; /* moved */
	return 0;
}

static int store(struct lex *l, struct bh_cfg_doc *d, const char *key,
		 unsigned int line, bool add, struct bh_cfg_value *v)
{
	struct bh_cfg_value *old = bh_cfg_doc_find(d, key);
	int r;

	if (old && add)
		return append(l, old, v);
	if (old) {
		value_done(old);
		*old = *v;
		*v = (struct bh_cfg_value){};
		return 0;
	}
	if (d->n_entries >= MAX_ENTRIES)
		return bh_fail(l->e, -EINVAL, "%s:%u: more than %u settings",
			       l->path, line, MAX_ENTRIES);
	r = bh_grow(&d->entries, &d->a_entries, d->n_entries + 1,
		    sizeof(d->entries[0]));
	if (r < 0)
		return bh_fail(l->e, r, "%s: out of memory", l->path);
	d->entries[d->n_entries] = (struct bh_cfg_entry){ .key = strdup(key),
							  .line = line,
							  .value = *v };
	if (!d->entries[d->n_entries].key)
		return bh_fail(l->e, -ENOMEM, "%s: out of memory", l->path);
	d->n_entries++;
	*v = (struct bh_cfg_value){};
	return 0;
}

static int parse_setting(struct lex *l, struct bh_cfg_doc *d)
{
	struct bh_cfg_value v = {};
	unsigned int line = l->line;
	bool add = false;
	char key[64];
	size_t n = 0;
	int r;

	if (!isalpha((unsigned char)*l->p) && *l->p != '_')
		return fail(l, "the name of a setting");
	while (l->p < l->end &&
	       (isalnum((unsigned char)*l->p) || *l->p == '_')) {
		if (n >= sizeof(key) - 1)
			return fail(l, "a name of at most 63 characters");
		key[n++] = *l->p++;
	}
	key[n] = '\0';
	skip_space(l, false);
	if (l->end - l->p > 1 && l->p[0] == '+' && l->p[1] == '=') {
		add = true;
		l->p++;
	}
	if (l->p >= l->end || *l->p != '=')
		return fail(l, "'=' after the name of the setting");
	l->p++;
	r = parse_value(l, 0, &v);
	if (r == 0) {
		skip_space(l, false);
		if (l->p < l->end && *l->p != '\n' && *l->p != ';')
			r = fail(l, "the end of the line or ';'");
	}
	if (r == 0)
		r = store(l, d, key, line, add, &v);
	value_done(&v);
	return r;
}

int bh_cfg_doc_parse(const char *path, const char *text, size_t len,
		     struct bh_cfg_doc **ret, struct bh_err *e)
{
	struct lex l = {
		.path = path, .p = text, .end = text + len, .line = 1, .e = e
	};
	struct bh_cfg_doc *d;
	int r = 0;

	if (len > BH_CFG_MAX_BYTES)
		return bh_fail(e, -EFBIG,
			       "%s: more than %u bytes; this is no guest "
			       "configuration",
			       path, BH_CFG_MAX_BYTES);
	d = calloc(1, sizeof(*d));
	if (!d)
		return bh_fail(e, -ENOMEM, "%s: out of memory", path);
	d->path = strdup(path);
	if (!d->path)
		r = bh_fail(e, -ENOMEM, "%s: out of memory", path);
	while (r == 0) {
		skip_space(&l, true);
		if (l.p >= l.end)
			break;
		if (*l.p == ';') {
			l.p++;
			continue;
		}
		r = parse_setting(&l, d);
	}
	if (r < 0) {
		bh_cfg_doc_free(d);
		return r;
	}
	for (size_t i = 0; i < d->n_entries; i++)
		d->entries[i].used = false;
	*ret = d;
	return 0;
}
