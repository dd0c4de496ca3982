/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running other programs: arguments as a vector, never through a shell. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bulkhead/util.h>

#include "setup.h"

static void print_command(const char *const argv[])
{
	printf("  would run:");
	for (int i = 0; argv[i]; i++)
		printf(" %s", argv[i]);
	printf("\n");
}

static int start(const char *const argv[], int out)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid)
		return pid;
	if (out >= 0)
		dup2(out, 1);
	setenv("LC_ALL", "C", 1);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static int finish(const char *const argv[], pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		report(R_BAD, "%s is not installed", argv[0]);
		return -ENOENT;
	}
	return -EIO;
}

int run(const char *const argv[])
{
	int pid, r;

	if (opt_dry_run) {
		print_command(argv);
		return 0;
	}
	fflush(NULL);
	pid = start(argv, -1);
	r = pid < 0 ? pid : finish(argv, pid);
	if (r == -EIO)
		report(R_BAD, "%s %s failed", argv[0], argv[1] ? argv[1] : "");
	return r;
}

int run_output(const char *const argv[], char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int fds[2], pid, r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = start(argv, fds[1]);
	close(fds[1]);
	r = pid < 0 ? pid : bh_read_fd(fds[0], 4 << 20, &text, &len);
	close(fds[0]);
	if (pid < 0 || r < 0)
		return pid < 0 ? pid : r;
	r = finish(argv, pid);
	if (!r)
		*ret = TAKE_PTR(text);
	return r;
}

bool have_command(const char *name)
{
	const char *path = getenv("PATH");
	char full[512];

	for (const char *p = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
	     *p;) {
		size_t n = strcspn(p, ":");

		snprintf(full, sizeof(full), "%.*s/%s", (int)n, p, name);
		if (!access(full, X_OK))
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}
