/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See xswire.h. One request at a time, so replies need no matching. */
#define _GNU_SOURCE
#include "xswire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct wire {
	uint32_t type, req, tx, len;
};

int xsw_open(void)
{
	static const char *const sockets[] = { "/run/xenstored/socket",
					       "/var/run/xenstored/socket" };
	static const char *const devices[] = { "/dev/xen/xenbus",
					       "/proc/xen/xenbus" };

	for (int i = 0; i < 2; i++) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		strcpy(a.sun_path, sockets[i]);
		if (fd >= 0 &&
		    connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	for (int i = 0; i < 2; i++) {
		int fd = open(devices[i], O_RDWR | O_CLOEXEC);

		if (fd >= 0)
			return fd;
	}
	return -errno;
}

static int full(int fd, void *p, size_t n, int out)
{
	while (n) {
		ssize_t r = out ? write(fd, p, n) : read(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EPIPE;
		p = (char *)p + r;
		n -= (size_t)r;
	}
	return 0;
}

int xsw_call(int fd, uint32_t type, const char *payload, size_t n, char *buf,
	     size_t size)
{
	struct wire w = { type, 1, 0, (uint32_t)n };
	char msg[sizeof(w) + 512];
	int r;

	if (n > 512)
		return -EINVAL;
	/* One write: the kernel's device takes a whole message at a time. */
	memcpy(msg, &w, sizeof(w));
	memcpy(msg + sizeof(w), payload, n);
	r = full(fd, msg, sizeof(w) + n, 1);
	if (r >= 0)
		r = full(fd, &w, sizeof(w), 0);
	if (r < 0)
		return r;
	if (w.len >= size || w.len > 4096)
		return -EMSGSIZE;
	r = full(fd, buf, w.len, 0);
	if (r < 0)
		return r;
	buf[w.len] = 0;
	return w.type == XSW_ERROR ? -ENOENT : (int)w.len;
}

int xsw_read(int fd, const char *path, char *buf, size_t size)
{
	return xsw_call(fd, XSW_READ, path, strlen(path) + 1, buf, size);
}
