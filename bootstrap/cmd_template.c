/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm-bootstrap template ...: a second table of subcommands. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <sys/stat.h>

#include <bulkhead/run.h>

#include "cmd.h"
#include "conf.h"
#include "fill.h"
#include "fs.h"
#include "guestfs.h"
#include "image.h"
#include "journal.h"
#include "lock.h"
#include "names.h"
#include "nic.h"
#include "ns.h"
#include "options.h"
#include "tmpl.h"

struct topts {
	const char *name, *vg, *pool, *mirror, *boot, *fstype, *size, *network;
	bool json, recipes, yes, missing;
};

static int parse(int argc, char **argv, struct topts *t)
{
	static const struct option opts[] = {
		{ "name", 1, 0, 'n' }, { "vg", 1, 0, 'v' },
		{ "pool", 1, 0, 'p' }, { "mirror", 1, 0, 'm' },
		{ "boot", 1, 0, 'b' }, { "filesystem", 1, 0, 'f' },
		{ "size", 1, 0, 's' }, { "network", 1, 0, 'w' },
		{ "json", 0, 0, 'j' }, { "recipes", 0, 0, 'r' },
		{ "yes", 0, 0, 'y' },  { "if-missing", 0, 0, 'i' },
		{ "help", 0, 0, 'h' }, { 0, 0, 0, 0 },
	};
	enum netstyle style;
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		const char **p = o == 'n'   ? &t->name
				 : o == 'v' ? &t->vg
				 : o == 'p' ? &t->pool
				 : o == 'm' ? &t->mirror
				 : o == 'b' ? &t->boot
				 : o == 'f' ? &t->fstype
				 : o == 's' ? &t->size
				 : o == 'w' ? &t->network
					    : NULL;

		if (p)
			*p = optarg;
		else if (o == 'j')
			t->json = true;
		else if (o == 'r')
			t->recipes = true;
		else if (o == 'y')
			t->yes = true;
		else if (o == 'i')
			t->missing = true;
		else
			return usage_of("template");
	}
	if (t->boot && !streq(t->boot, "host") && !streq(t->boot, "disk") &&
	    !streq(t->boot, "pvgrub"))
		return fail(VMB_USAGE, "--boot %s: use host, disk or pvgrub",
			    t->boot);
	if (t->network && opt_network(t->network, &style) < 0)
		return -VMB_USAGE;
	if (t->name && name_check_template(t->name) < 0)
		return -VMB_USAGE;
	return 0;
}

static int done(const struct tmpl *t, int r)
{
	if (r >= 0 && t->version)
		note("template %s is ready (version %u, %s on %s/%s)", t->name,
		     t->version, fmt_size(t->size), t->vg, t->lv);
	return r;
}

static int build(int argc, char **argv)
{
	struct recipe rec _cleanup_recipe_ = { 0 };
	struct tmpl t _cleanup_tmpl_ = { 0 };
	struct topts o = { 0 };
	struct fill_recipe f = { .recipe = &rec, .uuid = &t.uuid };
	struct tmpl_make m = { .t = &t, .arg = &f };
	int r = parse(argc, argv, &o);

	if (r >= 0 && optind != argc - 1)
		return usage_of("template");
	if (r >= 0)
		r = recipe_load(argv[optind], &rec);
	if (r < 0)
		return r;
	f.mirror = o.mirror ? o.mirror : conf_get("mirror");
	f.boot = o.boot ? o.boot : rec.boot;
	m.bytes = rec.build_size;
	if (o.size && parse_size(o.size, 1 << 20, &m.bytes) < 0)
		return fail(VMB_USAGE, "--size \"%s\": expected as in 2G",
			    o.size);
	m.vg = o.vg;
	m.pool = o.pool;
	m.if_missing = o.missing;
	m.features = rec.features;
	m.fill = streq(rec.builder, "tiny")     ? fill_tiny
		 : streq(rec.builder, "debian") ? fill_debian
						: fill_dnf;
	t.disk = rec.disk;
	t.memory = rec.memory;
	if (opt_text(&t.name, o.name ? o.name : rec.name) < 0 ||
	    opt_text(&t.fstype, o.fstype ? o.fstype : rec.fstype) < 0 ||
	    opt_text(&t.boot, f.boot) < 0 ||
	    opt_text(&t.network, o.network ? o.network : rec.network) < 0 ||
	    opt_text(&t.distribution, rec.distribution) < 0 ||
	    opt_text(&t.suite, rec.suite) < 0 ||
	    opt_text(&t.description, rec.description) < 0 ||
	    opt_text(&t.kernel_args, rec.kernel_args) < 0 ||
	    opt_text(&t.source, rec.path) < 0)
		return -VMB_FAILED;
	return done(&t, tmpl_make(&m));
}

