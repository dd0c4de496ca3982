/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is recorded, and how it is put back.
 *
 * Each function notes one change in the current batch; persist_commit() makes
 * the batch permanent, as a whole or not at all. The records describe states
 * ("this node is now so"), not requests, so putting them back needs none of
 * the rules of the protocol, and a snapshot is the same records for all there
 * is.
 *
 * For a domain's ring the batch also holds how far its requests were taken and
 * every byte owed to it. After a restart the page's own producer index tells
 * how many of those bytes had been handed over: nothing is repeated, nothing
 * is missing. Sockets are not recorded; their clients connect again.
 *
 * All are no-ops while s->persist is NULL.
 */
#pragma once

#include "store/journal.h"
#include "store/store.h"
#include "store/tx.h"

struct persist *persist_new(void);
void persist_free(struct persist *p);

void persist_node(struct store *s, const char *path, const struct node *n);
void persist_rm(struct store *s, const char *path);
void persist_domain(struct store *s, const struct domain *d);
void persist_domain_gone(struct store *s, uint16_t domid);
void persist_watch(const struct conn *c, const struct watch *w);
void persist_unwatch(const struct conn *c, const struct watch *w);
void persist_tx(const struct conn *c, uint32_t id);
void persist_tx_end(const struct conn *c, uint32_t id);
/* Watches, transactions, bytes in and out: all gone. */
void persist_conn_reset(const struct conn *c);
/* Indices after requests were taken, and the partial message held. */
void persist_ring(const struct conn *c);
void persist_out(const struct conn *c, const void *bytes, size_t len,
		 bool event);

/* Starts recording into j. */
void persist_start(struct store *s, struct journal *j);
/*
 * Makes the batch permanent. If there is no room a snapshot is tried; should
 * that fail too the store goes on, says so once, and tries again next time.
 */
void persist_commit(struct store *s);
/* Rewrites the journal as a snapshot now. */
int persist_snapshot(struct store *s);

/* The next commit writes a snapshot instead of a batch. */
void persist_want_snapshot(struct store *s);

/* Puts one batch back: the journal_fn of an empty store (arg). */
int persist_replay(void *store, const uint8_t *batch, size_t len);
