/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-bootstrap export and import of a whole guest: one tar file, zstd packed,
 * with the guest's description, its configuration and its disk as a sparse
 * member holding only the blocks in use. A running guest is exported from a
 * snapshot.
 */
#define _GNU_SOURCE
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>

#include "bhctl.h"
#include "cmd.h"
#include "fill.h"
#include "fs.h"
#include "journal.h"
#include "lock.h"
#include "make.h"
#include "names.h"

#define META_NAME "bulkhead-guest.json"
#define DISK_NAME "root.img"
#define CHUNK     (1u << 20)

static int add_text(struct archive *a, const char *name, const char *text)
{
	struct archive_entry *e = archive_entry_new();
	size_t n = strlen(text);
	int r;

	archive_entry_set_pathname(e, name);
	archive_entry_set_size(e, (la_int64_t)n);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0600);
	r = archive_write_header(a, e);
	archive_entry_free(e);
	return r != ARCHIVE_OK || archive_write_data(a, text, n) != (ssize_t)n
		       ? -EIO
		       : 0;
}

static bool all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* First pass finds the holes, second writes what is between them. */
static int add_disk(struct archive *a, const char *dev,
		    const struct fs_map *map)
{
	_cleanup_close_ int fd = open(dev, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *chunk = malloc(CHUNK);
	struct archive_entry *e = archive_entry_new();
	uint64_t size, off;
	int r = 0;

	if (fd < 0 || !chunk || !e || fs_device_size(dev, &size) < 0) {
		archive_entry_free(e);
		return fail(VMB_FAILED, "cannot read %s: %m", dev);
	}
	archive_entry_set_pathname(e, DISK_NAME);
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0600);
	for (int pass = 0; pass < 2 && r >= 0; pass++) {
		for (off = 0; r >= 0 && off < size; off += CHUNK) {
			size_t n = size - off < CHUNK ? (size_t)(size - off)
						      : CHUNK;

			if (pread(fd, chunk, n, (off_t)off) != (ssize_t)n) {
				r = -EIO;
				break;
			}
			if (map)
				fs_map_clean(map, off, chunk, n);
			if (pass == 0 && !all_zero(chunk, n))
				archive_entry_sparse_add_entry(
					e, (la_int64_t)off, (la_int64_t)n);
			else if (pass == 1 &&
				 archive_write_data(a, chunk, n) != (ssize_t)n)
				r = -EIO;
			if (off % (CHUNK * 64ull) == 0)
				progress(pass ? "writing" : "reading",
					 (unsigned int)(off * 100 / size));
		}
		if (pass == 0 && r >= 0 &&
		    archive_write_header(a, e) != ARCHIVE_OK)
			r = -EIO;
	}
	progress_end();
	archive_entry_free(e);
	return r < 0 ? fail(VMB_FAILED, "cannot write the disk: %s",
			    archive_error_string(a) ? archive_error_string(a)
						    : strerror(-r))
		     : 0;
}

/* Files that were deleted, and what was on a plain volume before, stay here. */
static struct fs_map *map_of(const char *dev)
{
	_cleanup_free_ char *type = NULL;

	if (fs_probe(dev, &type, NULL) < 0 || !type ||
	    !bh_startswith(type, "ext"))
		return NULL;
	/* A running guest's journal first: the snapshot is ours to write to. */
	fail_muted = true;
	(void)fs_repair(dev, type);
	fail_muted = false;
	return fs_map_open(dev, type);
}

static int write_archive(const char *file, const struct guest *g,
			 const char *dev)
{
	_cleanup_free_ char *json = guest_to_json(g);
	_cleanup_free_ char *cfgp = guest_cfg_path(g->name), *cfg = NULL;
	/* The guest's secrets are in it, and no link may lead it elsewhere. */
	_cleanup_close_ int fd =
		open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		     0600);
	struct archive *a = archive_write_new();
	int r = cfgp ? bh_read_file(cfgp, 1 << 20, &cfg, NULL) : -ENOMEM;

	if (r < 0)
		r = fail(VMB_FAILED, "cannot read %s: %s", cfgp, strerror(-r));
	archive_write_set_format_pax(a);
	if (archive_write_add_filter_zstd(a) == ARCHIVE_FATAL)
		archive_write_add_filter_gzip(a);
	if (r >= 0 && fd < 0)
		r = fail(VMB_FAILED, "cannot make %s: %m", file);
	if (r >= 0 && archive_write_open_fd(a, fd) != ARCHIVE_OK)
		r = fail(VMB_FAILED, "cannot write %s: %s", file,
			 archive_error_string(a));
	if (r >= 0 && (add_text(a, META_NAME, json) < 0 ||
		       add_text(a, "guest.cfg", cfg) < 0))
		r = fail(VMB_FAILED, "cannot write %s: %s", file,
			 archive_error_string(a));
	if (r >= 0) {
		struct fs_map *map = map_of(dev);

		r = add_disk(a, dev, map);
		fs_map_close(map);
	}
	if (archive_write_close(a) != ARCHIVE_OK && r >= 0)
		r = fail(VMB_FAILED, "cannot write %s: %s", file,
			 archive_error_string(a));
	archive_write_free(a);
	/* The rename that publishes it must not get to the disk first. */
	if (r >= 0 && fsync(fd) < 0)
		r = fail(VMB_FAILED, "cannot write %s: %m", file);
	return r;
}

