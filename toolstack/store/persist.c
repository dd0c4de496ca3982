/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records: see persist.h. Native byte order, since they never leave the host
 * nor its boot. Each is a type byte and its fields; strings carry a length.
 */
#include "store/persist.h"

enum record {
	REC_NODE = 1,
	REC_RM,
	REC_DOMAIN,
	REC_DOMAIN_GONE,
	REC_WATCH,
	REC_UNWATCH,
	REC_TX,
	REC_TX_END,
	REC_CONN_RESET,
	REC_RING,
	REC_OUT,
	REC_EMPTY, /* a snapshot begins: forget the tree's first contents */
};

struct persist {
	struct journal *journal;
	uint8_t *buf;
	size_t len, alloc;
	bool failed; /* the batch is incomplete: only a snapshot will do */
	bool complained;
	bool want_snapshot;
};

/* ---- writing ----------------------------------------------------------- */

struct persist *persist_new(void)
{
	return calloc(1, sizeof(struct persist));
}

void persist_free(struct persist *p)
{
	if (!p)
		return;
	journal_close(p->journal);
	free(p->buf);
	free(p);
}

static void put(struct persist *p, const void *data, size_t len)
{
	if (bh_grow(&p->buf, &p->alloc, p->len + len, 1) < 0) {
		p->failed = true;
		return;
	}
	if (len > 0)
		memcpy(p->buf + p->len, data, len);
	p->len += len;
}

#define put_int(p, type, value)                  \
	do {                                     \
		type put_v = (type)(value);      \
		put((p), &put_v, sizeof(put_v)); \
	} while (0)

static void put_blob(struct persist *p, const void *data, size_t len)
{
	put_int(p, uint32_t, len);
	put(p, data, len);
}

static void put_str(struct persist *p, const char *s)
{
	put_blob(p, s, strlen(s));
}

static struct persist *begin(struct store *s, enum record type)
{
	if (s->persist)
		put_int(s->persist, uint8_t, type);
	return s->persist;
}

/* Only rings are recorded. */
static struct persist *begin_conn(const struct conn *c, enum record type)
{
	struct persist *p = c->domain ? begin(c->store, type) : NULL;

	if (p)
		put_int(p, uint16_t, c->domid);
	return p;
}

void persist_node(struct store *s, const char *path, const struct node *n)
{
	struct persist *p = begin(s, REC_NODE);

	if (!p)
		return;
	put_str(p, path);
	put_int(p, uint16_t, n->perms->n);
	for (unsigned int i = 0; i < n->perms->n; i++) {
		put_int(p, uint16_t, n->perms->p[i].domid);
		put_int(p, uint8_t, n->perms->p[i].access);
	}
	put_blob(p, n->value ? n->value->bytes : NULL,
		 n->value ? n->value->len : 0);
}

void persist_rm(struct store *s, const char *path)
{
	struct persist *p = begin(s, REC_RM);

	if (p)
		put_str(p, path);
}

void persist_domain(struct store *s, const struct domain *d)
{
	struct persist *p = begin(s, REC_DOMAIN);

	if (!p)
		return;
	put_int(p, uint16_t, d->domid);
	put_int(p, uint16_t, d->target);
	put_int(p, uint64_t, d->frame);
	put_int(p, uint32_t, d->port);
	put_int(p, uint8_t, d->shutdown | d->broken << 1);
}

void persist_domain_gone(struct store *s, uint16_t domid)
{
	struct persist *p = begin(s, REC_DOMAIN_GONE);

	if (p)
		put_int(p, uint16_t, domid);
}

void persist_watch(const struct conn *c, const struct watch *w)
{
	struct persist *p = begin_conn(c, REC_WATCH);

	if (!p)
		return;
	put_int(p, uint16_t, w->home);
	put_int(p, int32_t, w->depth);
	put_str(p, w->path);
	put_str(p, w->token);
}

void persist_unwatch(const struct conn *c, const struct watch *w)
{
	struct persist *p = begin_conn(c, REC_UNWATCH);

	if (!p)
		return;
	put_str(p, w->path);
	put_str(p, w->token);
}

void persist_tx(const struct conn *c, uint32_t id)
{
	struct persist *p = begin_conn(c, REC_TX);

	if (p)
		put_int(p, uint32_t, id);
}

void persist_tx_end(const struct conn *c, uint32_t id)
{
	struct persist *p = begin_conn(c, REC_TX_END);

	if (p)
		put_int(p, uint32_t, id);
}

void persist_conn_reset(const struct conn *c)
{
	(void)begin_conn(c, REC_CONN_RESET);
}

void persist_ring(const struct conn *c)
{
	struct persist *p = begin_conn(c, REC_RING);

	if (!p)
		return;
	put_int(p, uint32_t, c->ring.cons);
	put_int(p, uint32_t, c->ring.prod);
	put_int(p, uint8_t, c->resync);
	put_blob(p, c->in.bytes, c->in_len);
}

