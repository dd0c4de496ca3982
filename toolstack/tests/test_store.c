/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's protocol, as guests and dom0 see it through their rings. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "tests/store_harness.h"

static struct store s;
static struct guest dom0, g1, g2;

static int setup(void **state __unused_arg)
{
	test_store(&s, 2);
	guest_init(&dom0, 0);
	guest_init(&g1, 1);
	guest_init(&g2, 2);
	dom0.next_req = 1000; /* the harness has used some */
	return 0;
}

static int teardown(void **state __unused_arg)
{
	assert_null(db_check(&s.db));
	store_done(&s);
	return 0;
}

#define READ_IS(g, tx, path, want)                                      \
	do {                                                            \
		assert_int_equal(ask_str(&s, g, XS_READ, tx, path), 0); \
		assert_string_equal((g)->body, want);                   \
	} while (0)

/* ---- nodes ------------------------------------------------------------- */

static void written_values_are_read_back(void **state __unused_arg)
{
	char big[2001];

	assert_int_equal(ask_write(&s, &dom0, 0, "/a/b/c", "hello"), 0);
	READ_IS(&dom0, 0, "/a/b/c", "hello");
	READ_IS(&dom0, 0, "/a/b", "");
	memset(big, 'x', 2000);
	big[2000] = '\0';
	/* Larger than the ring, both ways, wrapping. */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ask_write(&s, &dom0, 0, "/big", big), 0);
		READ_IS(&dom0, 0, "/big", big);
	}
}

static void children_are_listed_in_order_and_removed(void **state __unused_arg)
{
	assert_int_equal(ask_write(&s, &dom0, 0, "/d/one", "1"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_MKDIR, 0, "/d/two"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_MKDIR, 0, "/d/two"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_DIRECTORY, 0, "/d"), 0);
	assert_int_equal(dom0.len, 8);
	assert_memory_equal(dom0.body, "one\0two", 8);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, 0, "/d/one"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, 0, "/d/one"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, 0, "/x/y"), ENOENT);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, 0, "/"), EINVAL);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, 0, "/d"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_READ, 0, "/d/two"), ENOENT);
}

