/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of nodes: see db.h.
 *
 * One hash table for all nodes, keyed by (parent, name). Names come from
 * guests, so the hash is seeded; and since quotas bound how many nodes a guest
 * can make, the longest chain it could force is bounded as well.
 */
#include <assert.h>
#include <stdint.h>
#include <sys/random.h>
#include <xen/io/xs_wire.h>

#include "db.h"

#define FIRST_BUCKETS 1024

/* ---- permissions ------------------------------------------------------- */

struct perms *perms_new(const struct perm *p, size_t n)
{
	struct perms *perms;

	assert(n > 0);
	perms = malloc(sizeof(*perms) + n * sizeof(*p));
	if (!perms)
		return NULL;
	perms->refs = 1;
	perms->n = (unsigned int)n;
	memcpy(perms->p, p, n * sizeof(*p));
	return perms;
}

struct perms *perms_get(struct perms *perms)
{
	perms->refs++;
	return perms;
}

void perms_put(struct perms *perms)
{
	if (perms && --perms->refs == 0)
		free(perms);
}

struct perms *perms_with_owner(struct perms *perms, uint16_t domid)
{
	struct perms *copy;

	if (perms->p[0].domid == domid)
		return perms_get(perms);
	copy = perms_new(perms->p, perms->n);
	if (copy)
		copy->p[0].domid = domid;
	return copy;
}

struct perms *perms_without(struct perms *perms, uint16_t domid)
{
	struct perms *copy = perms_new(perms->p, perms->n);
	unsigned int n = 1;

	if (!copy)
		return NULL;
	for (unsigned int i = 1; i < perms->n; i++)
		if (perms->p[i].domid != domid)
			copy->p[n++] = perms->p[i];
	copy->n = n;
	return copy;
}

bool perms_mention(const struct perms *perms, uint16_t domid)
{
	for (unsigned int i = 1; i < perms->n; i++)
		if (perms->p[i].domid == domid)
			return true;
	return false;
}

/* ---- values ------------------------------------------------------------ */

int value_new(const void *data, size_t len, struct value **ret)
{
	struct value *v = NULL;

	if (len > 0) {
		v = malloc(sizeof(*v) + len);
		if (!v)
			return -ENOMEM;
		v->refs = 1;
		v->len = (uint32_t)len;
		memcpy(v->bytes, data, len);
	}
	*ret = v;
	return 0;
}

struct value *value_get(struct value *v)
{
	if (v)
		v->refs++;
	return v;
}

void value_put(struct value *v)
{
	if (v && --v->refs == 0)
		free(v);
}

/* ---- hashing ----------------------------------------------------------- */

