/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command line: "name=value name -name no-name" separated by blanks. Options
 * are declared beside the code they steer (PARAM_* in console.h) and collected
 * by the linker. Unknown options are reported once the console works, and
 * otherwise ignored. "name" alone means yes; "no-name" and name=no|off|0|false
 * mean no.
 */
#include <bh/console.h>
#include <bh/lib.h>

extern const struct param __param_start[], __param_end[];
char saved_cmdline[1024];
static char unknown[256] __initdata;

static int parse_bool(const char *v)
{
	static const char *const no[] = { "no", "off", "0", "false",
					  "disable" };

	for (unsigned int i = 0; i < ARRAY_SIZE(no); i++)
		if (!strcmp(v, no[i]))
			return 0;
	return 1;
}

static int __init apply(const struct param *p, const char *val, bool negated)
{
	switch (p->kind) {
	case P_STR:
		strlcpy(p->var, val ? val : "", p->len);
		return 0;
	case P_UINT:
		if (!val)
			return -1;
		if (p->len == 8)
			*(u64 *)p->var = strtou64(val, NULL, 0);
		else
			*(u32 *)p->var = strtou64(val, NULL, 0);
		return 0;
	case P_BOOL:
		*(bool *)p->var = (!val || parse_bool(val)) != negated;
		return 0;
	case P_SIZE:
		if (!val)
			return -1;
		*(u64 *)p->var = parse_size(val, NULL);
		return 0;
	case P_FN:
		return ((int (*)(const char *))p->var)(negated ? "no"
						       : val   ? val
							       : "");
	}
	return -1;
}

static bool __init apply_word(char *w)
{
	char *val = strchr(w, '=');
	bool negated = !strncmp(w, "no-", 3), found = false;

	if (val)
		*val++ = '\0';
	for (const struct param *p = __param_start; p < __param_end; p++) {
		if (!strcmp(p->name, w))
			found |= !apply(p, val, false);
		else if (negated && !strcmp(p->name, w + 3))
			found |= !apply(p, val, true);
	}
	if (val)
		val[-1] = '=';
	return found;
}

void __init cmdline_parse(const char *cmdline)
{
	char word[256];
	const char *s = cmdline;
	size_t n;

	strlcpy(saved_cmdline, cmdline, sizeof(saved_cmdline));
	for (;;) {
		while (*s == ' ' || *s == '\t' || *s == '\n')
			s++;
		if (!*s)
			break;
		for (n = 0;
		     s[n] && s[n] != ' ' && s[n] != '\t' && s[n] != '\n';)
			n++;
		if (n < sizeof(word)) {
			memcpy(word, s, n);
			word[n] = '\0';
			if (!apply_word(word) &&
			    strlen(unknown) + n + 2 < sizeof(unknown)) {
				strlcpy(unknown + strlen(unknown), " ", 2);
				strlcpy(unknown + strlen(unknown), word, n + 1);
			}
		}
		s += n;
	}
}

void __init cmdline_report(void)
{
	printk(LVL_INFO "Command line: %s\n", saved_cmdline);
	if (unknown[0])
		printk(LVL_WARN "Unknown options ignored:%s\n", unknown);
}
