/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store client's connection: messages in and out, and coming back after
 * the daemon was restarted.
 *
 * The socket is non-blocking and read into one message buffer, so that a
 * message that arrives in pieces, and watch events that arrive between a
 * request and its answer, are one code path. Everything waits in poll() with a
 * deadline: a daemon that hangs becomes -ETIMEDOUT, not a hung toolstack.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "xs_private.h"

#define XS_HDR sizeof(struct xsd_sockmsg)

void xs_signal(struct bh_xs *xs, bool on)
{
	uint64_t n = 1;

	if (xs->signalled == on)
		return;
	xs->signalled = on;
	if (on)
		(void)!write(xs->wake, &n, sizeof(n));
	else
		(void)!read(xs->wake, &n, sizeof(n));
}

/* ---- connecting -------------------------------------------------------- */

static int connect_socket(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int r;

	r = bh_snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* One attempt: the socket if it exists, else the kernel's device. */
static int connect_once(void)
{
	const char *path = getenv("XENSTORED_PATH");
	int fd, r;

	if (path)
		return connect_socket(path);

	r = connect_socket("/run/xenstored/socket");
	if (r != -ENOENT)
		return r;
	/*
	 * dom0 has the device too, but its ring is served by the very daemon
	 * whose socket is missing: the device would hang until it is back.
	 */
	if (access("/proc/xen/xsd_kva", F_OK) == 0)
		return -ENOENT;
	fd = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void xs_disconnect(struct bh_xs *xs)
{
	xs->fd = bh_close(xs->fd); /* leaves the epoll set by itself */
	xs->in_len = 0;
}

static bool daemon_may_come_back(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -EAGAIN ||
	       err == -ECONNRESET;
}

/* ---- messages ---------------------------------------------------------- */

static int wait_for(struct bh_xs *xs, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = xs->fd, .events = events };
	uint64_t now = bh_now_us();
	int r;

	if (now >= deadline)
		return -ETIMEDOUT;
	r = poll(&p, 1, (int)MIN((deadline - now) / 1000 + 1, 3600000ull));
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

static int send_all(struct bh_xs *xs, const void *buf, size_t len,
		    uint64_t deadline)
{
	const char *p = buf;

	while (len > 0) {
		/* MSG_NOSIGNAL needs a socket; the device never raises it. */
		ssize_t n = send(xs->fd, p, len, MSG_NOSIGNAL);
		int r;

		if (n < 0 && errno == ENOTSOCK)
			n = write(xs->fd, p, len);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -ECONNRESET;
		r = wait_for(xs, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

/* 1: a whole message is in xs->in; 0: not yet; -ECONNRESET: daemon gone. */
static int fill(struct bh_xs *xs)
{
	for (;;) {
		size_t want = XS_HDR;
		ssize_t n;

		if (xs->in_len >= XS_HDR) {
			if (xs->in.hdr.len > XENSTORE_PAYLOAD_MAX)
				return -ECONNRESET; /* out of step */
			want += xs->in.hdr.len;
			if (xs->in_len == want)
				return 1;
		}
		n = read(xs->fd, xs->in.bytes + xs->in_len, want - xs->in_len);
		if (n > 0)
			xs->in_len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && errno == EAGAIN)
			return 0;
		else
			return -ECONNRESET;
	}
}

/*
 * Takes the event out of the message buffer and queues it. One of a watch is
 * enough: it says "look", and how often there is something to see is up to
 * guests.
 */
static int queue_event(struct bh_xs *xs)
{
	size_t len = xs->in.hdr.len;
	const char *path = xs->in.bytes + XS_HDR;
	struct xs_event *e;
	size_t n;

	xs->in_len = 0;
	n = strnlen(path, len);
	if (n + 1 >= len || path[len - 1] != '\0')
		return 0; /* not an event we could have asked for */
	for (e = xs->events; e; e = e->next)
		if (streq(e->token, path + n + 1))
			return 0;
	e = malloc(sizeof(*e) + len);
	if (!e)
		return -ENOMEM;
	memcpy(e->path, path, len);
	e->token = e->path + n + 1;
	e->next = NULL;
	*xs->events_tail = e;
	xs->events_tail = &e->next;
	xs_signal(xs, true);
	return 0;
}

int xs_pump(struct bh_xs *xs)
{
	int r;

	while ((r = fill(xs)) > 0) {
		if (xs->in.hdr.type == XS_WATCH_EVENT) {
			r = queue_event(xs);
			if (r < 0)
				return r;
		}
		xs->in_len = 0; /* an answer nobody waits for any more */
	}
	return r;
}

static int wire_errno(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(xsd_errors); i++)
		if (streq(name, xsd_errors[i].errstring))
			return -xsd_errors[i].errnum;
	return -EIO;
}

static int receive(struct bh_xs *xs, uint32_t req, uint32_t type,
		   uint64_t deadline, char **ret, size_t *ret_len)
{
	size_t len;
	char *p;
	int r;

	for (;;) {
		r = fill(xs);
		if (r == 0)
			r = wait_for(xs, POLLIN, deadline);
		else if (r > 0 && xs->in.hdr.type == XS_WATCH_EVENT)
			r = queue_event(xs);
		else if (r > 0 && xs->in.hdr.req_id == req)
			break;
		else if (r > 0)
			xs->in_len = r = 0;
		if (r < 0)
			return r;
	}

	len = xs->in.hdr.len;
	xs->in.bytes[XS_HDR + len] = '\0';
	xs->in_len = 0;
	if (xs->in.hdr.type == XS_ERROR)
		return wire_errno(xs->in.bytes + XS_HDR);
	if (xs->in.hdr.type != type)
		return -EPROTO;
	if (ret) {
		p = malloc(len + 1);
		if (!p)
			return -ENOMEM;
		memcpy(p, xs->in.bytes + XS_HDR, len + 1);
		*ret = p;
	}
	if (ret_len)
		*ret_len = len;
	return 0;
}

/* One request on the connection as it is. */
static int talk_once(struct bh_xs *xs, uint32_t type, uint32_t tx_id,
		     const struct iovec *iov, size_t n, uint64_t deadline,
		     char **ret, size_t *ret_len)
{
	char buf[XS_HDR + XENSTORE_PAYLOAD_MAX];
	struct xsd_sockmsg hdr = {
		.type = type,
		.req_id = ++xs->next_req,
		.tx_id = tx_id,
	};
	size_t len = XS_HDR;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (iov[i].iov_len > sizeof(buf) - len)
			return -E2BIG;
		memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	hdr.len = (uint32_t)(len - XS_HDR);
	memcpy(buf, &hdr, XS_HDR);

	/* One write: the device takes a message apart, a reader should not. */
	r = send_all(xs, buf, len, deadline);
	if (r < 0)
		return r;
	return receive(xs, hdr.req_id, type, deadline, ret, ret_len);
}

static int rewatch(struct bh_xs *xs, uint64_t deadline)
{
	for (struct bh_xs_watch *w = xs->watches; w; w = w->next) {
		struct iovec iov[] = { xs_str(w->path), xs_str(w->token) };
		int r = talk_once(xs, XS_WATCH, 0, iov, 2, deadline, NULL,
				  NULL);

		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

int xs_reconnect(struct bh_xs *xs)
{
	uint64_t deadline = bh_now_us() + xs->timeout_us;
	unsigned int pause_us = 1000;

	for (;;) {
		struct epoll_event ev = { .events = EPOLLIN };
		int r = connect_once();

		if (r >= 0) {
			xs->fd = r;
			xs->gen++;
			xs->in_len = 0;
			if (epoll_ctl(xs->epoll, EPOLL_CTL_ADD, xs->fd, &ev) <
			    0)
				r = -errno;
			else
				r = rewatch(xs, deadline);
			if (r >= 0)
				return 0;
			xs_disconnect(xs);
		}
		if (!daemon_may_come_back(r) || bh_now_us() >= deadline)
			return r;
		usleep(pause_us);
		pause_us = MIN(pause_us * 2, 100000u);
	}
}

int xs_talk(struct bh_xs *xs, uint32_t type, bh_xs_tx tx,
	    const struct iovec *iov, size_t n, char **ret, size_t *ret_len)
{
	uint64_t deadline = bh_now_us() + xs->timeout_us;

	for (;;) {
		int r;

		if (xs->fd < 0) {
			r = xs_reconnect(xs);
			if (r < 0)
				return r;
		}
		/* The daemon that knew this transaction is gone. */
		if (tx != BH_XS_NONE && (uint32_t)(tx >> 32) != xs->gen)
			return -EAGAIN;

		r = talk_once(xs, type, (uint32_t)tx, iov, n, deadline, ret,
			      ret_len);
		if (r == -ETIMEDOUT)
			xs_disconnect(xs); /* its answer would confuse us */
		if (r != -ECONNRESET)
			return r;
		xs_disconnect(xs);
		if (bh_now_us() >= deadline)
			return r;
	}
}