/* An empty file of our own, for root alone; what bore the name is gone. */
static int make_private(const char *path)
{
	int fd;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		  0600);
	if (fd < 0)
		return fail(VMB_FAILED, "cannot write %s: %m", path);
	close(fd);
	return 0;
}

/*
 * qcow2 becomes raw beside the state. The journal forgets the file whatever
 * becomes of the import: it is as large as the disk it holds.
 */
static int to_raw(struct tmpl_make *m, struct journal *j)
{
	struct fill_import *f = m->arg;
	const char *av[] = { "qemu-img", "convert", "-f",   "qcow2", "-O",
			     "raw",      f->file,   f->raw, NULL };
	_cleanup_free_ char *err = NULL, *dir = state_path(".");
	int r;

	if (!f->raw || !dir || bh_mkdir_p(dir, 0755) < 0)
		return oom();
	r = journal_undo(j, "unlink", f->raw, NULL);
	if (r >= 0)
		r = journal_redo(j, "unlink", f->raw, NULL);
	if (r >= 0)
		r = make_private(f->raw);
	if (r < 0)
		return r;
	progress("unpacking the image", 5);
	r = bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, NULL, &err);
	if (r == 127)
		return fail(
			VMB_MISSING,
			"qcow2 images need qemu-img; install qemu-utils, or convert to raw");
	if (r)
		return fail(VMB_SOURCE, "%s: %s", f->file,
			    err ? bh_strip(err) : "qemu-img failed");
	fault_point("unpacked");
	f->file = f->raw;
	if (!m->bytes)
		m->bytes = image_room(f->raw);
	return 0;
}

static int default_name(const char *file, char **ret)
{
	const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;

	*ret = strdup(base);
	if (!*ret)
		return oom();
	for (char *p = *ret; *p; p++)
		if (bh_startswith(p, ".tar") || bh_startswith(p, ".tgz") ||
		    bh_startswith(p, ".qcow2") || bh_startswith(p, ".raw") ||
		    bh_startswith(p, ".img"))
			*p = 0;
		else if (*p == '_')
			*p = '-';
	return name_check_template(*ret) < 0
		       ? fail(VMB_USAGE, "give the template a name with --name")
		       : 0;
}

/* What the file is, how it becomes a root, and how much room that takes. */
static int import_kind(struct fill_import *f, struct tmpl_make *m, char **raw)
{
	int r;

	if (import_is_qcow2(f->file)) {
		r = import_check_qcow2(f->file);
		*raw = state_path("import.%s.raw", m->t->name);
		f->raw = *raw;
		m->prepare = to_raw;
		m->fill = fill_image;
		return r;
	}
	if (import_is_image(f->file)) {
		m->fill = fill_image;
		if (!m->bytes)
			m->bytes = image_room(f->file);
		return 0;
	}
	m->fill = fill_tar;
	if (m->bytes)
		return 0;
	r = import_measure(f->file, &m->bytes);
	m->bytes = m->bytes * 5 / 4 + (192u << 20);
	return r;
}

