/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates from files made elsewhere: a packed root tarball, an OCI or
 * docker-save image (layers with whiteouts), an LXC rootfs (inside
 * "rootfs/"), or a disk image, whose root partition is copied file by file.
 * Archives are unpacked by libarchive after chroot, so that no path or link
 * in them reaches the host, on a mount where nothing can be run: neither a
 * program nor a library that something here would load.
 */
#define _GNU_SOURCE
#include "fill.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sys/stat.h>

#include <bulkhead/run.h>

#include "fs.h"
#include "guestfs.h"
#include "image.h"
#include "inguest.h"

/*
 * Those that libarchive unpacks itself. For others it runs a program, which
 * after chroot would be one that a layer before brought with it.
 */
void import_filters(struct archive *a)
{
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_compress(a);
	archive_read_support_filter_lzip(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_zstd(a);
}

static struct archive *new_archive(void)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	import_filters(a);
	archive_read_support_format_tar(a);
	archive_read_support_format_cpio(a);
	archive_read_support_format_empty(a);
	return a;
}

static struct archive *open_archive(int fd)
{
	struct archive *a = new_archive();

	if (a && archive_read_open_fd(a, fd, 1 << 16) != ARCHIVE_OK) {
		archive_read_free(a);
		return NULL;
	}
	return a;
}

/* A member's name, below the directory that it is unpacked into. */
static const char *relative(const char *p)
{
	while (*p == '/' || bh_startswith(p, "./"))
		p += *p == '/' ? 1 : 2;
	return p;
}

/* What kind of archive, told from its first names. */
static bool is_oci(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct archive *a = fd >= 0 ? open_archive(fd) : NULL;
	struct archive_entry *e;
	bool yes = false, root = false;

	while (a && !yes && !root &&
	       archive_read_next_header(a, &e) == ARCHIVE_OK) {
		const char *p = archive_entry_pathname(e);

		if (!p) /* in an encoding that is not ours */
			continue;
		p = relative(p);
		yes = streq(p, "oci-layout") || streq(p, "manifest.json") ||
		      streq(p, "index.json");
		root = bh_startswith(p, "bin") || bh_startswith(p, "etc") ||
		       bh_startswith(p, "usr") || bh_startswith(p, "rootfs/");
	}
	if (a)
		archive_read_free(a);
	return yes;
}

/* A member of an archive, read as if it were a file. */
struct member {
	struct archive *outer;
	char buf[1 << 16];
};

static la_ssize_t read_member(struct archive *a __unused_arg, void *arg,
			      const void **ret)
{
	struct member *m = arg;

	*ret = m->buf;
	return archive_read_data(m->outer, m->buf, sizeof(m->buf));
}

/* Room for what is in an archive, and how much that is. */
static int measure(struct archive *a, bool layers, uint64_t *sum, uint64_t *n)
{
	struct archive_entry *e;
	int r;

	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK ||
	       r == ARCHIVE_WARN) {
		*sum += (uint64_t)archive_entry_size(e) + 4096;
		(*n)++;
		/* A layer is unpacked beside its packed form. */
		if (layers && archive_entry_filetype(e) == AE_IFREG) {
			struct archive *in = new_archive();
			struct member *m = calloc(1, sizeof(*m));
			uint64_t files = 0;

			if (m)
				m->outer = a;
			/* Not every blob is a layer: what is none has no files. */
			if (in && m &&
			    archive_read_open(in, m, NULL, read_member, NULL) ==
				    ARCHIVE_OK)
				(void)measure(in, false, sum, &files);
			archive_read_free(in);
			free(m);
		}
	}
	return r;
}

int import_measure(const char *file, uint64_t *ret_bytes)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct archive *a = fd >= 0 ? open_archive(fd) : NULL;
	uint64_t sum = 0, n = 0;
	int r;

	if (!a)
		return fail(VMB_SOURCE,
			    "%s: neither a tar archive nor a disk image", file);
	progress("reading the archive", 0);
	r = measure(a, is_oci(file), &sum, &n);
	if (r != ARCHIVE_EOF || n == 0) {
		int rc = fail(VMB_SOURCE, "%s: damaged archive: %s", file,
			      n ? archive_error_string(a) : "it is empty");

		archive_read_free(a);
		return rc;
	}
	archive_read_free(a);
	*ret_bytes = sum;
	return 0;
}

