/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests about watches, transactions, domains and the daemon itself: the
 * protocol's part of them. What they do is in watch.c, tx.c and store.c.
 */
#include <inttypes.h>

#include "store/persist.h"

/* ---- watches ----------------------------------------------------------- */

int do_watch(struct req *q)
{
	uint32_t depth = 0;
	uint16_t home;
	char *argv[3];
	int n, r;

	n = req_args(q, argv, ARRAY_SIZE(argv));
	if (n < 2)
		return -EINVAL;
	if (n == 3 && (bh_parse_u32(argv[2], &depth) < 0 || depth > INT32_MAX))
		return -EINVAL;
	r = req_path(q, argv[0], true, &home);
	if (r < 0)
		return r;
	if (!q->c->privileged && q->c->nr_watches >= q->s->limits.watches)
		return -E2BIG;
	r = watch_add(q->c, q->path, home, argv[1], n == 3 ? (int)depth : -1);
	if (r < 0)
		return r;
	/* Answer first: the client may not yet know the token as its own. */
	req_ok(q);
	watch_fire_first(q->c, q->path, argv[1]);
	return 0;
}

int do_unwatch(struct req *q)
{
	char *argv[2];
	int r;

	if (req_args(q, argv, ARRAY_SIZE(argv)) != 2)
		return -EINVAL;
	r = req_path(q, argv[0], true, NULL);
	if (r == 0)
		r = watch_rm(q->c, q->path, argv[1]);
	if (r == 0)
		req_ok(q);
	return r;
}

int do_reset_watches(struct req *q)
{
	/* Sent by a kernel that starts over in a running domain (kexec). What
	 * is still to be sent to it stays: it may be the answer it waits for. */
	struct watch *w;
	struct tx *tx;

	while ((w = LIST_FIRST(&q->c->watches)))
		(void)watch_rm(q->c, w->path, w->token);
	while ((tx = TAILQ_FIRST(&q->c->txs))) {
		persist_tx_end(q->c, tx->id);
		tx_free(tx);
	}
	req_ok(q);
	return 0;
}

/* ---- transactions ------------------------------------------------------ */

int do_transaction_start(struct req *q)
{
	char id[16];
	struct tx *tx;
	int r;

	if (q->hdr.tx_id != 0)
		return -EBUSY;
	if (!q->c->privileged && q->c->nr_txs >= q->s->limits.transactions)
		return -ENOSPC;
	r = tx_new(q->c, 0, &tx);
	if (r < 0)
		return r;
	persist_tx(q->c, tx->id);
	snprintf(id, sizeof(id), "%u", tx->id);
	req_reply(q, id, strlen(id) + 1);
	return 0;
}

int do_transaction_end(struct req *q)
{
	char *arg;
	int r = 0;

	if (req_args(q, &arg, 1) != 1 || (!streq(arg, "T") && !streq(arg, "F")))
		return -EINVAL;
	if (!q->tx)
		return -ENOENT;
	if (streq(arg, "T"))
		r = tx_commit(q->tx);
	persist_tx_end(q->c, q->tx->id);
	tx_free(q->tx);
	q->tx = NULL;
	if (r == 0)
		req_ok(q);
	return r;
}

/* ---- domains ----------------------------------------------------------- */

static int domid_arg(const char *text, uint16_t *ret)
{
	uint32_t id;

	if (bh_parse_u32(text, &id) < 0 || id >= DB_DOMIDS)
		return -EINVAL;
	*ret = (uint16_t)id;
	return 0;
}

/* The only argument is a domain that was introduced; never dom0. */
static int one_domain(struct req *q, struct domain **ret)
{
	uint16_t domid;
	char *arg;

	if (req_args(q, &arg, 1) != 1 || domid_arg(arg, &domid) < 0 ||
	    domid == 0)
		return -EINVAL;
	*ret = store_domain(q->s, domid);
	return *ret ? 0 : -ENOENT;
}

int do_introduce(struct req *q)
{
	uint64_t frame;
	uint16_t domid;
	uint32_t port;
	char *argv[3];
	int r;

	if (req_args(q, argv, ARRAY_SIZE(argv)) != 3 ||
	    domid_arg(argv[0], &domid) < 0 ||
	    bh_parse_u64(argv[1], 10, UINT64_MAX, &frame) < 0 ||
	    bh_parse_u32(argv[2], &port) < 0 || domid == 0 || port == 0)
		return -EINVAL;
	r = domain_introduce(q->s, domid, frame, port);
	if (r < 0) {
		bh_log_errno(BH_WARNING, r,
			     "domain %u cannot be introduced (frame %#" PRIx64
			     ", port %u)",
			     domid, frame, port);
		return -EINVAL;
	}
	req_ok(q);
	return 0;
}

int do_release(struct req *q)
{
	struct domain *d;
	int r = one_domain(q, &d);

	if (r < 0)
		return r;
	domain_gone(q->s, d);
	req_ok(q);
	return 0;
}

int do_resume(struct req *q)
{
	struct domain *d;
	int r = one_domain(q, &d);

	if (r < 0)
		return r;
	domain_set_shutdown(q->s, d, false);
	req_ok(q);
	return 0;
}

int do_set_target(struct req *q)
{
	uint16_t domid, target;
	struct domain *d;
	char *argv[2];

	if (req_args(q, argv, ARRAY_SIZE(argv)) != 2 ||
	    domid_arg(argv[0], &domid) < 0 || domid_arg(argv[1], &target) < 0)
		return -EINVAL;
	d = store_domain(q->s, domid);
	if (domid == 0 || !d || !store_domain(q->s, target))
		return -ENOENT;
	d->target = target;
	persist_domain(q->s, d);
	req_ok(q);
	return 0;
}

