/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ns.h. */
#define _GNU_SOURCE
#include "ns.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "util.h"

static _Noreturn void ns_child(int (*fn)(void *), void *arg)
{
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(VMB_FAILED);
	/* Programs in here must see their own PID namespace's /proc. */
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		    NULL);
	r = fn(arg);
	fflush(NULL);
	_exit(r < 0 ? -r : r);
}

int ns_run(int (*fn)(void *arg), void *arg)
{
	pid_t pid;
	int st;

	fflush(NULL);
	/* Like fork(), with two flags: the child runs on a copy of our stack. */
	pid = (pid_t)syscall(
		SYS_clone, CLONE_NEWNS | CLONE_NEWPID | (unsigned long)SIGCHLD,
		0, 0, 0, 0);
	if (pid == 0)
		ns_child(fn, arg);
	if (pid < 0)
		return fail(
			VMB_FAILED,
			"cannot make a private mount namespace: %m; vm-bootstrap needs root");
	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			return fail(VMB_FAILED, "cannot wait for a child: %m");
	if (WIFSIGNALED(st))
		return fail(
			VMB_FAILED,
			"the process working on the guest's file system was killed (signal %d)",
			WTERMSIG(st));
	return -WEXITSTATUS(st);
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
	} nodes[] = {
		{ "null", 1, 3 },   { "zero", 1, 5 },    { "full", 1, 7 },
		{ "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/%s", dir, mounts[i].where);

		if (!p)
			return oom();
		(void)mkdir(p, 0755);
		if (mount(mounts[i].what, p, mounts[i].type, mounts[i].flags,
			  i < 2 ? NULL : "mode=755") < 0)
			return fail(VMB_FAILED, "cannot mount %s: %m", p);
	}
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/dev/%s", dir, nodes[i].name);

		if (!p)
			return oom();
		if (mknod(p, S_IFCHR | 0666,
			  makedev(nodes[i].major, nodes[i].minor)) < 0)
			return fail(VMB_FAILED, "cannot make %s: %m", p);
		(void)chmod(p, 0666);
	}
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/dev/%s", dir, i ? "shm" : "pts");

		if (!p)
			return oom();
		(void)mkdir(p, 01777);
	}
	return 0;
}
