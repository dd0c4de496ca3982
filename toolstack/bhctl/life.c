/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting and stopping guests.
 */
#include "bhctl/bhctl.h"

#include <sys/stat.h>

static int config_exists(const char *name)
{
	char path[160];

	if (!bh_name_valid(name))
		return fail(EX_NO_GUEST, "'%s' cannot be a guest's name", name);
	if (bh_snprintf(path, sizeof(path), ETC_DIR "/%s.cfg", name) < 0 ||
	    access(path, F_OK) < 0)
		return fail(EX_NO_GUEST, "there is no guest %s (no %s/%s.cfg)",
			    name, ETC_DIR, name);
	return 0;
}

static bool is_ready(const char *guest, bool *ret_there)
{
	struct json_object *st = control_status(guest), *v;
	bool ready;

	*ret_there = st != NULL;
	if (!st)
		return false;
	ready = json_object_object_get_ex(st, "ready", &v) &&
		json_object_get_boolean(v);
	json_object_put(st);
	return ready;
}

int wait_ready(struct ctl *c, const char *guest)
{
	unsigned int timeout = c->timeout ? c->timeout : 300;
	uint64_t end = bh_now_us() + timeout * 1000000ull;
	unsigned int gone = 0;

	while (bh_now_us() < end) {
		bool there;

		if (is_ready(guest, &there))
			return 0;
		/* without systemd it may not be there yet */
		gone = there || await_supervisor(guest, end) ? 0 : gone + 1;
		if (gone > 20)
			return fail(EX_FAIL,
				    "guest %s stopped before it was ready; "
				    "journalctl -t %s shows its console",
				    guest, guest);
		usleep(100000);
	}
	return fail(EX_TIMEOUT, "guest %s is not ready after %u s", guest,
		    timeout);
}

static int start_one(struct ctl *c, const char *name)
{
	int r;

	if (has_supervisor(name))
		return fail(EX_STATE, "guest %s already runs", name);
	r = start_supervisor(name);
	if (r == 0 && c->console) {
		c->argv[0] = (char *)(uintptr_t)name;
		c->argc = 1;
		return cmd_console(c);
	}
	if (r == 0 && c->wait)
		r = wait_ready(c, name);
	return r;
}

int cmd_start(struct ctl *c)
{
	int ret = 0;

	for (int i = 0; i < c->argc; i++) {
		int r = config_exists(c->argv[i]);

		if (r == 0)
			r = start_one(c, c->argv[i]);
		if (r)
			ret = r;
	}
	return ret;
}

static void print_warning(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "bhctl: warning: %s\n", text);
}

/* Leaves the text as the guest's transient configuration. */
int cmd_create(struct ctl *c)
{
	_cleanup_(bh_guest_cfg_free_cleanup) struct bh_guest_cfg *cfg = NULL;
	_cleanup_free_ char *text = NULL;
	struct bh_err e = {};
	char dir[160], path[180];
	size_t len;
	int r;

	if (!c->file)
		return fail(EX_USAGE_ERR, "create needs -f FILE");
	r = bh_guest_cfg_load(c->file, NULL, print_warning, NULL, &cfg, &e);
	if (r < 0)
		return fail(EX_FAIL, "%s", bh_err_text(&e, r));
	if (has_supervisor(cfg->name))
		return fail(EX_STATE, "guest %s already runs", cfg->name);
	r = bh_read_file(c->file, BH_CFG_MAX_BYTES, &text, &len);
	if (r >= 0)
		r = bh_snprintf(dir, sizeof(dir), RUN_DIR "/%s", cfg->name);
	if (r >= 0)
		r = bh_mkdir_p(dir, 0755);
	if (r >= 0)
		r = bh_snprintf(path, sizeof(path), "%s/config", dir);
	if (r >= 0)
		r = bh_write_file(path, text, len, 0600);
	if (r < 0)
		return fail(EX_FAIL, "%s: %s", c->file, strerror(-r));
	r = start_one(c, cfg->name);
	if (r == EX_FAIL)
		(void)unlink(path);
	return r;
}

/* Until when a supervisor on its way back is waited for. */
static uint64_t deadline(const struct ctl *c)
{
	return bh_now_us() + (c->timeout ? c->timeout : 60) * 1000000ull;
}

/* Without a supervisor only the store can carry the request. */
static int ask_by_store(struct ctl *c, const char *name, const char *what)
{
	char path[96];
	uint32_t id;
	int r = need_guest(c, name, &id);

	if (r)
		return r;
	if (id == 0)
		return fail(EX_USAGE_ERR,
			    "Domain-0 is this host; use systemctl %s", what);
	r = bh_snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown",
			id);
	if (r >= 0)
		r = bh_xs_write(c->xs, BH_XS_NONE, path, what);
	if (r < 0)
		return fail(EX_FAIL, "guest %s: %s", name, strerror(-r));
	if (!c->wait)
		return 0;
	for (uint64_t end =
		     bh_now_us() + (c->timeout ? c->timeout : 300) * 1000000ull;
	     bh_now_us() < end; usleep(100000)) {
		struct xen_domctl_getdomaininfo d;

		if (bh_hv_domain_info(c->hv, id, &d) < 0 ||
		    (d.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying)))
			return 0;
	}
	return fail(EX_TIMEOUT, "guest %s still runs", name);
}

