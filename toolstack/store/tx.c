/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions: see tx.h. */
#include <assert.h>

#include "store/hash.h"
#include "store/persist.h"
#include "store/tx.h"

#define TX_BUCKETS 64

/* ---- the overlay ------------------------------------------------------- */

static struct txnode *find_hashed(struct tx *tx, const char *path, size_t len,
				  uint32_t hash)
{
	struct txnode *t;

	for (t = tx->bucket[hash % TX_BUCKETS]; t; t = t->hash_next)
		if (t->hash == hash && strncmp(t->path, path, len) == 0 &&
		    t->path[len] == '\0')
			return t;
	return NULL;
}

static struct txnode *find(struct tx *tx, const char *path, size_t len)
{
	return find_hashed(tx, path, len, hash_path(path, len));
}

static void charge(struct tx *tx, size_t n)
{
	tx->bytes += n;
	tx->conn->tx_bytes += n;
}

static void discharge(struct tx *tx, size_t n)
{
	tx->bytes -= n;
	tx->conn->tx_bytes -= n;
}

/* A path need not exist to be remembered, nor a value still be in the tree. */
static bool is_full(const struct req *q)
{
	return !q->c->privileged && q->c->tx_bytes >= q->s->limits.tx_bytes;
}

static struct txnode *find_or_add(struct tx *tx, const char *path)
{
	size_t len = strlen(path);
	struct txnode *t = find(tx, path, len);

	if (t)
		return t;
	t = calloc(1, sizeof(*t) + len + 1);
	if (!t)
		return NULL;
	memcpy(t->path, path, len + 1);
	t->hash = hash_path(path, len);
	t->hash_next = tx->bucket[t->hash % TX_BUCKETS];
	tx->bucket[t->hash % TX_BUCKETS] = t;
	TAILQ_INSERT_TAIL(&tx->nodes, t, order);
	tx->nr_nodes++;
	charge(tx, sizeof(*t) + len + 1);
	return t;
}

static void txnode_clear(struct tx *tx, struct txnode *t)
{
	if (t->value)
		discharge(tx, t->value->len);
	value_put(t->value);
	t->value = NULL;
	perms_put(t->perms);
	t->perms = NULL;
}

/* Remembers what was seen of a node the first time it was looked at. */
static int touch(struct req *q, const char *path, struct node *base,
		 unsigned int checks)
{
	struct tx *tx = q->tx;
	struct txnode *t;

	if ((is_full(q) ||
	     (!q->c->privileged && tx->nr_nodes >= q->s->limits.tx_nodes)) &&
	    !find(tx, path, strlen(path)))
		return -ENOSPC;
	t = find_or_add(tx, path);
	if (!t)
		return -ENOMEM;
	checks &= ~(unsigned int)t->checks;
	if (checks & CHECK_GEN)
		t->gen = base ? base->gen : 0;
	if (checks & CHECK_GEN && !t->written) {
		t->exists = base != NULL;
		if (base) {
			t->value = value_get(base->value);
			t->perms = perms_get(base->perms);
			if (t->value)
				charge(tx, t->value->len);
		}
	}
	if (checks & CHECK_CHILDREN)
		t->cgen = base ? base->cgen : 0;
	if (checks & CHECK_EXISTS)
		t->birth = base ? base->birth : 0;
	t->checks |= (uint8_t)checks;
	return 0;
}

/* ---- life -------------------------------------------------------------- */

struct tx *tx_find(struct conn *c, uint32_t id)
{
	struct tx *tx;

	TAILQ_FOREACH(tx, &c->txs, link)
		if (tx->id == id)
			return tx;
	return NULL;
}

int tx_new(struct conn *c, uint32_t id, struct tx **ret)
{
	struct tx *tx = calloc(1, sizeof(*tx));

	if (tx)
		tx->bucket = calloc(TX_BUCKETS, sizeof(*tx->bucket));
	if (!tx || !tx->bucket) {
		free(tx);
		return -ENOMEM;
	}
	while (id == 0) {
		c->next_tx++;
		if (c->next_tx && !tx_find(c, c->next_tx))
			id = c->next_tx;
	}
	tx->id = id;
	tx->conn = c;
	TAILQ_INIT(&tx->nodes);
	TAILQ_INSERT_TAIL(&c->txs, tx, link);
	c->nr_txs++;
	*ret = tx;
	return 0;
}

void tx_free(struct tx *tx)
{
	struct txnode *t;

	if (!tx)
		return;
	while ((t = TAILQ_FIRST(&tx->nodes))) {
		TAILQ_REMOVE(&tx->nodes, t, order);
		txnode_clear(tx, t);
		free(t);
	}
	tx->conn->tx_bytes -= tx->bytes;
	TAILQ_REMOVE(&tx->conn->txs, tx, link);
	tx->conn->nr_txs--;
	free(tx->bucket);
	free(tx);
}

void tx_free_all(struct conn *c)
{
	struct tx *tx;

	while ((tx = TAILQ_FIRST(&c->txs)))
		tx_free(tx);
}

