/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store as a whole: domains coming and going, limits, and the three ways
 * to change the tree. A change, its record and its events are made in one
 * place so that none can be forgotten.
 */
#include <assert.h>

#include "store/persist.h"

const struct limits default_limits = {
	.nodes = 1000,
	.watches = 128,
	.transactions = 10,
	.tx_nodes = 1024,
	.tx_bytes = 1u << 20,
	.entry_size = 2048,
	.perms = 5,
	.path = XENSTORE_REL_PATH_MAX,
	.events = 1024,
	.output = 16384,
};

#define LIMIT(word, member)                           \
	{                                             \
		word, offsetof(struct limits, member) \
	}
static const struct {
	const char *name;
	size_t offset;
} limit_table[] = {
	LIMIT("nodes", nodes),
	LIMIT("watches", watches),
	LIMIT("transactions", transactions),
	LIMIT("transaction-nodes", tx_nodes),
	LIMIT("transaction-memory", tx_bytes),
	LIMIT("entry-size", entry_size),
	LIMIT("permissions", perms),
	LIMIT("path-length", path),
	LIMIT("events", events),
	LIMIT("output", output),
};

const char *limits_name(unsigned int i)
{
	return i < ARRAY_SIZE(limit_table) ? limit_table[i].name : NULL;
}

unsigned int *limits_find(struct limits *l, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(limit_table); i++)
		if (streq(limit_table[i].name, name))
			return (unsigned int *)(void *)((char *)l +
							limit_table[i].offset);
	return NULL;
}

/* ---- permissions ------------------------------------------------------- */

unsigned int perms_for(const struct conn *c, const struct perms *perms)
{
	unsigned int target = c->domain ? c->domain->target : NO_DOMAIN;

	if (c->privileged || perms->p[0].domid == c->domid ||
	    perms->p[0].domid == target)
		return PERM_READ | PERM_WRITE | PERM_OWNER;
	for (unsigned int i = 1; i < perms->n; i++)
		if (perms->p[i].domid == c->domid ||
		    perms->p[i].domid == target)
			return perms->p[i].access;
	return perms->p[0].access;
}

/* ---- changes ----------------------------------------------------------- */

int store_set(struct store *s, const char *path, const void *data, size_t len,
	      struct perms *perms, bool quiet)
{
	struct node *n = db_lookup(&s->db, path);
	_cleanup_perms_ struct perms *before = NULL;
	int r;

	if (n)
		before = perms_get(n->perms);
	r = db_set(&s->db, path, data, len, perms, &n);
	if (r < 0)
		return r;
	persist_node(s, path, n);
	if (!quiet)
		watch_fire(s, path, n->perms, before,
			   n->parent ? n->parent->perms : NULL);
	return 0;
}

int store_set_perms(struct store *s, struct node *n, struct perms *perms)
{
	_cleanup_perms_ struct perms *before = perms_get(n->perms);
	char path[XENSTORE_ABS_PATH_MAX + 1];

	db_path(n, path, sizeof(path));
	db_set_perms(&s->db, n, perms);
	persist_node(s, path, n);
	if (path[0] == '/')
		watch_fire(s, path, n->perms, before,
			   n->parent ? n->parent->perms : NULL);
	return 0;
}

/* Events for a subtree about to go. */
static void fire_rm(struct store *s, struct node *top)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];

	db_path(top, path, sizeof(path));
	watch_fire(s, path, top->perms, NULL, top->parent->perms);
	for (struct node *n = db_next(top, top); n; n = db_next(n, top)) {
		db_path(n, path, sizeof(path));
		watch_fire_exact(s, path, n->perms, n->parent->perms);
	}
}

int store_rm(struct store *s, struct node *n)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];

	if (!n->parent)
		return -EINVAL;
	db_path(n, path, sizeof(path));
	persist_rm(s, path);
	fire_rm(s, n);
	db_rm(&s->db, n);
	return 0;
}

