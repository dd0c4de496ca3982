/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sets on disk: reading, writing and removing them, so that a power cut at
 * any moment leaves a set either whole or absent. Everything is written under a
 * dot name, synced, and renamed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bulkhead/pairs.h>
#include <bulkhead/util.h>

#include "bootset.h"

#define SETS_DIR "/boot/bulkhead/sets"
#define STATE    "/boot/bulkhead/state"

const char *root_path(char *buf, size_t size, const char *path)
{
	const char *root = getenv("BULKHEAD_ROOT");

	if (no_fit(buf, size, "%s%s", root ? root : "", path))
		buf[0] = '\0';
	return buf;
}

static void put(char *dst, size_t size, const char *val)
{
	snprintf(dst, size, "%s", val);
}

static int set_pair(unsigned int line __unused_arg, const char *key,
		    const char *val, void *arg)
{
	struct bootset *s = arg;
	struct {
		const char *key;
		char *dst;
		size_t size;
	} map[] = {
		{ "hypervisor", s->hypervisor, sizeof(s->hypervisor) },
		{ "kernel", s->kernel, sizeof(s->kernel) },
		{ "hypervisor_tag", s->hv_tag, sizeof(s->hv_tag) },
		{ "kernel_tag", s->kernel_tag, sizeof(s->kernel_tag) },
		{ "initrd_tag", s->initrd_tag, sizeof(s->initrd_tag) },
		{ "hypervisor_options", s->hv_options, sizeof(s->hv_options) },
		{ "linux_options", s->linux_options, sizeof(s->linux_options) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (val && streq(map[i].key, key))
			put(map[i].dst, map[i].size, val);
	return 0;
}

static int state_pair(unsigned int line __unused_arg, const char *key,
		      const char *val, void *arg)
{
	struct bootsets *b = arg;
	struct bootset *s;

	if (!val)
		return 0;
	if (streq(key, "default"))
		put(b->default_id, sizeof(b->default_id), val);
	else if (streq(key, "trying"))
		put(b->trying, sizeof(b->trying), val);
	else if (streq(key, "why"))
		put(b->why, sizeof(b->why), val);
	else if (bh_startswith(key, "set.") &&
		 (s = sets_find(b, bh_startswith(key, "set."))))
		put(s->state, sizeof(s->state), val);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct bootset *)a)->id,
		      ((const struct bootset *)b)->id);
}

static bool is_id(const char *s)
{
	return strlen(s) == 4 && strspn(s, "0123456789") == 4;
}

int sets_load(struct bootsets *b)
{
	char path[PATH_MAX], dir[PATH_MAX];
	struct dirent *e;
	DIR *d;
	int r;

	memset(b, 0, sizeof(*b));
	d = opendir(root_path(dir, sizeof(dir), SETS_DIR));
	if (!d)
		return errno == ENOENT ? 0
				       : bh_log_errno(BH_ERR, -errno,
						      "cannot read %s", dir);
	while ((e = readdir(d)) && b->nr < MAX_SETS) {
		struct bootset *s = &b->set[b->nr];

		if (!is_id(e->d_name) ||
		    no_fit(path, sizeof(path), "%s/%s/set.conf", dir,
			   e->d_name))
			continue;
		memset(s, 0, sizeof(*s));
		put(s->id, sizeof(s->id), e->d_name);
		put(s->state, sizeof(s->state), "new");
		if (!bh_pairs_read(path, set_pair, s))
			b->nr++;
	}
	closedir(d);
	qsort(b->set, b->nr, sizeof(b->set[0]), by_id);
	r = bh_pairs_read(root_path(path, sizeof(path), STATE), state_pair, b);
	return !r || r == -ENOENT
		       ? 0
		       : bh_log_errno(BH_ERR, r, "cannot read %s", path);
}

int sets_save_state(const struct bootsets *b)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int r;

	if (!f)
		return -ENOMEM;
	fprintf(f, "# Written by bootset; see bulkhead-boot-sets(7).\n");
	fprintf(f, "default=%s\ntrying=%s\nwhy=%s\n", b->default_id, b->trying,
		b->why);
	for (unsigned int i = 0; i < b->nr; i++)
		fprintf(f, "set.%s=%s\n", b->set[i].id, b->set[i].state);
	fclose(f);
	r = bh_write_file(root_path(path, sizeof(path), STATE), text, len,
			  0644);
	if (r)
		return bh_log_errno(BH_ERR, r, "cannot write %s", path);
	return keep_packages(b);
}