static int export_guest(struct guest *g, const char *file)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	struct journal *j _cleanup_journal_ = NULL;
	_cleanup_free_ char *root = lv_root(g->name);
	_cleanup_free_ char *tmp = bh_asprintf("%s+.export", root);
	_cleanup_free_ char *dev = lv_device(g->vg, tmp);
	_cleanup_free_ char *owner = guest_owner_tag(g->name);
	_cleanup_free_ char *part = bh_asprintf("%s.partial", file);
	_cleanup_strv_ struct strv tags = { 0 };
	const struct lv *v;
	int r = lvm_load(g->vg, &l);

	if (r < 0)
		return r;
	v = root ? lvm_lv(&l, g->vg, root) : NULL;
	if (!v || !tmp || !dev || !owner || !part)
		return fail(VMB_MISSING, "volume %s/%s is gone", g->vg, root);
	r = guest_tags(g, "temporary", &tags);
	if (r >= 0)
		r = journal_begin("guest", g->name, "export", &j);
	if (r >= 0)
		r = journal_undo(j, "lv-remove", g->vg, tmp, owner, NULL);
	if (r >= 0)
		r = journal_undo(j, "unlink", part, NULL);
	if (r >= 0)
		r = lvm_snapshot(g->vg, root, tmp,
				 lv_is_thin(v) ? 0 : v->size / 5 + (64u << 20),
				 &tags);
	if (r >= 0)
		r = write_archive(part, g, dev);
	/*
	 * Not a step after the commit: there it would have to succeed, and what
	 * can go wrong in a directory of the administrator's is without end.
	 */
	if (r >= 0 && rename(part, file) < 0)
		r = fail(VMB_FAILED, "cannot rename %s to %s: %m", part, file);
	(void)bh_sync_dir_of(file);
	fault_point("file in place");
	if (r >= 0)
		r = journal_redo(j, "lv-remove", g->vg, tmp, owner, NULL);
	return r < 0 ? r : journal_commit(&j);
}

/* Nothing is overwritten: neither the file nor what it is first written as. */
static int check_target(const char *guest, const char *file)
{
	_cleanup_free_ char *part = bh_asprintf("%s.partial", file);
	struct stat st;

	if (!part)
		return oom();
	if (stat(file, &st) == 0 && S_ISDIR(st.st_mode))
		return fail(
			VMB_USAGE,
			"%s is a directory; name a file, as in %s/%s.tar.zst",
			file, file, guest);
	for (int i = 0; i < 2; i++)
		if (lstat(i ? part : file, &st) == 0)
			return fail(
				VMB_CONFLICT,
				"%s exists already; remove it or choose another name",
				i ? part : file);
	return 0;
}

int cmd_export(int argc, char **argv)
{
	struct guest g _cleanup_guest_ = { 0 };
	_cleanup_lock_ int lock = -1;
	_cleanup_free_ char *cwd = NULL, *file = NULL;
	int r;

	if (argc != 3 || *argv[1] == '-')
		return usage_of("export");
	r = name_check_guest(argv[1]);
	if (r < 0)
		return r;
	lock = begin_guest(argv[1], "export");
	if (lock < 0)
		return lock;
	r = guest_load(argv[1], &g);
	if (r >= 0)
		r = guest_read_cfg(&g);
	if (r >= 0)
		r = check_target(argv[1], argv[2]);
	if (r < 0)
		return r;
	/* The journal needs a path that means the same in the next run. */
	cwd = getcwd(NULL, 0);
	file = *argv[2] == '/' ? strdup(argv[2])
			       : bh_asprintf("%s/%s", cwd ? cwd : "", argv[2]);
	r = file ? export_guest(&g, file) : oom();
	if (r >= 0)
		note("guest %s is exported to %s", g.name, file);
	return r;
}