void store_drop_domain_nodes(struct store *s, uint16_t domid, bool fire)
{
	struct node *root = s->db.root, *next;
	struct node *others[] = { root, s->db.special[0], s->db.special[1] };

	for (struct node *n = db_next(root, root); n; n = next) {
		if (n->perms->p[0].domid == domid) {
			next = db_next_outside(n, root);
			if (fire)
				fire_rm(s, n);
			db_rm(&s->db, n);
			continue;
		}
		next = db_next(n, root);
		if (perms_mention(n->perms, domid)) {
			struct perms *p = perms_without(n->perms, domid);

			if (!p)
				continue;
			db_set_perms(&s->db, n, p);
			perms_put(p);
		}
	}

	/* These stay; if the dead domain owned one it falls to dom0. */
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct perms *p = perms_without(others[i]->perms, domid);

		if (!p)
			continue;
		if (p->p[0].domid == domid)
			p->p[0] = (struct perm){ 0 };
		db_set_perms(&s->db, others[i], p);
		perms_put(p);
	}
}

/* ---- domains ----------------------------------------------------------- */

struct domain *store_domain(struct store *s, uint32_t domid)
{
	return domid < DB_DOMIDS ? s->by_id[domid] : NULL;
}

int domain_new(struct store *s, uint16_t domid, struct domain **ret)
{
	struct domain *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->domid = domid;
	d->target = NO_DOMAIN;
	d->local_port = -1;
	d->conn = conn_new(s, domid, d);
	if (!d->conn) {
		free(d);
		return -ENOMEM;
	}
	LIST_INSERT_HEAD(&s->domains, d, link);
	s->by_id[domid] = d;
	*ret = d;
	return 0;
}

void domain_forget(struct store *s, uint16_t domid)
{
	struct domain *d = store_domain(s, domid);
	struct domain *other;

	if (!d)
		return;
	LIST_FOREACH(other, &s->domains, link)
		if (other->target == domid)
			other->target = NO_DOMAIN;
	conn_free(d->conn);
	LIST_REMOVE(d, link);
	s->by_id[domid] = NULL;
	free(d);
}

int domain_introduce(struct store *s, uint16_t domid, uint64_t frame,
		     uint32_t port)
{
	struct domain *d = store_domain(s, domid);
	bool is_new = !d, resume = false;
	int r;

	if (is_new) {
		r = domain_new(s, domid, &d);
		if (r < 0)
			return r;
	} else {
		/* Bound anew: the same ring goes on where it was. */
		resume = !d->broken && d->frame == frame;
		s->host->detach(s, d);
		if (!resume)
			conn_reset(d->conn);
	}
	d->frame = frame;
	d->port = port;
	d->broken = false;
	r = s->host->attach(s, d, resume);
	if (r < 0) {
		if (is_new)
			domain_forget(s, domid);
		else
			d->broken = true;
		return r;
	}
	persist_domain(s, d);
	persist_ring(d->conn);
	if (is_new)
		watch_fire_special(s, "@introduceDomain", domid);
	conn_wake(d->conn);
	return 0;
}

void domain_gone(struct store *s, struct domain *d)
{
	uint16_t domid = d->domid;

	s->host->detach(s, d);
	domain_forget(s, domid);
	persist_domain_gone(s, domid);
	store_drop_domain_nodes(s, domid, true);
	watch_fire_special(s, "@releaseDomain", domid);
}

void domain_set_shutdown(struct store *s, struct domain *d, bool shutdown)
{
	if (d->shutdown == shutdown)
		return;
	d->shutdown = shutdown;
	persist_domain(s, d);
	if (shutdown)
		watch_fire_special(s, "@releaseDomain", d->domid);
}

void domain_break(struct store *s, struct domain *d, uint32_t ring_error)
{
	if (d->broken)
		return;
	bh_log(BH_WARNING,
	       "domain %u damaged its store ring (%s); ignoring it until it is introduced again",
	       d->domid,
	       ring_error == XENSTORE_ERROR_RINGIDX ? "bad index"
	       : ring_error == XENSTORE_ERROR_PROTO ? "bad message"
						    : "no memory");
	if (d->conn->ring.page)
		__atomic_store_n(&d->conn->ring.page->error, ring_error,
				 __ATOMIC_RELEASE);
	conn_reset(d->conn);
	d->broken = true;
	d->conn->dead = false;
	d->conn->ring.kick = true;
	persist_domain(s, d);
}