struct bootset *sets_find(struct bootsets *b, const char *id)
{
	for (unsigned int i = 0; i < b->nr; i++)
		if (streq(b->set[i].id, id))
			return &b->set[i];
	return NULL;
}

/* Hard link, so that later package upgrades cannot change what a proven set
 * boots; a copy where the file system has no links. */
static int link_or_copy(const char *from, const char *to)
{
	_cleanup_close_ int in = -1, out = -1;
	char buf[65536];
	ssize_t n;
	int r;

	if (link(from, to) == 0)
		return 0;
	in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		r = bh_write_all(out, buf, n);
		if (r)
			return r;
	}
	if (n < 0 || fsync(out) < 0)
		return -errno;
	return 0;
}

static int sync_path(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static void remove_tree(const char *dir)
{
	static const char *const names[] = { "hypervisor.gz", "vmlinuz",
					     "initrd.img", "set.conf",
					     ".set.conf" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!no_fit(path, sizeof(path), "%s/%s", dir, names[i]))
			unlink(path);
	rmdir(dir);
}

void sets_tidy(void)
{
	char parent[PATH_MAX], dir[PATH_MAX];
	DIR *d = opendir(root_path(parent, sizeof(parent), SETS_DIR));
	struct dirent *e;

	while (d && (e = readdir(d)))
		if ((streq(e->d_name, ".new") ||
		     bh_startswith(e->d_name, ".dead-")) &&
		    !no_fit(dir, sizeof(dir), "%s/%s", parent, e->d_name))
			remove_tree(dir);
	if (d)
		closedir(d);
}

static int write_conf(const char *dir, const struct bootset *s)
{
	_cleanup_free_ char *text = bh_asprintf(
		"hypervisor=%s\nkernel=%s\nhypervisor_tag=%s\nkernel_tag=%s\n"
		"initrd_tag=%s\nhypervisor_options=%s\nlinux_options=%s\n",
		s->hypervisor, s->kernel, s->hv_tag, s->kernel_tag,
		s->initrd_tag, s->hv_options, s->linux_options);
	char path[PATH_MAX];

	if (!text || no_fit(path, sizeof(path), "%s/set.conf", dir))
		return -ENOMEM;
	return bh_write_file(path, text, strlen(text), 0644);
}

static int fill(const char *dir, const struct candidate *c)
{
	const struct {
		const char *from, *name;
	} files[] = { { c->hv_path, "hypervisor.gz" },
		      { c->kernel_path, "vmlinuz" },
		      { c->initrd_path, "initrd.img" } };
	char to[PATH_MAX];
	int r;

	if (mkdir(dir, 0700) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (no_fit(to, sizeof(to), "%s/%s", dir, files[i].name))
			return -ENAMETOOLONG;
		r = link_or_copy(files[i].from, to);
		if (r)
			return bh_log_errno(BH_ERR, r, "cannot put %s into %s",
					    files[i].from, dir);
	}
	r = write_conf(dir, &c->set);
	return r ? r : sync_path(dir);
}

int sets_create(struct bootsets *b, const struct candidate *c,
		struct bootset **ret)
{
	char parent[PATH_MAX], tmp[PATH_MAX], final[PATH_MAX];
	struct bootset *s;
	unsigned int next = 1;
	int r;

	if (b->nr == MAX_SETS)
		return -ENOSPC;
	if (b->nr)
		next = atoi(b->set[b->nr - 1].id) + 1;
	root_path(parent, sizeof(parent), SETS_DIR);
	r = bh_mkdir_p(parent, 0755);
	if (r)
		return bh_log_errno(BH_ERR, r, "cannot make %s", parent);
	s = &b->set[b->nr];
	*s = c->set;
	if (no_fit(s->id, sizeof(s->id), "%04u", next) ||
	    no_fit(tmp, sizeof(tmp), "%s/.new", parent) ||
	    no_fit(final, sizeof(final), "%s/%s", parent, s->id))
		return -ENOSPC;
	put(s->state, sizeof(s->state), "new");
	r = fill(tmp, c);
	if (!r && rename(tmp, final) < 0)
		r = -errno;
	if (!r)
		r = sync_path(parent);
	if (r) {
		remove_tree(tmp);
		return bh_log_errno(BH_ERR, r, "cannot make boot set %s",
				    s->id);
	}
	b->nr++;
	*ret = s;
	return 0;
}

int sets_remove(struct bootsets *b, const char *id)
{
	char parent[PATH_MAX], dir[PATH_MAX], dead[PATH_MAX];
	struct bootset *s = sets_find(b, id);

	if (!s)
		return -ENOENT;
	root_path(parent, sizeof(parent), SETS_DIR);
	if (no_fit(dir, sizeof(dir), "%s/%s", parent, id) ||
	    no_fit(dead, sizeof(dead), "%s/.dead-%s", parent, id))
		return -ENAMETOOLONG;
	if (rename(dir, dead) < 0)
		return bh_log_errno(BH_ERR, -errno, "cannot remove set %s", id);
	remove_tree(dead);
	memmove(s, s + 1, (char *)&b->set[b->nr] - (char *)(s + 1));
	b->nr--;
	return 0;
}

/*
 * Keeps what is running, default or armed, the newest three besides (a
 * new one among them), and the last that failed: it is how the same files are not tried again.
 */
int sets_prune(struct bootsets *b, const char *running)
{
	unsigned int spare = 3, failed = 1;
	int r = 0;

	for (unsigned int i = b->nr; i-- > 0 && !r;) {
		const char *id = b->set[i].id;

		if (streq(id, running) || streq(id, b->default_id) ||
		    streq(id, b->trying))
			continue;
		if (streq(b->set[i].state, "bad") ? failed : spare) {
			if (streq(b->set[i].state, "bad"))
				failed--;
			else
				spare--;
			continue;
		}
		bh_log(BH_INFO, "removing old boot set %s", id);
		r = sets_remove(b, id);
	}
	return r;
}

bool running_trial(void)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t len;

	return !bh_read_file(root_path(path, sizeof(path), "/proc/cmdline"),
			     65536, &text, &len) &&
	       strstr(text, " bulkhead.trial ");
}