int do_is_introduced(struct req *q)
{
	uint16_t domid;
	char *arg;

	if (req_args(q, &arg, 1) != 1)
		return -EINVAL;
	if (domid_arg(arg, &domid) < 0)
		return -EINVAL;
	req_reply(q, domid == 0 || store_domain(q->s, domid) ? "T" : "F", 2);
	return 0;
}

int do_get_domain_path(struct req *q)
{
	char path[48];
	uint16_t domid;
	char *arg;

	if (req_args(q, &arg, 1) != 1 || domid_arg(arg, &domid) < 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	req_reply(q, path, strlen(path) + 1);
	return 0;
}

/* ---- control: "xenstore-control WORD..." ------------------------------- */

struct control {
	const char *word;
	const char *usage;
	int (*fn)(struct store *s, char **argv, unsigned int argc, char *buf,
		  size_t size);
};

static int control_check(struct store *s, char **argv __unused_arg,
			 unsigned int argc __unused_arg, char *buf, size_t size)
{
	const char *bad = db_check(&s->db);

	snprintf(buf, size, "%s", bad ? bad : "OK");
	return 0;
}

static int control_memreport(struct store *s, char **argv __unused_arg,
			     unsigned int argc __unused_arg, char *buf,
			     size_t size)
{
	unsigned int clients = 0, watches = 0, txs = 0, domains = 0;
	size_t pending = 0;
	struct domain *d;
	struct conn *c;

	LIST_FOREACH(d, &s->domains, link)
		domains++;
	LIST_FOREACH(c, &s->conns, link) {
		clients++;
		watches += c->nr_watches;
		txs += c->nr_txs;
		pending += c->out_bytes;
	}
	snprintf(buf, size,
		 "nodes %zu\ndomains %u\nclients %u\nwatches %u\n"
		 "transactions %u\nunsent bytes %zu\nrequests %" PRIu64
		 "\nevents %" PRIu64 "\nconflicts %" PRIu64 "\n",
		 s->db.nr_nodes, domains, clients, watches, txs, pending,
		 s->nr_requests, s->nr_events, s->nr_conflicts);
	return 0;
}

static int control_quota(struct store *s, char **argv, unsigned int argc,
			 char *buf, size_t size)
{
	const char *name;
	size_t len = 0;

	if (argc == 3 && streq(argv[0], "set")) {
		unsigned int *limit = limits_find(&s->limits, argv[1]);
		uint32_t value;

		if (!limit || bh_parse_u32(argv[2], &value) < 0)
			return -EINVAL;
		*limit = value;
		snprintf(buf, size, "OK");
		return 0;
	}
	if (argc == 1) {
		uint32_t domid;

		if (bh_parse_u32(argv[0], &domid) < 0 || domid >= DB_DOMIDS)
			return -EINVAL;
		snprintf(buf, size, "nodes %u\nwatches %u\n",
			 s->db.owned[domid],
			 s->by_id[domid] ? s->by_id[domid]->conn->nr_watches
					 : 0);
		return 0;
	}
	if (argc != 0)
		return -EINVAL;
	for (unsigned int i = 0; (name = limits_name(i)); i++) {
		int n = bh_snprintf(buf + len, size - len, "%s %u\n", name,
				    *limits_find(&s->limits, name));
		if (n < 0)
			break;
		len += (size_t)n;
	}
	return 0;
}

static int control_snapshot(struct store *s, char **argv __unused_arg,
			    unsigned int argc __unused_arg, char *buf,
			    size_t size)
{
	if (!s->persist)
		return -ENOSYS;
	/* At the turn's end: in the middle of a request nothing is whole. */
	persist_want_snapshot(s);
	snprintf(buf, size, "OK");
	return 0;
}

static int control_print(struct store *s __unused_arg, char **argv,
			 unsigned int argc, char *buf, size_t size)
{
	if (argc != 1)
		return -EINVAL;
	bh_log(BH_NOTICE, "message: %s", argv[0]);
	snprintf(buf, size, "OK");
	return 0;
}

static int control_help(struct store *s, char **argv, unsigned int argc,
			char *buf, size_t size);

static const struct control controls[] = {
	{ "help", "", control_help },
	{ "check", "", control_check },
	{ "memreport", "", control_memreport },
	{ "print", "TEXT", control_print },
	{ "quota", "[DOMID | set NAME VALUE]", control_quota },
	{ "snapshot", "", control_snapshot },
};

static int control_help(struct store *s __unused_arg, char **argv __unused_arg,
			unsigned int argc __unused_arg, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		int n = bh_snprintf(buf + len, size - len, "%s %s\n",
				    controls[i].word, controls[i].usage);
		if (n < 0)
			break;
		len += (size_t)n;
	}
	return 0;
}

int do_control(struct req *q)
{
	char buf[XENSTORE_PAYLOAD_MAX] = "";
	char *argv[16];
	int n, r = -EINVAL;

	n = req_args(q, argv, ARRAY_SIZE(argv));
	if (n < 1)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		if (!streq(argv[0], controls[i].word))
			continue;
		r = controls[i].fn(q->s, argv + 1, (unsigned int)n - 1, buf,
				   sizeof(buf));
		if (r == 0)
			req_reply(q, buf, strlen(buf) + 1);
		return r;
	}
	return r;
}
