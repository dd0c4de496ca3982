/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bootread: the kernel, initrd and command line a guest's own boot menu
 * chooses, read from its disk without trusting a byte of it.
 *
 *   bootread --output DIR [--fallback] DEVICE	read; write DIR/{kernel,ramdisk,cmdline}
 *   bootread --output DIR --good		what is in DIR has booted: keep it
 *
 * The parent keeps its privileges and looks at nothing but sizes and exit
 * codes. Children do the work in the sandbox: one finds the partitions, one
 * for each candidate file system reads it. Started as an ordinary user (the
 * supervisor does that) it keeps to ext2/3/4. xfs and btrfs are mounted
 * read-only in the child's own mount namespace before it drops its rights;
 * ext2/3/4 never reaches the kernel's file-system code.
 */
#define _GNU_SOURCE
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "pick.h"
#include "sandbox.h"

#define MAX_PARTS      32
#define EXIT_NEED_ROOT 3

struct part {
	uint64_t off, size;
	char type[16];
};

struct job {
	const char *device, *dir;
	int dirfd, dev;
	uint64_t ignore_once;
	bool others;
};

/* The names a result has; ".new" while it is being written. */
static const char *const files[] = { "kernel", "ramdisk", "cmdline", "title" };

static _Noreturn void die(const char *fmt, ...) __printf_like(1, 2);
static _Noreturn void die(const char *fmt, ...)
{
	va_list ap;

	fputs("bootread: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static int wait_for(pid_t pid)
{
	int st;

	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (WIFSIGNALED(st))
		fprintf(stderr,
			"bootread: the reader was killed by signal %d; is the file system damaged?\n",
			WTERMSIG(st));
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

/* An empty directory of nobody's to be locked into. */
static const char *empty_root(void)
{
	static const char dir[] = "/run/bulkhead/empty";

	if (geteuid() != 0)
		return "/"; /* not entered: see sandbox_enter() */
	if (bh_mkdir_p(dir, 0755) < 0)
		die("cannot make %s: %m", dir);
	return dir;
}

static void add_part(int fd, uint64_t off, uint64_t size, struct part *p,
		     size_t *n)
{
	blkid_probe pr = blkid_new_probe();
	const char *v;

	if (pr && *n < MAX_PARTS &&
	    !blkid_probe_set_device(pr, fd, (blkid_loff_t)off,
				    (blkid_loff_t)size) &&
	    !blkid_do_safeprobe(pr) &&
	    !blkid_probe_lookup_value(pr, "TYPE", &v, NULL)) {
		p[*n] = (struct part){ .off = off, .size = size };
		snprintf(p[*n].type, sizeof(p[*n].type), "%.15s", v);
		(*n)++;
	}
	blkid_free_probe(pr);
}

/*
 * Before the sandbox: the directory would be a way out of it. And where the
 * guest's files are larger than dom0's memory it is the reader that goes, not
 * somebody else in dom0.
 */
static int leave_outside(const struct job *j)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "1000", 4) != 4)
		fputs("bootread: cannot offer the reader to the OOM killer\n",
		      stderr);
	bh_close(fd);
	return close(j->dirfd);
}

/* In the sandbox: what is on this device? */
static _Noreturn void scan_child(const struct job *j, int out)
{
	struct part parts[MAX_PARTS];
	size_t n = 0;
	blkid_probe pr = blkid_new_probe();
	blkid_partlist ls = NULL;
	off_t size = lseek(j->dev, 0, SEEK_END);

	if (!pr || leave_outside(j) < 0 ||
	    sandbox_enter(empty_root(), false) < 0)
		_exit(3);
	memset(parts, 0, sizeof(parts));
	if (blkid_probe_set_device(pr, j->dev, 0, size) == 0) {
		blkid_probe_enable_partitions(pr, 1);
		ls = blkid_probe_get_partitions(pr);
	}
	for (int i = 0; ls && i < blkid_partlist_numof_partitions(ls); i++) {
		blkid_partition p = blkid_partlist_get_partition(ls, i);

		add_part(j->dev, (uint64_t)blkid_partition_get_start(p) << 9,
			 (uint64_t)blkid_partition_get_size(p) << 9, parts, &n);
	}
	if (n == 0)
		add_part(j->dev, 0, (uint64_t)size, parts, &n);
	_exit(write(out, parts, n * sizeof(parts[0])) < 0 ? 3 : 0);
}

static size_t scan(const struct job *j, struct part *parts)
{
	off_t size = lseek(j->dev, 0, SEEK_END);
	int p[2];
	size_t got = 0, n;
	ssize_t r;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		die("cannot make a pipe: %m");
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		scan_child(j, p[1]);
	}
	close(p[1]);
	while ((r = read(p[0], (char *)parts + got,
			 MAX_PARTS * sizeof(*parts) - got)) > 0)
		got += (size_t)r;
	close(p[0]);
	if (pid < 0 || wait_for(pid) != 0)
		die("cannot look at %s in the sandbox; bootread needs root",
		    j->device);
	n = got / sizeof(*parts);
	/* The child's word is the guest's word: check it. */
	for (size_t i = 0; i < n; i++) {
		parts[i].type[sizeof(parts[i].type) - 1] = 0;
		if (parts[i].off > (uint64_t)size ||
		    parts[i].size > (uint64_t)size - parts[i].off)
			die("%s: partition %zu is outside the disk", j->device,
			    i + 1);
	}
	return n;
}

