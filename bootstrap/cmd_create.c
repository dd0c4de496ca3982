/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-bootstrap create: the template, built first if there is only its recipe,
 * then guest_make(), starting and waiting.
 */
#include <bulkhead/run.h>

#include "bhctl.h"
#include "cmd.h"
#include "conf.h"
#include "create.h"
#include "journal.h"
#include "lock.h"
#include "names.h"
#include "options.h"
#include "recipe.h"

/* xen-create-image's --dist is a suite: what is made of that, or would be. */
static int dist_to_template(struct create *c)
{
	struct tmpl_list all __attribute__((cleanup(tmpl_list_done))) = { 0 };
	struct strv recipes _cleanup_strv_ = { 0 };

	if (tmpl_all(&all) < 0 || recipe_names(&recipes) < 0)
		return -VMB_FAILED;
	if (tmpl_exists(c->template) || strv_has(&recipes, c->template))
		return 0;
	for (size_t i = 0; i < all.n; i++)
		if (streq(all.t[i].suite, c->template))
			return opt_text(&c->template, all.t[i].name);
	for (size_t i = 0; i < recipes.n; i++) {
		struct recipe r _cleanup_recipe_ = { 0 };

		if (recipe_load(recipes.v[i], &r) >= 0 &&
		    streq(r.suite, c->template))
			return opt_text(&c->template, recipes.v[i]);
	}
	return 0;
}

/* A plan without the template: its size, and so the disk's, is not known yet. */
static int plan_build(const struct create *c)
{
	struct recipe r _cleanup_recipe_ = { 0 };

	if (recipe_load(c->template, &r) < 0)
		return -VMB_MISSING;
	if (opt_json)
		printf("{\"schema\": 1, \"name\": \"%s\", \"build\": \"%s\"}\n",
		       c->g.name, r.name);
	else
		printf("template %s: built first, from %s; then guest %s from it\n",
		       r.name, r.path, c->g.name);
	return 1;
}

/* A template that is not there but has a recipe is built: one command makes the
 * first guest. Anything else that is wrong with the name is tmpl_find's to say. */
static int build_missing(const struct create *c)
{
	struct strv recipes _cleanup_strv_ = { 0 };
	const char *argv[12] = { "vm-bootstrap" };
	unsigned int n = 1;
	int rc;

	if (tmpl_exists(c->template))
		return 0;
	if (recipe_names(&recipes) < 0)
		return -VMB_FAILED;
	if (!strv_has(&recipes, c->template))
		return 0;
	if (c->q.dry_run)
		return plan_build(c);
	if (opt_quiet)
		argv[n++] = "-q";
	argv[n++] = "template";
	argv[n++] = "build";
	argv[n++] = "--if-missing";
	argv[n++] = c->template;
	if (c->q.want_vg) {
		argv[n++] = "--vg";
		argv[n++] = c->q.want_vg;
	}
	if (c->q.want_pool) {
		argv[n++] = "--pool";
		argv[n++] = c->q.want_pool;
	}
	note("there is no template %s yet; building it", c->template);
	rc = bh_run(argv, BH_RUN_TIED, NULL, NULL);
	/* It has said itself why. */
	return rc <= VMB_SOURCE
		       ? -rc
		       : fail(VMB_FAILED, "template %s could not be built",
			      c->template);
}