/* OCI whiteouts: ".wh.NAME" removes NAME, ".wh..wh..opq" empties the dir. */
static bool whiteout(const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	_cleanup_free_ char *victim = NULL;

	if (!bh_startswith(base, ".wh."))
		return false;
	if (streq(base, ".wh..wh..opq"))
		victim = bh_asprintf("/%.*s", (int)(base - path), path);
	else
		victim = bh_asprintf("/%.*s%s", (int)(base - path), path,
				     base + 4);
	if (victim && !strstr(victim, "..") && strlen(victim) > 1)
		(void)rm_rf(victim);
	if (victim && streq(base, ".wh..wh..opq"))
		(void)mkdir(victim, 0755);
	return true;
}

/* The current root is the volume. */
static int unpack(int fd, const char *name, bool layers, const char *into)
{
	struct archive *a = open_archive(fd), *d = archive_write_disk_new();
	struct archive_entry *e;
	int r = ARCHIVE_FATAL, rc = 0;
	bool full;

	archive_write_disk_set_options(
		d, ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM |
			   ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_ACL |
			   ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_FFLAGS |
			   ARCHIVE_EXTRACT_SECURE_NODOTDOT |
			   ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SPARSE);
	if (chdir(into) < 0)
		rc = fail(VMB_FAILED, "cannot enter %s: %m", into);
	while (rc >= 0 && a &&
	       ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK ||
		r == ARCHIVE_WARN)) {
		const char *p = archive_entry_pathname(e);
		const char *l = archive_entry_hardlink(e);

		p = p ? relative(p) : "";
		if (!*p || (bh_startswith(p, "dev/") && p[4]))
			continue;
		if (layers && whiteout(p))
			continue;
		{
			_cleanup_free_ char *path = strdup(p);

			archive_entry_set_pathname(e, path);
		}
		while (l && *l == '/')
			l++;
		if (l) {
			_cleanup_free_ char *link = strdup(l);

			archive_entry_set_hardlink(e, link);
		}
		r = archive_read_extract2(a, e, d);
		full = archive_errno(a) == ENOSPC;
		if (r > ARCHIVE_WARN || (r == ARCHIVE_WARN && !full))
			continue;
		rc = full ? fail(VMB_NOSPACE,
				 "%s: does not fit into the template's volume; give it more with --size",
				 name)
			  : fail(VMB_SOURCE, "%s: cannot unpack: %s", name,
				 archive_error_string(a));
	}
	if (rc >= 0 && (!a || r != ARCHIVE_EOF))
		rc = fail(VMB_SOURCE, "%s: damaged archive: %s", name,
			  a ? archive_error_string(a) : "not an archive");
	if (archive_write_free(d) != ARCHIVE_OK && rc >= 0)
		rc = fail(VMB_FAILED, "%s: cannot finish unpacking", name);
	if (a)
		archive_read_free(a);
	(void)chdir("/");
	return rc;
}

static json_object *load_json(const char *path)
{
	_cleanup_free_ char *text = NULL;

	return inguest_read(path, &text) < 0 ? NULL : json_tokener_parse(text);
}

static const char *str(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v)
						     : NULL;
}

/* Of what should be a list. */
static size_t count(json_object *o)
{
	return json_object_is_type(o, json_type_array)
		       ? json_object_array_length(o)
		       : 0;
}

/* "sha256:HEX" -> the blob's path; refuses anything else. */
static char *blob_path(const char *digest)
{
	if (!digest || !bh_startswith(digest, "sha256:") ||
	    strspn(digest + 7, "0123456789abcdef") != strlen(digest + 7))
		return NULL;
	return bh_asprintf("/.import/blobs/sha256/%s", digest + 7);
}