static void bad_paths_are_refused(void **state __unused_arg)
{
	static const char *const bad[] = {
		"", "//", "/a//b", "/a/", "/a b", "/\xff", "@releaseDomain"
	};
	char longest[XENSTORE_ABS_PATH_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ask_write(&s, &dom0, 0, bad[i], "x"), EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(ask_write(&s, &dom0, 0, longest, ""), EINVAL);
	longest[XENSTORE_ABS_PATH_MAX] = '\0';
	assert_int_equal(ask_write(&s, &dom0, 0, longest, ""), 0);
	/* No NUL at all, and an unknown request. */
	assert_int_equal(ask(&s, &dom0, XS_READ, 0, "/a", 2), EINVAL);
	assert_int_equal(ask_str(&s, &dom0, 20, 0, ""), ENOSYS);
	assert_int_equal(ask_str(&s, &dom0, 5000, 0, ""), ENOSYS);
}

static void long_directories_come_in_parts(void **state __unused_arg)
{
	size_t off = 0, names = 0;
	char gen[32] = "";
	bool end = false;

	for (int i = 0; i < 900; i++) {
		char path[40];

		snprintf(path, sizeof(path), "/dir/name-%03d", i);
		assert_int_equal(ask_str(&s, &dom0, XS_MKDIR, 0, path), 0);
	}
	assert_int_equal(ask_str(&s, &dom0, XS_DIRECTORY, 0, "/dir"), E2BIG);
	while (!end) {
		char number[16];
		size_t at;

		snprintf(number, sizeof(number), "%zu", off);
		assert_int_equal(ask3(&s, &dom0, XS_DIRECTORY_PART, "/dir",
				      number, NULL),
				 0);
		at = strlen(dom0.body) + 1;
		if (gen[0])
			assert_string_equal(gen, dom0.body);
		snprintf(gen, sizeof(gen), "%s", dom0.body);
		for (; at < dom0.len; at += strlen(dom0.body + at) + 1) {
			if (!dom0.body[at]) {
				end = true;
				break;
			}
			names++;
			off += strlen(dom0.body + at) + 1;
		}
	}
	assert_int_equal(names, 900);
}

/* ---- permissions ------------------------------------------------------- */

static void guests_are_kept_apart(void **state __unused_arg)
{
	assert_int_equal(ask_write(&s, &g1, 0, "data/x", "1"), 0);
	READ_IS(&dom0, 0, "/local/domain/1/data/x", "1");
	/* Another guest cannot even learn what exists. */
	assert_int_equal(ask_str(&s, &g2, XS_READ, 0, "/local/domain/1/data/x"),
			 EACCES);
	assert_int_equal(ask_str(&s, &g2, XS_READ, 0, "/local/domain/1/nope"),
			 EACCES);
	assert_int_equal(ask_write(&s, &g2, 0, "/local/domain/1/y", ""),
			 EACCES);
	assert_int_equal(ask_str(&s, &g2, XS_RM, 0, "/local/domain/1/data"),
			 EACCES);
	assert_int_equal(ask_write(&s, &g1, 0, "/tool2", ""), EACCES);

	/* Until its owner says so. */
	assert_int_equal(ask3(&s, &g1, XS_SET_PERMS, "data/x", "n1", "r2"), 0);
	READ_IS(&g2, 0, "/local/domain/1/data/x", "1");
	assert_int_equal(ask_write(&s, &g2, 0, "/local/domain/1/data/x", "2"),
			 EACCES);
	assert_int_equal(
		ask_str(&s, &g2, XS_GET_PERMS, 0, "/local/domain/1/data/x"), 0);
	assert_memory_equal(dom0.len ? g2.body : "", "n1\0r2", 6);
	/* But not give it away, and not of others' nodes. */
	assert_int_equal(ask3(&s, &g1, XS_SET_PERMS, "data/x", "n2", NULL),
			 EPERM);
	assert_int_equal(ask3(&s, &g2, XS_SET_PERMS, "/local/domain/1/data/x",
			      "n2", NULL),
			 EACCES);
	assert_int_equal(ask3(&s, &g1, XS_SET_PERMS, "data/x", "q1", NULL),
			 EINVAL);
}

static void only_dom0_controls(void **state __unused_arg)
{
	assert_int_equal(ask3(&s, &g1, XS_INTRODUCE, "3", "3", "1"), EACCES);
	assert_int_equal(ask_str(&s, &g1, XS_RELEASE, 0, "2"), EACCES);
	assert_int_equal(ask_str(&s, &g1, XS_RESUME, 0, "2"), EACCES);
	assert_int_equal(ask3(&s, &g1, XS_SET_TARGET, "1", "2", NULL), EACCES);
	assert_int_equal(ask_str(&s, &g1, XS_CONTROL, 0, "check"), EACCES);
	assert_int_equal(ask_str(&s, &dom0, XS_CONTROL, 0, "check"), 0);
	assert_string_equal(dom0.body, "OK");
	assert_int_equal(ask_str(&s, &g1, XS_GET_DOMAIN_PATH, 0, "2"), 0);
	assert_string_equal(g1.body, "/local/domain/2");
}

static void a_target_shares_its_rights(void **state __unused_arg)
{
	assert_int_equal(ask_write(&s, &g1, 0, "data/x", "1"), 0);
	assert_int_equal(ask3(&s, &dom0, XS_SET_TARGET, "2", "1", NULL), 0);
	READ_IS(&g2, 0, "/local/domain/1/data/x", "1");
	assert_int_equal(ask_str(&s, &dom0, XS_RELEASE, 0, "1"), 0);
	assert_int_equal(ask_write(&s, &dom0, 0, "/local/domain/1/x", ""), 0);
	assert_int_equal(ask_str(&s, &g2, XS_READ, 0, "/local/domain/1/x"),
			 EACCES);
}

/* ---- transactions ------------------------------------------------------ */

static void a_transaction_shows_only_when_committed(void **state __unused_arg)
{
	uint32_t t = tx_begin(&s, &dom0);

	assert_int_equal(ask_write(&s, &dom0, t, "/t/a", "1"), 0);
	READ_IS(&dom0, t, "/t/a", "1");
	assert_int_equal(ask_str(&s, &dom0, XS_READ, 0, "/t/a"), ENOENT);
	assert_int_equal(tx_end(&s, &dom0, t, true), 0);
	READ_IS(&dom0, 0, "/t/a", "1");
	assert_int_equal(tx_end(&s, &dom0, t, true), ENOENT);
	assert_int_equal(ask_str(&s, &dom0, XS_READ, t, "/t/a"), ENOENT);

	t = tx_begin(&s, &dom0);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, t, "/t"), 0);
	assert_int_equal(tx_end(&s, &dom0, t, false), 0);
	READ_IS(&dom0, 0, "/t/a", "1");
}