void persist_out(const struct conn *c, const void *bytes, size_t len,
		 bool event)
{
	struct persist *p = begin_conn(c, REC_OUT);

	if (!p)
		return;
	put_int(p, uint8_t, event);
	put_blob(p, bytes, len);
}

static void put_conn(struct store *s, const struct domain *d)
{
	const struct conn *c = d->conn;
	const struct watch *w;
	const struct msg *m;
	const struct tx *tx;

	if (!c)
		return;
	persist_ring(c);
	LIST_FOREACH(w, &c->watches, of_conn)
		persist_watch(c, w);
	TAILQ_FOREACH(tx, &c->txs, link)
		persist_tx(c, tx->id);
	/* A half-sent message goes on where it stopped. */
	STAILQ_FOREACH(m, &c->out, link)
		persist_out(c, m->bytes + m->sent, m->len - m->sent, m->event);
	(void)s;
}

int persist_snapshot(struct store *s)
{
	struct persist *p = s->persist;
	char path[XENSTORE_ABS_PATH_MAX + 1];
	struct domain *d;
	int r = -ENOMEM;

	p->len = 0;
	p->failed = false;
	begin(s, REC_EMPTY);
	for (struct node *n = s->db.root; n; n = db_next(n, s->db.root)) {
		db_path(n, path, sizeof(path));
		persist_node(s, path, n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(s->db.special); i++)
		persist_node(s, s->db.special[i]->name, s->db.special[i]);
	LIST_FOREACH(d, &s->domains, link) {
		persist_domain(s, d);
		put_conn(s, d);
	}
	if (!p->failed)
		r = journal_replace(p->journal, p->buf, p->len);
	p->len = 0;
	/* Not written: what follows would build on a missing state. */
	p->failed = r < 0;
	return r;
}

void persist_start(struct store *s, struct journal *j)
{
	s->persist->journal = j;
}

void persist_want_snapshot(struct store *s)
{
	s->persist->want_snapshot = true;
}

void persist_commit(struct store *s)
{
	struct persist *p = s->persist;
	int r = -ENOMEM;

	if (!p || (p->len == 0 && !p->failed))
		return;
	if (!p->failed)
		r = journal_append(p->journal, p->buf, p->len);
	p->len = 0;
	if (r < 0 || p->want_snapshot || journal_is_long(p->journal))
		r = persist_snapshot(s);
	p->want_snapshot = false;
	if (r < 0 && !p->complained)
		bh_log_errno(
			BH_ERR, r,
			"state cannot be recorded; a crash now would lose it (is /run full?)");
	if (r == 0 && p->complained)
		bh_log(BH_NOTICE, "state is recorded again");
	p->complained = r < 0;
}

/* ---- putting back ------------------------------------------------------ */

struct reader {
	const uint8_t *p, *end;
	bool bad;
};

static void take(struct reader *rd, void *to, size_t len)
{
	if ((size_t)(rd->end - rd->p) < len) {
		rd->bad = true;
		memset(to, 0, len);
		return;
	}
	memcpy(to, rd->p, len);
	rd->p += len;
}

#define take_int(rd, type)                           \
	({                                           \
		type take_v;                         \
		take((rd), &take_v, sizeof(take_v)); \
		take_v;                              \
	})

static const uint8_t *take_blob(struct reader *rd, size_t *ret_len)
{
	uint32_t len = take_int(rd, uint32_t);
	const uint8_t *p = rd->p;

	if ((size_t)(rd->end - rd->p) < len) {
		rd->bad = true;
		len = 0;
	}
	rd->p += len;
	*ret_len = len;
	return p;
}

static void take_str(struct reader *rd, char *buf, size_t size)
{
	size_t len;
	const uint8_t *p = take_blob(rd, &len);

	if (len >= size) {
		rd->bad = true;
		len = 0;
	}
	memcpy(buf, p, len);
	buf[len] = '\0';
}

static struct conn *take_conn(struct store *s, struct reader *rd)
{
	struct domain *d = store_domain(s, take_int(rd, uint16_t));

	if (!d || !d->conn)
		rd->bad = true;
	return rd->bad ? NULL : d->conn;
}

static int back_node(struct store *s, struct reader *rd)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	_cleanup_perms_ struct perms *perms = NULL;
	struct perm list[256];
	const uint8_t *data;
	uint16_t n;
	size_t len;

	take_str(rd, path, sizeof(path));
	n = take_int(rd, uint16_t);
	if (n == 0 || n > ARRAY_SIZE(list))
		return -EBADMSG;
	for (unsigned int i = 0; i < n; i++) {
		list[i].domid = take_int(rd, uint16_t);
		list[i].access = take_int(rd, uint8_t);
		if (list[i].domid >= DB_DOMIDS)
			return -EBADMSG;
	}
	data = take_blob(rd, &len);
	if (rd->bad)
		return -EBADMSG;
	perms = perms_new(list, n);
	if (!perms)
		return -ENOMEM;
	return db_set(&s->db, path, data, len, perms, NULL);
}

