/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead-guest NAME: builds, serves and cleans up one guest.
 *
 * systemd runs it (bulkhead-guest@NAME.service). SIGTERM means: shut the guest
 * down cleanly, destroy it after its time-out; but if systemd sends it without
 * having been told to stop the unit (it took too long to start, a helper ran
 * out of memory), the guest is left to the next supervisor. SIGHUP means: run
 * the program anew (after an upgrade) without touching the guest. SIGKILL is
 * survived: systemd starts the program again and it adopts the running guest.
 */
#include "guest/guest.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

const char *const phase_names[] = {
	[PHASE_WAITING] = "waiting", [PHASE_BUILDING] = "building",
	[PHASE_RUNNING] = "running", [PHASE_STOPPING] = "stopping",
	[PHASE_SAVING] = "saving",   [PHASE_PRESERVED] = "preserved",
	[PHASE_ENDING] = "ending",
};

void guest_finish(struct guest *g, int code, const char *fmt, ...)
{
	va_list ap;

	if (g->exit_text)
		return;
	va_start(ap, fmt);
	if (vasprintf(&g->exit_text, fmt, ap) < 0)
		g->exit_text = NULL;
	va_end(ap);
	g->exit_code = code;
	(void)sd_event_exit(g->event, code);
}

void guest_set_phase(struct guest *g, enum phase p)
{
	g->phase = p;
	(void)sd_notifyf(0, "STATUS=Guest is %s%s", phase_names[p],
			 p == PHASE_RUNNING && g->ready ? " and ready" : "");
	if (g->have_dom || p == PHASE_ENDING)
		(void)state_save(g);
}

/*
 * Building, saving and dumping take as long as the guest is large, and the
 * event loop stands still meanwhile; systemd must not take that for a hang.
 */
void guest_busy(bool on)
{
	uint64_t usec = 180 * 1000000ull;
	const char *env = getenv("WATCHDOG_USEC");

	if (!env)
		return;
	(void)!bh_parse_u64(env, 10, UINT64_MAX, &usec);
	(void)sd_notifyf(0, "WATCHDOG=1\nWATCHDOG_USEC=%" PRIu64,
			 on ? 7200 * (uint64_t)1000000 : usec);
	if (on)
		(void)sd_notify(0, "EXTEND_TIMEOUT_USEC=7200000000");
}

static void notify_up(struct guest *g)
{
	if (g->notified)
		return;
	g->notified = true;
	(void)sd_notify(0, "READY=1");
}

void guest_mark_ready(struct guest *g, const char *how)
{
	char path[96];
	int r;

	if (g->ready)
		return;
	g->ready = true;
	/* for bhctl events */
	r = bh_snprintf(path, sizeof(path), "/local/domain/%u/bulkhead/ready",
			g->dom.domid);
	if (r >= 0)
		r = bh_xs_write(g->xs, BH_XS_NONE, path, "1");
	if (r < 0)
		bh_log_errno(BH_WARNING, r, "guest %s: cannot write %s",
			     g->name, path);
	bh_log(BH_INFO, "guest %s is ready (%s) %.1f s after its start",
	       g->name, how, (double)(bh_now_us() - g->started_us) / 1e6);
	guest_set_phase(g, g->phase);
	boot_files_keep(g);
	notify_up(g);
	g->quick_fails = 0;
}

static void warn(void *arg, const char *text)
{
	(void)arg;
	bh_log(BH_WARNING, "%s", text);
}

static int load_config(struct guest *g, const char *path, struct bh_err *e)
{
	int r;

	bh_guest_cfg_free(g->cfg);
	g->cfg = NULL;
	r = bh_guest_cfg_load(path, g->name, warn, NULL, &g->cfg, e);
	if (r < 0)
		return r;
	/* The file's name is the guest's: a copied file may still say another. */
	if (!streq(g->cfg->name, g->name)) {
		bh_log(BH_WARNING,
		       "%s: name = \"%s\" is ignored, the file's name counts",
		       path, g->cfg->name);
		free(g->cfg->name);
		g->cfg->name = strdup(g->name);
		if (!g->cfg->name)
			return bh_fail(e, -ENOMEM, "out of memory");
	}
	if (!g->cfg->uuid_given) {
		/* stable, so that a domain can be recognised as this guest's */
		sd_id128_t app, id;
		uint64_t h = 0xcbf29ce484222325u;

		for (const char *p = g->name; *p; p++)
			h = (h ^ (uint8_t)*p) * 0x100000001b3u;
		app = SD_ID128_MAKE(b1, 1c, 8e, ad, b1, 1c, 48, ea, 8d, b1, 00,
				    00, 00, 00, 00, 00);
		memcpy(app.bytes + 8, &h, sizeof(h));
		if (sd_id128_get_machine_app_specific(app, &id) < 0)
			id = app;
		memcpy(g->cfg->uuid, id.bytes, 16);
	}
	free(g->config_path);
	g->config_path = strdup(path);
	return g->config_path ? 0 : bh_fail(e, -ENOMEM, "out of memory");
}