static void conflicting_transactions_fail(void **state __unused_arg)
{
	uint32_t t;

	assert_int_equal(ask_write(&s, &dom0, 0, "/t/a", "1"), 0);
	t = tx_begin(&s, &dom0);
	READ_IS(&dom0, t, "/t/a", "1");
	assert_int_equal(ask_write(&s, &dom0, 0, "/t/a", "2"), 0);
	READ_IS(&dom0, t, "/t/a", "1");
	assert_int_equal(ask_write(&s, &dom0, t, "/t/b", "x"), 0);
	assert_int_equal(tx_end(&s, &dom0, t, true), EAGAIN);
	assert_int_equal(ask_str(&s, &dom0, XS_READ, 0, "/t/b"), ENOENT);

	/* What was missing must still be missing. */
	t = tx_begin(&s, &dom0);
	assert_int_equal(ask_str(&s, &dom0, XS_READ, t, "/t/n"), ENOENT);
	assert_int_equal(ask_write(&s, &dom0, 0, "/t/n", ""), 0);
	assert_int_equal(tx_end(&s, &dom0, t, true), EAGAIN);

	/* A directory that was listed must have the same children. */
	t = tx_begin(&s, &dom0);
	assert_int_equal(ask_str(&s, &dom0, XS_DIRECTORY, t, "/t"), 0);
	assert_int_equal(ask_write(&s, &dom0, 0, "/t/m", ""), 0);
	assert_int_equal(tx_end(&s, &dom0, t, true), EAGAIN);

	/* The place to write to must still be there. */
	t = tx_begin(&s, &dom0);
	assert_int_equal(ask_write(&s, &dom0, t, "/t/a/deep", ""), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, 0, "/t/a"), 0);
	assert_int_equal(tx_end(&s, &dom0, t, true), EAGAIN);
}

static void unrelated_transactions_do_not_conflict(void **state __unused_arg)
{
	uint32_t t, u;

	assert_int_equal(ask_write(&s, &dom0, 0, "/t/a", "1"), 0);
	t = tx_begin(&s, &dom0);
	u = tx_begin(&s, &dom0);
	assert_int_equal(ask_write(&s, &dom0, t, "/t/x", "1"), 0);
	assert_int_equal(ask_write(&s, &dom0, u, "/t/y", "2"), 0);
	assert_int_equal(tx_end(&s, &dom0, t, true), 0);
	assert_int_equal(tx_end(&s, &dom0, u, true), 0);
	READ_IS(&dom0, 0, "/t/x", "1");
	READ_IS(&dom0, 0, "/t/y", "2");
}

static void a_subtree_can_be_replaced(void **state __unused_arg)
{
	uint32_t t;

	assert_int_equal(ask_write(&s, &dom0, 0, "/t/a/old", "1"), 0);
	assert_int_equal(ask_write(&s, &dom0, 0, "/t/a/both", "1"), 0);
	t = tx_begin(&s, &dom0);
	assert_int_equal(ask_write(&s, &dom0, t, "/t/a/gone", "1"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_RM, t, "/t/a"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_READ, t, "/t/a/old"), ENOENT);
	assert_int_equal(ask_write(&s, &dom0, t, "/t/a/both", "2"), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_DIRECTORY, t, "/t/a"), 0);
	assert_string_equal(dom0.body, "both");
	assert_int_equal(dom0.len, 5);
	assert_int_equal(ask_str(&s, &dom0, XS_DIRECTORY, t, "/t"), 0);
	assert_string_equal(dom0.body, "a");
	assert_int_equal(dom0.len, 2);
	assert_int_equal(tx_end(&s, &dom0, t, true), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_DIRECTORY, 0, "/t/a"), 0);
	assert_int_equal(dom0.len, 5);
	READ_IS(&dom0, 0, "/t/a/both", "2");
}

/* ---- watches ----------------------------------------------------------- */