static int shutdown_one(struct ctl *c, const char *name)
{
	int r;

	if (!await_supervisor(name, deadline(c)))
		return ask_by_store(c, name, "poweroff");
	r = control_op(c, name, "shutdown", c->wait || c->force);
	if (r == EX_TIMEOUT && c->force)
		r = control_op(c, name, "destroy", true);
	return r;
}

static bool is_down(struct ctl *c, uint32_t domid)
{
	struct xen_domctl_getdomaininfo d;

	return bh_hv_domain_info(c->hv, domid, &d) < 0 ||
	       (d.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying));
}

int cmd_shutdown(struct ctl *c)
{
	int ret = 0;

	if (!c->all && !c->argc)
		return fail(EX_USAGE_ERR, "shutdown needs a guest or --all");
	for (int i = 0; i < c->argc; i++) {
		int r = shutdown_one(c, c->argv[i]);

		if (r)
			ret = r;
	}
	if (c->all) {
		_cleanup_free_ struct xen_domctl_getdomaininfo *d = NULL;
		bool wait = c->wait;
		size_t n = 0;
		int r = need_hv(c);

		if (r == 0)
			r = need_xs(c);
		if (r || bh_hv_domain_list(c->hv, &d, &n) < 0)
			return r ? r : EX_FAIL;
		/* all are asked before any is waited for */
		for (int pass = 0; pass < (wait ? 2 : 1); pass++) {
			c->wait = pass == 1;
			for (size_t i = 0; i < n; i++) {
				_cleanup_free_ char *name = NULL;

				if (d[i].domain == 0)
					continue;
				name = bh_store_domain_name(c->xs, d[i].domain);
				if (!name || (pass && !has_supervisor(name) &&
					      is_down(c, d[i].domain)))
					continue;
				r = shutdown_one(c, name);
				if (r)
					ret = r;
			}
		}
	}
	return ret;
}

int cmd_reboot(struct ctl *c)
{
	const char *name = c->argv[0];
	int r;

	if (!await_supervisor(name, deadline(c)))
		return ask_by_store(c, name, "reboot");
	r = control_op(c, name, "reboot", c->wait);
	if (r == 0 && c->wait) {
		usleep(200000); /* the new domain has a new ready mark */
		r = wait_ready(c, name);
	}
	return r;
}

static int destroy_one(struct ctl *c, const char *name)
{
	uint32_t id;
	int r;

	if (await_supervisor(name, deadline(c)))
		return control_op(c, name, "destroy", true);
	r = need_guest(c, name, &id);
	if (r)
		return r;
	if (id == 0)
		return fail(EX_USAGE_ERR, "Domain-0 cannot be destroyed");
	if (have_systemd() && bh_name_valid(name)) {
		/* or a supervisor on its way back would adopt it meanwhile */
		_cleanup_free_ char *why = NULL;

		(void)unit_job("StopUnit", name, true, &why);
	}
	(void)bh_hv_domain_pause(c->hv, id);
	r = bh_hv_domain_destroy(c->hv, id);
	if (r < 0 && r != -ESRCH)
		return fail(EX_FAIL, "cannot destroy domain %u: %s", id,
			    strerror(-r));
	(void)bh_store_domain_rm(c->xs, id);
	return 0;
}

int cmd_destroy(struct ctl *c)
{
	int ret = 0;

	for (int i = 0; i < c->argc; i++) {
		int r = destroy_one(c, c->argv[i]);

		if (r)
			ret = r;
	}
	return ret;
}

static int pause_op(struct ctl *c, bool on)
{
	struct xen_domctl_getdomaininfo d;
	uint32_t id;
	int r = need_guest(c, c->argv[0], &id);

	if (r)
		return r;
	if (id == 0)
		return fail(EX_USAGE_ERR, "Domain-0 cannot be paused");
	r = bh_hv_domain_info(c->hv, id, &d);
	if (r == 0 && !!(d.flags & XEN_DOMINF_paused) == on)
		return fail(EX_STATE, "guest %s is %s", c->argv[0],
			    on ? "already paused" : "not paused");
	if (r == 0)
		r = on ? bh_hv_domain_pause(c->hv, id)
		       : bh_hv_domain_unpause(c->hv, id);
	return r < 0 ? fail(EX_FAIL, "guest %s: %s", c->argv[0], strerror(-r))
		     : 0;
}

int cmd_pause(struct ctl *c)
{
	return pause_op(c, true);
}

int cmd_unpause(struct ctl *c)
{
	return pause_op(c, false);
}

