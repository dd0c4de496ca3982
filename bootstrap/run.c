/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See run.h. The keeper inherits the lock descriptors (they are opened without
 * close-on-exec in lock.c and closed again in every program started), so a
 * killed vm-bootstrap leaves its locks held exactly as long as an LVM command
 * it started is still working.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "util.h"

static int out_fd = -1;

static void set_env(void)
{
	setenv("LC_ALL", "C", 1);
	setenv("LVM_SUPPRESS_FD_WARNINGS", "1", 1);
	setenv("DEBIAN_FRONTEND", "noninteractive", 1);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	       1);
}

static void close_others(void)
{
	(void)syscall(SYS_close_range, 3u, ~0u, 0u);
}

static int wait_status(pid_t pid)
{
	int st;

	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static _Noreturn void exec_child(const char *const argv[], int o, int e)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		null = 0;
	(void)dup2(null, 0);
	(void)dup2(o >= 0 ? o : e >= 0 ? e : 2, 1);
	if (e >= 0)
		(void)dup2(e, 2);
	close_others();
	set_env();
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static pid_t spawn(const char *const argv[], unsigned int flags, int o, int e)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (flags & RUN_KEEP) {
		/*
		 * The keeper: out of reach of the terminal's ^C and of our
		 * own death; it holds the locks, its child runs the program.
		 */
		pid_t child;

		setsid();
		child = fork();
		if (child < 0)
			_exit(127);
		if (child == 0)
			exec_child(argv, o, e);
		_exit(wait_status(child));
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	exec_child(argv, o, e);
}

static int pump(int fds[2], struct buf *bufs[2])
{
	struct pollfd p[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLIN, 0 } };
	char chunk[4096];

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		for (int i = 0; i < 2; i++) {
			ssize_t r;

			if (p[i].fd < 0 || !p[i].revents)
				continue;
			r = read(p[i].fd, chunk, sizeof(chunk));
			if (r < 0 && errno == EINTR)
				continue;
			if (r <= 0)
				p[i].fd = -1;
			else if (bufs[i]->n < 16u << 20)
				(void)buf_add(bufs[i], chunk, (size_t)r);
		}
	}
	return 0;
}

int run(const char *const argv[], unsigned int flags, struct buf *ret_out,
	struct buf *ret_err)
{
	_cleanup_buf_ struct buf sink = { 0 };
	int po[2] = { -1, -1 }, pe[2] = { -1, -1 }, rd[2];
	struct buf *bufs[2] = { ret_out ? ret_out : &sink,
				ret_err ? ret_err : &sink };
	pid_t pid;
	int rc;

	if (ret_out && pipe2(po, O_CLOEXEC) < 0)
		return 127;
	if ((ret_err || (flags & RUN_QUIET)) && pipe2(pe, O_CLOEXEC) < 0) {
		close(po[0]);
		close(po[1]);
		return 127;
	}
	fflush(NULL);
	pid = spawn(argv, flags, po[1], pe[1]);
	if (po[1] >= 0)
		close(po[1]);
	if (pe[1] >= 0)
		close(pe[1]);
	rd[0] = po[0];
	rd[1] = pe[0];
	(void)pump(rd, bufs);
	rc = pid < 0 ? 127 : wait_status(pid);
	if (po[0] >= 0)
		close(po[0]);
	if (pe[0] >= 0)
		close(pe[0]);
	return rc;
}

int run_lines(const char *const argv[], run_line_fn fn, void *arg)
{
	_cleanup_file_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return 127;
	fflush(NULL);
	pid = spawn(argv, 0, p[1], p[1]);
	close(p[1]);
	f = fdopen(p[0], "r");
	if (!f)
		close(p[0]);
	while (f && getline(&line, &cap, f) >= 0) {
		line[strcspn(line, "\r\n")] = 0;
		fn(line, arg);
	}
	return pid < 0 ? 127 : wait_status(pid);
}

bool have_program(const char *name)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin",
					    "/usr/sbin", "/usr/bin", "/sbin",
					    "/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *p = xasprintf("%s/%s", dirs[i], name);

		if (p && access(p, X_OK) == 0)
			return true;
	}
	return false;
}

int ns_out(const void *p, size_t n)
{
	while (n) {
		ssize_t w = write(out_fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p = (const char *)p + w;
		n -= (size_t)w;
	}
	return 0;
}

static _Noreturn void ns_child(int (*fn)(void *), void *arg, int fd)
{
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	out_fd = fd;
	set_env();
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(VMB_FAILED);
	/* Programs in here must see their own PID namespace's /proc. */
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		    NULL);
	r = fn(arg);
	fflush(NULL);
	_exit(r < 0 ? -r : r);
}

int ns_run(int (*fn)(void *arg), void *arg, struct buf *ret_out)
{
	_cleanup_buf_ struct buf sink = { 0 };
	struct buf *bufs[2] = { ret_out ? ret_out : &sink, &sink };
	int p[2], rd[2], rc;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return fail(VMB_FAILED, "cannot make a pipe: %m");
	fflush(NULL);
	/* Like fork(), with two flags: the child runs on a copy of our stack. */
	pid = (pid_t)syscall(SYS_clone,
			     CLONE_NEWNS | CLONE_NEWPID | (unsigned long)SIGCHLD,
			     0, 0, 0, 0);
	if (pid == 0) {
		close(p[0]);
		ns_child(fn, arg, p[1]);
	}
	close(p[1]);
	if (pid < 0) {
		close(p[0]);
		return fail(VMB_FAILED,
			    "cannot make a private mount namespace: %m; vm-bootstrap needs root");
	}
	rd[0] = p[0];
	rd[1] = -1;
	(void)pump(rd, bufs);
	close(p[0]);
	rc = wait_status(pid);
	if (rc > 128)
		return fail(VMB_FAILED,
			    "the process working on the guest's file system was killed (signal %d)",
			    rc - 128);
	return -rc;
}

int chroot_prepare(const char *dir)
{
	static const struct {
		const char *what, *where, *type;
		unsigned long flags;
	} mounts[] = {
		{ "proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "sysfs", "sys", "sysfs",
		  MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY },
		{ "tmpfs", "dev", "tmpfs", MS_NOSUID },
		{ "tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV },
	};
	static const struct {
		const char *name;
		unsigned int major, minor;
	} nodes[] = { { "null", 1, 3 },	 { "zero", 1, 5 },
		      { "full", 1, 7 },	 { "random", 1, 8 },
		      { "urandom", 1, 9 }, { "tty", 5, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		_cleanup_free_ char *p = xasprintf("%s/%s", dir, mounts[i].where);

		if (!p)
			return oom();
		(void)mkdir(p, 0755);
		if (mount(mounts[i].what, p, mounts[i].type, mounts[i].flags,
			  i < 2 ? NULL : "mode=755") < 0)
			return fail(VMB_FAILED, "cannot mount %s: %m", p);
	}
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		_cleanup_free_ char *p = xasprintf("%s/dev/%s", dir, nodes[i].name);

		if (!p)
			return oom();
		if (mknod(p, S_IFCHR | 0666,
			  makedev(nodes[i].major, nodes[i].minor)) < 0)
			return fail(VMB_FAILED, "cannot make %s: %m", p);
		(void)chmod(p, 0666);
	}
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *p = xasprintf("%s/dev/%s", dir,
						   i ? "shm" : "pts");

		if (!p)
			return oom();
		(void)mkdir(p, 01777);
	}
	return 0;
}