static void watches_see_changes_below(void **state __unused_arg)
{
	assert_int_equal(ask3(&s, &g1, XS_WATCH, "data", "tok", NULL), 0);
	assert_int_equal(drain(&s, &g1), 1);
	assert_string_equal(g1.event_path, "data");
	assert_string_equal(g1.event_token, "tok");
	assert_int_equal(ask3(&s, &g1, XS_WATCH, "data", "tok", NULL), EEXIST);

	assert_int_equal(ask_write(&s, &g1, 0, "data/x/y", "1"), 0);
	assert_int_equal(drain(&s, &g1), 1);
	assert_string_equal(g1.event_path, "data/x/y");
	assert_int_equal(ask_write(&s, &g1, 0, "other", "1"), 0);
	assert_int_equal(drain(&s, &g1), 0);

	/* Who watches a node hears when something above it is removed. */
	assert_int_equal(ask3(&s, &dom0, XS_WATCH, "/local/domain/1/data/x/y",
			      "deep", NULL),
			 0);
	drain(&s, &dom0);
	assert_int_equal(ask_str(&s, &g1, XS_RM, 0, "data"), 0);
	assert_int_equal(drain(&s, &dom0), 1);
	assert_string_equal(dom0.event_path, "/local/domain/1/data/x/y");
	assert_int_equal(drain(&s, &g1), 1);
	assert_string_equal(g1.event_path, "data");

	assert_int_equal(ask3(&s, &g1, XS_UNWATCH, "data", "no", NULL), ENOENT);
	assert_int_equal(ask3(&s, &g1, XS_UNWATCH, "data", "tok", NULL), 0);
	assert_int_equal(ask_write(&s, &g1, 0, "data/z", "1"), 0);
	assert_int_equal(drain(&s, &g1), 0);
}

static void watches_keep_to_their_depth(void **state __unused_arg)
{
	assert_int_equal(ask3(&s, &dom0, XS_WATCH, "/w", "t", "1"), 0);
	drain(&s, &dom0);
	assert_int_equal(ask_write(&s, &dom0, 0, "/w", ""), 0);
	assert_int_equal(ask_write(&s, &dom0, 0, "/w/a", ""), 0);
	assert_int_equal(ask_write(&s, &dom0, 0, "/w/a/b", ""), 0);
	assert_int_equal(drain(&s, &dom0), 2);
	assert_int_equal(ask3(&s, &dom0, XS_WATCH, "/w", "t2", "x"), EINVAL);
}

static void watches_tell_nothing_secret(void **state __unused_arg)
{
	assert_int_equal(ask3(&s, &g2, XS_WATCH, "/local/domain/1", "t", NULL),
			 0);
	drain(&s, &g2);
	assert_int_equal(ask_write(&s, &g1, 0, "data/x", "1"), 0);
	assert_int_equal(drain(&s, &g2), 0);
	/* It hears that it may read now, and that it no longer may. */
	assert_int_equal(ask3(&s, &g1, XS_SET_PERMS, "data/x", "n1", "r2"), 0);
	assert_int_equal(drain(&s, &g2), 1);
	assert_int_equal(ask3(&s, &g1, XS_SET_PERMS, "data/x", "n1", NULL), 0);
	assert_int_equal(drain(&s, &g2), 1);
	assert_int_equal(ask_write(&s, &g1, 0, "data/x", "2"), 0);
	assert_int_equal(drain(&s, &g2), 0);
}

static void domains_coming_and_going_are_told(void **state __unused_arg)
{
	assert_int_equal(
		ask3(&s, &dom0, XS_WATCH, "@introduceDomain", "i", NULL), 0);
	assert_int_equal(ask3(&s, &dom0, XS_WATCH, "@releaseDomain", "r", "1"),
			 0);
	assert_int_equal(ask3(&s, &g1, XS_WATCH, "@releaseDomain", "r", NULL),
			 0);
	drain(&s, &dom0);
	drain(&s, &g1);
	assert_int_equal(ask3(&s, &dom0, XS_INTRODUCE, "3", "3", "1"), 0);
	assert_int_equal(drain(&s, &dom0), 1);
	assert_string_equal(dom0.event_path, "@introduceDomain");
	assert_int_equal(ask_str(&s, &dom0, XS_IS_DOMAIN_INTRODUCED, 0, "3"),
			 0);
	assert_string_equal(dom0.body, "T");
	assert_int_equal(ask_str(&s, &dom0, XS_RELEASE, 0, "3"), 0);
	assert_int_equal(drain(&s, &dom0), 1);
	assert_string_equal(dom0.event_path, "@releaseDomain/3");
	assert_int_equal(drain(&s, &g1), 0);
	assert_int_equal(ask_str(&s, &dom0, XS_IS_DOMAIN_INTRODUCED, 0, "3"),
			 0);
	assert_string_equal(dom0.body, "F");
}

