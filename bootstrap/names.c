/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of names.h, as code. LVM's reserved words are from lvm(8),
 * hostnames from RFC 1123, interface names from IFNAMSIZ.
 */
#include "names.h"

#include <ctype.h>

#include "util.h"

static bool chars_ok(const char *s, const char *extra)
{
	for (; *s; s++)
		if (!(isascii((unsigned char)*s) &&
		      isalnum((unsigned char)*s)) &&
		    !strchr(extra, *s))
			return false;
	return true;
}

static int check(const char *what, const char *name, const char *extra,
		 size_t max)
{
	if (!name || !*name)
		return fail(VMB_USAGE, "%s: empty name", what);
	if (strlen(name) > max)
		return fail(VMB_USAGE,
			    "%s \"%.70s\": longer than %zu characters", what,
			    name, max);
	if (!chars_ok(name, extra) || !isalnum((unsigned char)*name))
		return fail(
			VMB_USAGE,
			"%s \"%s\": use letters, digits and \"%s\", starting with a letter or digit",
			what, name, extra);
	return 0;
}

bool name_is_reserved_lv(const char *lv)
{
	static const char *const part[] = {
		"_cdata",  "_cmeta", "_corig", "_mlog",  "_mimage",  "_pmspare",
		"_rimage", "_rmeta", "_tdata", "_tmeta", "_vorigin", "_vdata",
		"_imeta",  "_iorig", "_cvol",  "_wcorig"
	};

	if (bh_startswith(lv, "snapshot") || bh_startswith(lv, "pvmove"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(part); i++)
		if (strstr(lv, part[i]))
			return true;
	return false;
}

int name_check_guest(const char *name)
{
	int r = check("guest", name, ".-", 63);
	size_t n;

	if (r < 0)
		return r;
	n = strlen(name);
	if (strstr(name, "..") || name[n - 1] == '-' || name[n - 1] == '.' ||
	    strstr(name, ".-") || strstr(name, "-."))
		return fail(
			VMB_USAGE,
			"guest \"%s\": not a valid host name (RFC 1123): no empty parts, no \"-\" at the end of a part",
			name);
	/* "list" and friends as a Domain-0 alias confuse every other tool. */
	if (streq(name, "Domain-0") || name_is_reserved_lv(name))
		return fail(VMB_USAGE, "guest \"%s\": this name is reserved",
			    name);
	if (strspn(name, "0123456789") == n)
		return fail(
			VMB_USAGE,
			"guest \"%s\": a name of digits only would be taken for a domain id",
			name);
	return 0;
}

int name_check_template(const char *name)
{
	return check("template", name, ".-", 40);
}

int name_check_snapshot(const char *name)
{
	return check("snapshot", name, ".-", 40);
}

int name_check_vg(const char *name)
{
	int r = check("volume group", name, "+_.-", 127);

	if (r < 0)
		return r;
	if (streq(name, ".") || streq(name, ".."))
		return fail(VMB_USAGE, "volume group \"%s\": not a name", name);
	return 0;
}

int name_check_user(const char *name)
{
	if (!name || !*name || strlen(name) > 32 || !chars_ok(name, "_-") ||
	    isdigit((unsigned char)*name) || *name == '-')
		return fail(
			VMB_USAGE,
			"user \"%s\": use up to 32 letters, digits, \"_\" and \"-\", not starting with a digit or \"-\"",
			name ? name : "");
	return 0;
}

int name_check_bridge(const char *name)
{
	if (!name || !*name || strlen(name) > 15 || !chars_ok(name, "_.-"))
		return fail(
			VMB_USAGE,
			"bridge \"%s\": not an interface name (1 to 15 letters, digits, \"_.-\")",
			name ? name : "");
	return 0;
}

int name_check_hostname(const char *name)
{
	int r = check("host name", name, ".-", 253);

	if (r < 0)
		return r;
	if (strstr(name, "..") || bh_endswith(name, "-") ||
	    bh_endswith(name, "."))
		return fail(VMB_USAGE, "host name \"%s\": not valid (RFC 1123)",
			    name);
	return 0;
}

char *lv_root(const char *guest)
{
	return bh_asprintf("%s-root", guest);
}

char *lv_swap(const char *guest)
{
	return bh_asprintf("%s-swap", guest);
}

char *lv_snap(const char *guest, const char *snapshot)
{
	return bh_asprintf("%s-root+%s", guest, snapshot);
}

char *lv_template(const char *name, unsigned int version)
{
	return bh_asprintf("template+%s+%u", name, version);
}
