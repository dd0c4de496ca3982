/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead-store: options, start, and the loop.
 *
 * Start order matters for coming back unnoticed: first the journal (which also
 * proves that no other store runs on it), then the rings, and only then the
 * socket and READY=1, when what clients can ask for is whole.
 */
#include <getopt.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "store/host.h"
#include "store/persist.h"
#include "store/socket.h"

struct daemon {
	struct store store;
	sd_event *event;
	sd_event_source *turn;
	bool no_host;
};

static int usage(FILE *f, int status)
{
	fputs("Usage: bulkhead-store [OPTION]...\n"
	      "Keeps the configuration tree that domains share (XenStore).\n\n"
	      "  -d, --directory DIR     state, kept across a restart (/run/bulkhead/store)\n"
	      "  -s, --socket PATH       for clients in dom0 (/run/xenstored/socket)\n"
	      "  -q, --quota NAME=VALUE  limit for unprivileged domains; see --list-quotas\n"
	      "  -Q, --list-quotas       print the limits and exit\n"
	      "      --no-domains        serve the socket only (for tests)\n"
	      "  -v, --verbose           debug messages\n"
	      "  -h, --help              this text\n"
	      "  -V, --version           version\n",
	      f);
	return status;
}

static int list_quotas(const struct limits *l)
{
	struct limits copy = *l;
	const char *name;

	for (unsigned int i = 0; (name = limits_name(i)); i++)
		printf("%-18s %u\n", name, *limits_find(&copy, name));
	return EXIT_SUCCESS;
}

static int set_quota(struct limits *l, char *arg)
{
	char *eq = strchr(arg, '=');
	unsigned int *limit;
	uint32_t value;

	if (eq)
		*eq = '\0';
	limit = eq ? limits_find(l, arg) : NULL;
	if (!limit || bh_parse_u32(eq + 1, &value) < 0) {
		if (eq)
			*eq = '=';
		bh_log(BH_ERR,
		       "--quota %s: expected NAME=NUMBER with a name of --list-quotas",
		       arg);
		return -EINVAL;
	}
	*limit = value;
	return 0;
}

/* ---- the loop ---------------------------------------------------------- */

/* After each round of events: work, record, answer, kick. */
static int on_turn(sd_event_source *source, void *arg)
{
	struct daemon *m = arg;
	bool more = store_turn(&m->store);

	if (!m->no_host)
		host_kick(&m->store);
	/*
	 * With work left come back at once. The priority is everybody's, so
	 * that others' input and these turns alternate.
	 */
	return sd_event_source_set_enabled(source,
					   more ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* Runs after any other event source of this round. */
static int on_post(sd_event_source *source __unused_arg, void *arg)
{
	struct daemon *m = arg;

	if (TAILQ_EMPTY(&m->store.ready))
		return 0;
	return sd_event_source_set_enabled(m->turn, SD_EVENT_ON);
}

static int on_evtchn(sd_event_source *source __unused_arg, int fd __unused_arg,
		     uint32_t revents __unused_arg, void *arg)
{
	struct daemon *m = arg;
	int r = host_process(&m->store);

	/* The device's queue overflowed or the like: look at everybody. */
	if (r < 0) {
		struct domain *d;

		bh_log_errno(BH_WARNING, r, "event channels");
		LIST_FOREACH(d, &m->store.domains, link)
			conn_wake(d->conn);
	}
	/* Deaths are recorded even if nobody is told. */
	return sd_event_source_set_enabled(m->turn, SD_EVENT_ON);
}

static int add_sources(struct daemon *m, const char *path)
{
	sigset_t mask;
	int fd, r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, NULL);

	r = sd_event_add_defer(m->event, &m->turn, on_turn, m);
	if (r >= 0)
		r = sd_event_source_set_enabled(m->turn, SD_EVENT_ON);
	if (r >= 0)
		r = sd_event_add_post(m->event, NULL, on_post, m);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0 && !m->no_host)
		r = sd_event_add_io(m->event, NULL, host_fd(), EPOLLIN,
				    on_evtchn, m);
	if (r < 0)
		return bh_log_errno(BH_ERR, r, "event loop");

	fd = socket_open(path);
	if (fd < 0)
		return bh_log_errno(BH_ERR, fd, "%s: cannot listen", path);
	r = socket_listen(&m->store, m->event, fd);
	return r < 0 ? bh_log_errno(BH_ERR, r, "event loop") : 0;
}