/* For load_kept_config(); a guest does not fail for want of it. */
static void keep_config(struct guest *g)
{
	_cleanup_free_ char *text = NULL;
	char kept[192];
	size_t len;

	if (bh_snprintf(kept, sizeof(kept), "%s/config.kept", g->run_dir) >=
		    0 &&
	    bh_read_file(g->config_path, BH_CFG_MAX_BYTES, &text, &len) >= 0)
		(void)!bh_write_file(kept, text, len, 0600);
}

/* /run/.../NAME/config is a transient guest's; it wins. */
int guest_load_config(struct guest *g, struct bh_err *e)
{
	char path[192];
	int r;

	r = bh_snprintf(path, sizeof(path), "%s/config", g->run_dir);
	if (r >= 0 && access(path, R_OK) < 0)
		r = bh_snprintf(path, sizeof(path), ETC_DIR "/%s.cfg", g->name);
	if (r >= 0)
		r = load_config(g, path, e);
	if (r >= 0)
		keep_config(g);
	return r < 0 ? r : 0;
}

/* The configuration as it was when it could last be read: enough to go on
 * with a guest that runs, not to build one. */
static int load_kept_config(struct guest *g)
{
	struct bh_err e = {};
	char path[192];
	int r;

	r = bh_snprintf(path, sizeof(path), "%s/config.kept", g->run_dir);
	return r < 0 ? r : load_config(g, path, &e);
}

/* ---- ordering between guests ------------------------------------------- */

static bool other_ready(const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[192];
	size_t len;

	if (bh_snprintf(path, sizeof(path), RUN_DIR "/%s/state", name) < 0 ||
	    bh_read_file(path, 65536, &text, &len) < 0)
		return false;
	return strstr(text, "\nready=1\n") != NULL;
}

/* systemd's ordering has started it before us, if it is to start at all. */
static bool other_runs(const char *name)
{
	char path[192];

	return bh_snprintf(path, sizeof(path), RUN_DIR "/%s/control", name) >=
		       0 &&
	       access(path, F_OK) == 0;
}

/* Waits for the guests of bulkhead_after; goes on with a warning. */
static void wait_for_others(struct guest *g)
{
	uint64_t end = bh_now_us() + g->cfg->after_timeout * 1000000ull;

	for (size_t i = 0; i < g->cfg->n_after && !g->exit_text; i++) {
		const char *o = g->cfg->after[i];

		if (other_ready(o))
			continue;
		if (!other_runs(o)) {
			bh_log(BH_NOTICE,
			       "guest %s is not started; %s does not "
			       "wait for it",
			       o, g->name);
			continue;
		}
		guest_set_phase(g, PHASE_WAITING);
		(void)sd_notifyf(0, "STATUS=Waiting for guest %s", o);
		while (!other_ready(o) && bh_now_us() < end && !g->exit_text) {
			(void)sd_notify(0, "EXTEND_TIMEOUT_USEC=5000000");
			if (sd_event_run(g->event, 100000) < 0)
				return;
		}
		if (!other_ready(o) && !g->exit_text)
			bh_log(BH_WARNING,
			       "guest %s is not ready after %u s; starting %s "
			       "without it",
			       o, g->cfg->after_timeout, g->name);
	}
}

/* ---- signals ----------------------------------------------------------- */

static int on_term(sd_event_source *s, const struct signalfd_siginfo *si,
		   void *arg)
{
	struct guest *g = arg;

	(void)s;
	if (si->ssi_pid != 1 || unit_is_stopped(g)) {
		guest_stop(g);
		return 0;
	}
	bh_log(BH_WARNING,
	       "stopped by systemd, but nobody asked for it; guest %s goes on",
	       g->name);
	if (g->have_dom)
		(void)state_save(g);
	(void)sd_event_exit(g->event, EX_TEMPFAIL);
	return 0;
}