static void a_dead_domain_leaves_nothing(void **state __unused_arg)
{
	size_t before;

	assert_int_equal(ask_write(&s, &dom0, 0, "/backend/v", "1"), 0);
	assert_int_equal(
		ask3(&s, &dom0, XS_SET_PERMS, "/backend/v", "n0", "r2"), 0);
	before = s.db.nr_nodes;
	assert_int_equal(ask_write(&s, &g2, 0, "data/a/b", "1"), 0);
	assert_int_equal(
		ask3(&s, &g1, XS_WATCH, "/local/domain/2/data/a", "w", NULL),
		0);
	assert_int_equal(ask_str(&s, &dom0, XS_RELEASE, 0, "2"), 0);
	/* data/a/b and its home, which dom0 had given to it. */
	assert_int_equal(s.db.nr_nodes, before - 1);
	assert_int_equal(s.db.owned[2], 0);
	assert_int_equal(ask_str(&s, &dom0, XS_GET_PERMS, 0, "/backend/v"), 0);
	assert_int_equal(dom0.len, 3);
	assert_string_equal(dom0.body, "n0");
}

/* ---- limits ------------------------------------------------------------ */

static void a_guest_cannot_fill_the_store(void **state __unused_arg)
{
	char path[64], big[2100];
	int r = 0, n;

	for (n = 0; n < 1100 && r == 0; n++) {
		snprintf(path, sizeof(path), "data/%d", n);
		r = ask_write(&s, &g1, 0, path, "x");
	}
	assert_int_equal(r, ENOSPC);
	assert_int_equal(s.db.owned[1], s.limits.nodes);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(ask_write(&s, &g1, 0, "data/0", big), ENOSPC);
	/* Others are not concerned. */
	assert_int_equal(ask_write(&s, &g2, 0, "data/0", "x"), 0);
	assert_int_equal(ask_write(&s, &dom0, 0, "/big", big), 0);
}

static void transactions_do_not_evade_the_limit(void **state __unused_arg)
{
	uint32_t t[10];
	char path[64];

	for (int i = 0; i < 10; i++) {
		t[i] = tx_begin(&s, &g1);
		assert_int_not_equal(t[i], 0);
		for (int k = 0; k < 300; k++) {
			snprintf(path, sizeof(path), "d%d/%d", i, k);
			assert_int_equal(ask_write(&s, &g1, t[i], path, ""), 0);
		}
	}
	assert_int_equal(ask_str(&s, &g1, XS_TRANSACTION_START, 0, ""), ENOSPC);
	for (int i = 0; i < 10; i++)
		assert_int_equal(tx_end(&s, &g1, t[i], true),
				 i < 3 ? 0 : ENOSPC);
	assert_true(s.db.owned[1] <= s.limits.nodes);
}

/* Looking at what is not there is enough to fill memory, without one node. */
static void transactions_hold_little(void **state __unused_arg)
{
	char path[2000], value[1900];
	uint32_t t = tx_begin(&s, &g1), u = tx_begin(&s, &g1);
	int r = 0, n;

	memset(path, 'x', sizeof(path));
	for (n = 0; n < 1000 && r != ENOSPC; n++) {
		snprintf(path + sizeof(path) - 16, 16, "%d", n);
		r = ask_str(&s, &g1, XS_READ, t, path);
	}
	assert_int_equal(r, ENOSPC);
	assert_true(n > 400 && n < 600);
	assert_int_equal(ask_str(&s, &g1, XS_READ, u, "data"), ENOSPC);
	assert_int_equal(ask_write(&s, &g1, u, "data/a", "x"), ENOSPC);
	assert_int_equal(tx_end(&s, &g1, t, false), 0);
	assert_int_equal(ask_str(&s, &g1, XS_READ, u, "data"), ENOENT);

	/* A value that is replaced is held once. */
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (n = 0; n < 1000; n++)
		assert_int_equal(ask_write(&s, &g1, u, "data/a", value), 0);
	assert_int_equal(tx_end(&s, &g1, u, true), 0);
	assert_int_equal(s.by_id[1]->conn->tx_bytes, 0);
}

