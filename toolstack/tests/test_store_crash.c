/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kill -9 at random moments, for real: a child process is the daemon, on rings
 * and a journal that it shares with this process, which is two guests. Each
 * guest counts in transactions and expects exactly one answer to each request,
 * in order, and an event for each change, however often the daemon dies.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/persist.h"
#include "tests/store_harness.h"

#define KILLS 150

static char dir[] = "/tmp/bh-store-XXXXXX";

/*
 * As the daemon does, except that it sometimes goes on in the old file instead
 * of writing a snapshot first: that has to work, too.
 */
static int load(struct store *s)
{
	struct journal *j;
	struct domain *d;
	bool found;
	int r;

	r = store_init(s, &test_host, (uint64_t)bh_now_us());
	if (r == 0)
		r = journal_open(dir, persist_replay, s, &found, &j);
	if (r < 0)
		return r;
	if (!found)
		return -ENODATA;
	s->persist = persist_new();
	persist_start(s, j);
	LIST_FOREACH(d, &s->domains, link) {
		r = test_host.attach(s, d, true);
		if (r < 0)
			return r;
	}
	if (db_check(&s->db))
		return -EUCLEAN;
	return bh_now_us() & 1 ? persist_snapshot(s) : 0;
}

static pid_t start_daemon(void)
{
	pid_t parent = getpid(), pid = fork();
	static struct store s;
	int r;

	if (pid > 0)
		return pid;
	r = load(&s);
	if (r < 0)
		_exit(-r);
	while (getppid() == parent) { /* never outlive a failed test */
		struct domain *d;

		LIST_FOREACH(d, &s.domains, link)
			conn_wake(d->conn);
		(void)store_turn(&s);
		/* Keep the journal short, so that it is replaced often, too. */
		if (s.nr_requests % 64 == 63)
			persist_want_snapshot(&s);
	}
	_exit(0);
}

/* ---- a guest as a state machine ---------------------------------------- */

enum step {
	START,
	GET,
	PUT,
	NOTE,
	CHECK,
	END
};

struct counter {
	struct guest g;
	enum step step;
	uint32_t tx;
	unsigned long count, seen_events, retries, answers;
	char msg[2048];
	size_t msg_len, msg_sent;
	bool waiting;
	bool lost;
};

static void say(struct counter *c, uint32_t type, uint32_t tx, const char *fmt,
		...) __printf_like(4, 5);

static void say(struct counter *c, uint32_t type, uint32_t tx, const char *fmt,
		...)
{
	struct xsd_sockmsg hdr = {
		.type = type,
		.req_id = ++c->g.next_req,
		.tx_id = tx,
	};
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->msg + sizeof(hdr), sizeof(c->msg) - sizeof(hdr), fmt,
		      ap);
	va_end(ap);
	/* '|' stands for the NUL inside; all but values end with one. */
	for (int i = 0; i < n; i++)
		if (c->msg[sizeof(hdr) + (size_t)i] == '|')
			c->msg[sizeof(hdr) + (size_t)i] = '\0';
	hdr.len = (uint32_t)n + (type != XS_WRITE);
	memcpy(c->msg, &hdr, sizeof(hdr));
	c->msg_len = sizeof(hdr) + hdr.len;
	c->msg_sent = 0;
	c->waiting = true;
}

static int note_width(const struct counter *c)
{
	return c->count % 3 ? 8 : 1500;
}

static void next_request(struct counter *c)
{
	switch (c->step) {
	case START:
		say(c, XS_TRANSACTION_START, 0, "%s", "");
		break;
	case GET:
		say(c, XS_READ, c->tx, "count");
		break;
	case PUT:
		say(c, XS_WRITE, c->tx, "count|%lu", c->count + 1);
		break;
	case NOTE:
		/* Every third is larger than the ring, both ways. */
		say(c, XS_WRITE, c->tx, "note/n%lu|%0*lu", c->count % 7,
		    note_width(c), c->count + 1);
		break;
	case CHECK:
		say(c, XS_READ, c->tx, "note/n%lu", c->count % 7);
		break;
	case END:
		say(c, XS_TRANSACTION_END, c->tx, "T");
		break;
	}
}

static void answered(struct counter *c)
{
	struct xsd_sockmsg *hdr = (void *)c->g.in;

	assert_int_equal(hdr->req_id, c->g.next_req);
	assert_true(c->waiting);
	c->waiting = false;
	c->answers++;
	/*
	 * A transaction that outlived its daemon sees the tree without its own
	 * writes. That may look odd, but then it must not commit.
	 */
	if (c->step == CHECK &&
	    (c->g.type == XS_ERROR || (int)c->g.len != note_width(c) ||
	     strtoul(c->g.body, NULL, 10) != c->count + 1)) {
		c->lost = true;
		c->step = END;
		return;
	}
	if (c->g.type == XS_ERROR) {
		assert_int_equal(c->step, END);
		assert_string_equal(c->g.body, "EAGAIN");
		c->retries++;
		c->lost = false;
		c->step = START;
		return;
	}
	assert_false(c->lost);
	switch (c->step) {
	case START:
		c->tx = (uint32_t)atoi(c->g.body);
		break;
	case GET:
		assert_int_equal(strtoul(c->g.body, NULL, 10), c->count);
		break;
	case END:
		c->count++;
		break;
	default:
		break;
	}
	c->step = c->step == END ? START : c->step + 1;
}