static int import(int argc, char **argv)
{
	struct tmpl t _cleanup_tmpl_ = { 0 };
	struct topts o = { 0 };
	_cleanup_free_ char *raw = NULL;
	struct fill_import f = { .uuid = &t.uuid };
	struct tmpl_make m = { .t = &t, .arg = &f, .untrusted = true };
	int r = parse(argc, argv, &o);

	if (r >= 0 && optind != argc - 1)
		return usage_of("template");
	if (r < 0)
		return r;
	f.file = argv[optind];
	f.boot = o.boot ? o.boot : "host";
	if (access(f.file, R_OK) < 0)
		return fail(VMB_MISSING, "cannot read %s: %m", f.file);
	if (o.name)
		r = opt_text(&t.name, o.name);
	else
		r = default_name(f.file, &t.name);
	if (r >= 0 && o.size && parse_size(o.size, 1 << 20, &m.bytes) < 0)
		r = fail(VMB_USAGE, "--size \"%s\": expected as in 2G", o.size);
	if (r >= 0)
		r = import_kind(&f, &m, &raw);
	m.vg = o.vg;
	m.pool = o.pool;
	if (r >= 0 && (opt_text(&t.fstype, o.fstype ? o.fstype : "ext4") < 0 ||
		       opt_text(&t.boot, o.boot ? o.boot : "host") < 0 ||
		       opt_text(&t.network, o.network) < 0 ||
		       opt_text(&t.description, "imported") < 0 ||
		       opt_text(&t.source, argv[optind]) < 0))
		r = -VMB_FAILED;
	return r < 0 ? r : done(&t, tmpl_make(&m));
}

static int list_recipes(void)
{
	_cleanup_strv_ struct strv names = { 0 };

	(void)recipe_names(&names);
	for (size_t i = 0; i < names.n; i++) {
		struct recipe r _cleanup_recipe_ = { 0 };

		if (recipe_load(names.v[i], &r) >= 0)
			printf("%-20s %s\n", r.name,
			       r.description ? r.description : "");
	}
	return 0;
}

static int list(int argc, char **argv)
{
	struct tmpl_list all __attribute__((cleanup(tmpl_list_done))) = { 0 };
	struct topts o = { 0 };
	json_object *arr;
	int r = parse(argc, argv, &o);

	if (r < 0)
		return r;
	if (o.recipes)
		return list_recipes();
	(void)journal_recover_all(NULL, NULL);
	r = tmpl_all(&all);
	if (r < 0)
		return r;
	if (!o.json)
		printf("%-20s %7s %-6s %-5s %8s %-16s %s\n", "TEMPLATE",
		       "VERSION", "BOOT", "THIN", "SIZE", "VG", "CREATED");
	arr = json_object_new_array();
	for (size_t i = 0; i < all.n; i++) {
		const struct tmpl *t = &all.t[i];

		if (o.json) {
			_cleanup_free_ char *j = tmpl_to_json(t);

			json_object_array_add(arr, json_tokener_parse(j));
			continue;
		}
		printf("%-20s %7u %-6s %-5s %8s %-16s %s\n", t->name,
		       t->version, t->boot, t->thin ? "yes" : "no",
		       fmt_size(t->size), t->vg, t->created ? t->created : "-");
	}
	if (o.json) {
		json_object *top = json_object_new_object();

		json_object_object_add(top, "schema", json_object_new_int(1));
		json_object_object_add(top, "templates", arr);
		puts(json_object_to_json_string_ext(
			top, JSON_C_TO_STRING_PRETTY |
				     JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(top);
	} else {
		json_object_put(arr);
	}
	return 0;
}

static int info(int argc, char **argv)
{
	struct tmpl t _cleanup_tmpl_ = { 0 };
	struct topts o = { 0 };
	_cleanup_free_ char *j = NULL;
	int r = parse(argc, argv, &o);

	if (r >= 0 && optind != argc - 1)
		return usage_of("template");
	if (r >= 0)
		r = tmpl_find(argv[optind], NULL, &t);
	if (r < 0)
		return r;
	j = tmpl_to_json(&t);
	fputs(j ? j : "", stdout);
	return 0;
}

static int remove_one(int argc, char **argv)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	struct tmpl t _cleanup_tmpl_ = { 0 };
	struct journal *j _cleanup_journal_ = NULL;
	_cleanup_lock_ int lock = -1, use = -1;
	_cleanup_free_ char *owner = NULL, *meta = NULL;
	struct topts o = { 0 };
	int r = parse(argc, argv, &o);

	if (r >= 0 && optind != argc - 1)
		return usage_of("template");
	if (r >= 0)
		r = tmpl_find(argv[optind], NULL, &t);
	if (r < 0)
		return r;
	lock = lock_take("template", t.name, "removing", LOCK_TRY);
	if (lock < 0)
		return lock;
	/* Guests being made from it need it until they are done. */
	use = lock_take("template-use", t.name, "removing", LOCK_TRY);
	if (use < 0)
		return use;
	r = journal_recover_all("template", t.name);
	owner = bh_asprintf(TAG_TEMPLATE "%s", t.name);
	meta = tmpl_meta_path(t.name, t.version);
	if (!owner || !meta)
		return oom();
	if (r >= 0)
		r = lvm_load(NULL, &l);
	if (r >= 0)
		r = lvm_check_strangers(&l, t.vg, owner);
	if (r >= 0)
		r = journal_begin("template", t.name, "remove", &j);
	if (r >= 0)
		r = journal_redo(j, "unlink", meta, NULL);
	if (r >= 0)
		r = journal_redo(j, "lv-remove", t.vg, t.lv, owner, NULL);
	if (r >= 0)
		r = journal_commit(&j);
	if (r >= 0)
		note("template %s version %u is removed", t.name, t.version);
	return r;
}

struct export_job {
	const char *dev, *type, *file;
};

static int export_fn(void *arg)
{
	struct export_job *e = arg;
	const char *av[] = { "tar",         "--numeric-owner",
			     "--xattrs",    "--xattrs-include=*",
			     "--acls",      "-C",
			     guestfs_mnt(), "-caf",
			     e->file,       ".",
			     NULL };
	_cleanup_free_ char *err = NULL;
	int r = guestfs_mount(e->dev, e->type, true, true);

	if (r < 0)
		return r;
	if (bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, NULL, &err))
		r = fail(VMB_FAILED, "tar: %s", err ? bh_strip(err) : "failed");
	return guestfs_umount() < 0 ? -VMB_FAILED : r;
}