/* ---- committing -------------------------------------------------------- */

static bool still_true(struct store *s, const struct txnode *t)
{
	struct node *n = db_lookup(&s->db, t->path);

	if (t->checks & CHECK_GEN && t->gen != (n ? n->gen : 0))
		return false;
	if (t->checks & CHECK_CHILDREN && t->cgen != (n ? n->cgen : 0))
		return false;
	if (t->checks & CHECK_EXISTS && t->birth != (n ? n->birth : 0))
		return false;
	return true;
}

static int apply(struct store *s, struct txnode *t)
{
	struct node *n = db_lookup(&s->db, t->path);
	int r = 0;

	if (n && (!t->exists || t->opaque)) {
		r = store_rm(s, n);
		n = NULL;
	}
	if (r < 0 || !t->exists)
		return r;
	return store_set(s, t->path, t->value ? t->value->bytes : NULL,
			 t->value ? t->value->len : 0, t->perms, t->quiet);
}

int tx_commit(struct tx *tx)
{
	struct conn *c = tx->conn;
	struct store *s = c->store;
	size_t created = 0;
	struct txnode *t;

	if (tx->doomed)
		return -EAGAIN;
	TAILQ_FOREACH(t, &tx->nodes, order) {
		if (!still_true(s, t)) {
			s->nr_conflicts++;
			return -EAGAIN;
		}
		if (t->written && t->exists && !db_lookup(&s->db, t->path))
			created++;
	}
	/* Several transactions together must not exceed what each may. */
	if (!c->privileged && created > 0 &&
	    s->db.owned[c->domid] + created > s->limits.nodes)
		return -ENOSPC;

	TAILQ_FOREACH(t, &tx->nodes, order) {
		int r = t->written ? apply(s, t) : 0;

		/* Only memory can run out here; the client learns of it. */
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the view ---------------------------------------------------------- */

/* The node of one prefix of the path: overlay first, then the tree. */
static bool step(struct req *q, const char *path, size_t len, uint64_t hash,
		 struct node *base, struct vnode *v, bool *hide)
{
	struct txnode *t = NULL;

	if (q->tx)
		t = find_hashed(q->tx, path, len, hash_end(hash));
	if (t && t->written) {
		if (!t->exists || t->opaque)
			*hide = true;
		v->base = *hide ? NULL : base;
		if (!t->exists)
			return false;
		v->value = t->value;
		v->perms = t->perms;
		return true;
	}
	v->base = *hide ? NULL : base;
	if (t && t->checks & CHECK_GEN && !*hide) {
		/* Read before: as it was then. */
		v->value = t->value;
		v->perms = t->perms;
		return t->exists;
	}
	if (!v->base)
		return false;
	v->value = base->value;
	v->perms = base->perms;
	return true;
}

static void lookup(struct req *q, const char *path, struct vnode *v)
{
	struct db *db = &q->s->db;
	size_t total = strlen(path), at = 0;
	struct node *base = db->root;
	bool hide = false;
	uint64_t h;

	memset(v, 0, sizeof(*v));
	if (path[0] == '@') {
		v->base = db_lookup(db, path);
		v->exists = v->base != NULL;
		if (v->exists)
			v->perms = v->base->perms;
		v->nearest = total;
		return;
	}

	h = hash_more(HASH_START, "/", 1);
	v->exists = step(q, "/", 1, h, base, v, &hide);
	v->nearest = 1;
	while (v->exists && total > 1 && at < total) {
		const char *name = path + at + 1;
		const char *slash = strchr(name, '/');
		size_t end = slash ? (size_t)(slash - path) : total;

		if (base)
			base = db_child(db, base, name, end - at - 1);
		/* With the slash before it, which for the first is the root. */
		h = at == 0 ? hash_more(h, name, end - 1)
			    : hash_more(h, path + at, end - at);
		v->exists = step(q, path, end, h, base, v, &hide);
		if (v->exists)
			v->nearest = end;
		at = end;
	}
	v->hidden = hide;
}

int view_get(struct req *q, const char *path, unsigned int checks,
	     struct vnode *ret)
{
	lookup(q, path, ret);
	/* What this transaction itself removed cannot be disturbed. */
	if (!q->tx || ret->hidden || path[0] == '@')
		return 0;
	return touch(q, path, ret->base, checks);
}

static int tx_set(struct req *q, const char *path, struct value *value,
		  struct perms *perms, const struct vnode *v, bool quiet)
{
	struct tx *tx = q->tx;
	struct txnode *t = find_or_add(tx, path);

	if (!t)
		return -ENOMEM;
	value_get(value); /* these may be t's own */
	perms_get(perms);
	txnode_clear(tx, t);
	t->value = value;
	t->perms = perms;
	if (value)
		charge(tx, value->len);
	if (!v->exists) {
		/* Made (again): behind its parent in the order. */
		TAILQ_REMOVE(&tx->nodes, t, order);
		TAILQ_INSERT_TAIL(&tx->nodes, t, order);
		t->opaque = t->written && !t->exists;
		tx->nr_created++;
	}
	t->quiet = quiet;
	t->written = true;
	t->exists = true;
	return 0;
}

int view_set(struct req *q, const char *path, const void *data, size_t len,
	     struct perms *perms, bool quiet)
{
	struct value *value;
	struct vnode v;
	int r;

	if (!q->tx)
		return store_set(q->s, path, data, len, perms, quiet);

	if (is_full(q))
		return -ENOSPC;
	r = view_get(q, path, CHECK_GEN, &v);
	if (r < 0)
		return r;
	if (!v.exists) {
		char parent[XENSTORE_ABS_PATH_MAX + 1];
		struct vnode p;

		/* The parent has to be there when this is committed. */
		memcpy(parent, path, v.nearest);
		parent[v.nearest] = '\0';
		r = view_get(q, parent, CHECK_EXISTS, &p);
		if (r < 0)
			return r;
		assert(p.exists);
	}
	r = value_new(data, len, &value);
	if (r < 0)
		return r;
	r = tx_set(q, path, value, perms, &v, quiet);
	value_put(value); /* the overlay has its own reference */
	return r;
}

int view_set_perms(struct req *q, const char *path, struct perms *perms)
{
	struct vnode v;

	if (!q->tx || path[0] == '@') {
		struct node *n = db_lookup(&q->s->db, path);

		return n ? store_set_perms(q->s, n, perms) : -ENOENT;
	}
	lookup(q, path, &v);
	return v.exists ? tx_set(q, path, v.value, perms, &v, false) : -ENOENT;
}

/* True if path is inside (or is, with same) dir. */
static bool below(const char *path, const char *dir, bool same)
{
	size_t len = strlen(dir);

	if (strncmp(path, dir, len) != 0)
		return false;
	return path[len] == '/' || (same && path[len] == '\0');
}

int view_rm(struct req *q, const char *path)
{
	struct txnode *t;

	if (!q->tx) {
		struct node *n = db_lookup(&q->s->db, path);

		return n ? store_rm(q->s, n) : -ENOENT;
	}

	/* What the overlay has below goes with it: only its checks stay. */
	TAILQ_FOREACH(t, &q->tx->nodes, order) {
		if (t->written && below(t->path, path, false)) {
			/* Hidden by the removal, it is not looked at again. */
			txnode_clear(q->tx, t);
			t->written = t->exists = t->opaque = false;
		}
	}
	t = find_or_add(q->tx, path);
	if (!t)
		return -ENOMEM;
	txnode_clear(q->tx, t);
	t->written = true;
	t->exists = t->opaque = false;
	return 0;
}

static int append_name(char **list, size_t *alloc, size_t *len,
		       const char *name)
{
	size_t n = strlen(name) + 1;
	int r = bh_grow(list, alloc, *len + n, 1);

	if (r < 0)
		return r;
	memcpy(*list + *len, name, n);
	*len += n;
	return 0;
}

/* A direct child of path that the overlay made, or NULL. */
static const char *made_child(const struct txnode *t, const char *path)
{
	const char *name;

	if (!t->written || !t->exists)
		return NULL;
	if (streq(path, "/"))
		path = "";
	if (!below(t->path, path, false))
		return NULL;
	name = t->path + strlen(path) + 1;
	return *name && !strchr(name, '/') ? name : NULL;
}

int view_children(struct req *q, const char *path, char **ret, size_t *ret_len,
		  uint64_t *ret_gen)
{
	_cleanup_free_ char *list = NULL;
	size_t len = 0, alloc = 0;
	struct txnode *t;
	struct node *n;
	struct vnode v;
	int r;

	r = view_get(q, path, CHECK_GEN | CHECK_CHILDREN, &v);
	if (r < 0)
		return r;
	if (!v.exists)
		return -ENOENT;

	if (v.base) {
		char child[XENSTORE_ABS_PATH_MAX + 1];

		TAILQ_FOREACH(n, &v.base->children, sibling) {
			if (q->tx) {
				size_t l = db_path(n, child, sizeof(child));

				t = find(q->tx, child, l);
				/* Written ones are listed below, once. */
				if (t && t->written &&
				    (!t->exists || t->opaque))
					continue;
			}
			r = append_name(&list, &alloc, &len, n->name);
			if (r < 0)
				return r;
		}
	}
	if (q->tx) {
		TAILQ_FOREACH(t, &q->tx->nodes, order) {
			const char *name = made_child(t, path);

			if (!name)
				continue;
			if (v.base && !t->opaque &&
			    db_child(&q->s->db, v.base, name, strlen(name)))
				continue; /* listed above */
			r = append_name(&list, &alloc, &len, name);
			if (r < 0)
				return r;
		}
	}
	*ret = TAKE_PTR(list);
	*ret_len = len;
	*ret_gen = v.base ? v.base->cgen : 0;
	return 0;
}
