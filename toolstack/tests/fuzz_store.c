/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzing the store as a guest would: the input is a list of requests that
 * domains 1 and 2 put on their rings, well formed or not, and of damage to the
 * page itself. Afterwards the tree must be consistent and dom0 be served.
 *
 * Each item: who (bit 0: domain, bit 7: raw bytes, bit 6: index damage), type,
 * transaction, length, then that many bytes.
 */
#include <assert.h>

#include "tests/store_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lets the store find the damage; the guest then has to start anew. */
static void break_in(struct store *s, unsigned int who)
{
	struct domain *d = store_domain(s, who);

	conn_wake(d->conn);
	for (int i = 0; i < 1000 && store_turn(s); i++)
		;
	d = store_domain(s, who);
	if (d)
		domain_break(s, d, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store s;
	struct guest g[3];

	if (!test_pages[0]) {
		test_pages_init();
		bh_log_setup("fuzz", (enum bh_level) - 1);
	}
	test_store(&s, 2);
	for (unsigned int i = 0; i < 3; i++) {
		guest_init(&g[i], i);
		g[i].next_req = 1000;
	}
	while (size >= 4) {
		unsigned int who = 1 + (data[0] & 1);
		size_t len = MIN((size_t)data[3], size - 4);
		struct domain *d = store_domain(&s, who);

		if (!d || d->broken) {
			/* A guest that broke its ring starts anew. */
			memset(test_pages[who], 0, 4096);
			assert(domain_introduce(&s, (uint16_t)who, 1, 1) == 0);
			guest_init(&g[who], who);
		}
		if (data[0] & 0x40) {
			uint32_t *idx = &test_pages[who]->req_cons;

			idx[data[1] % 7] += data[2];
			break_in(&s, who);
		} else if (data[0] & 0x80) {
			struct conn *c = store_domain(&s, who)->conn;

			memcpy(test_pages[who]->req, data + 4, len);
			test_pages[who]->req_prod = c->ring.cons + data[1];
			break_in(&s, who);
		} else if (ask(&s, &g[who], data[1] % (XS_TYPE_COUNT + 1),
			       data[2], data + 4, len) == ETIMEDOUT) {
			d = store_domain(&s, who);
			if (d)
				domain_break(&s, d, 0);
		}
		data += 4 + len;
		size -= 4 + len;
	}
	assert(!db_check(&s.db));
	assert(ask_write(&s, &g[0], 0, "/alive", "yes") == 0);
	store_done(&s);
	return 0;
}