static int export_one(int argc, char **argv)
{
	struct tmpl t _cleanup_tmpl_ = { 0 };
	_cleanup_lock_ int use = -1;
	_cleanup_free_ char *dev = NULL, *part = NULL;
	struct export_job e;
	struct topts o = { 0 };
	const char *file, *base;
	int r = parse(argc, argv, &o);

	if (r >= 0 && optind != argc - 2)
		return usage_of("template");
	if (r >= 0)
		r = tmpl_find(argv[optind], NULL, &t);
	if (r < 0)
		return r;
	use = lock_take("template-use", t.name, "", LOCK_SHARED_TRY);
	if (use < 0)
		return use;
	file = argv[optind + 1];
	base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
	dev = lv_device(t.vg, t.lv);
	/* tar chooses the compression by the end of the name: keep that. */
	part = bh_asprintf("%.*s.partial-%s", (int)(base - file), file, base);
	if (!dev || !part)
		return oom();
	/* A guest's whole root, keys and password hashes with it. */
	r = make_private(part);
	if (r < 0)
		return r;
	e = (struct export_job){ dev, t.fstype, part };
	r = ns_run(export_fn, &e);
	if (r >= 0 && rename(part, file) < 0)
		r = fail(VMB_FAILED, "cannot write %s: %m", file);
	if (r < 0)
		(void)unlink(part);
	return r;
}

static const struct cmd subs[] = {
	{ "list", "[--json] [--recipes]", "templates there are, or recipes",
	  list },
	{ "build",
	  "RECIPE [--name N] [--boot MODE] [--mirror URL] [--size SIZE] [--filesystem T] [--network STYLE] [--vg VG] [--pool P] [--if-missing]",
	  "make a template from a recipe", build },
	{ "import", "FILE [--name N] [--boot MODE] [--size SIZE] [--vg VG]",
	  "from a root tarball, OCI image or disk image", import },
	{ "export", "TEMPLATE FILE.tar.zst", "write a template to a tarball",
	  export_one },
	{ "info", "TEMPLATE", "all about one, as JSON", info },
	{ "remove", "TEMPLATE[@VERSION]", "remove one version", remove_one },
};

static void usage(FILE *f, const char *only)
{
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++)
		if (!only || streq(subs[i].name, only))
			fprintf(f, "vm-bootstrap template %s %s\n\t%s\n",
				subs[i].name, subs[i].args, subs[i].summary);
}

int cmd_template(int argc, char **argv)
{
	const struct cmd *c = NULL;

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(subs); i++)
		if (streq(subs[i].name, argv[1]))
			c = &subs[i];
	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--help") || streq(argv[i], "-h")) {
			usage(stdout, c ? c->name : NULL);
			return 0;
		}
	if (c)
		return c->fn(argc - 1, argv + 1);
	usage(stderr, NULL);
	return -VMB_USAGE;
}
