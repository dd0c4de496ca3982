/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of nodes, and nothing else: no permissions checked, no events, no
 * transactions. A node is found by hashing its parent and its own name, so the
 * cost of a path is its depth, however many nodes there are; nothing is ever
 * copied as a whole. Children keep the order in which they were made.
 *
 * Every change gives a node a new generation from one counter. gen covers
 * value and permissions, cgen the list of children: two clients that add
 * different children to one directory do not disturb each other.
 */
#pragma once

#include <sys/queue.h>

#include "bulkhead/util.h"

/* Domains below DOMID_FIRST_RESERVED; all tables are indexed by it. */
#define DB_DOMIDS 0x7ff0u

enum perm_access {
	PERM_READ = 1,
	PERM_WRITE = 2,
	PERM_OWNER = 4, /* only as an answer: may change permissions */
};

struct perm {
	uint16_t domid;
	uint8_t access;
};

/* Shared between nodes: most of a subtree has its parent's permissions. */
struct perms {
	unsigned int refs;
	unsigned int n; /* at least one: p[0] is owner and default */
	struct perm p[];
};

struct perms *perms_new(const struct perm *p, size_t n);
struct perms *perms_get(struct perms *perms);
void perms_put(struct perms *perms);
/* Copies with another owner / without a domain; NULL when out of memory. */
struct perms *perms_with_owner(struct perms *perms, uint16_t domid);
struct perms *perms_without(struct perms *perms, uint16_t domid);
bool perms_mention(const struct perms *perms, uint16_t domid);
static inline void perms_putp(struct perms **p)
{
	perms_put(*p);
}
#define _cleanup_perms_ _cleanup_(perms_putp)

/* A value, shared so that a transaction can keep what it read. NULL: empty. */
struct value {
	unsigned int refs;
	uint32_t len;
	char bytes[];
};

/* 0 or -ENOMEM; *ret is NULL for an empty value. */
int value_new(const void *data, size_t len, struct value **ret);
struct value *value_get(struct value *v);
void value_put(struct value *v);

TAILQ_HEAD(node_list, node);

struct node {
	struct node *parent; /* NULL: root or a special node */
	struct node *hash_next;
	TAILQ_ENTRY(node) sibling;
	struct node_list children;
	uint64_t birth; /* generation it was made in: its identity */
	uint64_t gen;
	uint64_t cgen;
	struct perms *perms;
	struct value *value;
	uint32_t hash;
	uint32_t name_len;
	char name[]; /* one component; "" for the root */
};

struct db {
	struct node **bucket;
	size_t nr_buckets;
	size_t nr_nodes;
	uint64_t next_gen;
	uint32_t seed;
	struct node *root;
	struct node *special[2]; /* @introduceDomain, @releaseDomain */
	uint32_t *owned;         /* [DB_DOMIDS] nodes of each domain */
};

int db_init(struct db *db, uint64_t first_gen);
void db_done(struct db *db);

/* NULL if there is none. Paths are canonical: absolute, no empty component. */
struct node *db_lookup(struct db *db, const char *path);
struct node *db_child(struct db *db, struct node *parent, const char *name,
		      size_t len);

/* Overwrites, or creates below an existing parent (-ENOENT without one). */
int db_set(struct db *db, const char *path, const void *data, size_t len,
	   struct perms *perms, struct node **ret);
void db_set_perms(struct db *db, struct node *n, struct perms *perms);

/* Removes n and all below it. The root cannot be removed. */
void db_rm(struct db *db, struct node *n);

/* The node's path in buf, which has room for XENSTORE_ABS_PATH_MAX + 1. */
size_t db_path(const struct node *n, char *buf, size_t size);

/* Next node in depth-first order inside top; NULL after the last. */
struct node *db_next(struct node *n, const struct node *top);
/* The same without going below n: for when n is about to be removed. */
struct node *db_next_outside(struct node *n, const struct node *top);

/* Invariants, for tests and the "check" command: the first one broken. */
const char *db_check(struct db *db);
