/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bhctl console: the terminal here, the guest's console there. The scroll-back
 * comes first. Ctrl-] leaves, as everywhere else.
 */
#include "bhctl/bhctl.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#define ESCAPE 0x1d /* Ctrl-] */

static struct termios saved;
static bool is_raw;

static void cooked(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	is_raw = false;
}

static void raw(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	t = saved;
	cfmakeraw(&t);
	t.c_oflag |= OPOST; /* the guest sends bare newlines early on */
	is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
	atexit(cooked);
}

static int relay(int fd)
{
	bool input = true;
	char buf[4096];

	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
				       { .fd = input ? STDIN_FILENO : -1,
					 .events = POLLIN } };
		ssize_t n;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[0].revents) {
			n = read(fd, buf, sizeof(buf));
			if (n <= 0)
				return 0;
			if (bh_write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
				return 0;
		}
		if (p[1].revents) {
			const char *esc;

			n = read(STDIN_FILENO, buf, sizeof(buf));
			if (n <= 0) {
				input = false; /* keep showing what comes */
				if (!isatty(STDIN_FILENO))
					shutdown(fd, SHUT_WR);
				continue;
			}
			esc = is_raw ? memchr(buf, ESCAPE, (size_t)n) : NULL;
			if (esc)
				n = esc - buf;
			if (n && bh_write_all(fd, buf, (size_t)n) < 0)
				return 0;
			if (esc)
				return 1;
		}
	}
}

int cmd_console(struct ctl *c)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	const char *name = c->argv[0];
	int r;

	if (!bh_name_valid(name))
		return fail(EX_NO_GUEST, "there is no guest %s", name);
	r = bh_snprintf(sa.sun_path, sizeof(sa.sun_path), RUN_DIR "/%s/console",
			name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r < 0 || fd < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		uint32_t id;

		if (r >= 0 && errno == EACCES)
			return fail(EX_FAIL, "only root may do this");
		r = need_guest(c, name, &id);
		return r ? r
			 : fail(EX_FAIL,
				"guest %s has no supervisor that serves its "
				"console",
				name);
	}
	if (isatty(STDIN_FILENO)) {
		fprintf(stderr, "[console of %s; Ctrl-] leaves]\n", name);
		raw();
	}
	r = relay(fd);
	cooked();
	if (r == 0 && isatty(STDIN_FILENO))
		fprintf(stderr, "\n[guest %s has stopped]\n", name);
	return r < 0 ? fail(EX_FAIL, "console: %s", strerror(-r)) : 0;
}
