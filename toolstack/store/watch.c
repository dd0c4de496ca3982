/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches: who wants to hear of which path.
 *
 * Found by hashing the path, so a change costs its depth and the watches that
 * concern it, not the number of watches there are. An event is only sent to
 * who could find out by asking: a client that may read the node (now, or
 * before its permissions changed), or may list its parent.
 */
#include "store/hash.h"
#include "store/persist.h"

static struct watch *watch_find(struct conn *c, const char *path,
				const char *token)
{
	struct watch *w;

	LIST_FOREACH(w, &c->watches, of_conn)
		if (streq(w->path, path) && streq(w->token, token))
			return w;
	return NULL;
}

int watch_add(struct conn *c, const char *path, uint16_t home,
	      const char *token, int depth)
{
	size_t len = strlen(path) + 1, tlen = strlen(token) + 1;
	struct watch *w;

	if (watch_find(c, path, token))
		return -EEXIST;
	w = calloc(1, sizeof(*w) + len + tlen);
	if (!w)
		return -ENOMEM;
	memcpy(w->path, path, len);
	w->token = w->path + len;
	memcpy(w->token, token, tlen);
	w->conn = c;
	w->depth = depth;
	w->home = home;
	w->hash = hash_path(path, len - 1);
	LIST_INSERT_HEAD(&c->watches, w, of_conn);
	LIST_INSERT_HEAD(&c->store->watches[w->hash % WATCH_BUCKETS], w,
			 of_path);
	c->nr_watches++;
	persist_watch(c, w);
	return 0;
}

static void watch_free(struct watch *w)
{
	LIST_REMOVE(w, of_conn);
	LIST_REMOVE(w, of_path);
	w->conn->nr_watches--;
	free(w);
}

int watch_rm(struct conn *c, const char *path, const char *token)
{
	struct watch *w = watch_find(c, path, token);

	if (!w)
		return -ENOENT;
	persist_unwatch(c, w);
	watch_free(w);
	return 0;
}

void watch_rm_all(struct conn *c)
{
	struct watch *w;

	while ((w = LIST_FIRST(&c->watches)))
		watch_free(w);
}

/* ---- firing ------------------------------------------------------------ */

static void tell(const struct watch *w, const char *path)
{
	w->conn->store->nr_events++;
	conn_send_event(w->conn, path + w->home, w->token);
}

void watch_fire_first(struct conn *c, const char *path, const char *token)
{
	struct watch *w = watch_find(c, path, token);

	if (w)
		tell(w, w->path);
}

void watch_fire_all_of(struct conn *c)
{
	struct watch *w;

	LIST_FOREACH(w, &c->watches, of_conn)
		tell(w, w->path);
}

static bool may_know(const struct conn *c, const struct perms *now,
		     const struct perms *before, const struct perms *parent)
{
	return c->privileged || (now && perms_for(c, now) & PERM_READ) ||
	       (before && perms_for(c, before) & PERM_READ) ||
	       (parent && perms_for(c, parent) & PERM_READ);
}

static void fire_at(struct store *s, const char *path, size_t len,
		    uint32_t hash, int distance, const struct perms *now,
		    const struct perms *before, const struct perms *parent)
{
	struct watch *w;

	LIST_FOREACH(w, &s->watches[hash % WATCH_BUCKETS], of_path) {
		if (w->hash != hash || strncmp(w->path, path, len) != 0 ||
		    w->path[len] != '\0')
			continue;
		if (w->depth >= 0 && distance > w->depth)
			continue;
		if (may_know(w->conn, now, before, parent))
			tell(w, path);
	}
}

void watch_fire(struct store *s, const char *path, const struct perms *now,
		const struct perms *before, const struct perms *parent)
{
	struct {
		uint32_t len, hash;
	} prefix[XENSTORE_ABS_PATH_MAX / 2 + 2];
	size_t n = 0, at = 1;
	uint64_t h = hash_more(HASH_START, path, 1);

	prefix[n].len = 1;
	prefix[n++].hash = hash_end(h);
	while (path[at]) {
		const char *slash = strchr(path + at, '/');
		size_t end = slash ? (size_t)(slash - path) : strlen(path);

		/* The slash before this component, unless it is the root's. */
		h = hash_more(h, path + at - (at > 1), end - at + (at > 1));
		prefix[n].len = (uint32_t)end;
		prefix[n++].hash = hash_end(h);
		at = end + (slash != NULL);
	}
	for (size_t i = n; i-- > 0;)
		fire_at(s, path, prefix[i].len, prefix[i].hash,
			(int)(n - 1 - i), now, before, parent);
}

void watch_fire_exact(struct store *s, const char *path,
		      const struct perms *now, const struct perms *parent)
{
	size_t len = strlen(path);

	fire_at(s, path, len, hash_path(path, len), 0, now, NULL, parent);
}

void watch_fire_special(struct store *s, const char *name, uint16_t domid)
{
	const struct node *n = db_lookup(&s->db, name);
	uint32_t hash = hash_path(name, strlen(name));
	char with_id[40];
	struct watch *w;

	snprintf(with_id, sizeof(with_id), "%s/%u", name, domid);
	LIST_FOREACH(w, &s->watches[hash % WATCH_BUCKETS], of_path)
		if (w->hash == hash && streq(w->path, name) &&
		    may_know(w->conn, n->perms, NULL, NULL))
			tell(w, w->depth > 0 ? with_id : name);
}