static void run_counter(struct counter *c)
{
	if (!c->waiting)
		next_request(c);
	c->msg_sent += guest_write(&c->g, c->msg + c->msg_sent,
				   c->msg_len - c->msg_sent);
	while (guest_read(&c->g)) {
		if (c->g.type == XS_WATCH_EVENT)
			c->seen_events++;
		else
			answered(c);
	}
}

/*
 * Counts on for some answers, however long they take on a busy host, and then
 * for some time, to be killed anywhere between two answers. No answers: killed
 * anywhere from its start.
 */
static void live(struct counter *c, unsigned long answers, unsigned int us)
{
	unsigned long want = c[0].answers + c[1].answers + answers;
	uint64_t limit = bh_now_us() + 60000000, until;

	while (c[0].answers + c[1].answers < want) {
		run_counter(&c[0]);
		run_counter(&c[1]);
		assert_true(bh_now_us() < limit);
	}
	until = bh_now_us() + us;
	while (bh_now_us() < until) {
		run_counter(&c[0]);
		run_counter(&c[1]);
	}
}

static void killed_daemons_lose_nothing(void **state __unused_arg)
{
	static struct counter c[2];
	unsigned int seed = (unsigned int)bh_now_us();
	unsigned long before, total = 0;
	static struct store s;
	uint64_t limit;
	pid_t pid;
	int status;

	print_message("seed %u\n", seed);
	guest_init(&c[0].g, 1);
	guest_init(&c[1].g, 2);
	c[0].g.next_req = c[1].g.next_req = 5000;
	for (int i = 0; i < KILLS; i++) {
		pid = start_daemon();
		live(c, i % 4 ? 1 + (unsigned int)rand_r(&seed) % 24 : 0,
		     (unsigned int)rand_r(&seed) % (i % 4 ? 500 : 20000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* It did not find its state unusable and leave by itself. */
		if (!WIFSIGNALED(status))
			print_message("daemon left with %d after %d kills\n",
				      WEXITSTATUS(status), i);
		assert_true(WIFSIGNALED(status));
	}

	/* The last one may finish what is under way. */
	before = c[0].count + c[1].count;
	pid = start_daemon();
	limit = bh_now_us() + 30000000;
	while ((c[0].waiting || c[1].waiting || c[0].step || c[1].step ||
		c[0].count + c[1].count == before) &&
	       bh_now_us() < limit) {
		for (int i = 0; i < 2; i++)
			if (c[i].waiting || c[i].step || c[i].count == 0 ||
			    c[0].count + c[1].count == before)
				run_counter(&c[i]);
	}
	for (int i = 0; i < 2 && bh_now_us() >= limit; i++)
		print_message(
			"stuck: guest %d step %d waiting %d sent %zu/%zu req %u/%u rsp %u/%u\n",
			i + 1, c[i].step, c[i].waiting, c[i].msg_sent,
			c[i].msg_len, c[i].g.page->req_cons,
			c[i].g.page->req_prod, c[i].g.page->rsp_cons,
			c[i].g.page->rsp_prod);
	usleep(50000);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_true(bh_now_us() < limit);

	assert_int_equal(load(&s), 0);
	for (int i = 0; i < 2; i++) {
		char path[64], want[24];
		struct node *n;

		/* Late events, after the last answer. */
		struct guest *g = &c[i].g;

		for (int k = 0; k < 20; k++) {
			conn_wake(s.by_id[i + 1]->conn);
			(void)store_turn(&s);
			while (guest_read(g))
				c[i].seen_events++;
		}
		snprintf(path, sizeof(path), "/local/domain/%d/count", i + 1);
		snprintf(want, sizeof(want), "%lu", c[i].count);
		n = db_lookup(&s.db, path);
		assert_non_null(n);
		assert_int_equal(n->value->len, strlen(want));
		assert_memory_equal(n->value->bytes, want, strlen(want));
		/* One for the registration, one for each commit; exactly. */
		assert_int_equal(c[i].seen_events, c[i].count + 1);
		total += c[i].count;
	}
	print_message("%lu commits, %lu retries, %lu answers over %d kills\n",
		      total, c[0].retries + c[1].retries,
		      c[0].answers + c[1].answers, KILLS);
	assert_true(total > KILLS / 2); /* enough happened to mean something */
	persist_free(s.persist);
	store_done(&s);
}

/* The first daemon's work: two domains, each with its count and its watch. */
static int setup(void **state __unused_arg)
{
	struct journal *j;
	struct guest g;
	static struct store s;
	bool found;

	assert_non_null(mkdtemp(dir));
	test_store(&s, 2);
	assert_int_equal(journal_open(dir, persist_replay, &s, &found, &j), 0);
	assert_false(found);
	s.persist = persist_new();
	persist_start(&s, j);
	assert_int_equal(persist_snapshot(&s), 0);
	for (unsigned int i = 1; i <= 2; i++) {
		guest_init(&g, i);
		assert_int_equal(ask_write(&s, &g, 0, "count", "0"), 0);
		assert_int_equal(ask3(&s, &g, XS_WATCH, "count", "t", NULL), 0);
		/* Its event stays unread: it has to survive as well. */
	}
	persist_free(s.persist);
	s.persist = NULL;
	store_done(&s);
	return 0;
}

static int teardown(void **state __unused_arg)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed_daemons_lose_nothing,
						setup, teardown),
	};

	bh_log_setup("test", BH_ERR);
	test_pages_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