static void watches_and_permissions_are_limited(void **state __unused_arg)
{
	char token[16];
	int r = 0, n;

	for (n = 0; n < 200 && r == 0; n++) {
		snprintf(token, sizeof(token), "%d", n);
		r = ask3(&s, &g1, XS_WATCH, "data", token, NULL);
	}
	assert_int_equal(r, E2BIG);
	assert_int_equal(n, 129);
	assert_int_equal(ask_str(&s, &g1, XS_RESET_WATCHES, 0, ""), 0);
	assert_int_equal(s.by_id[1]->conn->nr_watches, 0);
	assert_int_equal(ask_write(&s, &g1, 0, "p", ""), 0);
	assert_int_equal(
		ask(&s, &g1, XS_SET_PERMS, 0, "p\0n1\0r2\0r3\0r4\0r5\0r6", 20),
		ENOSPC);
}

static void unread_events_become_one_of_each_watch(void **state __unused_arg)
{
	struct conn *c = s.by_id[1]->conn;
	char path[64];

	assert_int_equal(ask3(&s, &g1, XS_WATCH, "data", "t", NULL), 0);
	drain(&s, &g1);
	for (int i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "/local/domain/1/data/%d", i % 9);
		assert_int_equal(ask_write(&s, &dom0, 0, path, "x"), 0);
	}
	assert_true(c->resync);
	assert_true(c->out_bytes < 200000);
	for (int i = 0; i < 20; i++)
		drain(&s, &g1);
	assert_false(c->resync);
	/* The last event is the one that makes up for those dropped. */
	assert_string_equal(g1.event_path, "data");
}

/* ---- rings ------------------------------------------------------------- */

static void a_bad_index_only_harms_its_guest(void **state __unused_arg)
{
	test_pages[1]->req_prod = test_pages[1]->req_cons + 5000;
	drain(&s, &dom0);
	assert_true(s.by_id[1]->broken);
	assert_int_equal(test_pages[1]->error, XENSTORE_ERROR_RINGIDX);
	assert_int_equal(ask_write(&s, &g2, 0, "data/x", "x"), 0);

	/* Introduced again it may go on. */
	memset(test_pages[1], 0, 4096);
	assert_int_equal(ask3(&s, &dom0, XS_INTRODUCE, "1", "1", "1"), 0);
	guest_init(&g1, 1);
	assert_int_equal(ask_write(&s, &g1, 0, "data/x", "x"), 0);
	assert_int_equal(test_pages[1]->error, XENSTORE_ERROR_NONE);
}

static void a_bad_length_only_harms_its_guest(void **state __unused_arg)
{
	struct xsd_sockmsg hdr = { .type = XS_READ, .len = 100000 };

	guest_write(&g1, &hdr, sizeof(hdr));
	drain(&s, &dom0);
	assert_true(s.by_id[1]->broken);
	assert_int_equal(test_pages[1]->error, XENSTORE_ERROR_PROTO);
	assert_int_equal(ask_write(&s, &dom0, 0, "/x", "x"), 0);

	test_pages[2]->rsp_cons = test_pages[2]->rsp_prod + 7;
	(void)ask_write(&s, &g2, 0, "data/x", "x");
	assert_true(s.by_id[2]->broken);
}

static void a_guest_that_does_not_read_is_not_served(void **state __unused_arg)
{
	struct conn *c = s.by_id[1]->conn;
	struct xsd_sockmsg hdr = { .type = XS_READ, .len = 6 };
	char big[2001];

	memset(big, 'x', 2000);
	big[2000] = '\0';
	assert_int_equal(ask_write(&s, &g1, 0, "big", big), 0);
	for (int i = 0; i < 500; i++) {
		char msg[sizeof(hdr) + 6] = { 0 };

		hdr.len = 4;
		memcpy(msg, &hdr, sizeof(hdr));
		memcpy(msg + sizeof(hdr), "big", 4);
		guest_write(&g1, msg, sizeof(hdr) + 4);
		drain(&s, &dom0);
	}
	assert_true(c->out_bytes < s.limits.output + 8 * 4200);
	assert_int_equal(ask_write(&s, &g2, 0, "data/x", "x"), 0);
}

/*
 * A guest as sparing with signals as Linux, on a thread of its own: a request
 * is signalled if all before it had been taken, reading if the ring was full.
 * The store only looks when it is signalled, and must not miss any.
 */
static sem_t signalled;
static bool sparing_done;

