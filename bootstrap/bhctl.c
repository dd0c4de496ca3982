/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bhctl.h. BULKHEAD_BHCTL names another program, for tests. On a host
 * without bhctl a guest is certainly not running under it, so stopping and
 * disabling succeed; starting says what is missing.
 */
#include "bhctl.h"

#include <json-c/json.h>

#include <bulkhead/run.h>

static const char *program(void)
{
	const char *p = getenv("BULKHEAD_BHCTL");

	return p ? p : "bhctl";
}

static int call(const char *const argv[], bool missing_ok)
{
	_cleanup_free_ char *out = NULL, *err = NULL;
	int rc = bh_run(argv, BH_RUN_KEEP | BH_RUN_QUIET, &out, &err);

	if (rc == 0 || (rc == 127 && missing_ok))
		return 0;
	if (rc == 127)
		return fail(
			VMB_FAILED,
			"%s is not installed: the guest is made but cannot be started here",
			argv[0]);
	return fail(VMB_FAILED, "%s %s %s: %s", argv[0], argv[1], argv[2],
		    err ? bh_strip(err) : "failed");
}

int bhctl_enable(const char *const *a)
{
	const char *av[] = { program(), "enable", a[0], NULL };

	return call(av, false);
}

int bhctl_disable(const char *const *a)
{
	const char *av[] = { program(), "disable", a[0], NULL };

	return call(av, true);
}

int bhctl_kill(const char *const *a)
{
	const char *av[] = { program(), "destroy", a[0], NULL };

	return bhctl_is_running(a[0]) ? call(av, true) : 0;
}

int bhctl_start(const char *guest)
{
	const char *av[] = { program(), "start", guest, NULL };
	_cleanup_free_ char *err = NULL;
	int rc = bh_run(av, BH_RUN_KEEP | BH_RUN_QUIET, NULL, &err);

	if (rc == 0)
		return 0;
	return fail(
		VMB_TIMEOUT,
		"guest %s is made and stays, but did not start: %s; \"bhctl start %s\" tries again",
		guest,
		rc == 127               ? "bhctl is not installed"
		: err && *bh_strip(err) ? bh_strip(err)
					: "bhctl start failed",
		guest);
}

int bhctl_shutdown(const char *guest)
{
	const char *av[] = { program(), "shutdown", "--wait", guest, NULL };

	return call(av, true);
}

/* A stopped guest is listed too, without a domain id. */
static bool row_is_running(json_object *o)
{
	json_object *v;

	if (json_object_object_get_ex(o, "domid", &v) ||
	    json_object_object_get_ex(o, "id", &v))
		return v && json_object_get_type(v) == json_type_int &&
		       json_object_get_int(v) > 0;
	return false;
}

static int add_running(json_object *root, struct strv *ret)
{
	json_object *v;
	int r = 0;

	if (json_object_get_type(root) == json_type_object) {
		json_object_object_foreach(root, key, val)
		{
			(void)key;
			if (r >= 0 &&
			    json_object_get_type(val) == json_type_array)
				r = add_running(val, ret);
		}
		return r;
	}
	for (size_t i = 0; r >= 0 && i < json_object_array_length(root); i++) {
		json_object *o = json_object_array_get_idx(root, i);

		if (json_object_object_get_ex(o, "name", &v) &&
		    row_is_running(o))
			r = strv_add(ret, json_object_get_string(v));
	}
	return r;
}

void bhctl_running(struct strv *ret)
{
	const char *av[] = { program(), "list", "--json", NULL };
	_cleanup_free_ char *out = NULL;
	json_object *root;

	if (bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, &out, NULL) != 0 || !out)
		return;
	root = json_tokener_parse(out);
	if (json_object_get_type(root) == json_type_object ||
	    json_object_get_type(root) == json_type_array)
		(void)add_running(root, ret);
	json_object_put(root);
}

int bhctl_is_running(const char *guest)
{
	_cleanup_strv_ struct strv names = { 0 };

	bhctl_running(&names);
	return strv_has(&names, guest);
}
