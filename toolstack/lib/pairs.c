/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See bulkhead/pairs.h. */
#include "bulkhead/pairs.h"
#include "bulkhead/util.h"

/* Cuts the first line off, joined with those it continues on. */
static char *next_line(char **text, unsigned int *no)
{
	char *line = *text, *p = line, *nl;

	for (;; p = nl + 1) {
		nl = strchr(p, '\n');
		++*no;
		if (!nl) {
			*text = p + strlen(p);
			return line;
		}
		if (nl == line || nl[-1] != '\\')
			break;
		nl[-1] = nl[0] = ' ';
	}
	*nl = '\0';
	*text = nl + 1;
	return line;
}

static char *unquote(char *v)
{
	size_t n = strlen(v);

	if (n < 2 || v[0] != '"' || strchr(v + 1, '"') != v + n - 1)
		return v;
	v[n - 1] = '\0';
	return v + 1;
}

int bh_pairs_parse(char *text, bh_pair_fn fn, void *arg)
{
	unsigned int no = 0;

	while (*text) {
		unsigned int first = no + 1;
		char *line = bh_strip(next_line(&text, &no));
		char *eq = strchr(line, '=');
		int r;

		if (!*line || *line == '#')
			continue;
		if (eq)
			*eq = '\0';
		r = fn(first, bh_strip(line),
		       eq ? unquote(bh_strip(eq + 1)) : NULL, arg);
		if (r < 0)
			return r;
	}
	return 0;
}

int bh_pairs_read(const char *path, bh_pair_fn fn, void *arg)
{
	_cleanup_free_ char *text = NULL;
	int r = bh_read_file(path, 1 << 20, &text, NULL);

	return r < 0 ? r : bh_pairs_parse(text, fn, arg);
}