/* ---- turns ------------------------------------------------------------- */

#define REQUESTS_A_TURN   8 /* of one client, while others wait */
#define TURN_US           500
#define PRIVILEGED_OUTPUT (4u << 20)

static bool has_room(const struct conn *c)
{
	return c->out_bytes <=
	       (c->privileged ? PRIVILEGED_OUTPUT : c->store->limits.output);
}

/* Some requests of c. True if there may be more. */
static bool work(struct conn *c)
{
	uint64_t start = bh_now_us();

	for (int i = 0; i < REQUESTS_A_TURN; i++) {
		int r;

		/* A guest may choose requests that take long. */
		if (i > 0 && bh_now_us() - start > TURN_US)
			return true;

		if (c->dead || !has_room(c)) {
			c->throttled = !c->dead;
			return false;
		}
		r = c->ops->read(c);
		if (r < 0)
			c->ops->close(c, r);
		if (r <= 0)
			return false;
		conn_handle(c);
		persist_ring(c);
	}
	return true;
}

static struct conn *pop(struct conn_queue *q)
{
	struct conn *c = TAILQ_FIRST(q);

	if (c) {
		TAILQ_REMOVE(q, c, turn);
		c->queue = NULL;
	}
	return c;
}

static void take_ready(struct store *s)
{
	struct conn *c;

	TAILQ_FOREACH(c, &s->ready, turn)
		c->queue = &s->batch;
	TAILQ_CONCAT(&s->batch, &s->ready, turn);
}

/* Everything that happened is on record: let the answers out. */
static void let_out(struct conn *c)
{
	int r = c->dead ? -ENOMEM : c->ops->flush(c);

	if (r < 0) {
		c->ops->close(c, r);
		return;
	}
	if (c->throttled && has_room(c)) {
		c->throttled = false;
		conn_wake(c);
	}
	if (conn_resync(c))
		conn_wake(c);
}

bool store_turn(struct store *s)
{
	struct conn *c;

	take_ready(s);
	while ((c = pop(&s->batch))) {
		bool busy;

		/* conn_free() clears current: then it closed in its turn. */
		s->current = c;
		busy = work(c);
		if (s->current) {
			c->busy = busy;
			conn_wake(c); /* to be flushed below */
		}
	}
	s->current = NULL;

	persist_commit(s);

	take_ready(s);
	while ((c = pop(&s->batch))) {
		bool busy = c->busy;

		s->current = c;
		c->busy = false;
		let_out(c);
		if (s->current && busy)
			conn_wake(c);
	}
	s->current = NULL;
	return !TAILQ_EMPTY(&s->ready);
}

/* ---- the whole --------------------------------------------------------- */

int store_init(struct store *s, const struct store_host *host,
	       uint64_t first_gen)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->limits = default_limits;
	s->host = host;
	LIST_INIT(&s->domains);
	LIST_INIT(&s->conns);
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->batch);
	for (size_t i = 0; i < WATCH_BUCKETS; i++)
		LIST_INIT(&s->watches[i]);
	s->by_id = calloc(DB_DOMIDS, sizeof(struct domain *));
	if (!s->by_id)
		return -ENOMEM;
	r = db_init(&s->db, first_gen);
	if (r < 0) {
		free(s->by_id);
		s->by_id = NULL;
	}
	return r;
}

void store_done(struct store *s)
{
	struct conn *c;

	if (!s->by_id)
		return;
	while (!LIST_EMPTY(&s->domains))
		domain_forget(s, LIST_FIRST(&s->domains)->domid);
	while ((c = LIST_FIRST(&s->conns)))
		conn_free(c);
	db_done(&s->db);
	free(s->by_id);
	s->by_id = NULL;
}
