/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bulkhead/run.h.
 *
 * A program that must not be cut in half (LVM: it may hold devices suspended)
 * runs under a keeper process (BH_RUN_KEEP): out of reach of the terminal's ^C
 * and of our own death. The keeper inherits what is not close-on-exec, which
 * is how a lock opened that way stays held until the program is done; the
 * program itself gets everything closed.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "bulkhead/run.h"
#include "bulkhead/util.h"

#define MAX_OUTPUT (16u << 20)

static int wait_status(pid_t pid)
{
	int st;

	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static _Noreturn void exec_child(const char *const argv[], int out, int err)
{
	int null = open("/dev/null", O_RDWR);

	(void)dup2(null, 0);
	if (err >= 0)
		(void)dup2(err, 2);
	(void)dup2(out >= 0 ? out : 2, 1);
	(void)syscall(SYS_close_range, 3u, ~0u, 0u);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	setenv("LC_ALL", "C", 1);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Descriptors below 0 mean our own stderr. */
static pid_t spawn(const char *const argv[], unsigned int flags, int out,
		   int err)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	if (flags & BH_RUN_KEEP) {
		pid_t child;

		setsid();
		child = fork();
		if (child == 0)
			exec_child(argv, out, err);
		_exit(child < 0 ? 127 : wait_status(child));
	}
	if (flags & BH_RUN_TIED)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	exec_child(argv, out, err);
}

struct sink {
	int fd;
	char *text;
	size_t len, alloc;
};

/* Takes in what has come. False at the end. */
static bool take(struct sink *s)
{
	char chunk[4096];
	ssize_t n = read(s->fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR;
	if (n > 0 && s->len < MAX_OUTPUT &&
	    bh_grow(&s->text, &s->alloc, s->len + (size_t)n + 1, 1) == 0) {
		memcpy(s->text + s->len, chunk, (size_t)n);
		s->len += (size_t)n;
	}
	return n > 0;
}

static void pump(struct sink s[2])
{
	struct pollfd p[2] = { { s[0].fd, POLLIN, 0 }, { s[1].fd, POLLIN, 0 } };

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 2; i++)
			if (p[i].fd >= 0 && p[i].revents && !take(&s[i]))
				p[i].fd = -1;
	}
}

/* The text, terminated; NULL without memory. */
static char *text_of(struct sink *s)
{
	if (bh_grow(&s->text, &s->alloc, s->len + 1, 1) < 0) {
		free(s->text);
		return NULL;
	}
	s->text[s->len] = '\0';
	return s->text;
}

int bh_run(const char *const argv[], unsigned int flags, char **ret_out,
	   char **ret_err)
{
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int quiet = flags & BH_RUN_QUIET ? null : -1;
	int o[2] = { -1, -1 }, e[2] = { -1, -1 }, rc = 127;
	struct sink s[2];
	pid_t pid = -1;

	if ((!ret_out || pipe2(o, O_CLOEXEC) == 0) &&
	    (!ret_err || pipe2(e, O_CLOEXEC) == 0))
		pid = spawn(argv, flags, ret_out ? o[1] : quiet,
			    ret_err ? e[1] : quiet);
	bh_close(o[1]);
	bh_close(e[1]);
	s[0] = (struct sink){ .fd = o[0] };
	s[1] = (struct sink){ .fd = e[0] };
	if (pid > 0) {
		pump(s);
		rc = wait_status(pid);
	}
	bh_close(o[0]);
	bh_close(e[0]);
	if (ret_out)
		*ret_out = text_of(&s[0]);
	if (ret_err)
		*ret_err = text_of(&s[1]);
	return rc;
}

int bh_run_lines(const char *const argv[], unsigned int flags,
		 void (*fn)(const char *line, void *arg), void *arg)
{
	_cleanup_file_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return 127;
	pid = spawn(argv, flags, p[1], p[1]);
	close(p[1]);
	f = fdopen(p[0], "r");
	if (!f)
		close(p[0]);
	while (f && getline(&line, &cap, f) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		fn(line, arg);
	}
	return pid < 0 ? 127 : wait_status(pid);
}

bool bh_have_program(const char *name)
{
	const char *path = getenv("PATH");
	char full[4096];

	if (!path)
		path = "/usr/sbin:/usr/bin:/sbin:/bin";
	while (*path) {
		int n = (int)strcspn(path, ":");

		if (bh_snprintf(full, sizeof(full), "%.*s/%s", n, path, name) >=
			    0 &&
		    access(full, X_OK) == 0)
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}