/* The layers' paths, from docker's manifest.json or OCI's index.json. */
static int find_layers(struct strv *ret)
{
	json_object *man = load_json("/.import/manifest.json"), *idx, *arr, *o;
	_cleanup_free_ char *p = NULL;
	bool docker = man != NULL;
	int hops = 0;

	if (docker) {
		o = count(man) ? json_object_array_get_idx(man, 0) : NULL;
		if (o && json_object_object_get_ex(o, "Layers", &arr))
			for (size_t i = 0; i < count(arr); i++) {
				const char *l = json_object_get_string(
					json_object_array_get_idx(arr, i));

				if (l && !strstr(l, ".."))
					(void)strv_addf(ret, "/.import/%s", l);
			}
		json_object_put(man);
		return ret->n ? 0 : -EINVAL;
	}
	idx = load_json("/.import/index.json");
	/* An index may point to another index (one per platform). */
	while (idx && json_object_object_get_ex(idx, "manifests", &arr) &&
	       hops++ < 3) {
		json_object *best = NULL;

		for (size_t i = 0; i < count(arr); i++) {
			json_object *m = json_object_array_get_idx(arr, i), *pl;

			if (!best ||
			    (json_object_object_get_ex(m, "platform", &pl) &&
			     streq(str(pl, "architecture"), "amd64")))
				best = m;
		}
		free(p);
		p = best ? blob_path(str(best, "digest")) : NULL;
		json_object_put(idx);
		idx = p ? load_json(p) : NULL;
	}
	if (idx && json_object_object_get_ex(idx, "layers", &arr))
		for (size_t i = 0; i < count(arr); i++) {
			_cleanup_free_ char *b = blob_path(str(
				json_object_array_get_idx(arr, i), "digest"));

			if (b)
				(void)strv_add(ret, b);
		}
	json_object_put(idx);
	return ret->n ? 0 : -EINVAL;
}

