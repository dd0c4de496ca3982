/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings: see ring.h, and "xenstore-ring" in the Xen project's documentation
 * for the page.
 *
 * Requests are copied out but their consumer index is only published by
 * flush(), after the turn's records are permanent: a daemon killed in between
 * finds the request still there, or finds the record that it was done.
 */
#include "store/ring.h"
#include "store/persist.h"

#define RING       XENSTORE_RING_SIZE
#define HDR        sizeof(struct xsd_sockmsg)
#define WATCHDEPTH 4u /* XENSTORE_SERVER_FEATURE_WATCHDEPTH, newer headers */
#define OUR_FEATURES                            \
	(XENSTORE_SERVER_FEATURE_RECONNECTION | \
	 XENSTORE_SERVER_FEATURE_ERROR | WATCHDEPTH)

#define mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static void copy_from_ring(char *to, const char *ring, uint32_t at, size_t len)
{
	size_t off = at & (RING - 1), first = MIN(len, RING - off);

	memcpy(to, ring + off, first);
	memcpy(to + first, ring, len - first);
}

static void copy_to_ring(char *ring, uint32_t at, const char *from, size_t len)
{
	size_t off = at & (RING - 1), first = MIN(len, RING - off);

	memcpy(ring + off, from, first);
	memcpy(ring, from + first, len - first);
}

int ring_attach(struct conn *c, struct xenstore_domain_interface *page,
		bool resume)
{
	if (resume && load(&page->connection) == XENSTORE_RECONNECT) {
		/* Killed while emptying it: ring_read() does it again. */
		conn_reset(c);
	} else if (resume) {
		uint32_t published = load(&page->rsp_prod) - c->ring.prod;

		/* Possibly more than a ring full: it may have read since. */
		if (published > c->out_bytes)
			return -EBADMSG;
		conn_sent(c, published);
		c->ring.prod += published;
	} else {
		c->ring.cons = load(&page->req_cons);
		c->ring.prod = load(&page->rsp_prod);
		if (load(&page->req_prod) - c->ring.cons > RING ||
		    c->ring.prod - load(&page->rsp_cons) > RING)
			return -EBADMSG;
		store(&page->error, XENSTORE_ERROR_NONE);
	}
	store(&page->server_features, OUR_FEATURES);
	c->ring.page = page;
	c->ring.kick = true;
	c->ops = &ring_ops;
	return 0;
}

void ring_detach(struct conn *c)
{
	c->ring.page = NULL;
}

/* Up to avail bytes of what the header or the message still lacks. */
static uint32_t take(struct conn *c, uint32_t avail)
{
	size_t len = MIN((size_t)avail, conn_in_wants(c));

	copy_from_ring(c->in.bytes + c->in_len, c->ring.page->req, c->ring.cons,
		       len);
	c->in_len += (uint32_t)len;
	c->ring.cons += (uint32_t)len;
	return (uint32_t)len;
}

/* The guest starts anew on the same page and asked for it to be emptied. */
static void reconnect(struct conn *c)
{
	struct xenstore_domain_interface *page = c->ring.page;

	conn_reset(c);
	c->ring.cons = c->ring.prod = 0;
	persist_ring(c);
	/* On record before the guest is told, or a restart would differ. */
	persist_commit(c->store);
	store(&page->req_cons, 0);
	store(&page->req_prod, 0);
	store(&page->rsp_cons, 0);
	store(&page->rsp_prod, 0);
	store(&page->connection, XENSTORE_CONNECTED);
	c->ring.kick = true;
}

static int ring_read(struct conn *c)
{
	struct xenstore_domain_interface *page = c->ring.page;
	uint32_t avail;

	if (!page || c->domain->broken)
		return 0;
	if (load(&page->connection) == XENSTORE_RECONNECT)
		reconnect(c);

	avail = load(&page->req_prod) - c->ring.cons;
	if (avail > RING)
		return -ERANGE;
	if (avail == 0)
		return 0;
	/*
	 * Half a message is taken too: a guest signals its second half only if
	 * it finds the first one gone.
	 */
	if (c->in_len < HDR)
		avail -= take(c, avail);
	if (conn_in_bad(c)) /* judged on our copy */
		return -EPROTO;
	if (c->in_len >= HDR)
		take(c, avail);
	if (conn_in_wants(c) == 0)
		return 1;
	persist_ring(c);
	return 0;
}

static uint32_t publish(struct conn *c, uint32_t room)
{
	uint32_t done = 0;
	struct msg *m;

	STAILQ_FOREACH(m, &c->out, link) {
		uint32_t part = MIN(m->len - m->sent, room - done);

		if (part == 0)
			break;
		copy_to_ring(c->ring.page->rsp, c->ring.prod + done,
			     m->bytes + m->sent, part);
		done += part;
	}
	return done;
}

/*
 * Guests are sparing with signals: Linux signals a request only if all before
 * it had been taken, and that it read an answer only if the ring had been full.
 * What counts is the index they see. So after publishing one look once more at
 * theirs: they may have gone on, without a word, before they could see it.
 */
static int ring_flush(struct conn *c)
{
	struct xenstore_domain_interface *page = c->ring.page;
	uint32_t used, done;

	if (!page)
		return 0;
	if (c->domain->broken)
		return 0;
	if (load(&page->req_cons) != c->ring.cons) {
		store(&page->req_cons, c->ring.cons);
		c->ring.kick = true;
		mb(); /* pairs with theirs between req_prod and req_cons */
		if (load(&page->req_prod) != c->ring.cons)
			conn_wake(c);
	}
	while (c->out_bytes > 0) {
		used = c->ring.prod - load(&page->rsp_cons);
		if (used > RING)
			return -ERANGE;
		done = publish(c, RING - used);
		if (done == 0)
			break;
		c->ring.prod += done;
		store(&page->rsp_prod, c->ring.prod);
		conn_sent(c, done);
		c->ring.kick = true;
		mb(); /* pairs with theirs between rsp_cons and rsp_prod */
	}
	return 0;
}

static void ring_close(struct conn *c, int err)
{
	domain_break(c->store, c->domain,
		     err == -ERANGE   ? XENSTORE_ERROR_RINGIDX
		     : err == -EPROTO ? XENSTORE_ERROR_PROTO
				      : XENSTORE_ERROR_COMM);
}

const struct conn_ops ring_ops = {
	.read = ring_read,
	.flush = ring_flush,
	.close = ring_close,
};