static int back_rm(struct store *s, struct reader *rd)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	struct node *n;

	take_str(rd, path, sizeof(path));
	n = rd->bad ? NULL : db_lookup(&s->db, path);
	if (!n || !n->parent)
		return -EBADMSG;
	db_rm(&s->db, n);
	return 0;
}

static int back_domain(struct store *s, struct reader *rd)
{
	uint16_t domid = take_int(rd, uint16_t);
	struct domain *d = store_domain(s, domid);
	uint8_t flags;

	if (rd->bad || domid >= DB_DOMIDS)
		return -EBADMSG;
	if (!d) {
		int r = domain_new(s, domid, &d);

		if (r < 0)
			return r;
	}
	d->target = take_int(rd, uint16_t);
	d->frame = take_int(rd, uint64_t);
	d->port = take_int(rd, uint32_t);
	flags = take_int(rd, uint8_t);
	d->shutdown = flags & 1;
	d->broken = flags & 2;
	return 0;
}

static int back_watch(struct store *s, struct reader *rd, bool add)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	char token[XENSTORE_PAYLOAD_MAX + 1];
	struct conn *c = take_conn(s, rd);
	uint16_t home = 0;
	int depth = -1;

	if (add) {
		home = take_int(rd, uint16_t);
		depth = take_int(rd, int32_t);
	}
	take_str(rd, path, sizeof(path));
	take_str(rd, token, sizeof(token));
	if (rd->bad)
		return -EBADMSG;
	return add ? watch_add(c, path, home, token, depth)
		   : watch_rm(c, path, token);
}

static int back_tx(struct store *s, struct reader *rd, bool add)
{
	struct conn *c = take_conn(s, rd);
	uint32_t id = take_int(rd, uint32_t);
	struct tx *tx;
	int r;

	if (rd->bad || id == 0)
		return -EBADMSG;
	if (!add) {
		tx_free(tx_find(c, id));
		return 0;
	}
	r = tx_new(c, id, &tx);
	if (r == 0)
		tx->doomed = true;
	return r;
}

static int back_ring(struct store *s, struct reader *rd)
{
	struct conn *c = take_conn(s, rd);
	uint32_t cons = take_int(rd, uint32_t);
	uint32_t prod = take_int(rd, uint32_t);
	bool resync = take_int(rd, uint8_t);
	const uint8_t *in;
	size_t len;

	in = take_blob(rd, &len);
	if (rd->bad || len > sizeof(c->in.bytes))
		return -EBADMSG;
	/* Bytes handed over since the last record need not be kept. */
	if (prod - c->ring.prod <= c->out_bytes)
		conn_sent(c, prod - c->ring.prod);
	c->ring.cons = cons;
	c->ring.prod = prod;
	c->resync = resync;
	memcpy(c->in.bytes, in, len);
	c->in_len = (uint32_t)len;
	return 0;
}

static int back_out(struct store *s, struct reader *rd)
{
	struct conn *c = take_conn(s, rd);
	bool event = take_int(rd, uint8_t);
	const uint8_t *bytes;
	size_t len;

	bytes = take_blob(rd, &len);
	if (rd->bad)
		return -EBADMSG;
	return conn_restore_out(c, bytes, len, event);
}

static int back_empty(struct store *s)
{
	struct node *child;

	while ((child = TAILQ_FIRST(&s->db.root->children)))
		db_rm(&s->db, child);
	return 0;
}

int persist_replay(void *store, const uint8_t *batch, size_t len)
{
	struct reader rd = { .p = batch, .end = batch + len };
	struct store *s = store;
	struct conn *c;
	uint16_t domid;
	int r = 0;

	while (r == 0 && rd.p < rd.end) {
		switch (take_int(&rd, uint8_t)) {
		case REC_NODE:
			r = back_node(s, &rd);
			break;
		case REC_RM:
			r = back_rm(s, &rd);
			break;
		case REC_DOMAIN:
			r = back_domain(s, &rd);
			break;
		case REC_DOMAIN_GONE:
			domid = take_int(&rd, uint16_t);
			if (domid == 0 || domid >= DB_DOMIDS)
				return -EBADMSG;
			domain_forget(s, domid);
			store_drop_domain_nodes(s, domid, false);
			break;
		case REC_WATCH:
			r = back_watch(s, &rd, true);
			break;
		case REC_UNWATCH:
			r = back_watch(s, &rd, false);
			break;
		case REC_TX:
			r = back_tx(s, &rd, true);
			break;
		case REC_TX_END:
			r = back_tx(s, &rd, false);
			break;
		case REC_CONN_RESET:
			c = take_conn(s, &rd);
			if (c)
				conn_reset(c);
			break;
		case REC_RING:
			r = back_ring(s, &rd);
			break;
		case REC_OUT:
			r = back_out(s, &rd);
			break;
		case REC_EMPTY:
			r = back_empty(s);
			break;
		default:
			r = -EBADMSG;
		}
		if (r == 0 && rd.bad)
			r = -EBADMSG;
	}
	return r;
}
