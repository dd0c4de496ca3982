/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to a guest after it was started: it becomes ready, shuts down,
 * reboots, crashes, or somebody asks it to.
 *
 * The hypervisor's word (the shutdown flag and its reason) is the truth; the
 * store's @releaseDomain only says when to look.
 */
#include "guest/guest.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "bulkhead/save.h"

#define QUICK_US        (10 * 1000000ull) /* dying sooner counts as a failure */
#define MAX_QUICK_FAILS 5

static const char *const reason_names[] = {
	[SHUTDOWN_poweroff] = "powered off",
	[SHUTDOWN_reboot] = "rebooted",
	[SHUTDOWN_suspend] = "suspended",
	[SHUTDOWN_crash] = "crashed",
	[SHUTDOWN_watchdog] = "was stopped by its watchdog",
	[SHUTDOWN_soft_reset] = "asked for a soft reset",
};

static int on_delay(sd_event_source *s, uint64_t usec, void *arg)
{
	struct guest *g = arg;
	struct bh_err e = {};
	int r;

	(void)usec;
	sd_event_source_unref(s);
	g->timer = NULL;
	guest_busy(true);
	r = guest_load_config(g, &e);
	if (r == 0)
		r = guest_build(g, &e);
	guest_busy(false);
	if (r < 0) {
		guest_finish(g, 1, "cannot start again: %s",
			     bh_err_text(&e, r));
		return 0;
	}
	guest_check(g);
	return 0;
}

static void set_timer(struct guest *g, uint64_t us, sd_event_time_handler_t fn)
{
	sd_event_source_unref(g->timer);
	g->timer = NULL;
	if (sd_event_add_time_relative(g->event, &g->timer, CLOCK_MONOTONIC, us,
				       10000, fn, g) < 0)
		guest_finish(g, 1, "event loop: no timer");
}

static void rebuild(struct guest *g, bool failed)
{
	uint64_t delay = 0;

	if (failed || bh_now_us() - g->started_us < QUICK_US)
		g->quick_fails++;
	else
		g->quick_fails = 0;
	if (g->quick_fails > MAX_QUICK_FAILS) {
		guest_finish(g, 1,
			     "restarted %d times within seconds of its start; "
			     "giving up, see bhctl console and the journal",
			     MAX_QUICK_FAILS);
		return;
	}
	guest_teardown(g);
	guest_set_phase(g, PHASE_BUILDING);
	if (g->quick_fails > 1)
		delay = g->quick_fails * 1000000ull;
	set_timer(g, delay, on_delay);
}

static void act(struct guest *g, enum bh_action a, unsigned int reason)
{
	const char *what = reason_names[reason];
	bool crash = reason == SHUTDOWN_crash || reason == SHUTDOWN_watchdog;
	struct bh_err e = {};

	guest_busy(true);
	if ((a == BH_ACT_COREDUMP_DESTROY || a == BH_ACT_COREDUMP_RESTART) &&
	    guest_dump_core(g, &e) < 0)
		bh_log(BH_ERR, "guest %s: no core dump: %s", g->name,
		       bh_err_text(&e, -EIO));
	guest_busy(false);
	/* whoever asked for a stop gets one, whatever the guest made of it */
	if (g->phase == PHASE_STOPPING && !g->restart_wanted &&
	    a != BH_ACT_PRESERVE)
		a = BH_ACT_DESTROY;
	switch (a) {
	case BH_ACT_PRESERVE:
		bh_log(BH_NOTICE,
		       "guest %s %s and is preserved; bhctl destroy %s removes "
		       "it",
		       g->name, what, g->name);
		guest_set_phase(g, PHASE_PRESERVED);
		sockets_answer_waiting(g, NULL, NULL);
		break;
	case BH_ACT_RESTART:
	case BH_ACT_COREDUMP_RESTART:
		g->restart_wanted = false;
		/* Up on the kept kernel, it may have mended its own. */
		if (g->ready)
			g->last_good_boot = false;
		bh_log(BH_INFO, "guest %s %s; starting it again", g->name,
		       what);
		sockets_answer_waiting(g, NULL, NULL);
		rebuild(g, crash && !g->ready);
		break;
	default:
		guest_finish(g, crash ? 3 : 0, "%s", what);
	}
}