static int enable_op(struct ctl *c, bool on)
{
	int ret = 0;

	if (!have_systemd())
		return fail(EX_FAIL, "autostart needs systemd");
	for (int i = 0; i < c->argc; i++) {
		const char *name = c->argv[i];
		int r = on                    ? config_exists(name)
			: bh_name_valid(name) ? 0
					      : EX_NO_GUEST;

		if (r == 0)
			r = unit_enable(name, on);
		if (r == 0 && c->now && on && !has_supervisor(name))
			r = start_one(c, name);
		if (r == 0 && c->now && !on && has_supervisor(name)) {
			c->wait = true;
			r = shutdown_one(c, name);
		}
		if (r)
			ret = r;
	}
	return ret;
}

int cmd_enable(struct ctl *c)
{
	return enable_op(c, true);
}

int cmd_disable(struct ctl *c)
{
	return enable_op(c, false);
}

/* Only for stopped guests: a running one is known by its name everywhere. */
int cmd_rename(struct ctl *c)
{
	const char *old = c->argv[0], *new = c->argv[1];
	_cleanup_free_ char *text = NULL, *out = NULL;
	char from[160], to[160];
	bool enabled = unit_is_enabled(old);
	size_t len, lines = 1, n = 0;
	int r = config_exists(old);

	if (r)
		return r;
	if (!bh_name_valid(new))
		return fail(EX_USAGE_ERR, "'%s' cannot be a guest's name", new);
	if (has_supervisor(old))
		return fail(EX_STATE, "guest %s runs; shut it down first", old);
	if (bh_snprintf(from, sizeof(from), ETC_DIR "/%s.cfg", old) < 0 ||
	    bh_snprintf(to, sizeof(to), ETC_DIR "/%s.cfg", new) < 0)
		return fail(EX_FAIL, "name too long");
	if (access(to, F_OK) == 0)
		return fail(EX_STATE, "there already is a guest %s", new);
	r = bh_read_file(from, BH_CFG_MAX_BYTES, &text, &len);
	if (r < 0)
		return fail(EX_FAIL, "%s: %s", from, strerror(-r));
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	/* any line may be one that gives a name */
	out = malloc(len + lines * (strlen(new) + 16));
	if (!out)
		return fail(EX_FAIL, "out of memory");
	for (char *p = text; *p;) {
		size_t l = strcspn(p, "\n");
		size_t key = strspn(p, " \t");
		const char *k = bh_startswith(p + key, "name");

		if (k && (*k == ' ' || *k == '=' || *k == '\t')) {
			n += (size_t)sprintf(out + n, "name = \"%s\"", new);
		} else {
			memcpy(out + n, p, l);
			n += l;
		}
		p += l;
		if (*p == '\n')
			out[n++] = *p++;
	}
	r = bh_write_file(to, out, n, 0644);
	if (r < 0)
		return fail(EX_FAIL, "%s: %s", to, strerror(-r));
	if (unlink(from) < 0) {
		(void)unlink(to);
		return fail(EX_FAIL, "%s: %s", from, strerror(errno));
	}
	if (enabled && have_systemd()) {
		(void)unit_enable(old, false);
		return unit_enable(new, true);
	}
	return 0;
}

int cmd_sysrq(struct ctl *c)
{
	char path[96];
	uint32_t id;
	int r = need_guest(c, c->argv[0], &id);

	if (r)
		return r;
	if (strlen(c->argv[1]) != 1)
		return fail(EX_USAGE_ERR, "sysrq needs one letter");
	r = bh_snprintf(path, sizeof(path), "/local/domain/%u/control/sysrq",
			id);
	if (r >= 0)
		r = bh_xs_write(c->xs, BH_XS_NONE, path, c->argv[1]);
	return r < 0 ? fail(EX_FAIL, "guest %s: %s", c->argv[0], strerror(-r))
		     : 0;
}

/* ---- save and restore -------------------------------------------------- */

int cmd_save(struct ctl *c)
{
	const char *name = c->argv[0];
	struct json_object *req, *o = NULL, *v;
	_cleanup_free_ char *path = NULL;
	char cwd[4096];
	int r = 0;

	if (!has_supervisor(name)) {
		uint32_t id;

		r = need_guest(c, name, &id);
		return r ? r
			 : fail(EX_FAIL, "guest %s has no supervisor", name);
	}
	if (c->argv[1][0] != '/' && getcwd(cwd, sizeof(cwd)))
		path = bh_asprintf("%s/%s", cwd, c->argv[1]);
	else
		path = strdup(c->argv[1]);
	if (!path)
		return fail(EX_FAIL, "out of memory");
	req = json_object_new_object();
	json_object_object_add(req, "op", json_object_new_string("save"));
	json_object_object_add(req, "path", json_object_new_string(path));
	json_object_object_add(req, "wait", json_object_new_boolean(1));
	r = control_call(name, req, 0, &o);
	if (r == -EPIPE && access(path, F_OK) == 0)
		return 0;
	if (r < 0)
		return fail(EX_FAIL, "guest %s: its supervisor: %s", name,
			    strerror(-r));
	r = 0;
	if (!json_object_object_get_ex(o, "ok", &v) ||
	    !json_object_get_boolean(v))
		r = fail(EX_FAIL, "guest %s: %s", name,
			 json_object_object_get_ex(o, "error", &v)
				 ? json_object_get_string(v)
				 : "refused");
	json_object_put(o);
	return r;
}