static struct archive *open_guest(const char *file)
{
	struct archive *a = archive_read_new();

	import_filters(a);
	archive_read_support_format_tar(a);
	if (archive_read_open_filename(a, file, 1 << 16) == ARCHIVE_OK)
		return a;
	archive_read_free(a);
	return NULL;
}

/* How much of the disk is in the archive: its header lists the parts. */
static uint64_t disk_bytes(struct archive *a)
{
	struct archive_entry *e;
	la_int64_t off, n;
	uint64_t sum = 0;

	while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
		if (!streq(archive_entry_pathname(e), DISK_NAME))
			continue;
		if (!archive_entry_sparse_reset(e))
			return (uint64_t)archive_entry_size(e);
		while (archive_entry_sparse_next(e, &off, &n) == ARCHIVE_OK)
			sum += (uint64_t)n;
		return sum;
	}
	return 0;
}

static int read_meta(const char *file, struct guest *ret, uint64_t *ret_bytes)
{
	struct archive *a = open_guest(file);
	struct archive_entry *e;
	char text[65536];
	int r = -EINVAL;
	ssize_t n;

	if (a && archive_read_next_header(a, &e) == ARCHIVE_OK &&
	    streq(archive_entry_pathname(e), META_NAME) &&
	    (n = archive_read_data(a, text, sizeof(text) - 1)) > 0) {
		text[n] = 0;
		r = guest_parse(text, ret);
		*ret_bytes = disk_bytes(a);
	}
	if (a)
		archive_read_free(a);
	return r < 0 ? fail(VMB_SOURCE,
			    "%s is not an exported guest, or damaged", file)
		     : 0;
}

/* The archive has no chunks of zeros, and the new volume reads as zeros. */
static int copy_out(struct archive *a, int fd, const char *dev)
{
	uint64_t size, done = 0;
	const void *buf;
	la_int64_t off;
	size_t n;
	int r;

	if (fs_device_size(dev, &size) < 0)
		return ARCHIVE_FATAL;
	while ((r = archive_read_data_block(a, &buf, &n, &off)) == ARCHIVE_OK) {
		if (off < 0 || (uint64_t)off > size)
			return ARCHIVE_FATAL;
		if (n && pwrite(fd, buf, n, off) != (ssize_t)n)
			return ARCHIVE_FATAL;
		if ((uint64_t)off + n > done)
			done = (uint64_t)off + n;
		progress("restoring the disk",
			 (unsigned int)(done * 100 / size));
	}
	progress_end();
	return r;
}

static int restore_disk(const char *dev, const void *arg)
{
	const char *file = arg;
	struct archive *a = open_guest(file);
	_cleanup_close_ int fd = open(dev, O_WRONLY | O_CLOEXEC);
	struct archive_entry *e;
	int r = ARCHIVE_FATAL;
	bool found = false;

	while (a && fd >= 0 && !found &&
	       (r = archive_read_next_header(a, &e)) == ARCHIVE_OK)
		found = streq(archive_entry_pathname(e), DISK_NAME);
	if (found)
		r = copy_out(a, fd, dev);
	if (!found || r != ARCHIVE_EOF)
		r = fail(VMB_SOURCE, "%s: damaged: %s", file,
			 a && archive_error_string(a) ? archive_error_string(a)
						      : "no disk in it");
	else
		r = fsync(fd) < 0 ? fail(VMB_FAILED, "%s: %m", dev) : 0;
	if (a)
		archive_read_free(a);
	return r;
}

struct import {
	const char *file, *name, *vg, *pool;
	struct nic_wish wish;
	uint64_t bytes; /* what will be written */
	bool keep, start, autostart;
};

static int new_identity(struct guest *g, const struct nic_wish *wish)
{
	struct nic old[MAX_NICS];
	uint8_t u[16];
	int r;

	uuid_random(u);
	free(g->uuid);
	g->uuid = uuid_text(u);
	memcpy(old, g->nics, sizeof(old));
	memset(g->nics, 0, sizeof(g->nics));
	r = nics_afresh(old, g->n_nics, wish, g->nics);
	for (size_t i = 0; i < g->n_nics; i++) {
		if (r >= 0 && (old[i].ip4 || old[i].ip6) && (i || !wish->ip))
			note("the address %s stays the original's; interface %zu uses DHCP%s",
			     old[i].ip4 ? old[i].ip4 : old[i].ip6, i,
			     i ? "" : " (--ip gives it another)");
		nic_done(&old[i]);
	}
	return g->uuid ? r : oom();
}

