/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store's core: clients, domains, watches, transactions and the requests
 * that work on them. None of it makes a system call or knows what a ring or a
 * socket is, so all of it runs in unit tests and under the fuzzer. Around it:
 *
 *   ring.c    bytes between a client and its shared page (pure, too)
 *   persist.c records of every change, and putting them back
 *   journal.c the file they are in
 *   host.c    mappings, event channels, who is alive
 *   socket.c  clients in dom0
 *   main.c    the event loop
 *
 * One turn of the loop: read requests and work on them, commit the records of
 * all that happened, and only then let anything out: answers, events, and the
 * ring's consumer index. What a client has seen is therefore on record.
 */
#pragma once

#include <errno.h> /* before xs_wire.h, which then has its error table */
#include <stdint.h>
#include <xen/io/xs_wire.h>

#include "store/db.h"

struct conn;
struct persist;
struct store;
struct tx;

/* ---- limits: for domains without privilege ----------------------------- */

struct limits {
	unsigned int nodes; /* owned by the domain */
	unsigned int watches;
	unsigned int transactions; /* open at once */
	unsigned int tx_nodes;     /* touched by one transaction */
	unsigned int tx_bytes;     /* held by all that are open */
	unsigned int entry_size;   /* value, path and permissions */
	unsigned int perms;        /* entries of one node */
	unsigned int path;         /* length of a path below its home */
	unsigned int events;       /* waiting to be read; beyond: resync */
	unsigned int
		output; /* bytes of answers waiting, then we stop reading */
};

extern const struct limits default_limits;
/* The limit called name (as the "quota" command spells it), or NULL. */
unsigned int *limits_find(struct limits *l, const char *name);
/* The names, for i = 0, 1, ...; NULL after the last. */
const char *limits_name(unsigned int i);

/* ---- clients ----------------------------------------------------------- */

struct msg {
	STAILQ_ENTRY(msg) link;
	uint32_t len;
	uint32_t sent;
	bool event;
	char bytes[];
};

struct watch {
	LIST_ENTRY(watch) of_conn;
	LIST_ENTRY(watch) of_path;
	struct conn *conn;
	uint32_t hash;
	int depth;     /* -1: any */
	uint16_t home; /* prefix to cut from events: path given was relative */
	char *token;   /* behind path */
	char path[];   /* canonical */
};

LIST_HEAD(watch_list, watch);
TAILQ_HEAD(conn_queue, conn);
TAILQ_HEAD(tx_list, tx);
STAILQ_HEAD(msg_list, msg);

/* How bytes come and go: a ring or a socket. */
struct conn_ops {
	/* 1: a whole message is in c->in; 0: nothing more now; or an error,
	 * after which close is called. */
	int (*read)(struct conn *c);
	/* Lets out what is queued as far as there is room. */
	int (*flush)(struct conn *c);
	/* The client is lost; frees c unless it belongs to a domain. */
	void (*close)(struct conn *c, int err);
};

/* Where a domain's bytes are: the shared page, and our own idea of it. */
struct ring {
	struct xenstore_domain_interface *page; /* NULL: not mapped */
	uint32_t cons; /* of requests, private: the page's is the guest's */
	uint32_t prod; /* of answers */
	bool kick;     /* something was published or taken */
};

struct conn {
	LIST_ENTRY(conn) link;
	struct store *store;
	uint16_t domid;
	bool privileged; /* dom0: no quotas, all permissions */
	bool dead;       /* out of memory or gone: the loop closes it */
	bool busy;       /* had more requests than fit its turn */
	bool throttled;  /* not read from until it reads its answers */
	const struct conn_ops *ops;
	struct conn_queue *queue; /* where it waits for its turn, or NULL */
	TAILQ_ENTRY(conn) turn;
	struct domain *domain; /* NULL for a socket */
	struct ring ring;
	void *io; /* the socket's side */

	struct watch_list watches;
	unsigned int nr_watches;
	struct tx_list txs;
	unsigned int nr_txs;
	size_t tx_bytes; /* paths and values that these hold */
	uint32_t next_tx;

	struct msg_list out;
	size_t out_bytes;
	unsigned int out_events;
	bool resync; /* events were dropped: repeat all watches when drained */

	uint32_t in_len;
	union {
		struct xsd_sockmsg hdr;
		char bytes[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX +
			   1];
	} in;
};

struct conn *conn_new(struct store *s, uint16_t domid, struct domain *domain);
void conn_free(struct conn *c);

/* Forgets watches and transactions, as when a guest starts anew. */
void conn_reset(struct conn *c);

/* How many bytes the message being read still needs; 0: it is complete. */
size_t conn_in_wants(const struct conn *c);
/* True if its length is more than the protocol allows. */
bool conn_in_bad(const struct conn *c);
/* Works on the complete message in c->in. */
void conn_handle(struct conn *c);

/* Queue a message. Out of memory closes (breaks) the client. */
void conn_send(struct conn *c, uint32_t type, uint32_t req, uint32_t tx,
	       const void *data, size_t len);
void conn_send_event(struct conn *c, const char *path, const char *token);
/* Puts bytes back that a restart found unsent (persist.c). */
int conn_restore_out(struct conn *c, const void *bytes, size_t len, bool event);
/* Removes n bytes that reached the client. */
void conn_sent(struct conn *c, size_t n);
/* Repeats all watches if events were dropped and the client has caught up. */
bool conn_resync(struct conn *c);
/* Marks it as having something to do, for the loop. */
void conn_wake(struct conn *c);

/* ---- domains ----------------------------------------------------------- */

#define NO_DOMAIN 0xffff

