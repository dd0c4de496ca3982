/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a guest and waiting until it is up: its ready mark in the store, or
 * an SSH server that answers at its address, whichever comes first. When the
 * time is over the message says how far it got.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "bhctl.h"
#include "cmd.h"
#include "xswire.h"

static bool marked_ready(const char *guest)
{
	char dir[4200], val[4200], path[80];
	int fd = xsw_open();
	bool ready = false;
	int n;

	if (fd < 0)
		return false;
	n = xsw_call(fd, XSW_DIRECTORY, "/local/domain", 14, dir, sizeof(dir));
	for (char *d = dir; n > 0 && d < dir + n && !ready;
	     d += strlen(d) + 1) {
		if (strspn(d, "0123456789") != strlen(d) || streq(d, "0"))
			continue;
		snprintf(path, sizeof(path), "/local/domain/%.10s/name", d);
		if (xsw_read(fd, path, val, sizeof(val)) < 0 ||
		    !streq(val, guest))
			continue;
		snprintf(path, sizeof(path),
			 "/local/domain/%.10s/data/bulkhead/ready", d);
		ready = xsw_read(fd, path, val, sizeof(val)) > 0 &&
			streq(val, "1");
	}
	close(fd);
	return ready;
}

/* An SSH server says "SSH-" as soon as it is connected to. */
static bool ssh_answers(const char *ip)
{
	struct addrinfo hint = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM },
			*a = NULL;
	_cleanup_free_ char *addr = strndup(ip, strcspn(ip, "/"));
	struct pollfd p = { .events = POLLOUT };
	_cleanup_close_ int fd = -1;
	char hello[4];
	bool tried;

	if (!addr || getaddrinfo(addr, "22", &hint, &a) != 0)
		return false;
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	tried = fd >= 0 && (connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
			    errno == EINPROGRESS);
	freeaddrinfo(a);
	if (!tried)
		return false;
	p.fd = fd;
	if (poll(&p, 1, 1000) <= 0)
		return false;
	p.events = POLLIN;
	if (poll(&p, 1, 2000) <= 0)
		return false;
	return read(fd, hello, 4) == 4 && memcmp(hello, "SSH-", 4) == 0;
}

static int wait_ready(const char *guest, const char *ip, unsigned long seconds)
{
	struct timespec t0, t, nap = { 0, 200 * 1000 * 1000 };
	unsigned int round = 0, down = 0;
	bool seen = false;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (;;) {
		if (marked_ready(guest))
			return 0;
		if (ip && round % 5 == 4 && ssh_answers(ip))
			return 0;
		if (round % 10 == 9) {
			bool up = bhctl_is_running(guest);

			/* Between two boots it is down for a moment. */
			down = up ? 0 : down + 1;
			if (seen && down >= 5)
				return fail(
					VMB_TIMEOUT,
					"guest %s has stopped while starting; \"journalctl -u bulkhead-guest@%s\" has its console",
					guest, guest);
			seen = seen || up;
		}
		clock_gettime(CLOCK_MONOTONIC, &t);
		if (t.tv_sec - t0.tv_sec >= (time_t)seconds)
			break;
		nanosleep(&nap, NULL);
		round++;
	}
	if (!bhctl_is_running(guest))
		return fail(
			VMB_TIMEOUT,
			"guest %s is not running after %lu s; \"journalctl -u bulkhead-guest@%s\" says why",
			guest, seconds, guest);
	return fail(
		VMB_TIMEOUT,
		"guest %s runs, but gave no ready mark%s%s within %lu s; \"bhctl console %s\" shows where it is",
		guest, ip ? " and no SSH at " : "", ip ? ip : "", seconds,
		guest);
}

int start_guest(const struct guest *g, unsigned long seconds)
{
	const char *ip = NULL;
	int r = bhctl_start(g->name);

	if (r < 0 || !seconds)
		return r;
	for (size_t i = 0; i < g->n_nics && !ip; i++)
		ip = g->nics[i].ip4 ? g->nics[i].ip4 : g->nics[i].ip6;
	return wait_ready(g->name, ip, seconds);
}
