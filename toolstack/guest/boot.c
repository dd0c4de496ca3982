/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which kernel to boot: the one the configuration names, or the one on the
 * guest's own disk.
 *
 * The disk is the guest's, so reading it is left to bootread, run without
 * privileges: as nobody, with no network, in its own mount name space where
 * the only device is the guest's disk, read-only. What it leaves is checked
 * here to be plain files of sane size. The last set that got the guest to its
 * ready mark is kept, and used when reading fails or the new kernel crashed.
 */
#include "guest/guest.h"

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define BOOTREAD     "/usr/libexec/bulkhead/bootread"
#define MAX_FILE     (512u << 20)
#define TIME_LIMIT_S 60

void boot_files_done(struct boot_files *b)
{
	free(b->kernel);
	free(b->ramdisk);
	free(b->cmdline);
	*b = (struct boot_files){};
}

/* ---- the child --------------------------------------------------------- */

static void child_fail(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(126);
}

/* The disk as the only device of a private file system. */
static void child_disk(const char *disk, const char *mnt, const char *node,
		       uid_t uid, gid_t gid)
{
	struct stat st;

	if (stat(disk, &st) < 0)
		child_fail(disk);
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0)
		child_fail("unshare");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		child_fail("mount --make-rprivate");
	if (mount("tmpfs", mnt, "tmpfs", MS_NOSUID | MS_NOEXEC,
		  "size=64k,mode=755") < 0)
		child_fail(mnt);
	if (S_ISBLK(st.st_mode)) {
		if (mknod(node, S_IFBLK | 0400, st.st_rdev) < 0 ||
		    chown(node, uid, gid) < 0)
			child_fail(node);
	} else {
		/* an image file: bound read-only under the same name */
		int fd = open(node, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);

		if (fd < 0 || mount(disk, node, NULL, MS_BIND, NULL) < 0 ||
		    mount(NULL, node, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY,
			  NULL) < 0)
			child_fail(node);
	}
}

static void child_limits(uid_t uid, gid_t gid)
{
	struct rlimit fsize = { MAX_FILE, MAX_FILE };
	struct rlimit cpu = { TIME_LIMIT_S, TIME_LIMIT_S };
	struct rlimit as = { 2ull << 30, 2ull << 30 };

	setrlimit(RLIMIT_FSIZE, &fsize);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_AS, &as);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		child_fail("dropping privileges");
}

static void child_run(const char *disk, const char *mnt, const char *node,
		      const char *out, bool fallback, int err_fd)
{
	struct passwd *pw = getpwnam("bulkhead-boot");
	uid_t uid = pw ? pw->pw_uid : 65534;
	gid_t gid = pw ? pw->pw_gid : 65534;
	char *const env[] = { (char *)"PATH=/usr/bin:/bin", NULL };
	const char *argv[8];
	int n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(err_fd, STDERR_FILENO);
	child_disk(disk, mnt, node, uid, gid);
	child_limits(uid, gid);
	if (close_range(3, ~0u, 0) < 0)
		child_fail("close_range");
	argv[n++] = BOOTREAD;
	argv[n++] = "--output";
	argv[n++] = out;
	if (fallback)
		argv[n++] = "--fallback";
	argv[n++] = node;
	argv[n] = NULL;
	execve(BOOTREAD, (char *const *)(uintptr_t)argv, env);
	child_fail(BOOTREAD);
}

/* ---- the parent -------------------------------------------------------- */

