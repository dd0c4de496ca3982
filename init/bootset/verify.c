/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Refuses a set that cannot work, before anything is written: the hypervisor
 * and the kernel are whole, the initrd unpacks to its end, and holds every
 * driver on the way from the processor to this host's root file system.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <zlib.h>

#include <bulkhead/util.h>

#include "bootset.h"

#define MAX_MODULES 64

struct modules {
	char name[MAX_MODULES][64];
	bool found[MAX_MODULES];
	unsigned int nr;
	bool need_lvm, have_lvm;
};

/* Modules are named with - in files and _ in sysfs: one form for both. */
static void canonical(char *dst, size_t size, const char *src, size_t len)
{
	size_t n = MIN(len, size - 1);

	for (size_t i = 0; i < n; i++)
		dst[i] = src[i] == '-' ? '_' : src[i];
	dst[n] = '\0';
}

static void need(struct modules *m, const char *name)
{
	char c[64];

	canonical(c, sizeof(c), name, strlen(name));
	for (unsigned int i = 0; i < m->nr; i++)
		if (streq(m->name[i], c))
			return;
	if (m->nr < MAX_MODULES)
		memcpy(m->name[m->nr++], c, sizeof(c));
}

/* Walks up from a device in sysfs and notes the module of each driver. */
static void need_drivers_of(struct modules *m, const char *sysdir)
{
	char dir[PATH_MAX], link[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	if (!realpath(sysdir, dir))
		return;
	while (strlen(dir) > strlen("/sys/devices")) {
		snprintf(link, sizeof(link), "%.4000s/driver/module", dir);
		n = readlink(link, target, sizeof(target) - 1);
		if (n > 0) {
			target[n] = '\0';
			need(m, basename(target));
		}
		*strrchr(dir, '/') = '\0';
	}
}

/* A block device and, for LVM, md and crypt, everything below it. */
static void need_block_device(struct modules *m, const char *sysdir, int depth)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;

	if (depth > 8)
		return;
	snprintf(path, sizeof(path), "%.4000s/dm", sysdir);
	if (!access(path, F_OK)) {
		need(m, "dm_mod");
		m->need_lvm = true;
	}
	need_drivers_of(m, sysdir);
	snprintf(path, sizeof(path), "%.4000s/slaves", sysdir);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.3000s/slaves/%.255s", sysdir,
			 e->d_name);
		need_block_device(m, path, depth + 1);
	}
	if (d)
		closedir(d);
}

static void need_root_fs(struct modules *m)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	size_t len;

	if (bh_read_file("/proc/self/mounts", 1 << 20, &text, &len))
		return;
	for (char *l = strtok_r(text, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		char dev[256], dir[256], type[64];

		if (sscanf(l, "%255s %255s %63s", dev, dir, type) == 3 &&
		    streq(dir, "/") && dev[0] == '/')
			need(m, type);
	}
}

static void need_root_disk(struct modules *m)
{
	char path[PATH_MAX];
	struct stat st;

	if (stat("/", &st) || !major(st.st_dev))
		return; /* a container or a chroot: nothing to know */
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(st.st_dev),
		 minor(st.st_dev));
	need_block_device(m, path, 0);
	need_root_fs(m);
}

static void mark_builtin(struct modules *m, const char *version)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX], rel[512], *save = NULL, c[64];
	size_t len;

	snprintf(rel, sizeof(rel), "/lib/modules/%s/modules.builtin", version);
	if (bh_read_file(root_path(path, sizeof(path), rel), 1 << 20, &text,
			 &len))
		return;
	for (char *l = strtok_r(text, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		char *base = basename(l);

		canonical(c, sizeof(c), base, strcspn(base, "."));
		for (unsigned int i = 0; i < m->nr; i++)
			if (streq(m->name[i], c))
				m->found[i] = true;
	}
}

static void mark_file(struct modules *m, const char *path)
{
	const char *base = strrchr(path, '/');
	char c[64];

	base = base ? base + 1 : path;
	if (streq(base, "lvm"))
		m->have_lvm = true;
	if (!strstr(base, ".ko"))
		return;
	canonical(c, sizeof(c), base, strstr(base, ".ko") - base);
	for (unsigned int i = 0; i < m->nr; i++)
		if (streq(m->name[i], c))
			m->found[i] = true;
}

static int open_initrd(struct archive *a, int fd)
{
	archive_read_support_format_cpio(a);
	archive_read_support_filter_all(a);
	return archive_read_open_fd(a, fd, 65536);
}

/*
 * An initrd is one or more cpio archives in a row, each maybe compressed, with
 * zero padding between. libarchive reads one; where it ended is where the next
 * begins when it was not compressed (microcode comes so). A compressed one is
 * the last.
 */
static int read_archive(struct modules *m, int fd, off_t start, off_t *end,
			bool *compressed, unsigned int *files)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int r, rc = 0;

	if (!a)
		return -ENOMEM;
	if (lseek(fd, start, SEEK_SET) < 0 || open_initrd(a, fd) != ARCHIVE_OK)
		rc = -EINVAL;
	while (!rc && (r = archive_read_next_header(a, &e)) != ARCHIVE_EOF) {
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			rc = -EINVAL;
		else {
			mark_file(m, archive_entry_pathname(e));
			(*files)++;
			if (archive_read_data_skip(a) != ARCHIVE_OK)
				rc = -EINVAL;
		}
	}
	if (rc)
		bh_log(BH_ERR, "initrd is damaged at archive member %u: %s",
		       *files, archive_error_string(a) ?: "cannot read");
	*compressed = archive_filter_count(a) > 1;
	*end = start + archive_filter_bytes(a, -1);
	archive_read_free(a);
	return rc;
}