static bool mounted_kind(const char *type)
{
	return streq(type, "xfs") || streq(type, "btrfs");
}

static int loop_attach(const struct job *j, const struct part *p, char path[32])
{
	_cleanup_close_ int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config c = { .fd = (uint32_t)j->dev };

	if (ctl < 0)
		return -errno;
	c.info.lo_offset = p->off;
	c.info.lo_sizelimit = p->size;
	c.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
	for (int i = 0; i < 16; i++) {
		int nr = ioctl(ctl, LOOP_CTL_GET_FREE), fd;

		if (nr < 0)
			return -errno;
		snprintf(path, 32, "/dev/loop%d", nr);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		/* Kept open: autoclear waits for the last user. */
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c) == 0)
			return 0;
		if (fd >= 0)
			close(fd);
	}
	return -EBUSY;
}

/* Mounts it where only this process sees it; returns the directory. */
static const char *mount_private(const struct job *j, const struct part *p)
{
	static const char dir[] = "/run/bulkhead/bootread";
	char src[32];
	const char *opts = streq(p->type, "xfs") ? "norecovery,nouuid"
						 : "rescue=nologreplay";

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    bh_mkdir_p(dir, 0700) < 0 || loop_attach(j, p, src) < 0)
		return NULL;
	if (mount(src, dir, p->type,
		  MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, opts) < 0)
		return NULL;
	return dir;
}

static void put(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t w = write(fd, data, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			_exit(4);
		data += w;
		n -= (size_t)w;
	}
}

/* 0 done, 2 nothing to boot here, others failures. */
static _Noreturn void read_child(const struct job *j, const struct part *p,
				 const int out[4], int once_fd)
{
	const char *root = empty_root();
	struct pick pk = { 0 };
	struct vfs v = { 0 };
	char why[256] = "";
	bool mnt = mounted_kind(p->type);

	if (mnt)
		root = mount_private(j, p);
	if (!root)
		die("cannot mount the guest's %s file system: %m", p->type);
	if (leave_outside(j) < 0 || sandbox_enter(root, mnt) < 0)
		_exit(3);
	if ((mnt ? vfs_open_root(&v) : vfs_open_ext(j->dev, p->off, &v)) < 0) {
		fprintf(stderr, "bootread: damaged %s file system\n", p->type);
		_exit(2);
	}
	if (pick_from(&v, j->ignore_once, j->others, &pk, why, sizeof(why)) <
	    0) {
		for (char *c = why; *c; c++) /* the guest's words */
			*c = *c < ' ' || *c > '~' ? '?' : *c;
		fprintf(stderr, "bootread: %s\n", why);
		_exit(2);
	}
	put(out[0], pk.kernel, pk.kernel_len);
	put(out[1], pk.ramdisk, pk.ramdisk_len);
	put(out[2], pk.cmdline, strlen(pk.cmdline));
	put(out[3], pk.title, strlen(pk.title));
	put(once_fd, (const char *)&pk.once, sizeof(pk.once));
	_exit(0);
}

static void discard(const struct job *j)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *f = bh_asprintf("%s.new", files[i]);

		(void)unlinkat(j->dirfd, f, 0);
	}
}

static void save_once(const struct job *j, uint64_t once)
{
	_cleanup_free_ char *text =
		bh_asprintf("%llx\n", (unsigned long long)once);
	int fd = openat(j->dirfd, "once",
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || fsync(fd) < 0)
		die("cannot write %s/once: %m", j->dir);
	close(fd);
}

static int publish(const struct job *j)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *f = bh_asprintf("%s.new", files[i]);
		struct stat st;

		if (fstatat(j->dirfd, f, &st, 0) < 0)
			return -errno;
		/* No initrd is no file, not an empty one. */
		if (streq(files[i], "ramdisk") && st.st_size == 0) {
			(void)unlinkat(j->dirfd, f, 0);
			(void)unlinkat(j->dirfd, files[i], 0);
			continue;
		}
		if (renameat(j->dirfd, f, j->dirfd, files[i]) < 0)
			return -errno;
	}
	return 0;
}

