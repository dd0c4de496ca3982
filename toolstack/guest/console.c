/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's console: its ring on one side; scroll-back, connected clients
 * and the journal on the other.
 *
 * The ring is the guest's memory. Its indices are read once and checked, and
 * a guest that prints (or only rings) without end fills its ring and no more:
 * beyond a rate we let it wait, so that it cannot fill the journal or take the
 * processor.
 */
#include "guest/guest.h"

#include <systemd/sd-journal.h>
#include <xen/io/console.h>

#include "bulkhead/evtchn.h"

#define RATE_BYTES  (512u << 10) /* a second */
#define RATE_IDLE   2000u        /* events for nothing */
#define RATE_WINDOW 1000000ull

#define mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)

static void journal_line(struct guest *g)
{
	struct console *c = &g->con;

	c->line[c->line_len] = '\0';
	if (c->line_len)
		(void)sd_journal_send("MESSAGE=%s", c->line, "PRIORITY=6",
				      "SYSLOG_IDENTIFIER=%s", g->name,
				      "BULKHEAD_GUEST=%s", g->name,
				      "BULKHEAD_STREAM=console", NULL);
	c->line_len = 0;
}

void console_flush_line(struct guest *g)
{
	journal_line(g);
}

/* Cuts output into lines without terminal control sequences. */
static void feed_lines(struct guest *g, const char *buf, size_t len)
{
	struct console *c = &g->con;
	bool text = false;

	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)buf[i];

		if (ch == '\n') {
			journal_line(g);
			continue;
		}
		if (ch < 0x20 && ch != '\t')
			continue;
		if (c->line_len >= sizeof(c->line) - 1)
			journal_line(g);
		c->line[c->line_len++] = (char)ch;
		text = true;
		/* looked at as it comes, since a prompt has no line end */
		if (ch == ':' && !g->ready && c->line_len >= 6 &&
		    !memcmp(c->line + c->line_len - 6, "login:", 6))
			guest_mark_ready(g, "login prompt");
	}
	(void)text;
}

static void keep_back(struct console *c, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		c->back[c->back_pos] = buf[i];
		c->back_pos = (c->back_pos + 1) % SCROLLBACK;
	}
	c->back_len = MIN(c->back_len + len, (size_t)SCROLLBACK);
}

size_t console_copy_back(struct console *c, char *buf)
{
	size_t start = (c->back_pos + SCROLLBACK - c->back_len) % SCROLLBACK;

	for (size_t i = 0; i < c->back_len; i++)
		buf[i] = c->back[(start + i) % SCROLLBACK];
	return c->back_len;
}

/* Takes what the guest printed. True if it printed, or rang, too much. */
static bool drain(struct guest *g)
{
	struct console *c = &g->con;
	struct xencons_interface *x = c->ring;
	XENCONS_RING_IDX cons, prod;
	char buf[sizeof(x->out)];
	uint64_t now = bh_now_us();
	size_t n = 0;

	if (!x)
		return false;
	cons = __atomic_load_n(&x->out_cons, __ATOMIC_RELAXED);
	prod = __atomic_load_n(&x->out_prod, __ATOMIC_ACQUIRE);
	if (prod - cons > sizeof(x->out)) /* nonsense: skip to its end */
		cons = prod;
	while (cons != prod)
		buf[n++] = x->out[MASK_XENCONS_IDX(cons++, x->out)];
	mb(); /* the slots are read before the guest may fill them again */
	__atomic_store_n(&x->out_cons, cons, __ATOMIC_RELEASE);
	if (n) {
		(void)bh_evtchn_notify(c->evtchn_fd, (uint32_t)c->port);
		keep_back(c, buf, n);
		sockets_console_out(g, buf, n);
		feed_lines(g, buf, n);
	}
	if (now - c->window_start > RATE_WINDOW) {
		c->window_start = now;
		c->window_bytes = 0;
		c->window_idle = 0;
	}
	c->window_bytes += n;
	c->window_idle += n == 0;
	return c->window_bytes > RATE_BYTES || c->window_idle > RATE_IDLE;
}