/* First non-zero byte at or after pos, or -1 at the end of the file. */
static off_t skip_zeros(int fd, off_t pos)
{
	char buf[4096];
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), pos)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (buf[i])
				return pos + i;
		pos += n;
	}
	return -1;
}

/* End of the uncompressed newc archive at pos (libarchive reads ahead). */
static off_t newc_end(int fd, off_t pos)
{
	char h[111];
	unsigned long name, size;

	for (;;) {
		char field[9] = "", nm[16] = "";

		if (pread(fd, h, 110, pos) != 110 ||
		    (memcmp(h, "070701", 6) && memcmp(h, "070702", 6)))
			return -1;
		memcpy(field, h + 54, 8);
		size = strtoul(field, NULL, 16);
		memcpy(field, h + 94, 8);
		name = strtoul(field, NULL, 16);
		if (pread(fd, nm, MIN(name, 15UL), pos + 110) < 0)
			return -1;
		pos += (110 + name + 3) & ~3UL;
		pos += (size + 3) & ~3UL;
		if (streq(nm, "TRAILER!!!"))
			return pos;
	}
}

static int read_initrd(struct modules *m, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned int files = 0;
	bool compressed = false;
	off_t pos = 0, end;
	char magic[6];
	int r;

	if (fd < 0)
		return bh_log_errno(BH_ERR, -errno, "cannot open %s", path);
	while (!compressed && (pos = skip_zeros(fd, pos)) >= 0) {
		bool plain = pread(fd, magic, 6, pos) == 6 &&
			     !memcmp(magic, "07070", 5);

		r = read_archive(m, fd, pos, &end, &compressed, &files);
		if (r)
			return r;
		if (plain) {
			compressed = false;
			end = newc_end(fd, pos);
			if (end < 0)
				return -EINVAL;
		}
		pos = end;
	}
	if (files < 2) {
		bh_log(BH_ERR, "%s holds no files", path);
		return -EINVAL;
	}
	return 0;
}

/* Boot protocol: the file must reach as far as its header promises. */
static int verify_kernel(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char h[0x250];
	struct stat st;
	uint32_t syssize;
	off_t want;

	if (fd < 0 || fstat(fd, &st) < 0)
		return bh_log_errno(BH_ERR, -errno, "cannot open %s", path);
	if (pread(fd, h, sizeof(h), 0) != sizeof(h) ||
	    memcmp(h + 0x202, "HdrS", 4)) {
		bh_log(BH_ERR, "%s is not a Linux kernel image", path);
		return -EINVAL;
	}
	memcpy(&syssize, h + 0x1f4, 4);
	want = ((h[0x1f1] ? h[0x1f1] : 4) + 1) * 512 + (off_t)syssize * 16;
	if (st.st_size + 15 < want) {
		bh_log(BH_ERR, "%s is cut short: %lld of %lld bytes", path,
		       (long long)st.st_size, (long long)want);
		return -EINVAL;
	}
	return 0;
}

static int verify_hypervisor(const char *path)
{
	gzFile f = gzopen(path, "rb");
	char buf[65536];
	int n, first = 1, err;

	if (!f)
		return bh_log_errno(BH_ERR, -errno, "cannot open %s", path);
	while ((n = gzread(f, buf, sizeof(buf))) > 0) {
		if (first && (n < 4 || memcmp(buf, "\177ELF", 4)))
			break;
		first = 0;
	}
	gzerror(f, &err);
	gzclose(f);
	if (n != 0 || first || err) {
		bh_log(BH_ERR, "%s is damaged: reinstall its package", path);
		return -EINVAL;
	}
	return 0;
}

static int verify_initrd(const struct candidate *c)
{
	struct modules m = { .nr = 0 };
	int r;

	need_root_disk(&m);
	mark_builtin(&m, c->set.kernel);
	r = read_initrd(&m, c->initrd_path);
	if (r)
		return r;
	for (unsigned int i = 0; i < m.nr; i++)
		if (!m.found[i]) {
			bh_log(BH_ERR,
			       "%s lacks the driver %s that this host's root "
			       "disk needs: add it to "
			       "/etc/initramfs-tools/modules and run "
			       "update-initramfs -u -k %s",
			       c->initrd_path, m.name[i], c->set.kernel);
			r = -ENOENT;
		}
	if (m.need_lvm && !m.have_lvm) {
		bh_log(BH_ERR,
		       "%s has no lvm, but root is on LVM: install "
		       "lvm2 and rebuild it",
		       c->initrd_path);
		r = -ENOENT;
	}
	return r;
}

int verify_candidate(const struct candidate *c)
{
	int r = verify_hypervisor(c->hv_path);

	if (!r)
		r = verify_kernel(c->kernel_path);
	return r ? r : verify_initrd(c);
}

/* Links cost nothing, but the next initrd is then written beside this one. */
int verify_space(const struct candidate *c)
{
	const char *const paths[] = { c->hv_path, c->kernel_path,
				      c->initrd_path };
	char boot[PATH_MAX];
	struct statvfs fs;
	uint64_t want = 4 << 20, have;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!stat(paths[i], &st) && i == 2)
			want += st.st_size;
	if (statvfs(root_path(boot, sizeof(boot), "/boot"), &fs) < 0)
		return bh_log_errno(BH_ERR, -errno, "cannot look at %s", boot);
	have = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (have >= want)
		return 0;
	bh_log(BH_ERR,
	       "%s is too full for a new boot set: %llu MiB free, %llu "
	       "MiB needed; remove old kernels (apt autoremove)",
	       boot, (unsigned long long)have >> 20,
	       (unsigned long long)(want + (1 << 20) - 1) >> 20);
	return -ENOSPC;
}