static int rm_one(const char *path, const struct stat *st, int flag,
		  struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

static void rm_tree(const char *path)
{
	(void)nftw(path, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_out_dir(const char *out)
{
	struct passwd *pw = getpwnam("bulkhead-boot");
	int r;

	rm_tree(out);
	r = bh_mkdir_p(out, 0755);
	if (r < 0)
		return r;
	if (chown(out, pw ? pw->pw_uid : 65534, pw ? pw->pw_gid : 65534) < 0)
		return -errno;
	return 0;
}

static int wait_child(pid_t pid, int err_fd, char *text, size_t size)
{
	uint64_t end = bh_now_us() + TIME_LIMIT_S * 1000000ull;
	size_t n = 0;
	int status;

	for (;;) {
		ssize_t k = read(err_fd, text + n, size - 1 - n);

		if (k > 0)
			n += (size_t)k;
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (bh_now_us() > end) {
			kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			(void)snprintf(text, size, "took more than %d s",
				       TIME_LIMIT_S);
			return -ETIMEDOUT;
		}
		if (k <= 0)
			usleep(5000);
	}
	while (n < size - 1) {
		ssize_t k = read(err_fd, text + n, size - 1 - n);

		if (k <= 0)
			break;
		n += (size_t)k;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int run_bootread(struct guest *g, const char *disk, const char *out,
			bool fallback, struct bh_err *e)
{
	char mnt[192], node[224], text[256] = "";
	int p[2], r;
	pid_t pid;

	r = bh_snprintf(mnt, sizeof(mnt), "%s/disk", g->run_dir);
	if (r >= 0)
		r = bh_snprintf(node, sizeof(node), "%s/guest", mnt);
	if (r >= 0)
		r = bh_mkdir_p(mnt, 0755);
	if (r >= 0)
		r = make_out_dir(out);
	if (r < 0)
		return bh_fail(e, r, "%s: %s", out, strerror(-r));
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return bh_fail(e, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		child_run(disk, mnt, node, out, fallback, p[1]);
	close(p[1]);
	if (pid < 0)
		r = bh_fail(e, -errno, "fork: %s", strerror(errno));
	else
		r = wait_child(pid, p[0], text, sizeof(text));
	close(p[0]);
	(void)rmdir(mnt);
	/* nothing the child left may stay its own */
	if (chown(out, 0, 0) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		return bh_fail(e, r, "cannot read a kernel from %s: %s", disk,
			       text[0] ? text : "bootread failed");
	return 0;
}

static int take_file(const char *dir, const char *name, bool optional,
		     char **ret, struct bh_err *e)
{
	_cleanup_free_ char *path = bh_asprintf("%s/%s", dir, name);
	_cleanup_close_ int fd = -1;
	struct stat st;

	*ret = NULL;
	if (!path)
		return bh_fail(e, -ENOMEM, "out of memory");
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && optional)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return bh_fail(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_nlink > 2 || st.st_size > MAX_FILE)
		return bh_fail(e, -EINVAL, "%s: not a plain file", path);
	if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0600) < 0)
		return bh_fail(e, -errno, "%s: %s", path, strerror(errno));
	*ret = TAKE_PTR(path);
	return 0;
}

static int take_files(struct guest *g, const char *dir, struct boot_files *b,
		      struct bh_err *e)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;
	int r;

	r = take_file(dir, "kernel", false, &b->kernel, e);
	if (r == 0)
		r = take_file(dir, "ramdisk", true, &b->ramdisk, e);
	if (r == 0)
		r = take_file(dir, "cmdline", true, &path, e);
	if (r < 0)
		return r;
	if (path) {
		r = bh_read_file(path, 4096, &text, &len);
		if (r < 0)
			return bh_fail(e, r, "%s: %s", path, strerror(-r));
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)text[i] < 0x20)
				text[i] = ' ';
	}
	b->cmdline = bh_asprintf("%s%s%s", text ? bh_strip(text) : "",
				 text && *g->cfg->cmdline ? " " : "",
				 g->cfg->cmdline);
	if (!b->cmdline)
		return bh_fail(e, -ENOMEM, "out of memory");
	if (strlen(b->cmdline) >= 1024)
		b->cmdline[1023] = '\0';
	return 0;
}

int boot_files_get(struct guest *g, struct boot_files *ret, struct bh_err *e)
{
	const struct bh_guest_cfg *c = g->cfg;
	char out[192], good[192];
	struct boot_files b = {};
	struct bh_err sub = {};
	struct stat st;
	int r;

	if (!c->bootloader) {
		b.kernel = strdup(c->kernel);
		b.ramdisk = c->ramdisk ? strdup(c->ramdisk) : NULL;
		b.cmdline = strdup(c->cmdline);
		if (!b.kernel || !b.cmdline || (c->ramdisk && !b.ramdisk)) {
			boot_files_done(&b);
			return bh_fail(e, -ENOMEM, "out of memory");
		}
		*ret = b;
		return 0;
	}
	r = bh_snprintf(out, sizeof(out), VAR_DIR "/%s/boot", g->name);
	if (r >= 0)
		r = bh_snprintf(good, sizeof(good), VAR_DIR "/%s/last-good",
				g->name);
	if (r < 0)
		return r;
	if (g->last_good_boot && stat(good, &st) < 0)
		g->last_good_boot = false;
	if (!g->last_good_boot) {
		r = run_bootread(g, c->disks[0].target, out, false, &sub);
		if (r == 0)
			r = take_files(g, out, &b, &sub);
		if (r == 0) {
			*ret = b;
			return 0;
		}
		boot_files_done(&b);
		if (stat(good, &st) < 0)
			return bh_fail(e, r, "%s", bh_err_text(&sub, r));
		bh_log(BH_WARNING,
		       "guest %s: %s; using the last kernel that "
		       "worked",
		       g->name, bh_err_text(&sub, r));
		g->last_good_boot = true;
	} else {
		bh_log(BH_WARNING,
		       "guest %s: its kernel crashed before it was ready; "
		       "using the last one that worked",
		       g->name);
	}
	r = take_files(g, good, &b, e);
	if (r < 0) {
		boot_files_done(&b);
		return r;
	}
	*ret = b;
	return 0;
}

void boot_files_keep(struct guest *g)
{
	static const char *const names[] = { "kernel", "ramdisk", "cmdline" };
	char dir[192], tmp[192], good[192];

	if (!g->cfg->bootloader || g->last_good_boot)
		return;
	if (bh_snprintf(dir, sizeof(dir), VAR_DIR "/%s/boot", g->name) < 0 ||
	    bh_snprintf(tmp, sizeof(tmp), VAR_DIR "/%s/last-good.new",
			g->name) < 0 ||
	    bh_snprintf(good, sizeof(good), VAR_DIR "/%s/last-good", g->name) <
		    0)
		return;
	rm_tree(tmp);
	if (bh_mkdir_p(tmp, 0700) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *a = bh_asprintf("%s/%s", dir, names[i]);
		_cleanup_free_ char *b = bh_asprintf("%s/%s", tmp, names[i]);

		if (a && b && link(a, b) < 0 && errno != ENOENT) {
			bh_log(BH_WARNING, "%s: %s", b, strerror(errno));
			return;
		}
	}
	rm_tree(good);
	if (rename(tmp, good) < 0)
		bh_log(BH_WARNING, "%s: %s", good, strerror(errno));
}