static uint32_t hash_name(const struct db *db, const struct node *parent,
			  const char *name, size_t len)
{
	uint64_t h = db->seed ^ (uintptr_t)parent;

	h *= 0x9e3779b97f4a7c15ull;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static struct node **bucket_of(struct db *db, uint32_t hash)
{
	return &db->bucket[hash & (db->nr_buckets - 1)];
}

static void rehash(struct db *db)
{
	size_t n = db->nr_buckets * 2;
	struct node **bucket = calloc(n, sizeof(*bucket));

	if (!bucket)
		return; /* slower, not wrong */
	for (size_t i = 0; i < db->nr_buckets; i++) {
		struct node *next;

		for (struct node *p = db->bucket[i]; p; p = next) {
			next = p->hash_next;
			p->hash_next = bucket[p->hash & (n - 1)];
			bucket[p->hash & (n - 1)] = p;
		}
	}
	free(db->bucket);
	db->bucket = bucket;
	db->nr_buckets = n;
}

struct node *db_child(struct db *db, struct node *parent, const char *name,
		      size_t len)
{
	uint32_t hash = hash_name(db, parent, name, len);
	struct node *n = *bucket_of(db, hash);

	while (n && (n->hash != hash || n->parent != parent ||
		     n->name_len != len || memcmp(n->name, name, len) != 0))
		n = n->hash_next;
	return n;
}

static struct node **special_slot(struct db *db, const char *path)
{
	if (streq(path, "@introduceDomain"))
		return &db->special[0];
	if (streq(path, "@releaseDomain"))
		return &db->special[1];
	return NULL;
}

/* Walks len bytes of path; NULL where a component is missing. */
static struct node *walk(struct db *db, const char *path, size_t len)
{
	const char *end = path + len;
	struct node *n = db->root;

	while (n && path < end) {
		const char *name = path + 1; /* behind the slash */
		const char *slash = memchr(name, '/', (size_t)(end - name));
		size_t l = (size_t)((slash ? slash : end) - name);

		if (l == 0)
			break; /* "/" itself */
		n = db_child(db, n, name, l);
		path = name + l;
	}
	return n;
}

struct node *db_lookup(struct db *db, const char *path)
{
	if (path[0] == '@') {
		struct node **slot = special_slot(db, path);

		return slot ? *slot : NULL;
	}
	return walk(db, path, strlen(path));
}

/* ---- making and removing ----------------------------------------------- */

static struct node *node_new(struct db *db, struct node *parent,
			     const char *name, size_t len, struct perms *perms)
{
	struct node *n = calloc(1, sizeof(*n) + len + 1);

	if (!n)
		return NULL;
	n->parent = parent;
	n->name_len = (uint32_t)len;
	memcpy(n->name, name, len);
	TAILQ_INIT(&n->children);
	n->birth = n->gen = n->cgen = db->next_gen++;
	n->perms = perms_get(perms);
	db->nr_nodes++;
	db->owned[perms->p[0].domid]++;
	return n;
}

static void node_link(struct db *db, struct node *n)
{
	struct node **bucket;

	if (db->nr_nodes > db->nr_buckets)
		rehash(db);
	n->hash = hash_name(db, n->parent, n->name, n->name_len);
	bucket = bucket_of(db, n->hash);
	n->hash_next = *bucket;
	*bucket = n;
	TAILQ_INSERT_TAIL(&n->parent->children, n, sibling);
	n->parent->cgen = db->next_gen++;
}

static void node_free(struct db *db, struct node *n)
{
	if (!n)
		return;
	if (n->parent) {
		struct node **p = bucket_of(db, n->hash);

		while (*p != n)
			p = &(*p)->hash_next;
		*p = n->hash_next;
		TAILQ_REMOVE(&n->parent->children, n, sibling);
	}
	db->owned[n->perms->p[0].domid]--;
	db->nr_nodes--;
	perms_put(n->perms);
	value_put(n->value);
	free(n);
}

void db_rm(struct db *db, struct node *n)
{
	struct node *parent = n->parent;
	struct node *at = n;

	assert(parent);
	/* From the leaves up, without recursion: depth is the guest's. */
	for (;;) {
		struct node *up;

		while (!TAILQ_EMPTY(&at->children))
			at = TAILQ_FIRST(&at->children);
		up = at->parent;
		node_free(db, at);
		if (at == n)
			break;
		at = up;
	}
	parent->cgen = db->next_gen++;
}

static int node_set_data(struct node *n, const void *data, size_t len)
{
	struct value *v;
	int r = value_new(data, len, &v);

	if (r < 0)
		return r;
	value_put(n->value);
	n->value = v;
	return 0;
}

static int create(struct db *db, const char *path, const void *data, size_t len,
		  struct perms *perms, struct node **ret)
{
	const char *name = strrchr(path, '/');
	struct node *parent, *n;
	int r;

	if (!name || !name[1])
		return -EINVAL;
	parent = walk(db, path, (size_t)(name - path));
	if (!parent)
		return -ENOENT;
	name++;
	n = node_new(db, parent, name, strlen(name), perms);
	if (!n)
		return -ENOMEM;
	r = node_set_data(n, data, len);
	if (r < 0) {
		n->parent = NULL; /* not linked yet */
		node_free(db, n);
		return r;
	}
	node_link(db, n);
	*ret = n;
	return 0;
}

int db_set(struct db *db, const char *path, const void *data, size_t len,
	   struct perms *perms, struct node **ret)
{
	struct node *n = db_lookup(db, path);
	int r;

	if (!n) {
		r = create(db, path, data, len, perms, &n);
	} else {
		r = node_set_data(n, data, len);
		if (r == 0)
			db_set_perms(db, n, perms);
	}
	if (r == 0 && ret)
		*ret = n;
	return r;
}

void db_set_perms(struct db *db, struct node *n, struct perms *perms)
{
	struct perms *old = n->perms;

	db->owned[old->p[0].domid]--;
	db->owned[perms->p[0].domid]++;
	n->perms = perms_get(perms);
	perms_put(old);
	n->gen = db->next_gen++;
}

/* ---- the whole --------------------------------------------------------- */

int db_init(struct db *db, uint64_t first_gen)
{
	static const char *const specials[] = { "@introduceDomain",
						"@releaseDomain" };
	struct perm dom0_only = { .domid = 0, .access = 0 };
	_cleanup_perms_ struct perms *perms = perms_new(&dom0_only, 1);

	memset(db, 0, sizeof(*db));
	db->next_gen = MAX(first_gen, (uint64_t)1); /* 0 means: missing */
	if (getrandom(&db->seed, sizeof(db->seed), GRND_NONBLOCK) < 0)
		db->seed = (uint32_t)first_gen;
	db->nr_buckets = FIRST_BUCKETS;
	db->bucket = calloc(db->nr_buckets, sizeof(*db->bucket));
	db->owned = calloc(DB_DOMIDS, sizeof(*db->owned));
	if (!perms || !db->bucket || !db->owned)
		goto fail;

	db->root = node_new(db, NULL, "", 0, perms);
	if (!db->root)
		goto fail;
	for (size_t i = 0; i < 2; i++) {
		db->special[i] = node_new(db, NULL, specials[i],
					  strlen(specials[i]), perms);
		if (!db->special[i])
			goto fail;
	}
	return 0;
fail:
	db_done(db);
	return -ENOMEM;
}

void db_done(struct db *db)
{
	while (db->root && !TAILQ_EMPTY(&db->root->children))
		db_rm(db, TAILQ_FIRST(&db->root->children));
	node_free(db, db->root);
	node_free(db, db->special[0]);
	node_free(db, db->special[1]);
	free(db->bucket);
	free(db->owned);
	memset(db, 0, sizeof(*db));
}

size_t db_path(const struct node *n, char *buf, size_t size)
{
	size_t len = 0, at;

	if (!n->parent) {
		len = n->name_len;
		assert(size > len + 1);
		memcpy(buf, len ? n->name : "/", len ? len : 1);
		len = len ? len : 1;
		buf[len] = '\0';
		return len;
	}
	for (const struct node *p = n; p->parent; p = p->parent)
		len += p->name_len + 1;
	assert(size > len);
	buf[len] = '\0';
	at = len;
	for (const struct node *p = n; p->parent; p = p->parent) {
		at -= p->name_len;
		memcpy(buf + at, p->name, p->name_len);
		buf[--at] = '/';
	}
	return len;
}

struct node *db_next_outside(struct node *n, const struct node *top)
{
	while (n != top) {
		struct node *next = TAILQ_NEXT(n, sibling);

		if (next)
			return next;
		n = n->parent;
	}
	return NULL;
}

struct node *db_next(struct node *n, const struct node *top)
{
	struct node *child = TAILQ_FIRST(&n->children);

	return child ? child : db_next_outside(n, top);
}

const char *db_check(struct db *db)
{
	_cleanup_free_ uint32_t *owned = calloc(DB_DOMIDS, sizeof(*owned));
	size_t nodes = 2;

	if (!owned)
		return "out of memory";
	for (size_t i = 0; i < 2; i++)
		owned[db->special[i]->perms->p[0].domid]++;
	for (struct node *n = db->root; n; n = db_next(n, db->root)) {
		nodes++;
		owned[n->perms->p[0].domid]++;
		if (n->gen >= db->next_gen || n->cgen >= db->next_gen)
			return "generation from the future";
		if (n->parent &&
		    db_child(db, n->parent, n->name, n->name_len) != n)
			return "node not found by its name";
	}
	if (nodes != db->nr_nodes)
		return "number of nodes is wrong";
	if (memcmp(owned, db->owned, DB_DOMIDS * sizeof(*owned)) != 0)
		return "a domain's number of nodes is wrong";
	return NULL;
}
