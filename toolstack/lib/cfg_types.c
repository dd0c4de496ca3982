/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small values that configuration, command line and output share: names,
 * UUIDs, processor sets, actions.
 */
#include <ctype.h>

#include "bulkhead/cfg.h"

/*
 * A name becomes part of a path, a unit name and a store node, so it is kept
 * to what is safe in all three. One that is a number would be taken for a
 * domain id by every command.
 */
bool bh_name_valid(const char *name)
{
	size_t n = strlen(name);
	bool digits = true;

	if (n == 0 || n >= BH_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)name[i];

		if (ch >= 0x80 || (!isalnum(ch) && !strchr("-_.", ch)))
			return false;
		if (!isdigit(ch))
			digits = false;
	}
	return !digits && !streq(name, "Domain-0");
}

int bh_uuid_parse(const char *s, uint8_t ret[16])
{
	uint8_t u[16] = {};
	unsigned int n = 0;

	for (; *s; s++) {
		int c = tolower((unsigned char)*s);

		if (c == '-')
			continue;
		if (!isxdigit(c) || n >= 32)
			return -EINVAL;
		c = c <= '9' ? c - '0' : c - 'a' + 10;
		u[n / 2] = (uint8_t)(u[n / 2] << 4 | c);
		n++;
	}
	if (n != 32)
		return -EINVAL;
	memcpy(ret, u, 16);
	return 0;
}

void bh_uuid_format(const uint8_t u[16], char buf[37])
{
	static const char hex[] = "0123456789abcdef";
	char *p = buf;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[u[i] >> 4];
		*p++ = hex[u[i] & 15];
	}
	*p = '\0';
}

static int parse_cpu(const char **p, unsigned int *ret)
{
	unsigned int v = 0;

	if (!isdigit((unsigned char)**p))
		return -EINVAL;
	while (isdigit((unsigned char)**p)) {
		v = v * 10 + (unsigned int)(*(*p)++ - '0');
		if (v >= BH_CPUMAP_BYTES * 8)
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

int bh_cpumap_parse(const char *spec, struct bh_cpumap *ret)
{
	struct bh_cpumap m = {};
	const char *p = spec;

	if (streq(spec, "all") || streq(spec, "any")) {
		*ret = (struct bh_cpumap){ .any = true };
		return 0;
	}
	do {
		bool not = false;
		unsigned int a, b;

		while (*p == ' ')
			p++;
		if (*p == '^') {
			not = true;
			p++;
		}
		if (bh_startswith(p, "all")) {
			p += 3;
			memset(m.bits, 0xff, sizeof(m.bits));
			goto next;
		}
		if (parse_cpu(&p, &a) < 0)
			return -EINVAL;
		b = a;
		if (*p == '-') {
			p++;
			if (parse_cpu(&p, &b) < 0 || b < a)
				return -EINVAL;
		}
		for (; a <= b; a++) {
			uint8_t bit = (uint8_t)(1u << (a & 7));

			if (not )
				m.bits[a / 8] &= (uint8_t)~bit;
			else
				m.bits[a / 8] |= bit;
		}
	next:
		while (*p == ' ')
			p++;
	} while (*p++ == ',');
	if (p[-1])
		return -EINVAL;
	for (size_t i = 0; i < sizeof(m.bits); i++)
		if (m.bits[i]) {
			*ret = m;
			return 0;
		}
	return -EINVAL; /* nowhere to run */
}

int bh_cpumap_format(const struct bh_cpumap *m, char *buf, size_t size)
{
	size_t n = 0;

	if (m->any)
		return bh_snprintf(buf, size, "all");
	if (!size)
		return -ENAMETOOLONG;
	buf[0] = '\0';
	for (unsigned int a = 0; a < BH_CPUMAP_BYTES * 8; a++) {
		unsigned int b = a;
		int k;

		if (!(m->bits[a / 8] & 1u << (a & 7)))
			continue;
		while (b + 1 < BH_CPUMAP_BYTES * 8 &&
		       (m->bits[(b + 1) / 8] & 1u << ((b + 1) & 7)))
			b++;
		if (b > a)
			k = snprintf(buf + n, size - n, "%s%u-%u", n ? "," : "",
				     a, b);
		else
			k = snprintf(buf + n, size - n, "%s%u", n ? "," : "",
				     a);
		if (k < 0 || (size_t)k >= size - n)
			return -ENAMETOOLONG;
		n += (size_t)k;
		a = b;
	}
	return 0;
}

int bh_action_parse(const char *s, bool crash, enum bh_action *ret)
{
	for (unsigned int i = 0; i <= BH_ACT_COREDUMP_RESTART; i++)
		if (streq(s, bh_action_names[i])) {
			if (i >= BH_ACT_COREDUMP_DESTROY && !crash)
				return -EINVAL;
			*ret = (enum bh_action)i;
			return 0;
		}
	if (streq(s, "rename-restart")) { /* the old domain is not kept */
		*ret = BH_ACT_RESTART;
		return 0;
	}
	return -EINVAL;
}