/* Moves typed characters into the ring as far as there is room. */
static void push(struct guest *g)
{
	struct console *c = &g->con;
	struct xencons_interface *x = c->ring;
	XENCONS_RING_IDX cons, prod;
	size_t n = 0;

	if (!x || !c->pending_len)
		return;
	cons = __atomic_load_n(&x->in_cons, __ATOMIC_ACQUIRE);
	prod = __atomic_load_n(&x->in_prod, __ATOMIC_RELAXED);
	if (prod - cons > sizeof(x->in))
		return;
	mb();
	while (n < c->pending_len && prod - cons < sizeof(x->in))
		x->in[MASK_XENCONS_IDX(prod++, x->in)] = c->pending[n++];
	__atomic_store_n(&x->in_prod, prod, __ATOMIC_RELEASE);
	memmove(c->pending, c->pending + n, c->pending_len - n);
	c->pending_len -= n;
	if (n)
		(void)bh_evtchn_notify(c->evtchn_fd, (uint32_t)c->port);
}

void console_input(struct guest *g, const char *buf, size_t len)
{
	struct console *c = &g->con;

	len = MIN(len, sizeof(c->pending) - c->pending_len);
	memcpy(c->pending + c->pending_len, buf, len);
	c->pending_len += len;
	push(g);
}

static int on_unthrottle(sd_event_source *s, uint64_t usec, void *arg)
{
	struct guest *g = arg;

	(void)usec;
	sd_event_source_unref(s);
	g->con.throttle = NULL;
	console_poll(g);
	if (g->con.port >= 0)
		(void)bh_evtchn_unmask(g->con.evtchn_fd, (uint32_t)g->con.port);
	return 0;
}

static int on_event(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct guest *g = arg;
	struct console *c = &g->con;
	int port;

	(void)s;
	(void)revents;
	/* One a call: once unmasked, the guest can make the next at once. */
	port = bh_evtchn_pending(fd);
	if (port < 0 || port != c->port)
		return 0;
	push(g);
	if (drain(g) && !c->throttle &&
	    sd_event_add_time_relative(g->event, &c->throttle, CLOCK_MONOTONIC,
				       500000, 10000, on_unthrottle, g) >= 0)
		return 0; /* stays masked until then */
	(void)bh_evtchn_unmask(fd, (uint32_t)port);
	return 0;
}

void console_poll(struct guest *g)
{
	push(g);
	for (unsigned int i = 0; i < 16 && g->con.ring; i++) {
		size_t before = g->con.window_bytes;

		(void)drain(g);
		if (g->con.window_bytes == before)
			break;
	}
}

int console_start(struct guest *g, struct bh_err *e)
{
	struct console *c = &g->con;
	int r;

	c->evtchn_fd = bh_evtchn_open();
	if (c->evtchn_fd < 0)
		return bh_fail(e, c->evtchn_fd, "/dev/xen/evtchn: %s",
			       strerror(-c->evtchn_fd));
	r = bh_evtchn_bind_interdomain(c->evtchn_fd, g->dom.domid,
				       g->dom.console_port);
	if (r < 0)
		return bh_fail(e, r,
			       "cannot connect to the guest's console: %s "
			       "(does xenconsoled serve it?)",
			       strerror(-r));
	c->port = r;
	c->ring = g->dom.console;
	r = sd_event_add_io(g->event, &c->src, c->evtchn_fd, EPOLLIN, on_event,
			    g);
	if (r < 0)
		return bh_fail(e, r, "event loop: %s", strerror(-r));
	console_poll(g);
	return 0;
}

void console_stop(struct guest *g)
{
	struct console *c = &g->con;

	sd_event_source_unref(c->src);
	sd_event_source_unref(c->throttle);
	c->src = c->throttle = NULL;
	c->evtchn_fd = bh_close(c->evtchn_fd);
	c->port = -1;
	c->ring = NULL;
	c->pending_len = 0;
}