static int on_hup(sd_event_source *s, const struct signalfd_siginfo *si,
		  void *arg)
{
	struct guest *g = arg;

	(void)s;
	(void)si;
	if (g->phase == PHASE_SAVING) {
		bh_log(BH_NOTICE, "guest %s is being saved; not reloaded",
		       g->name);
		return 0;
	}
	bh_log(BH_INFO, "running the program anew; guest %s goes on", g->name);
	(void)sd_notify(0, "RELOADING=1");
	(void)state_save(g);
	(void)sd_event_exit(g->event, 255);
	return 0;
}

static int on_xs(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct guest *g = arg;
	int r = bh_xs_process(g->xs);

	(void)fd;
	(void)revents;
	if (r < 0)
		bh_log_errno(BH_WARNING, r, "store");
	/* after a restart of the daemon the descriptor is another one */
	(void)sd_event_source_set_io_fd(s, bh_xs_fd(g->xs));
	return 0;
}

/* From the first moment on: a guest that runs is not to be left alone because
 * it was to be stopped while its supervisor waited for the store. */
static void block_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static int setup_events(struct guest *g)
{
	int r = sd_event_default(&g->event);

	if (r >= 0)
		r = sd_event_add_signal(g->event, NULL, SIGTERM, on_term, g);
	if (r >= 0)
		r = sd_event_add_signal(g->event, NULL, SIGINT, on_term, g);
	if (r >= 0)
		r = sd_event_add_signal(g->event, NULL, SIGHUP, on_hup, g);
	if (r >= 0)
		r = sd_event_add_io(g->event, &g->xs_src, bh_xs_fd(g->xs),
				    EPOLLIN, on_xs, g);
	if (r >= 0)
		r = sd_event_set_watchdog(g->event, true);
	return r < 0 ? r : 0;
}

/* ---- one at a time ----------------------------------------------------- */

