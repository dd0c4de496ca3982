/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets: see socket.h. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "store/socket.h"

#define CLIENTS 4096 /* a runaway script must not eat all descriptors */

struct sock {
	int fd;
	sd_event_source *source;
	bool waiting; /* for room to write; nothing is read meanwhile */
};

static unsigned int nr_clients;

static int sock_read(struct conn *c)
{
	struct sock *k = c->io;

	for (;;) {
		size_t want;
		ssize_t n;

		if (conn_in_bad(c))
			return -EPROTO;
		want = conn_in_wants(c);
		if (want == 0)
			return 1;
		n = recv(k->fd, c->in.bytes + c->in_len, want, MSG_DONTWAIT);
		if (n > 0)
			c->in_len += (uint32_t)n;
		else if (n == 0)
			return -ECONNRESET;
		else if (errno == EAGAIN)
			return 0;
		else if (errno != EINTR)
			return -errno;
	}
}

/* on: output is stuck. Then input can wait too, or poll() would spin on it. */
static void wait_for_room(struct sock *k, bool on)
{
	if (k->waiting == on)
		return;
	k->waiting = on;
	(void)sd_event_source_set_io_events(k->source, on ? EPOLLOUT : EPOLLIN);
}

static int sock_flush(struct conn *c)
{
	struct sock *k = c->io;

	while (c->out_bytes > 0) {
		struct iovec iov[16];
		struct msghdr mh = { .msg_iov = iov };
		struct msg *m;
		ssize_t n;

		STAILQ_FOREACH(m, &c->out, link) {
			if (mh.msg_iovlen == ARRAY_SIZE(iov))
				break;
			iov[mh.msg_iovlen++] = (struct iovec){
				.iov_base = m->bytes + m->sent,
				.iov_len = m->len - m->sent,
			};
		}
		n = sendmsg(k->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			wait_for_room(k, true);
			return 0;
		}
		if (n < 0)
			return -errno;
		conn_sent(c, (size_t)n);
	}
	wait_for_room(k, false);
	return 0;
}

static void sock_close(struct conn *c, int err __unused_arg)
{
	struct sock *k = c->io;

	sd_event_source_disable_unref(k->source);
	bh_close(k->fd);
	free(k);
	conn_free(c);
	nr_clients--;
}

static const struct conn_ops sock_ops = {
	.read = sock_read,
	.flush = sock_flush,
	.close = sock_close,
};

static int on_client(sd_event_source *source __unused_arg, int fd __unused_arg,
		     uint32_t revents __unused_arg, void *arg)
{
	conn_wake(arg); /* read, write or hang-up: its turn finds out */
	return 0;
}

static int add_client(struct store *s, sd_event *event, int fd)
{
	struct conn *c = conn_new(s, 0, NULL);
	struct sock *k = calloc(1, sizeof(*k));
	int r = -ENOMEM;

	if (c && k)
		r = sd_event_add_io(event, &k->source, fd, EPOLLIN, on_client,
				    c);
	if (r < 0) {
		conn_free(c);
		free(k);
		return r;
	}
	k->fd = fd;
	c->io = k;
	c->ops = &sock_ops;
	nr_clients++;
	return 0;
}

static int on_connect(sd_event_source *source, int fd,
		      uint32_t revents __unused_arg, void *arg)
{
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (client < 0)
		return 0; /* gone again, or no descriptors: it will retry */
	if (nr_clients >= CLIENTS) {
		bh_log(BH_WARNING, "more than %d clients; refusing one",
		       CLIENTS);
		bh_close(client);
		return 0;
	}
	r = add_client(arg, sd_event_source_get_event(source), client);
	if (r < 0) {
		bh_log_errno(BH_WARNING, r, "cannot serve a client");
		bh_close(client);
	}
	return 0;
}

int socket_listen(struct store *s, sd_event *event, int fd)
{
	return sd_event_add_io(event, NULL, fd, EPOLLIN, on_connect, s);
}

int socket_open(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	r = bh_snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	mask = umask(0177); /* only root: a client has dom0's rights */
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, SOMAXCONN) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}
