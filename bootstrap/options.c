/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See options.h. */
#define _GNU_SOURCE
#include "options.h"

#include <ctype.h>
#include <errno.h>

#include "conf.h"
#include "identity.h"
#include "names.h"

static bool is_public_key(const char *line)
{
	static const char *const types[] = { "ssh-", "ecdsa-", "sk-ssh-",
					     "sk-ecdsa-" };
	const char *p = line;

	/* Options may stand before the type. */
	for (;;) {
		for (size_t i = 0; i < ARRAY_SIZE(types); i++)
			if (bh_startswith(p, types[i])) {
				const char *sp = strchr(p, ' ');

				return sp && bh_startswith(sp + 1, "AAAA");
			}
		p = strchr(p, ' ');
		if (!p)
			return false;
		while (*p == ' ')
			p++;
	}
}

int opt_ssh_key(const char *file, struct buf *keys)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	unsigned int found = 0;
	int r = bh_read_file(file, 1 << 20, &text, NULL);

	if (r < 0)
		return fail(VMB_MISSING, "--ssh-key: cannot read %s: %s", file,
			    strerror(-r));
	if (strstr(text, "PRIVATE KEY"))
		return fail(
			VMB_USAGE,
			"--ssh-key: %s is a private key; give the public one (%s.pub)",
			file, file);
	for (char *l = strtok_r(text, "\r\n", &save); l;
	     l = strtok_r(NULL, "\r\n", &save)) {
		l = bh_strip(l);
		if (!*l || *l == '#')
			continue;
		if (!is_public_key(l))
			return fail(
				VMB_USAGE,
				"--ssh-key: %s: not an SSH public key: \"%.40s\"",
				file, l);
		if (buf_addf(keys, "%s\n", l) < 0)
			return oom();
		found++;
	}
	return found ? 0
		     : fail(VMB_USAGE, "--ssh-key: %s has no key in it", file);
}

int opt_password_file(const char *file, char **ret_hash)
{
	char *text = NULL;
	int r = bh_read_file(file, 4096, &text, NULL);

	if (r < 0)
		return fail(VMB_MISSING, "--password-file: cannot read %s: %s",
			    file, strerror(-r));
	text[strcspn(text, "\r\n")] = 0;
	free(*ret_hash);
	*ret_hash = NULL;
	if (!*text)
		r = fail(VMB_USAGE, "--password-file: %s is empty", file);
	else if (bh_startswith(text, "$") && strchr(text + 1, '$'))
		r = (*ret_hash = strdup(text)) ? 0 : oom(); /* hashed already */
	else
		r = password_hash(text, ret_hash);
	explicit_bzero(text, strlen(text));
	free(text);
	/* It will be a field of a colon-separated line. */
	if (r >= 0 && strchr(*ret_hash, ':'))
		r = fail(VMB_USAGE, "--password-file: %s: a hash has no \":\"",
			 file);
	return r;
}

int opt_script(const char *file, struct strv *scripts)
{
	_cleanup_free_ char *full = realpath(file, NULL);

	if (!full || access(full, R_OK) < 0)
		return fail(VMB_MISSING, "--run: cannot read %s: %m", file);
	return strv_add(scripts, full) < 0 ? oom() : 0;
}

int opt_role(const char *name, struct strv *roles)
{
	_cleanup_strv_ struct strv words = { 0 };
	int r = strv_split(&words, name, ",");

	for (size_t i = 0; r >= 0 && i < words.n; i++) {
		const char *extra = conf_get("role-path");
		char *tries[4] = {
			etc_path("roles.d/%s", words.v[i]),
			extra ? bh_asprintf("%s/%s", extra, words.v[i]) : NULL,
			data_path("roles.d/%s", words.v[i]),
			bh_asprintf("/etc/xen-tools/role.d/%s", words.v[i])
		};
		bool found = false;

		r = name_check_template(words.v[i]);
		for (size_t k = 0; k < 4; k++) {
			if (r >= 0 && !found && tries[k] &&
			    access(tries[k], X_OK) == 0) {
				found = true;
				r = strv_add(roles, tries[k]) < 0 ? oom() : 0;
			}
			free(tries[k]);
		}
		if (r >= 0 && !found)
			r = fail(
				VMB_MISSING,
				"--role: there is no executable /etc/bulkhead/roles.d/%s",
				words.v[i]);
	}
	return r;
}

int opt_user_data(const char *file, char **ret_text)
{
	int r;

	free(*ret_text);
	*ret_text = NULL;
	r = bh_read_file(file, 1 << 20, ret_text, NULL);
	return r < 0 ? fail(VMB_MISSING, "--user-data: cannot read %s: %s",
			    file, strerror(-r))
		     : 0;
}

int opt_cfg_string(const char *what, const char *v, char **ret)
{
	for (const char *p = v; *p; p++)
		if (*p == '"' || *p == '\\' || iscntrl((unsigned char)*p))
			return fail(
				VMB_USAGE,
				"--%s: quotes, backslashes and control characters cannot be written to a guest's configuration",
				what);
	free(*ret);
	*ret = strdup(v);
	return *ret ? 0 : oom();
}

int opt_network(const char *v, enum netstyle *ret)
{
	return netstyle_parse(v, ret) < 0
		       ? fail(VMB_USAGE,
			      "--network %s: use networkd, ifupdown, networkmanager, netplan or none",
			      v)
		       : 0;
}

int opt_timeout(const char *v, unsigned long *ret)
{
	return bh_parse_u64(v, 10, 86400, ret) < 0 || !*ret
		       ? fail(VMB_USAGE, "--timeout %s: expected seconds", v)
		       : 0;
}

int opt_text(char **p, const char *v)
{
	if (!v)
		return 0;
	free(*p);
	*p = strdup(v);
	return *p ? 0 : oom();
}

int opt_size(const char *what, const char *v, uint64_t *ret)
{
	return parse_size(v, 1ULL << 20, ret) < 0
		       ? fail(VMB_USAGE,
			      "--%s \"%s\": expected a size, as in 512M or 8G",
			      what, v)
		       : 0;
}

int opt_size_conf(uint64_t *p, const char *key, uint64_t dflt)
{
	const char *v = conf_get(key);

	if (*p)
		return 0;
	*p = dflt;
	return v ? opt_size(key, v, p) : 0;
}
