/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two sockets in the guest's state directory: "console", a byte stream that
 * starts with the scroll-back, and "control", one JSON object a line.
 *
 * Root only. A client that does not read loses console output, never holds
 * anybody up, and is cut off when its backlog passes a limit.
 */
#include "guest/guest.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define OUT_MAX     (1u << 20)
#define MAX_CLIENTS 64

static void client_free(struct client *c)
{
	struct client **p = &c->g->clients;

	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	sd_event_source_unref(c->src);
	bh_close(c->fd);
	free(c->out);
	free(c->waiting_op);
	free(c);
}

static void client_flush(struct client *c)
{
	while (c->out_len) {
		ssize_t n = send(c->fd, c->out, c->out_len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n <= 0)
			break;
		memmove(c->out, c->out + n, c->out_len - (size_t)n);
		c->out_len -= (size_t)n;
	}
	(void)sd_event_source_set_io_events(
		c->src, EPOLLIN | (c->out_len ? EPOLLOUT : 0));
}

void client_send(struct client *c, const char *buf, size_t len)
{
	if (c->out_len + len > OUT_MAX)
		return; /* it does not read; this part is lost to it */
	if (bh_grow(&c->out, &c->out_alloc, c->out_len + len, 1) < 0)
		return;
	memcpy(c->out + c->out_len, buf, len);
	c->out_len += len;
	client_flush(c);
}

void sockets_console_out(struct guest *g, const char *buf, size_t len)
{
	for (struct client *c = g->clients; c; c = c->next)
		if (!c->control)
			client_send(c, buf, len);
}

static void control_in(struct client *c)
{
	char *nl;

	c->in[c->in_len] = '\0';
	while ((nl = memchr(c->in, '\n', c->in_len)) != NULL) {
		size_t used = (size_t)(nl - c->in) + 1;

		*nl = '\0';
		control_line(c, c->in);
		memmove(c->in, c->in + used, c->in_len - used);
		c->in_len -= used;
		c->in[c->in_len] = '\0';
	}
	if (c->in_len >= sizeof(c->in) - 1) {
		control_reply_error(c, "request too long");
		c->in_len = 0;
	}
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct client *c = arg;
	char buf[1024];
	ssize_t n;

	(void)s;
	if (revents & EPOLLOUT)
		client_flush(c);
	if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	if (c->control)
		n = recv(fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len,
			 MSG_DONTWAIT);
	else
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		client_free(c);
		return 0;
	}
	if (c->control) {
		c->in_len += (size_t)n;
		control_in(c);
	} else {
		console_input(c->g, buf, (size_t)n);
	}
	return 0;
}

static int accept_client(struct guest *g, int fd, bool control)
{
	_cleanup_close_ int s =
		accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	unsigned int n = 0;
	struct client *c;

	if (s < 0)
		return 0;
	for (c = g->clients; c; c = c->next)
		n++;
	if (n >= MAX_CLIENTS)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return 0;
	c->g = g;
	c->control = control;
	c->fd = TAKE_FD(s);
	c->next = g->clients;
	g->clients = c;
	if (sd_event_add_io(g->event, &c->src, c->fd, EPOLLIN, on_client, c) <
	    0) {
		client_free(c);
		return 0;
	}
	if (!control) {
		_cleanup_free_ char *back = malloc(SCROLLBACK);

		if (back)
			client_send(c, back, console_copy_back(&g->con, back));
	}
	return 0;
}

static int on_console(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	(void)s;
	(void)revents;
	return accept_client(arg, fd, false);
}

static int on_control(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	(void)s;
	(void)revents;
	return accept_client(arg, fd, true);
}

static int listen_at(struct guest *g, const char *name,
		     sd_event_io_handler_t fn, int *ret, struct bh_err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	r = bh_snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", g->run_dir,
			name);
	if (r < 0)
		return bh_fail(e, r, "%s: path too long", g->run_dir);
	(void)unlink(sa.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return bh_fail(e, -errno, "socket: %s", strerror(errno));
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (r < 0 || listen(fd, 16) < 0)
		return bh_fail(e, -errno, "%s: %s", sa.sun_path,
			       strerror(errno));
	r = sd_event_add_io(g->event, NULL, fd, EPOLLIN, fn, g);
	if (r < 0)
		return bh_fail(e, r, "event loop: %s", strerror(-r));
	*ret = TAKE_FD(fd);
	return 0;
}

int sockets_start(struct guest *g, struct bh_err *e)
{
	int r = listen_at(g, "console", on_console, &g->listen_console, e);

	if (r == 0)
		r = listen_at(g, "control", on_control, &g->listen_control, e);
	return r;
}

void sockets_stop(struct guest *g)
{
	while (g->clients)
		client_free(g->clients);
	g->listen_console = bh_close(g->listen_console);
	g->listen_control = bh_close(g->listen_control);
}

void sockets_answer_waiting(struct guest *g, const char *op, const char *error)
{
	for (struct client *c = g->clients; c; c = c->next) {
		if (!c->waiting_op || (op && !streq(c->waiting_op, op)))
			continue;
		if (error)
			control_reply_error(c, error);
		else
			control_reply_ok(c);
		free(c->waiting_op);
		c->waiting_op = NULL;
	}
}
