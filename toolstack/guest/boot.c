/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which kernel to boot: the one the configuration names, or the one on the
 * guest's own disk.
 *
 * The disk is the guest's, so reading it is left to bootread, which locks the
 * part of itself that looks at the guest's bytes into a process without
 * privileges, network or files. It runs in a mount name space of its own, and
 * what it leaves is checked here to be plain files of sane size. It keeps the
 * set that last got the guest to its ready mark (--good) and hands that out
 * when reading fails, or when we say that the new kernel crashed (--fallback).
 */
#include "guest/guest.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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

static void child_fail(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(126);
}

static void child_run(const char *const *argv, int err_fd)
{
	char *const env[] = {
		(char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL
	};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(err_fd, STDERR_FILENO);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		child_fail("mount name space");
	if (close_range(3, ~0u, 0) < 0)
		child_fail("close_range");
	execve(BOOTREAD, (char *const *)(uintptr_t)argv, env);
	child_fail(BOOTREAD);
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
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* Logs the lines of what bootread said; returns the last one, which sums up. */
static char *last_line(char *text)
{
	char *line = bh_strip(text), *nl;

	while ((nl = strchr(line, '\n'))) {
		*nl = '\0';
		bh_log(BH_WARNING, "%s", line);
		line = nl + 1;
	}
	return line;
}

/* mode: NULL, "--fallback" or "--good" (then without a disk). */
static int run_bootread(const char *disk, const char *out, const char *mode,
			struct bh_err *e)
{
	const char *argv[8];
	char text[1024] = "", *said;
	int p[2], n = 0, r;
	pid_t pid;

	argv[n++] = BOOTREAD;
	argv[n++] = "--output";
	argv[n++] = out;
	if (mode)
		argv[n++] = mode;
	if (disk)
		argv[n++] = disk;
	argv[n] = NULL;
	r = bh_mkdir_p(out, 0700);
	if (r < 0)
		return bh_fail(e, r, "%s: %s", out, strerror(-r));
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return bh_fail(e, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		child_run(argv, p[1]);
	close(p[1]);
	if (pid < 0)
		r = bh_fail(e, -errno, "fork: %s", strerror(errno));
	else
		r = wait_child(pid, p[0], text, sizeof(text));
	close(p[0]);
	said = last_line(text);
	if (r < 0)
		return bh_fail(e, r, "cannot read a kernel from %s: %s",
			       disk ? disk : out,
			       said[0] ? said : "bootread failed");
	if (said[0])
		bh_log(BH_WARNING, "%s", said);
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
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_size > MAX_FILE)
		return bh_fail(e, -EINVAL, "%s: not a plain file", path);
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

static int out_dir(struct guest *g, char *buf, size_t size)
{
	int r = bh_snprintf(buf, size, VAR_DIR "/%s/boot", g->name);

	return r < 0 ? r : 0;
}

int boot_files_get(struct guest *g, struct boot_files *ret, struct bh_err *e)
{
	const struct bh_guest_cfg *c = g->cfg;
	struct boot_files b = {};
	char out[192];
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
	r = out_dir(g, out, sizeof(out));
	if (r == 0)
		r = run_bootread(c->disks[0].target, out,
				 g->last_good_boot ? "--fallback" : NULL, e);
	if (r == 0)
		r = take_files(g, out, &b, e);
	if (r < 0) {
		boot_files_done(&b);
		return r;
	}
	*ret = b;
	return 0;
}

bool boot_fallback_possible(struct guest *g)
{
	char out[192], path[224];

	return g->cfg->bootloader && !g->ready && !g->last_good_boot &&
	       out_dir(g, out, sizeof(out)) == 0 &&
	       bh_snprintf(path, sizeof(path), "%s/good/kernel", out) >= 0 &&
	       access(path, R_OK) == 0;
}

void boot_files_keep(struct guest *g)
{
	struct bh_err e = {};
	char out[192];
	int r;

	if (!g->cfg->bootloader || g->last_good_boot ||
	    out_dir(g, out, sizeof(out)) < 0)
		return;
	r = run_bootread(NULL, out, "--good", &e);
	if (r < 0)
		bh_log(BH_WARNING, "guest %s: %s", g->name, bh_err_text(&e, r));
}