void guest_check(struct guest *g)
{
	struct xen_domctl_getdomaininfo info;
	unsigned int reason;
	int r;

	if (!g->have_dom || g->phase == PHASE_PRESERVED ||
	    g->phase == PHASE_SAVING)
		return;
	r = bh_hv_domain_info(g->hv, g->dom.domid, &info);
	if (r == -ESRCH || (r == 0 && (info.flags & XEN_DOMINF_dying))) {
		guest_finish(g, 0, "its domain was destroyed by somebody else");
		return;
	}
	if (r < 0 || !(info.flags & XEN_DOMINF_shutdown))
		return;
	console_poll(g);
	reason = (info.flags >> XEN_DOMINF_shutdownshift) &
		 XEN_DOMINF_shutdownmask;
	switch (reason) {
	case SHUTDOWN_poweroff:
		act(g, g->cfg->on_poweroff, reason);
		break;
	case SHUTDOWN_reboot:
		act(g, g->cfg->on_reboot, reason);
		break;
	case SHUTDOWN_watchdog:
		guest_report_crash(g);
		act(g, g->cfg->on_watchdog, reason);
		break;
	case SHUTDOWN_suspend:
		/* its supervisor was killed while it saved it */
		bh_log(BH_WARNING,
		       "guest %s is suspended and nobody saves it; it goes on",
		       g->name);
		bh_save_undo(g->hv, g->xs, g->dom.domid);
		break;
	default:
		guest_report_crash(g);
		if (g->phase != PHASE_STOPPING && boot_fallback_possible(g)) {
			bh_log(BH_WARNING,
			       "guest %s crashed before it was ready; booting "
			       "the last kernel that worked",
			       g->name);
			g->last_good_boot = true;
			rebuild(g, true);
			break;
		}
		act(g, g->cfg->on_crash, SHUTDOWN_crash);
	}
}

/* ---- watches ----------------------------------------------------------- */

static void on_release(struct bh_xs *xs, const char *event, void *arg)
{
	(void)xs;
	(void)event;
	guest_check(arg);
}

static void on_ready(struct bh_xs *xs, const char *event, void *arg)
{
	struct guest *g = arg;
	_cleanup_free_ char *v = NULL;

	(void)event;
	if (!g->have_dom || bh_xs_readf(xs, BH_XS_NONE, &v,
					"/local/domain/%u/data/bulkhead/ready",
					g->dom.domid) < 0)
		return;
	if (streq(v, "1"))
		guest_mark_ready(g, "it said so");
}

int guest_watch(struct guest *g, struct bh_err *e)
{
	char path[96];
	int r;

	r = bh_snprintf(path, sizeof(path),
			"/local/domain/%u/data/bulkhead/ready", g->dom.domid);
	if (r >= 0)
		r = bh_xs_watch(g->xs, path, on_ready, g, &g->w_ready);
	if (r >= 0)
		r = bh_xs_watch(g->xs, "@releaseDomain", on_release, g,
				&g->w_release);
	if (r < 0)
		return bh_fail(e, r, "cannot watch the store: %s",
			       strerror(-r));
	return 0;
}

/* ---- asking ------------------------------------------------------------ */

int guest_ask_shutdown(struct guest *g, const char *how)
{
	char path[96];
	int r;

	if (!g->have_dom)
		return -ESRCH;
	r = bh_snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown",
			g->dom.domid);
	return r < 0 ? r : bh_xs_write(g->xs, BH_XS_NONE, path, how);
}

static int on_stop_timeout(sd_event_source *s, uint64_t usec, void *arg)
{
	struct guest *g = arg;

	(void)usec;
	sd_event_source_unref(s);
	g->timer = NULL;
	bh_log(BH_WARNING, "guest %s did not shut down within %u s; destroyed",
	       g->name, g->cfg->stop_timeout);
	guest_finish(g, 0, "destroyed");
	return 0;
}

void guest_stop(struct guest *g)
{
	int r;

	if (g->phase == PHASE_STOPPING && g->timer)
		return;
	if (g->phase == PHASE_SAVING) {
		g->save.stop_wanted = true;
		(void)sd_notify(0, "EXTEND_TIMEOUT_USEC=7200000000");
		return;
	}
	if (!g->have_dom || g->phase == PHASE_PRESERVED) {
		guest_finish(g, 0, "stopped");
		return;
	}
	(void)sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64,
			 (g->cfg->stop_timeout + 15) * (uint64_t)1000000);
	r = guest_ask_shutdown(g, "poweroff");
	if (r < 0) {
		bh_log_errno(BH_ERR, r, "cannot ask guest %s to shut down",
			     g->name);
		guest_finish(g, 0, "destroyed");
		return;
	}
	/* a paused guest would never see the request */
	(void)bh_hv_domain_unpause(g->hv, g->dom.domid);
	guest_set_phase(g, PHASE_STOPPING);
	set_timer(g, g->cfg->stop_timeout * 1000000ull, on_stop_timeout);
}