static int apply_template(struct create *c)
{
	struct tmpl *t = &c->tmpl;
	_cleanup_free_ char *args = NULL;
	int r = c->dist ? dist_to_template(c) : 0;

	if (r >= 0)
		r = build_missing(c);
	if (r == 0)
		r = tmpl_find(c->template,
			      c->q.want_vg ? c->q.want_vg
					   : conf_get("volume-group"),
			      t);
	if (r)
		return r;
	c->g.template = bh_asprintf("%s@%u", t->name, t->version);
	if (!c->g.boot && opt_text(&c->g.boot, t->boot) < 0)
		return -VMB_FAILED;
	/* As its recipe says; without that, as its files look. */
	if (c->q.id.net_detect && t->network)
		c->q.id.net_detect =
			netstyle_parse(t->network, &c->q.id.net) < 0;
	r = opt_size_conf(&c->g.disk, "disk",
			  t->disk > t->size ? t->disk : t->size);
	if (r >= 0)
		r = opt_size_conf(&c->g.memory, "memory",
				  t->memory ? t->memory : 256ULL << 20);
	if (r >= 0 && c->g.memory < 8ULL << 20)
		r = fail(VMB_USAGE, "--memory %s: too little for any guest",
			 fmt_size(c->g.memory));
	if (r < 0)
		return r;
	/* Guests of one group stay there unless told otherwise. */
	if (!c->q.want_vg && !conf_get("volume-group"))
		c->q.want_vg = t->vg;
	args = bh_asprintf("%s%s%s", t->kernel_args ? t->kernel_args : "",
			   t->kernel_args && c->extra ? " " : "",
			   c->extra ? c->extra : "");
	r = args ? guest_choose_kernel(&c->g, args) : oom();
	/* A distribution's kernel needs more than one made for guests. */
	if (r >= 0 && c->g.host_kernel && !c->mem_given &&
	    c->g.memory < 160ULL << 20)
		c->g.memory = 160ULL << 20;
	c->q.g = &c->g;
	c->q.kind = SRC_TEMPLATE;
	c->q.tmpl = t;
	c->q.src_vg = t->vg;
	c->q.src_lv = t->lv;
	c->q.src_fstype = t->fstype;
	c->q.src_bytes = t->size;
	c->q.id.hostname = c->g.hostname;
	c->q.id.ssh_keys = c->keys.n ? c->keys.s : NULL;
	c->q.id.user = c->user;
	c->q.id.password_hash = c->password;
	c->q.id.user_data = c->user_data;
	c->q.id.nics = c->g.nics;
	c->q.id.n_nics = c->g.n_nics;
	return r;
}

/* What --force needs, before anything is changed. */
static int check_old(struct create *c)
{
	struct guest old _cleanup_guest_ = { 0 };

	if (!guest_exists(c->g.name))
		return 0;
	if (!c->force)
		return fail(
			VMB_CONFLICT,
			"guest %s exists already; choose another name, or --force to replace it",
			c->g.name);
	if (bhctl_is_running(c->g.name))
		return fail(
			VMB_CONFLICT,
			"guest %s is running; stop it first (bhctl shutdown %s)",
			c->g.name, c->g.name);
	return guest_load(c->g.name, &old);
}

int cmd_create(int argc, char **argv)
{
	struct create c __attribute__((
		cleanup(create_done))) = { .q.id.net_detect = true };
	_cleanup_lock_ int lock = -1, tlock = -1;
	int r = create_parse(&c, argc, argv);

	if (r)
		return r < 0 ? r : 0;
	r = create_complete(&c);
	if (r < 0)
		return r;
	lock = begin_guest(c.g.name, "create");
	if (lock < 0)
		return lock;
	r = check_old(&c);
	if (r >= 0)
		r = apply_template(&c);
	if (r)
		return r < 0 ? r : 0;
	c.q.replace = c.force && guest_exists(c.g.name);
	tlock = lock_take("template-use", c.tmpl.name, "", LOCK_SHARED_TRY);
	if (tlock < 0)
		return tlock;
	r = guest_make(&c.q);
	lock_drop(tlock);
	tlock = -1;
	if (r < 0 || c.q.dry_run)
		return r;
	if (c.g.host_kernel)
		note("no domU kernel package is installed: %s boots the host's %s",
		     c.g.name, c.g.kernel);
	if (!c.keys.n && !c.password && !c.user_data && !c.q.scripts.n &&
	    !c.q.roles.n && !streq(c.tmpl.network, "tiny"))
		note("%s has no SSH key and no password: only users that its template has can log in (--ssh-key, --password-file)",
		     c.g.name);
	if (c.start)
		r = start_guest(&c.g, c.wait ? c.timeout : 0);
	if (opt_json) {
		_cleanup_free_ char *json = guest_to_json(&c.g);

		fputs(json ? json : "", stdout);
	} else if (r >= 0) {
		note("guest %s is %s", c.g.name,
		     c.wait    ? "up"
		     : c.start ? "started"
			       : "made");
	}
	return r;
}