void running_set(char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX], *p;
	size_t len;

	buf[0] = '\0';
	if (bh_read_file(root_path(path, sizeof(path), "/proc/cmdline"), 65536,
			 &text, &len))
		return;
	p = strstr(text, "bulkhead.set=");
	if (!p)
		return;
	p += strlen("bulkhead.set=");
	p[strcspn(p, " \n")] = '\0';
	if (is_id(p))
		put(buf, size, p);
}

static int settings_pair(unsigned int line __unused_arg, const char *key,
			 const char *val, void *arg)
{
	struct settings *s = arg;
	uint32_t n;

	if (!val)
		return 0;
	if (streq(key, "BULKHEAD_CMDLINE"))
		put(s->hv_options, sizeof(s->hv_options), val);
	else if (streq(key, "BULKHEAD_CMDLINE_DOM0"))
		put(s->linux_options, sizeof(s->linux_options), val);
	else if (streq(key, "BULKHEAD_KERNEL"))
		put(s->kernel, sizeof(s->kernel), val);
	else if (streq(key, "HEALTH_NETWORK"))
		s->network = !streq(val, "no");
	else if (streq(key, "HEALTH_TIMEOUT") && !bh_parse_u32(val, &n))
		s->timeout = n;
	else if (streq(key, "HEALTH_DEADLINE") && !bh_parse_u32(val, &n))
		s->deadline = n;
	return 0;
}

int settings_load(struct settings *s)
{
	char path[PATH_MAX];
	int r;

	*s = (struct settings){ .network = true,
				.timeout = 300,
				.deadline = 900 };
	r = bh_pairs_read(
		root_path(path, sizeof(path), "/etc/default/bulkhead"),
		settings_pair, s);
	return r == -ENOENT ? 0 : r;
}

int boot_lock(void)
{
	char path[PATH_MAX];
	int fd;

	if (bh_mkdir_p(root_path(path, sizeof(path), "/run/bulkhead"), 0755))
		return -errno;
	fd = open(root_path(path, sizeof(path), "/run/bulkhead/bootset.lock"),
		  O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return bh_log_errno(BH_ERR, -errno, "cannot open %s", path);
	if (flock(fd, LOCK_EX) < 0)
		return -errno;
	return fd; /* held until the process ends */
}