static int read_part(const struct job *j, const struct part *p)
{
	int out[4], once[2], rc;
	uint64_t id = 0;
	pid_t pid;

	if (pipe2(once, O_CLOEXEC) < 0)
		die("cannot make a pipe: %m");
	for (size_t i = 0; i < 4; i++) {
		_cleanup_free_ char *f = bh_asprintf("%s.new", files[i]);

		/* A kill may have left it as a second name of a kept file. */
		(void)unlinkat(j->dirfd, f, 0);
		out[i] = openat(j->dirfd, f,
				O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
					O_CLOEXEC,
				0600);
		if (out[i] < 0)
			die("cannot write %s/%s: %m", j->dir, f);
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(once[0]);
		read_child(j, p, out, once[1]);
	}
	close(once[1]);
	if (read(once[0], &id, sizeof(id)) != sizeof(id))
		id = 0;
	close(once[0]);
	for (size_t i = 0; i < 4; i++)
		close(out[i]);
	rc = pid < 0 ? -1 : wait_for(pid);
	if (rc != 0) {
		discard(j);
		return rc;
	}
	if (id)
		save_once(j, id);
	return publish(j) < 0 ? -1 : 0;
}

static uint64_t load_once(int dirfd)
{
	char text[32] = "";
	int fd = openat(dirfd, "once", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	return n > 0 ? strtoull(text, NULL, 16) : 0;
}

/* Hard links: cheap, and a later run replaces the names, not the content. */
static int copy_set(int from, int to)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *tmp = bh_asprintf("%s.new", files[i]);

		(void)unlinkat(to, tmp, 0);
		if (linkat(from, files[i], to, tmp, 0) < 0) {
			if (errno != ENOENT || !streq(files[i], "ramdisk"))
				return -errno;
			(void)unlinkat(to, files[i], 0);
			continue;
		}
		if (renameat(to, tmp, to, files[i]) < 0)
			return -errno;
		/* rename(2) of two links to one file does nothing. */
		(void)unlinkat(to, tmp, 0);
	}
	return 0;
}

static int good_dir(const struct job *j, bool make)
{
	if (make && mkdirat(j->dirfd, "good", 0700) < 0 && errno != EEXIST)
		return -errno;
	return openat(j->dirfd, "good",
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int use_good(const struct job *j)
{
	_cleanup_close_ int good = good_dir(j, false);

	if (good < 0 || faccessat(good, "kernel", R_OK, 0) < 0)
		return -ENOENT;
	return copy_set(good, j->dirfd);
}

static void read_device(struct job *j)
{
	struct part parts[MAX_PARTS];
	bool found = false, need_root = false;
	size_t n;

	j->dev = open(j->device, O_RDONLY | O_CLOEXEC);
	if (j->dev < 0)
		die("cannot open %s: %m", j->device);
	n = scan(j, parts);
	for (size_t i = 0; i < n; i++) {
		if (!bh_startswith(parts[i].type, "ext") &&
		    !mounted_kind(parts[i].type))
			continue;
		if (mounted_kind(parts[i].type) && geteuid() != 0) {
			fprintf(stderr,
				"bootread: %s can only be read by root\n",
				parts[i].type);
			need_root = found = true;
			continue;
		}
		found = true;
		if (read_part(j, &parts[i]) == 0)
			exit(0);
	}
	if (need_root)
		exit(EXIT_NEED_ROOT);
	if (!found)
		die("%s: no ext4, xfs or btrfs file system on it", j->device);
}

static _Noreturn void usage(void)
{
	fputs("usage: bootread --output DIR [--fallback] DEVICE\n"
	      "       bootread --output DIR --good\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = { { "output", 1, 0, 'o' },
					      { "fallback", 0, 0, 'f' },
					      { "good", 0, 0, 'g' },
					      { 0, 0, 0, 0 } };
	struct job j = { 0 };
	bool fallback = false, good = false;
	int o, g;

	while ((o = getopt_long(argc, argv, "o:", opts, NULL)) != -1) {
		if (o == 'o')
			j.dir = optarg;
		else if (o == 'f')
			fallback = true;
		else if (o == 'g')
			good = true;
		else
			usage();
	}
	if (!j.dir || optind != argc - (good ? 0 : 1))
		usage();
	j.device = argv[optind];
	if (bh_mkdir_p(j.dir, 0700) < 0)
		die("cannot make %s: %m", j.dir);
	j.dirfd = open(j.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j.dirfd < 0)
		die("cannot open %s: %m", j.dir);
	if (good) {
		g = good_dir(&j, true);
		o = g < 0 ? g : copy_set(j.dirfd, g);
		if (o < 0)
			die("cannot keep the kernel of %s: %s", j.dir,
			    strerror(-o));
		return 0;
	}
	if (fallback && use_good(&j) == 0) {
		fputs("bootread: using the last kernel that booted\n", stderr);
		return 0;
	}
	j.ignore_once = load_once(j.dirfd);
	/* Without a kernel that is known to boot, any entry is better than none. */
	g = good_dir(&j, false);
	j.others = fallback || g < 0;
	if (g >= 0)
		close(g);
	read_device(&j);
	if (use_good(&j) == 0) {
		fputs("bootread: the guest's menu leads nowhere (see above): using the last kernel that booted\n",
		      stderr);
		return 0;
	}
	die("%s: nothing on it can be booted (see above); \"boot = host\" kernels are another way",
	    j.device);
}
