/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See store_harness.h. */
#include <assert.h>
#include <sys/mman.h>

#include "store/ring.h"
#include "tests/store_harness.h"

#define RING XENSTORE_RING_SIZE

struct xenstore_domain_interface *test_pages[TEST_DOMAINS];

void test_pages_init(void)
{
	char *p = mmap(NULL, 4096 * TEST_DOMAINS, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert(p != MAP_FAILED);
	for (size_t i = 0; i < TEST_DOMAINS; i++)
		test_pages[i] = (void *)(p + 4096 * i);
}

static int attach(struct store *s __unused_arg, struct domain *d, bool resume)
{
	d->conn->ops = &ring_ops;
	if (d->domid >= TEST_DOMAINS)
		return -EINVAL;
	return ring_attach(d->conn, test_pages[d->domid], resume);
}

static void detach(struct store *s __unused_arg, struct domain *d)
{
	ring_detach(d->conn);
}

const struct store_host test_host = { .attach = attach, .detach = detach };

void test_store(struct store *s, unsigned int n)
{
	struct guest g;

	for (size_t i = 0; i < TEST_DOMAINS; i++)
		memset(test_pages[i], 0, 4096);
	assert(store_init(s, &test_host, 1) == 0);
	assert(domain_introduce(s, 0, 0, 1) == 0);
	guest_init(&g, 0);
	for (unsigned int i = 1; i <= n; i++) {
		char path[64], owner[16];

		assert(domain_introduce(s, (uint16_t)i, i, 1) == 0);
		snprintf(path, sizeof(path), "/local/domain/%u", i);
		snprintf(owner, sizeof(owner), "n%u", i);
		assert(ask_str(s, &g, XS_MKDIR, 0, path) == 0);
		assert(ask3(s, &g, XS_SET_PERMS, path, owner, NULL) == 0);
	}
}

void guest_init(struct guest *g, unsigned int domid)
{
	memset(g, 0, sizeof(*g));
	g->page = test_pages[domid];
	g->req_prod = g->page->req_prod;
	g->rsp_cons = g->page->rsp_cons;
}

size_t guest_write(struct guest *g, const void *bytes, size_t len)
{
	uint32_t cons = __atomic_load_n(&g->page->req_cons, __ATOMIC_ACQUIRE);
	size_t room = RING - (g->req_prod - cons);
	const char *p = bytes;

	assert(g->req_prod - cons <= RING);
	len = MIN(len, room);
	for (size_t i = 0; i < len; i++)
		g->page->req[(g->req_prod + i) & (RING - 1)] = p[i];
	g->req_prod += (uint32_t)len;
	__atomic_store_n(&g->page->req_prod, g->req_prod, __ATOMIC_RELEASE);
	return len;
}

int guest_read(struct guest *g)
{
	uint32_t prod = __atomic_load_n(&g->page->rsp_prod, __ATOMIC_ACQUIRE);
	struct xsd_sockmsg *hdr = (void *)g->in;

	assert(prod - g->rsp_cons <= RING);
	while (g->rsp_cons != prod) {
		g->in[g->in_len++] = g->page->rsp[g->rsp_cons++ & (RING - 1)];
		if (g->in_len < sizeof(*hdr))
			continue;
		assert(hdr->len <= XENSTORE_PAYLOAD_MAX);
		if (g->in_len < sizeof(*hdr) + hdr->len)
			continue;
		g->in[g->in_len] = '\0';
		g->in_len = 0;
		g->type = hdr->type;
		g->len = hdr->len;
		g->body = g->in + sizeof(*hdr);
		__atomic_store_n(&g->page->rsp_cons, g->rsp_cons,
				 __ATOMIC_RELEASE);
		if (g->type == XS_WATCH_EVENT) {
			g->nr_events++;
			snprintf(g->event_path, sizeof(g->event_path), "%s",
				 g->body);
			snprintf(g->event_token, sizeof(g->event_token), "%s",
				 g->body + strlen(g->body) + 1);
		}
		return 1;
	}
	__atomic_store_n(&g->page->rsp_cons, g->rsp_cons, __ATOMIC_RELEASE);
	return 0;
}

static void turn_all(struct store *s)
{
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link)
		conn_wake(d->conn);
	(void)store_turn(s);
}

int ask(struct store *s, struct guest *g, uint32_t type, uint32_t tx,
	const void *data, size_t len)
{
	struct xsd_sockmsg hdr = {
		.type = type,
		.req_id = ++g->next_req,
		.tx_id = tx,
		.len = (uint32_t)len,
	};
	char msg[sizeof(hdr) + XENSTORE_PAYLOAD_MAX];
	size_t sent = 0, total = sizeof(hdr) + len;

	memcpy(msg, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(msg + sizeof(hdr), data, len);
	for (int i = 0; i < 1000; i++) {
		sent += guest_write(g, msg + sent, total - sent);
		turn_all(s);
		while (guest_read(g)) {
			struct xsd_sockmsg *in = (void *)g->in;

			if (g->type == XS_WATCH_EVENT)
				continue;
			assert(in->req_id == hdr.req_id && in->tx_id == tx);
			if (g->type != XS_ERROR) {
				assert(g->type == type);
				return 0;
			}
			for (size_t k = 0; k < ARRAY_SIZE(xsd_errors); k++)
				if (streq(xsd_errors[k].errstring, g->body))
					return xsd_errors[k].errnum;
			assert(!"unknown error");
		}
	}
	return ETIMEDOUT;
}

int ask_str(struct store *s, struct guest *g, uint32_t type, uint32_t tx,
	    const char *arg)
{
	return ask(s, g, type, tx, arg, strlen(arg) + 1);
}

int ask_write(struct store *s, struct guest *g, uint32_t tx, const char *path,
	      const char *value)
{
	char buf[XENSTORE_PAYLOAD_MAX];
	size_t n = strlen(path) + 1, m = strlen(value);

	assert(n + m <= sizeof(buf));
	memcpy(buf, path, n);
	memcpy(buf + n, value, m);
	return ask(s, g, XS_WRITE, tx, buf, n + m);
}

int ask3(struct store *s, struct guest *g, uint32_t type, const char *a,
	 const char *b, const char *c)
{
	const char *args[] = { a, b, c };
	char buf[XENSTORE_PAYLOAD_MAX];
	size_t len = 0;

	for (size_t i = 0; i < 3 && args[i]; i++) {
		memcpy(buf + len, args[i], strlen(args[i]) + 1);
		len += strlen(args[i]) + 1;
	}
	return ask(s, g, type, 0, buf, len);
}

uint32_t tx_begin(struct store *s, struct guest *g)
{
	return ask_str(s, g, XS_TRANSACTION_START, 0, "")
		       ? 0
		       : (uint32_t)atoi(g->body);
}

int tx_end(struct store *s, struct guest *g, uint32_t tx, bool commit)
{
	return ask_str(s, g, XS_TRANSACTION_END, tx, commit ? "T" : "F");
}

unsigned int drain(struct store *s, struct guest *g)
{
	unsigned int n;

	for (int i = 0; i < 200; i++) {
		turn_all(s);
		while (guest_read(g))
			;
	}
	n = g->nr_events;
	g->nr_events = 0;
	return n;
}
