/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients: their message in the making, and what is owed to them.
 *
 * Output is a list of whole messages of which the first may be half sent. A
 * domain that does not read its answers gets no more requests read (the loop
 * looks at out_bytes); a domain that does not read its events gets no more of
 * those, and one of each watch when it has caught up: an event only says "look
 * again", so nothing is lost by saying it once.
 */
#include <assert.h>

#include "store/persist.h"

#define PRIVILEGED_EVENTS 65536 /* a stuck tool must not eat dom0 */

struct conn *conn_new(struct store *s, uint16_t domid, struct domain *domain)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->store = s;
	c->domid = domid;
	c->privileged = domid == 0;
	c->domain = domain;
	LIST_INIT(&c->watches);
	TAILQ_INIT(&c->txs);
	STAILQ_INIT(&c->out);
	LIST_INSERT_HEAD(&s->conns, c, link);
	return c;
}

static void out_pop(struct conn *c)
{
	struct msg *m = STAILQ_FIRST(&c->out);

	STAILQ_REMOVE_HEAD(&c->out, link);
	c->out_events -= m->event;
	free(m);
}

void conn_reset(struct conn *c)
{
	persist_conn_reset(c);
	watch_rm_all(c);
	tx_free_all(c);
	while (!STAILQ_EMPTY(&c->out))
		out_pop(c);
	c->out_bytes = 0;
	c->in_len = 0;
	c->resync = false;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	watch_rm_all(c);
	tx_free_all(c);
	while (!STAILQ_EMPTY(&c->out))
		out_pop(c);
	if (c->queue)
		TAILQ_REMOVE(c->queue, c, turn);
	if (c->store->current == c)
		c->store->current = NULL;
	LIST_REMOVE(c, link);
	free(c);
}

void conn_wake(struct conn *c)
{
	if (c->queue)
		return;
	c->queue = &c->store->ready;
	TAILQ_INSERT_TAIL(c->queue, c, turn);
}

/* ---- in ---------------------------------------------------------------- */

size_t conn_in_wants(const struct conn *c)
{
	if (c->in_len < sizeof(c->in.hdr))
		return sizeof(c->in.hdr) - c->in_len;
	return sizeof(c->in.hdr) + c->in.hdr.len - c->in_len;
}

bool conn_in_bad(const struct conn *c)
{
	return c->in_len >= sizeof(c->in.hdr) &&
	       c->in.hdr.len > XENSTORE_PAYLOAD_MAX;
}

/* ---- out --------------------------------------------------------------- */

static struct msg *queue(struct conn *c, size_t len)
{
	struct msg *m = malloc(sizeof(*m) + len);

	if (!m) {
		c->dead = true;
		conn_wake(c);
		return NULL;
	}
	m->len = (uint32_t)len;
	m->sent = 0;
	m->event = false;
	STAILQ_INSERT_TAIL(&c->out, m, link);
	c->out_bytes += len;
	conn_wake(c);
	return m;
}

void conn_send(struct conn *c, uint32_t type, uint32_t req, uint32_t tx,
	       const void *data, size_t len)
{
	struct xsd_sockmsg hdr = {
		.type = type,
		.req_id = req,
		.tx_id = tx,
		.len = (uint32_t)len,
	};
	struct msg *m;

	assert(len <= XENSTORE_PAYLOAD_MAX);
	m = queue(c, sizeof(hdr) + len);
	if (!m)
		return;
	memcpy(m->bytes, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(m->bytes + sizeof(hdr), data, len);
	persist_out(c, m->bytes, m->len, false);
}

void conn_send_event(struct conn *c, const char *path, const char *token)
{
	size_t plen = strlen(path) + 1, tlen = strlen(token) + 1;
	struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT };
	unsigned int max =
		c->privileged ? PRIVILEGED_EVENTS : c->store->limits.events;
	struct msg *m;

	if (c->resync || (c->domain && c->domain->broken))
		return;
	if (c->out_events >= max) {
		c->resync = true;
		return;
	}
	/* Path and token came in one message each; together they may not fit. */
	if (plen + tlen > XENSTORE_PAYLOAD_MAX)
		return;
	hdr.len = (uint32_t)(plen + tlen);
	m = queue(c, sizeof(hdr) + plen + tlen);
	if (!m)
		return;
	memcpy(m->bytes, &hdr, sizeof(hdr));
	memcpy(m->bytes + sizeof(hdr), path, plen);
	memcpy(m->bytes + sizeof(hdr) + plen, token, tlen);
	m->event = true;
	c->out_events++;
	persist_out(c, m->bytes, m->len, true);
}

int conn_restore_out(struct conn *c, const void *bytes, size_t len, bool event)
{
	struct msg *m = queue(c, len);

	if (!m)
		return -ENOMEM;
	memcpy(m->bytes, bytes, len);
	m->event = event;
	c->out_events += event;
	return 0;
}

void conn_sent(struct conn *c, size_t n)
{
	assert(n <= c->out_bytes);
	c->out_bytes -= n;
	while (n > 0) {
		struct msg *m = STAILQ_FIRST(&c->out);
		size_t part = MIN(n, (size_t)(m->len - m->sent));

		m->sent += (uint32_t)part;
		n -= part;
		if (m->sent == m->len)
			out_pop(c);
	}
}

bool conn_resync(struct conn *c)
{
	if (!c->resync || c->out_bytes > 0)
		return false;
	c->resync = false;
	watch_fire_all_of(c);
	if (c->ring.page)
		persist_ring(c);
	return true;
}