static int take_lock(struct guest *g)
{
	char path[192];
	int r;

	r = bh_snprintf(g->run_dir, sizeof(g->run_dir), RUN_DIR "/%s", g->name);
	if (r >= 0)
		r = bh_mkdir_p(g->run_dir, 0755);
	if (r >= 0)
		r = bh_snprintf(path, sizeof(path), "%s/lock", g->run_dir);
	if (r < 0)
		return bh_log_errno(BH_ERR, r, "%s", g->run_dir);
	g->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (g->lock_fd < 0)
		return bh_log_errno(BH_ERR, -errno, "%s", path);
	if (flock(g->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		bh_log(BH_ERR,
		       "guest %s already has a supervisor; see bhctl info %s",
		       g->name, g->name);
		return -EBUSY;
	}
	return 0;
}

static void remove_run_files(struct guest *g)
{
	static const char *const names[] = { "state",       "config",
					     "config.kept", "restore",
					     "console",     "control" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[192];

		if (bh_snprintf(path, sizeof(path), "%s/%s", g->run_dir,
				names[i]) >= 0)
			(void)unlink(path);
	}
}

/* Whether a supervisor before this one left a guest, as far as it is known
 * before the configuration was read and the hypervisor asked. */
static bool left_running(const struct guest *g)
{
	char path[192];

	return bh_snprintf(path, sizeof(path), "%s/state", g->run_dir) >= 0 &&
	       access(path, F_OK) == 0;
}

/* What to exit with before it is known whether the guest runs: a running one
 * must not stay alone, so the unit restarts on EX_TEMPFAIL. */
static int not_yet(const struct guest *g)
{
	return left_running(g) ? EX_TEMPFAIL : 1;
}

/*
 * Reads the configuration and takes over what runs: 1 if there is nothing left
 * to build. What cannot be read any more only matters for building.
 */
static int take_what_runs(struct guest *g, struct bh_err *e)
{
	int cfg = guest_load_config(g, e), r;
	struct bh_err e2 = {};

	if (cfg < 0 && (!left_running(g) || load_kept_config(g) < 0))
		return cfg;
	r = sockets_start(g, cfg < 0 ? &e2 : e);
	if (r == 0)
		r = guest_adopt(g, cfg < 0 ? &e2 : e);
	if (cfg == 0)
		return r;
	if (r == 1)
		bh_log(BH_WARNING,
		       "guest %s goes on with the configuration it was started "
		       "with, for: %s",
		       g->name, bh_err_text(e, cfg));
	return r == 1 ? r : cfg;
}

/* Returns what to exit with, 0 to go on. */
static int start(struct guest *g)
{
	struct bh_err e = {};
	int r = take_what_runs(g, &e);

	if (r < 0 && !g->have_dom)
		goto fail;
	if (r < 0) {
		bh_log(BH_ERR, "guest %s: %s; trying again", g->name,
		       bh_err_text(&e, r));
		return EX_TEMPFAIL;
	}
	if (g->exit_text) {
		notify_up(g); /* or systemd calls it a failure */
		return 0;
	}
	if (r == 0) {
		wait_for_others(g);
		if (g->exit_text) /* asked to stop meanwhile */
			return 0;
		guest_busy(true);
		r = guest_build(g, &e);
		guest_busy(false);
		if (r < 0)
			goto fail;
	}
	machine_register(g);
	if (!g->cfg->notify_ready || g->ready)
		notify_up(g);
	else
		(void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64,
				 g->cfg->start_timeout * (uint64_t)1000000);
	guest_check(g);
	return 0;
fail:
	bh_log(BH_ERR, "guest %s: %s", g->name, bh_err_text(&e, r));
	(void)sd_notifyf(0, "STATUS=%s", bh_err_text(&e, r));
	/* for bhctl start, which has only systemd's word that it failed */
	if (g->run_dir[0]) {
		char path[192];

		if (bh_snprintf(path, sizeof(path), "%s/error", g->run_dir) >=
		    0) {
			const char *t = bh_err_text(&e, r);

			r = bh_write_file(path, t, strlen(t), 0644);
		}
	}
	sockets_stop(g);
	remove_run_files(g);
	return 1;
}

int main(int argc, char **argv)
{
	struct guest g = { .lock_fd = -1,
			   .listen_console = -1,
			   .listen_control = -1 };
	char path[192];
	int r;

	bh_log_setup("bulkhead-guest", BH_INFO);
	if (argc == 2 && streq(argv[1], "--version")) {
		printf("bulkhead-guest %s\n", BH_VERSION);
		return 0;
	}
	if (argc != 2 || !bh_name_valid(argv[1])) {
		fprintf(stderr, "usage: bulkhead-guest NAME\n");
		return 2;
	}
	g.name = argv[1];
	g.con.port = -1;
	g.con.evtchn_fd = -1;
	block_signals();
	if (take_lock(&g) < 0)
		return 1;
	if (bh_snprintf(path, sizeof(path), "%s/error", g.run_dir) >= 0)
		(void)unlink(path);
	r = bh_hv_open(&g.hv);
	if (r < 0) {
		bh_log_errno(BH_ERR, r,
			     "/dev/xen/privcmd (is this dom0 of a running "
			     "hypervisor, with xen-privcmd loaded?)");
		return not_yet(&g);
	}
	r = bh_xs_open(&g.xs);
	if (r < 0) {
		bh_log_errno(BH_ERR, r,
			     "cannot reach the store (is "
			     "bulkhead-store.service running?)");
		return not_yet(&g);
	}
	r = setup_events(&g);
	if (r < 0) {
		bh_log_errno(BH_ERR, r, "event loop");
		return 1;
	}
	r = start(&g);
	if (r)
		return r;
	r = sd_event_loop(g.event);
	if (r == 255) {
		sockets_stop(&g);
		/* By name: /proc/self/exe is the old file after an upgrade. */
		execv(strchr(argv[0], '/') ? argv[0] : "/proc/self/exe", argv);
		bh_log_errno(BH_ERR, -errno, "cannot run myself again");
		return 1;
	}
	if (r == EX_TEMPFAIL && !g.exit_text)
		return r;
	if (g.exit_text)
		bh_log(g.exit_code ? BH_ERR : BH_INFO, "guest %s: %s", g.name,
		       g.exit_text);
	guest_set_phase(&g, PHASE_ENDING);
	(void)sd_notifyf(0, "STOPPING=1\nSTATUS=%s",
			 g.exit_text ? g.exit_text : "");
	guest_save_abandon(&g, "the guest was destroyed meanwhile");
	guest_teardown(&g);
	sockets_answer_waiting(&g, NULL, g.exit_code ? g.exit_text : NULL);
	sockets_stop(&g);
	remove_run_files(&g);
	bh_xs_free(g.xs);
	bh_hv_close(g.hv);
	bh_guest_cfg_free(g.cfg);
	sd_bus_flush_close_unref(g.bus);
	return r < 0 ? 1 : g.exit_code;
}