/* ---- start ------------------------------------------------------------- */

/*
 * What every fresh store has. Not dom0's "domid": its absence tells stock
 * xen-init-dom0 that there is something for it to do.
 */
static int plant(struct store *s)
{
	static const char *const nodes[][2] = {
		{ "/tool", "" },
		{ "/tool/xenstored", "" },
		{ "/local", "" },
		{ "/local/domain", "" },
		{ "/local/domain/0", "" },
		{ "/local/domain/0/name", "Domain-0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		int r = db_set(&s->db, nodes[i][0], nodes[i][1],
			       strlen(nodes[i][1]), s->db.root->perms, NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

static int load_state(struct store *s, const char *dir)
{
	struct journal *j = NULL;
	bool found;
	int r;

	r = bh_mkdir_p(dir, 0700);
	if (r < 0)
		return bh_log_errno(BH_ERR, r, "%s", dir);
	r = journal_open(dir, persist_replay, s, &found, &j);
	if (r == -EBUSY)
		bh_log(BH_ERR, "%s: another store is using it", dir);
	else if (r == -EBADMSG)
		bh_log(BH_ERR,
		       "%s/journal is damaged; remove it to start empty (running guests then lose their devices)",
		       dir);
	else if (r < 0)
		bh_log_errno(BH_ERR, r, "%s: cannot read the state", dir);
	if (r < 0)
		return r;

	s->persist = persist_new();
	if (!s->persist) {
		journal_close(j);
		return -ENOMEM;
	}
	persist_start(s, j);
	if (!found)
		r = plant(s);
	if (r == 0)
		r = persist_snapshot(s);
	if (r < 0)
		return bh_log_errno(BH_ERR, r, "%s: cannot write the state",
				    dir);
	if (found)
		bh_log(BH_NOTICE, "continuing with %zu nodes", s->db.nr_nodes);
	return 0;
}

static uint64_t first_generation(void)
{
	struct timespec ts;

	/* Grows faster than generations are used, across restarts too. */
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int run(struct daemon *m, const char *dir, const char *path)
{
	int r = load_state(&m->store, dir);

	if (r == 0 && !m->no_host)
		r = host_open(&m->store);
	if (r == 0) {
		r = sd_event_default(&m->event);
		if (r >= 0)
			r = add_sources(m, path);
	}
	if (r < 0)
		return r;
	(void)sd_event_set_watchdog(m->event, true);
	sd_notifyf(0, "READY=1\nSTATUS=%zu nodes", m->store.db.nr_nodes);
	bh_log(BH_INFO, "ready on %s", path);
	r = sd_event_loop(m->event);
	persist_commit(&m->store);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "directory", required_argument, NULL, 'd' },
		{ "socket", required_argument, NULL, 's' },
		{ "quota", required_argument, NULL, 'q' },
		{ "list-quotas", no_argument, NULL, 'Q' },
		{ "no-domains", no_argument, NULL, 'n' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *dir = "/run/bulkhead/store";
	const char *path = "/run/xenstored/socket";
	static struct daemon m;
	int opt, r;

	bh_log_setup("bulkhead-store", BH_INFO);
	if (store_init(&m.store, &host_ops, first_generation()) < 0) {
		bh_log(BH_ERR, "out of memory");
		return EXIT_FAILURE;
	}
	while ((opt = getopt_long(argc, argv, "d:s:q:QvhV", options, NULL)) !=
	       -1) {
		switch (opt) {
		case 'd':
			dir = optarg;
			break;
		case 's':
			path = optarg;
			break;
		case 'q':
			if (set_quota(&m.store.limits, optarg) < 0)
				return EXIT_FAILURE;
			break;
		case 'Q':
			return list_quotas(&m.store.limits);
		case 'n':
			m.no_host = true;
			break;
		case 'v':
			bh_log_setup("bulkhead-store", BH_DEBUG);
			break;
		case 'h':
			return usage(stdout, EXIT_SUCCESS);
		case 'V':
			printf("bulkhead-store %s\n", BH_VERSION);
			return EXIT_SUCCESS;
		default:
			return usage(stderr, EXIT_FAILURE);
		}
	}
	if (optind < argc) {
		bh_log(BH_ERR, "unexpected argument \"%s\"; see --help",
		       argv[optind]);
		return EXIT_FAILURE;
	}

	r = run(&m, dir, path);
	host_close();
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