static int apply_layers(const char *name)
{
	_cleanup_strv_ struct strv layers = { 0 };
	int r = 0;

	if (find_layers(&layers) < 0)
		return fail(VMB_SOURCE, "%s: an image without layers", name);
	for (size_t i = 0; r >= 0 && i < layers.n; i++) {
		_cleanup_close_ int fd =
			open(layers.v[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		struct stat st;

		if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
			fd = bh_close(fd);
		progress("applying layers", (unsigned int)(i * 100 / layers.n));
		r = fd < 0 ? fail(VMB_SOURCE, "%s: layer %s is missing", name,
				  layers.v[i])
			   : unpack(fd, name, true, "/");
	}
	(void)rm_rf("/.import");
	return r;
}

/* LXC packs the root below "rootfs/": move it up. */
static int lift_rootfs(void)
{
	struct dirent *de;
	DIR *d;

	if (access("/etc", F_OK) == 0 || !(d = opendir("/rootfs")))
		return 0;
	while ((de = readdir(d))) {
		_cleanup_free_ char *from =
			bh_asprintf("/rootfs/%s", de->d_name);
		_cleanup_free_ char *to = bh_asprintf("/%s", de->d_name);

		if (!streq(de->d_name, ".") && !streq(de->d_name, "..") &&
		    rename(from, to) < 0) {
			closedir(d);
			return fail(VMB_FAILED, "cannot move %s: %m", from);
		}
	}
	closedir(d);
	(void)rmdir("/rootfs");
	return 0;
}

/* Those the kernel tries, and that of Debian, Fedora and Alpine. */
static bool has_init(void)
{
	static const char *const init[] = { "/sbin/init", "/etc/init",
					    "/bin/init", "/init" };
	struct stat st;

	/* May be a link to what is not on this path before it runs. */
	for (size_t i = 0; i < ARRAY_SIZE(init); i++)
		if (lstat(init[i], &st) == 0)
			return true;
	return false;
}

static int check_root(const char *name)
{
	/* Initrds mount on these; containers' roots may not have them. */
	static const char *const dirs[] = { "/dev", "/proc", "/sys", "/run" };

	if (access("/etc", F_OK) < 0 ||
	    (access("/sbin/init", F_OK) < 0 && access("/bin/sh", F_OK) < 0 &&
	     access("/usr/bin/sh", F_OK) < 0))
		return fail(
			VMB_SOURCE,
			"%s: this is not a root file system (no /etc, or neither init nor shell)",
			name);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdir(dirs[i], 0755) < 0 && errno != EEXIST)
			return fail(VMB_FAILED, "cannot make %s: %m", dirs[i]);
	if (!has_init())
		note("%s has no init, as most container images; its guests start nothing but a shell until one is installed in them",
		     name);
	return 0;
}

static int finish(const char *mnt, const struct fill_import *f)
{
	int r = fill_guest_tools(mnt);

	return r < 0 || streq(f->boot, "host") ? r
					       : fill_boot_menu(mnt, *f->uuid);
}

int fill_tar(const char *mnt, void *arg)
{
	const struct fill_import *f = arg;
	_cleanup_close_ int fd = open(f->file, O_RDONLY | O_CLOEXEC);
	bool oci = is_oci(f->file);
	int r;

	if (fd < 0)
		return fail(VMB_MISSING, "cannot open %s: %m", f->file);
	progress("unpacking", 30);
	r = guestfs_enter();
	if (r < 0)
		return r;
	if (oci)
		(void)mkdir("/.import", 0700);
	r = unpack(fd, f->file, false, oci ? "/.import" : "/");
	if (r >= 0 && oci)
		r = apply_layers(f->file);
	if (r >= 0)
		r = lift_rootfs();
	if (r >= 0)
		r = check_root(f->file);
	if (guestfs_leave() < 0)
		return -VMB_FAILED;
	return r < 0 ? r : finish(mnt, f);
}

int import_copy_tree(const char *from, const char *to)
{
	_cleanup_free_ char *src = bh_asprintf("%s/.", from);
	const char *av[] = {
		"cp", "-a", "--reflink=never", "--remove-destination", src,
		to,   NULL
	};
	_cleanup_free_ char *err = NULL;

	if (bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, NULL, &err) == 0)
		return 0;
	if (err && strstr(err, strerror(ENOSPC)))
		return fail(
			VMB_NOSPACE,
			"the image's files do not fit into the template's volume; give it more with --size");
	return fail(VMB_FAILED, "copying the image's files: %s",
		    err ? bh_strip(err) : "cp failed");
}

int import_dir(const char *mnt, const char *where, char **ret)
{
	_cleanup_free_ char *dir = bh_asprintf("%s%s", mnt, where);
	struct stat st;

	if (!dir)
		return oom();
	for (char *p = dir + strlen(mnt) + 1, *slash; p; p = slash) {
		slash = strchr(p, '/');
		if (slash)
			*slash = 0;
		if (mkdir(dir, 0755) < 0 &&
		    (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode)))
			return fail(
				VMB_SOURCE,
				"the image has a file system of its own for %s, but there is no such directory in its root",
				where);
		if (slash)
			*slash++ = '/';
	}
	*ret = TAKE_PTR(dir);
	return 0;
}

int fill_image(const char *mnt, void *arg)
{
	const struct fill_import *f = arg;
	struct image img = { 0 };
	_cleanup_free_ char *boot_to = NULL;
	int r = image_mount(f->file, &img);

	if (r < 0)
		return r;
	progress("copying files", 20);
	r = import_copy_tree(img.root, mnt);
	if (r >= 0)
		r = image_copy_subvolumes(f->file, &img, mnt);
	if (r >= 0 && img.boot)
		r = import_dir(mnt, "/boot", &boot_to);
	if (r >= 0 && img.boot)
		r = import_copy_tree(img.boot, boot_to);
	image_umount(&img);
	if (r < 0)
		return r;
	/* Whatever named the old partitions would now wait for them. */
	r = guestfs_enter();
	if (r >= 0) {
		(void)unlink("/etc/fstab");
		r = *f->uuid ? image_fix_menus(img.root_part.uuid, *f->uuid)
			     : 0;
		if (guestfs_leave() < 0)
			r = -VMB_FAILED;
	}
	return r < 0 ? r : finish(mnt, f);
}