static int old_identity(struct guest *g, const struct nic_wish *wish)
{
	if (wish->ip || wish->gateway)
		return fail(
			VMB_USAGE,
			"--keep-identity keeps the addresses: leave --ip and --gateway out");
	if (wish->bridge && !g->n_nics)
		return fail(VMB_USAGE,
			    "the original has no interface for --bridge");
	if (wish->bridge && nic_set(&g->nics[0], "bridge", wish->bridge) < 0)
		return -VMB_USAGE;
	for (size_t i = 0; i < g->n_nics; i++) {
		int r = nic_finish(&g->nics[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int import_guest(struct guest *g, const struct import *im)
{
	const char *file = im->file, *name = im->name;
	bool keep = im->keep;
	struct make_req q = { .g = g,
			      .kind = SRC_STREAM,
			      .stream = restore_disk,
			      .stream_arg = file,
			      .stream_bytes = im->bytes };
	uint64_t was = g->disk;
	int r;

	free(g->name);
	g->name = strdup(name);
	if (!keep) {
		free(g->hostname);
		g->hostname = strdup(name);
	}
	r = keep ? old_identity(g, &im->wish) : new_identity(g, &im->wish);
	if (r < 0)
		return r;
	if (!streq(g->boot, "disk") &&
	    (!g->kernel || access(g->kernel, R_OK) < 0)) {
		_cleanup_free_ char *extra = TAKE_PTR(g->extra);

		free(g->kernel);
		free(g->ramdisk);
		g->kernel = g->ramdisk = NULL;
		r = guest_choose_kernel(
			g, extra && bh_startswith(extra, "console=hvc0 ")
				   ? extra + 13
				   : "");
		if (r < 0)
			return r;
		note("guest %s boots %s", name, g->kernel);
	}
	for (size_t i = 0; i < g->n_nics; i++)
		if (guest_mac_taken(g->nics[i].mac, name))
			return fail(
				VMB_CONFLICT,
				"MAC address %s belongs to another guest; leave --keep-identity out",
				g->nics[i].mac);
	q.keep_identity = keep;
	q.src_bytes = was;
	q.want_vg = im->vg;
	q.want_pool = im->pool;
	q.autostart = im->autostart;
	q.id.hostname = g->hostname ? g->hostname : name;
	q.id.keep_root = true;
	q.id.net_detect = true;
	q.id.nics = g->nics;
	q.id.n_nics = g->n_nics;
	return guest_make(&q);
}

static int import_option(struct import *im, int o, const char *v)
{
	switch (o) {
	case 'k':
		im->keep = true;
		return 0;
	case 'v':
		im->vg = v;
		return name_check_vg(v);
	case 'p':
		im->pool = v;
		return name_check_vg(v);
	case 'i':
		im->wish.ip = v;
		return 0;
	case 'g':
		im->wish.gateway = v;
		return 0;
	case 'b':
		im->wish.bridge = v;
		return 0;
	case 's':
		im->start = true;
		return 0;
	case 'a':
		im->autostart = true;
		return 0;
	default:
		return usage_of("import");
	}
}

int cmd_import(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "keep-identity", 0, 0, 'k' }, { "vg", 1, 0, 'v' },
		{ "pool", 1, 0, 'p' },          { "ip", 1, 0, 'i' },
		{ "gateway", 1, 0, 'g' },       { "bridge", 1, 0, 'b' },
		{ "start", 0, 0, 's' },         { "autostart", 0, 0, 'a' },
		{ "help", 0, 0, 'h' },          { 0, 0, 0, 0 }
	};
	struct guest g _cleanup_guest_ = { 0 };
	_cleanup_lock_ int lock = -1;
	_cleanup_free_ char *name = NULL;
	struct import im = { 0 };
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		r = import_option(&im, o, optarg);
		if (r < 0)
			return r;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return usage_of("import");
	im.file = argv[optind];
	if (access(im.file, R_OK) < 0)
		return fail(VMB_MISSING, "cannot read %s: %m", im.file);
	r = read_meta(im.file, &g, &im.bytes);
	if (r >= 0)
		r = guest_check_foreign(&g);
	if (r < 0)
		return r;
	im.name = name = strdup(argc - optind == 2 ? argv[optind + 1] : g.name);
	r = name ? name_check_guest(name) : oom();
	if (r < 0)
		return r;
	lock = begin_guest(name, "import");
	if (lock < 0)
		return lock;
	if (guest_exists(name))
		return fail(VMB_CONFLICT,
			    "guest %s exists already; give another name", name);
	r = import_guest(&g, &im);
	if (r >= 0)
		note("guest %s is imported", name);
	if (r >= 0 && im.start)
		r = start_guest(&g, 0);
	return r;
}
