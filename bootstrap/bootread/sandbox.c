/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See sandbox.h. Order matters: namespaces, then the root, then the user, then
 * the system-call filter, which kills on anything that reading files and
 * unpacking them does not need. open_by_handle_at(2), which would let
 * CAP_DAC_READ_SEARCH out of a chroot, is not on the list.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../util.h"

#define NOBODY 65534

static int set_caps(bool read_all)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { 0 };

	if (read_all)
		d[0].effective = d[0].permitted = 1u << CAP_DAC_READ_SEARCH;
	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static int limits(void)
{
	static const struct {
		int what;
		rlim_t max;
	} lim[] = {
		{ RLIMIT_AS, 3ull << 30 },    { RLIMIT_CPU, 120 },
		{ RLIMIT_FSIZE, 1ull << 30 }, { RLIMIT_CORE, 0 },
		{ RLIMIT_NPROC, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lim); i++) {
		struct rlimit r;

		if (getrlimit((__rlimit_resource_t)lim[i].what, &r) < 0)
			return -errno;
		if (r.rlim_max > lim[i].max)
			r.rlim_max = lim[i].max;
		r.rlim_cur = r.rlim_max;
		if (setrlimit((__rlimit_resource_t)lim[i].what, &r) < 0)
			return -errno;
	}
	return 0;
}

static int filter(void)
{
	static const int allowed[] = {
		SCMP_SYS(read),
		SCMP_SYS(pread64),
		SCMP_SYS(write),
		SCMP_SYS(lseek),
		SCMP_SYS(close),
		SCMP_SYS(fstat),
		SCMP_SYS(newfstatat),
		SCMP_SYS(openat),
		SCMP_SYS(getdents64),
		SCMP_SYS(mmap),
		SCMP_SYS(munmap),
		SCMP_SYS(mremap),
		SCMP_SYS(mprotect),
		SCMP_SYS(madvise),
		SCMP_SYS(brk),
		SCMP_SYS(futex),
		SCMP_SYS(getrandom),
		SCMP_SYS(exit),
		SCMP_SYS(exit_group),
		SCMP_SYS(rt_sigreturn),
		SCMP_SYS(clock_gettime),
		SCMP_SYS(gettimeofday),
		SCMP_SYS(fcntl),
		SCMP_SYS(ftruncate),
		SCMP_SYS(sched_getaffinity),
		SCMP_SYS(fadvise64),
	};
	/* Asked by libraries out of habit; "no" is answer enough. */
	static const int refused[] = {
		SCMP_SYS(ioctl),  SCMP_SYS(readlink),  SCMP_SYS(readlinkat),
		SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(statx),
		SCMP_SYS(uname),  SCMP_SYS(sysinfo),   SCMP_SYS(prctl),
		SCMP_SYS(socket), SCMP_SYS(stat),      SCMP_SYS(lstat),
		SCMP_SYS(open),
	};
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = c ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(allowed); i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(refused); i++)
		r = seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (r >= 0)
		r = seccomp_load(c);
	seccomp_release(c);
	return r;
}

/* The supervisor has done the rest already when it started us as nobody. */
static int enter_unprivileged(void)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	r = limits();
	return r < 0 ? r : filter();
}

int sandbox_enter(const char *root, bool read_all)
{
	int r;

	if (geteuid() != 0)
		return enter_unprivileged();
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return -errno;
	if (chroot(root) < 0 || chdir("/") < 0)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    (read_all && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0))
		return -errno;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return -errno;
	/* After the change of user, which takes it back. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	r = set_caps(read_all);
	if (r >= 0)
		r = limits();
	return r < 0 ? r : filter();
}
