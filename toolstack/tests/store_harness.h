/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store without a machine: domains whose rings are plain memory, and a guest
 * that writes requests and reads answers byte by byte, as a frontend would.
 */
#pragma once

#include "store/store.h"

#define TEST_DOMAINS 8

extern struct xenstore_domain_interface *test_pages[TEST_DOMAINS];

/* Maps the pages (shared, so that a forked daemon can be killed). */
void test_pages_init(void);
extern const struct store_host test_host;

/* A fresh store with dom0 and domains 1 to n, /local/domain/N theirs. */
void test_store(struct store *s, unsigned int n);

/* The guest's side. Puts as much as fits; false: try again after a turn. */
struct guest {
	struct xenstore_domain_interface *page;
	uint32_t next_req;
	uint32_t req_prod; /* the guest's own truth about its indices */
	uint32_t rsp_cons;
	char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX + 1];
	size_t in_len;
	/* The last answer, and events that came before it. */
	uint32_t type;
	size_t len;
	char *body;
	unsigned int nr_events;
	char event_path[256]; /* of the last event */
	char event_token[64];
};

void guest_init(struct guest *g, unsigned int domid);
size_t guest_write(struct guest *g, const void *bytes, size_t len);
/* 1: a whole message is in g->in (type, body, len set); 0: not yet. */
int guest_read(struct guest *g);
/* Request and answer, turning the store meanwhile. 0 or the errno answered. */
int ask(struct store *s, struct guest *g, uint32_t type, uint32_t tx,
	const void *data, size_t len);
/* The same with a string, of which the NUL is sent too. */
int ask_str(struct store *s, struct guest *g, uint32_t type, uint32_t tx,
	    const char *arg);
/* path NUL value */
int ask_write(struct store *s, struct guest *g, uint32_t tx, const char *path,
	      const char *value);
/* Up to three strings, each with its NUL. */
int ask3(struct store *s, struct guest *g, uint32_t type, const char *a,
	 const char *b, const char *c);
uint32_t tx_begin(struct store *s, struct guest *g);
int tx_end(struct store *s, struct guest *g, uint32_t tx, bool commit);
/* Turns the store and takes all events; how many since the last call. */
unsigned int drain(struct store *s, struct guest *g);
