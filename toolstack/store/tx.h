/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transactions, and the view of the tree that a request has through one.
 *
 * A transaction is a small overlay: the nodes it wrote, and for every node it
 * looked at, which generation it saw. Values are shared, so reading copies
 * nothing and reading again gives the same; starting is free, and committing
 * costs what was touched. At commit every generation must be as it was seen,
 * else -EAGAIN: so all that it read and wrote happened at one moment, the
 * commit. (Different nodes may be read from different moments meanwhile, but
 * such a transaction can only fail.)
 *
 * Without a transaction the same functions work on the tree itself.
 */
#pragma once

#include "store/store.h"

enum tx_check {
	CHECK_GEN = 1, /* value, permissions, existence */
	CHECK_CHILDREN = 2,
	CHECK_EXISTS = 4, /* the same node is still there */
};

struct txnode {
	TAILQ_ENTRY(txnode) order; /* as written; parents before children */
	struct txnode *hash_next;
	uint32_t hash;
	uint8_t checks;
	bool written; /* else value and perms are what was read (CHECK_GEN) */
	bool exists;
	bool quiet;  /* made on the way: no event of its own */
	bool opaque; /* removed and made again: the old children are gone */
	uint64_t gen, cgen, birth;
	struct value *value;
	struct perms *perms;
	char path[];
};

TAILQ_HEAD(txnode_list, txnode);

struct tx {
	TAILQ_ENTRY(tx) link;
	struct conn *conn;
	uint32_t id;
	/* The daemon restarted: what it had seen is forgotten, so it goes on
	 * with the tree as it is and is told -EAGAIN in the end. */
	bool doomed;
	unsigned int nr_nodes;
	unsigned int nr_created;
	size_t bytes; /* its part of conn->tx_bytes */
	struct txnode_list nodes;
	struct txnode **bucket;
};

struct tx *tx_find(struct conn *c, uint32_t id);
/* id 0: choose one. */
int tx_new(struct conn *c, uint32_t id, struct tx **ret);
void tx_free(struct tx *tx);
void tx_free_all(struct conn *c);
int tx_commit(struct tx *tx);

/* One path as a request sees it. Pointers live until the next change. */
struct vnode {
	bool exists;
	struct value *value;
	struct perms *perms; /* the node's, or its nearest ancestor's */
	size_t nearest;      /* length of the path that exists, "/" is 1 */
	struct node *base;   /* in the tree, unless the overlay hides it */
	bool hidden;
};

/* Looks path up; in a transaction remembers that it was seen (checks). */
int view_get(struct req *q, const char *path, unsigned int checks,
	     struct vnode *ret);
/* Writes a node whose parent exists in the view. */
int view_set(struct req *q, const char *path, const void *data, size_t len,
	     struct perms *perms, bool quiet);
int view_set_perms(struct req *q, const char *path, struct perms *perms);
int view_rm(struct req *q, const char *path);
/* Names of path's children, each with its NUL, to free(). */
int view_children(struct req *q, const char *path, char **ret, size_t *ret_len,
		  uint64_t *ret_gen);
