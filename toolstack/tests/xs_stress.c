/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client that notices if the store forgets anything, for the system tests.
 * Runs in a guest (through its ring) or in dom0 (through the socket) while the
 * daemon is killed again and again:
 *
 *   xs_stress DIR SECONDS [exact]
 *
 * Each round adds one to DIR/count in a transaction that reads and writes two
 * nodes, checks that exactly (with "exact") one more is there, reads back plain
 * nodes, lists a directory, and waits for the watch on DIR/count to say so.
 * Writes the number of rounds to DIR/rounds and, at the end, DIR/result.
 */
#include <poll.h>

#include "bulkhead/xs.h"

static char dir[128];
static unsigned long long events;

static int bump(struct bh_xs *xs, bh_xs_tx tx, void *arg)
{
	char path[200];
	uint64_t n, mirror;
	int r;

	snprintf(path, sizeof(path), "%s/count", dir);
	r = bh_xs_read_u64(xs, tx, path, &n);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/mirror", dir);
	r = bh_xs_read_u64(xs, tx, path, &mirror);
	if (r < 0)
		return r;
	if (n != mirror) {
		*(const char **)arg = "count and mirror differ";
		return -EBADMSG;
	}
	r = bh_xs_writef(xs, tx, path, "%llu", (unsigned long long)n + 1);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/count", dir);
	return bh_xs_writef(xs, tx, path, "%llu", (unsigned long long)n + 1);
}

static void on_event(struct bh_xs *xs __unused_arg,
		     const char *event __unused_arg, void *arg __unused_arg)
{
	events++;
}

/* Makes the next event for itself, as a guest can: processing must end anyway. */
static void on_busy(struct bh_xs *xs, const char *event, void *arg __unused_arg)
{
	(void)!bh_xs_write(xs, BH_XS_NONE, event, "again");
}

static const char *failed(const char *what, int r)
{
	static char text[160];

	snprintf(text, sizeof(text), "%s: %s", what, strerror(-r));
	return text;
}

/* Waits until the watch has fired once more than before. */
static const char *await_event(struct bh_xs *xs, unsigned long long before)
{
	uint64_t deadline = bh_now_us() + 60000000;

	for (;;) {
		struct pollfd p = { .fd = bh_xs_fd(xs), .events = POLLIN };
		int r = bh_xs_process(xs);

		if (r < 0)
			return failed("process", r);
		if (events > before)
			return NULL;
		if (bh_now_us() > deadline)
			return "no event within 60 s";
		poll(&p, 1, 1000);
	}
}

static const char *one_round(struct bh_xs *xs, uint64_t round, bool exact,
			     uint64_t *count)
{
	unsigned long long before;
	const char *why = NULL;
	char path[200], name[64];
	_cleanup_free_ char **list = NULL;
	size_t n = 0;
	uint64_t v;
	int r;

	/* Late events of the round before must not count. */
	r = bh_xs_process(xs);
	if (r < 0)
		return failed("process", r);
	before = events;
	r = bh_xs_transaction(xs, bump, &why);
	if (r < 0)
		return why ? why : failed("transaction", r);
	snprintf(path, sizeof(path), "%s/count", dir);
	r = bh_xs_read_u64(xs, BH_XS_NONE, path, &v);
	if (r < 0)
		return failed("read", r);
	if (exact ? v != *count + 1 : v <= *count)
		return "a commit was lost or done twice";
	*count = v;
	why = await_event(xs, before);
	if (why)
		return why;

	snprintf(path, sizeof(path), "%s/list/n%llu", dir,
		 (unsigned long long)round % 50);
	snprintf(name, sizeof(name), "value %llu", (unsigned long long)round);
	r = bh_xs_write(xs, BH_XS_NONE, path, name);
	if (r < 0)
		return failed("write", r);
	snprintf(path, sizeof(path), "%s/list", dir);
	r = bh_xs_directory(xs, BH_XS_NONE, path, &list, &n);
	if (r < 0)
		return failed("directory", r);
	if (n != (round < 49 ? round + 1 : 50))
		return "a node is missing";
	return NULL;
}

static const char *run(struct bh_xs *xs, unsigned int seconds, bool exact)
{
	uint64_t end = bh_now_us() + seconds * 1000000ull, count = 0, round;
	char path[200];
	int r = 0;

	snprintf(path, sizeof(path), "%s/list", dir);
	(void)bh_xs_rm(xs, BH_XS_NONE, path);
	snprintf(path, sizeof(path), "%s/mirror", dir);
	r = bh_xs_write(xs, BH_XS_NONE, path, "0");
	snprintf(path, sizeof(path), "%s/count", dir);
	if (r == 0)
		r = bh_xs_write(xs, BH_XS_NONE, path, "0");
	if (r == 0)
		r = bh_xs_watch(xs, path, on_event, NULL, NULL);
	snprintf(path, sizeof(path), "%s/busy", dir);
	if (r == 0)
		r = bh_xs_write(xs, BH_XS_NONE, path, "");
	if (r == 0)
		r = bh_xs_watch(xs, path, on_busy, NULL, NULL);
	if (r < 0)
		return failed("start", r);
	for (round = 0; bh_now_us() < end; round++) {
		const char *why = one_round(xs, round, exact, &count);

		if (why)
			return why;
		snprintf(path, sizeof(path), "%s/rounds", dir);
		r = bh_xs_writef(xs, BH_XS_NONE, path, "%llu",
				 (unsigned long long)round + 1);
		if (r < 0)
			return failed("write", r);
	}
	return "ok";
}

int main(int argc, char **argv)
{
	_cleanup_xs_ struct bh_xs *xs = NULL;
	const char *why;
	char path[200];
	int r;

	if (argc < 3)
		return 2;
	snprintf(dir, sizeof(dir), "%s", argv[1]);
	r = bh_xs_open(&xs);
	if (r < 0) {
		printf("xs_stress: open: %s\n", strerror(-r));
		return 1;
	}
	bh_xs_set_timeout(xs, 120);
	why = run(xs, (unsigned int)atoi(argv[2]), argc > 3);
	printf("xs_stress: %s\n", why);
	snprintf(path, sizeof(path), "%s/result", dir);
	(void)!bh_xs_write(xs, BH_XS_NONE, path, why);
	return streq(why, "ok") ? 0 : 1;
}