static void put_like_linux(struct guest *g, const char *p, size_t len)
{
	while (len > 0) {
		uint32_t prod = g->req_prod;
		size_t n = guest_write(g, p, len);

		p += n;
		len -= n;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (n > 0 && prod <= __atomic_load_n(&g->page->req_cons,
						     __ATOMIC_ACQUIRE))
			sem_post(&signalled);
	}
}

static bool get_like_linux(struct guest *g)
{
	uint32_t cons = g->rsp_cons;
	bool got = guest_read(g);

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (g->rsp_cons != cons &&
	    __atomic_load_n(&g->page->rsp_prod, __ATOMIC_ACQUIRE) - cons >=
		    XENSTORE_RING_SIZE)
		sem_post(&signalled);
	return got;
}

#define SPARING_ROUNDS 20000

static void *sparing_guest(void *arg)
{
	struct guest *g = arg;

	for (unsigned int i = 0; i < SPARING_ROUNDS; i++) {
		bool big = i % 16 == 0;
		struct xsd_sockmsg hdr = { .type = XS_READ,
					   .req_id = i,
					   .len = big ? 4 : 7 };

		put_like_linux(g, (char *)&hdr, sizeof(hdr));
		put_like_linux(g, big ? "big" : "data/x", hdr.len);
		/* two requests under way, as of two processes */
		for (unsigned int n = i % 2 ? 2 : 0; n > 0;)
			n -= get_like_linux(g);
	}
	__atomic_store_n(&sparing_done, true, __ATOMIC_RELEASE);
	sem_post(&signalled);
	return NULL;
}

static void no_request_waits_for_a_signal(void **state __unused_arg)
{
	struct timespec end;
	pthread_t guest;
	char big[2001];

	memset(big, 'x', 2000);
	big[2000] = '\0';
	assert_int_equal(ask_write(&s, &g1, 0, "big", big), 0);
	assert_int_equal(ask_write(&s, &g1, 0, "data/x", "y"), 0);
	assert_int_equal(sem_init(&signalled, 0, 0), 0);
	assert_int_equal(pthread_create(&guest, NULL, sparing_guest, &g1), 0);
	while (!__atomic_load_n(&sparing_done, __ATOMIC_ACQUIRE)) {
		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_sec += 30;
		if (sem_timedwait(&signalled, &end) < 0)
			fail_msg("the guest and the store wait for each other");
		conn_wake(s.by_id[1]->conn);
		while (store_turn(&s))
			;
	}
	assert_int_equal(pthread_join(guest, NULL), 0);
}

static void a_ring_can_be_emptied_by_its_guest(void **state __unused_arg)
{
	assert_int_equal(ask3(&s, &g1, XS_WATCH, "data", "t", NULL), 0);
	test_pages[1]->connection = XENSTORE_RECONNECT;
	drain(&s, &dom0);
	assert_int_equal(test_pages[1]->connection, XENSTORE_CONNECTED);
	assert_int_equal(test_pages[1]->req_cons, 0);
	assert_int_equal(s.by_id[1]->conn->nr_watches, 0);
	guest_init(&g1, 1);
	assert_int_equal(ask_write(&s, &g1, 0, "data/x", "x"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(written_values_are_read_back),
		T(children_are_listed_in_order_and_removed),
		T(bad_paths_are_refused),
		T(long_directories_come_in_parts),
		T(guests_are_kept_apart),
		T(only_dom0_controls),
		T(a_target_shares_its_rights),
		T(a_transaction_shows_only_when_committed),
		T(conflicting_transactions_fail),
		T(unrelated_transactions_do_not_conflict),
		T(a_subtree_can_be_replaced),
		T(watches_see_changes_below),
		T(watches_keep_to_their_depth),
		T(watches_tell_nothing_secret),
		T(domains_coming_and_going_are_told),
		T(a_dead_domain_leaves_nothing),
		T(a_guest_cannot_fill_the_store),
		T(transactions_do_not_evade_the_limit),
		T(transactions_hold_little),
		T(watches_and_permissions_are_limited),
		T(unread_events_become_one_of_each_watch),
		T(a_bad_index_only_harms_its_guest),
		T(a_bad_length_only_harms_its_guest),
		T(a_guest_that_does_not_read_is_not_served),
		T(no_request_waits_for_a_signal),
		T(a_ring_can_be_emptied_by_its_guest),
	};

	bh_log_setup("test", BH_ERR);
	test_pages_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