struct domain {
	LIST_ENTRY(domain) link;
	uint16_t domid;
	uint16_t target; /* NO_DOMAIN, or whose rights it has as well */
	uint64_t frame;
	uint32_t port; /* the domain's end of the event channel */
	bool shutdown; /* @releaseDomain was said for it */
	bool broken;   /* it damaged its ring; ignored until introduced again */
	struct conn *conn;
	int local_port; /* host.c: our end, -1 unbound */
};

LIST_HEAD(domain_list, domain);
LIST_HEAD(conn_list, conn);

/* What the core needs from the machine; tests bring their own. */
struct store_host {
	/* Maps the ring and binds the port of d. resume: continue where the
	 * records say, else where the page says. */
	int (*attach)(struct store *s, struct domain *d, bool resume);
	void (*detach)(struct store *s, struct domain *d);
	void *arg;
};

#define WATCH_BUCKETS 1024

struct store {
	struct db db;
	struct limits limits;
	const struct store_host *host;
	struct persist *persist; /* NULL: nothing is recorded */
	struct domain_list domains;
	struct domain **by_id; /* [DB_DOMIDS] */
	struct conn_list conns;
	struct conn_queue ready;
	struct conn_queue batch; /* store_turn()'s: those before their turn */
	struct conn *current;    /* whose turn it is; NULL once it was freed */
	struct watch_list watches[WATCH_BUCKETS];
	uint64_t nr_requests, nr_events, nr_conflicts;
};

/* first_gen must exceed all generations clients may remember (a clock does). */
int store_init(struct store *s, const struct store_host *host,
	       uint64_t first_gen);
void store_done(struct store *s);
struct domain *store_domain(struct store *s, uint32_t domid);
/* Makes the record of a domain; does not touch its ring. */
int domain_new(struct store *s, uint16_t domid, struct domain **ret);
/* Makes or rebinds a domain, with its events. */
int domain_introduce(struct store *s, uint16_t domid, uint64_t frame,
		     uint32_t port);
/* Frees the record of a domain and its client; nodes stay. */
void domain_forget(struct store *s, uint16_t domid);
/* It is no more: its nodes, permissions and client go. */
void domain_gone(struct store *s, struct domain *d);
/* It has shut down (or was resumed). */
void domain_set_shutdown(struct store *s, struct domain *d, bool shutdown);
/* The domain broke the protocol: stop listening to it, nothing else. */
void domain_break(struct store *s, struct domain *d, uint32_t ring_error);

/* The tree's part of domain_gone(), also used when putting records back. */
void store_drop_domain_nodes(struct store *s, uint16_t domid, bool fire);

/*
 * One turn of the loop: some requests of every client that is ready, then the
 * records, then the answers. True: there is more to do at once.
 */
bool store_turn(struct store *s);

/* ---- changes: tree, record and events together ------------------------- */

/* quiet: made on the way to another node, whose event says it all. */
int store_set(struct store *s, const char *path, const void *data, size_t len,
	      struct perms *perms, bool quiet);
int store_set_perms(struct store *s, struct node *n, struct perms *perms);
int store_rm(struct store *s, struct node *n);

/* What c may do with a node of these permissions: PERM_* bits. */
unsigned int perms_for(const struct conn *c, const struct perms *perms);

/* ---- watches ----------------------------------------------------------- */

/* path is canonical; home as in struct watch. Fires nothing. */
int watch_add(struct conn *c, const char *path, uint16_t home,
	      const char *token, int depth);
int watch_rm(struct conn *c, const char *path, const char *token);
void watch_rm_all(struct conn *c);
/* The event a watch gets right after it was added. */
void watch_fire_first(struct conn *c, const char *path, const char *token);
void watch_fire_all_of(struct conn *c);

/*
 * path changed: tell all who watch it or something above, and may read it.
 * The permissions are those of the node now, before (or NULL), and of its
 * parent (or NULL): who may list the parent may know.
 */
void watch_fire(struct store *s, const char *path, const struct perms *now,
		const struct perms *before, const struct perms *parent);
/* Tells only who watches this very path: for nodes that went with another. */
void watch_fire_exact(struct store *s, const char *path,
		      const struct perms *now, const struct perms *parent);
/* @introduceDomain, @releaseDomain */
void watch_fire_special(struct store *s, const char *name, uint16_t domid);

/* ---- requests ---------------------------------------------------------- */

struct req {
	struct store *s;
	struct conn *c;
	struct tx *tx; /* NULL: works on the tree itself */
	struct xsd_sockmsg hdr;
	char *body; /* with a NUL behind it */
	size_t len;
	char path[XENSTORE_ABS_PATH_MAX + 1]; /* canonical first argument */
};

void req_reply(struct req *q, const void *data, size_t len);
void req_ok(struct req *q);
void req_error(struct req *q, int err);

/* Splits the body into NUL-terminated strings: their number, or -EINVAL. */
int req_args(struct req *q, char **argv, unsigned int max);
/* Makes arg an absolute path in q->path. 0 or -EINVAL. special: "@..." too.
 * ret_home (may be NULL): length of the prefix put before it. */
int req_path(struct req *q, const char *arg, bool special, uint16_t *ret_home);

/* Each request's function: 0 when it has answered, else the error to send. */
int do_read(struct req *q);
int do_write(struct req *q);
int do_mkdir(struct req *q);
int do_rm(struct req *q);
int do_directory(struct req *q);
int do_directory_part(struct req *q);
int do_get_perms(struct req *q);
int do_set_perms(struct req *q);
int do_watch(struct req *q);
int do_unwatch(struct req *q);
int do_reset_watches(struct req *q);
int do_transaction_start(struct req *q);
int do_transaction_end(struct req *q);
int do_introduce(struct req *q);
int do_release(struct req *q);
int do_resume(struct req *q);
int do_set_target(struct req *q);
int do_is_introduced(struct req *q);
int do_get_domain_path(struct req *q);
int do_control(struct req *q);
