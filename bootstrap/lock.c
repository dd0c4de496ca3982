/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lock.h. Lock files are never unlinked while anybody may hold them: a
 * removed file would give the next two comers two different locks.
 * Descriptors are deliberately inheritable: the keeper of run.c holds them on
 * behalf of a killed run; programs themselves get everything closed.
 */
#define _GNU_SOURCE
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#include "util.h"

static int open_lock(const char *kind, const char *name)
{
	_cleanup_free_ char *dir = run_path("lock");
	_cleanup_free_ char *path = run_path("lock/%s.%s", kind, name);
	int r;

	if (!dir || !path)
		return -ENOMEM;
	r = bh_mkdir_p(dir, 0755);
	if (r < 0)
		return r;
	r = open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
	return r < 0 ? -errno : r;
}

int lock_try_quiet(const char *kind, const char *name)
{
	int fd = open_lock(kind, name);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return -EBUSY;
	}
	return fd;
}

int lock_take(const char *kind, const char *name, const char *purpose,
	      enum lock_how how)
{
	int fd = open_lock(kind, name);
	char text[160] = "";
	int mode = how == LOCK_SHARED_TRY ? LOCK_SH : LOCK_EX;

	if (fd < 0)
		return fail(VMB_FAILED,
			    "lock of %s %s: %s; vm-bootstrap needs root", kind,
			    name, strerror(-fd));
	if (how != LOCK_WAIT)
		mode |= LOCK_NB;
	while (flock(fd, mode) < 0) {
		ssize_t n;

		if (errno == EINTR)
			continue;
		n = pread(fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = 0;
		close(fd);
		return fail(
			VMB_CONFLICT,
			"%s %s is in use by another vm-bootstrap (%s); try again when it has finished",
			kind, name, *text ? bh_strip(text) : "starting");
	}
	if (how != LOCK_SHARED_TRY) {
		int n = snprintf(text, sizeof(text), "process %d, %s\n",
				 (int)getpid(), purpose);

		if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
			note("lock of %s %s: cannot note the holder: %m", kind,
			     name);
	}
	return fd;
}

int lock_share(const char *kind, const char *name, const char *purpose,
	       int (*prepare)(const char *kind, const char *name))
{
	/* Whoever comes at the same moment has it exclusively just so long. */
	for (int tries = 50;; tries--) {
		int fd = lock_try_quiet(kind, name);
		int r;

		if (fd >= 0) {
			r = prepare(kind, name);
			if (r >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0)
				return fd;
			close(fd);
			if (r < 0)
				return r;
		}
		fail_muted = tries > 0;
		fd = lock_take(kind, name, purpose, LOCK_SHARED_TRY);
		fail_muted = false;
		if (fd >= 0 || !tries)
			return fd;
		usleep(20000);
	}
}

void lock_drop(int fd)
{
	if (fd >= 0)
		close(fd);
}
