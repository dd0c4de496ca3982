/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * systemd, by its bus interface: starting, stopping and enabling the units
 * of guests. Where systemd does not run (a rescue system) the supervisor is
 * started as a plain daemon.
 */
#include "bhctl/bhctl.h"

#include <fcntl.h>
#include <sys/stat.h>

#define DEST  "org.freedesktop.systemd1"
#define PATH  "/org/freedesktop/systemd1"
#define IFACE "org.freedesktop.systemd1.Manager"

BH_DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);

struct job {
	char *path, *result;
};

bool have_systemd(void)
{
	struct stat st;

	return lstat("/run/systemd/system", &st) == 0;
}

/* systemd reads all its units anew while it answers: it may be busy for long. */
static int open_bus(sd_bus **ret)
{
	int r = sd_bus_open_system(ret);

	return r < 0 ? r : sd_bus_set_method_call_timeout(*ret, 300000000);
}

static int on_removed(sd_bus_message *m, void *arg, sd_bus_error *err)
{
	struct job *j = arg;
	const char *path, *unit, *result;
	uint32_t id;

	(void)err;
	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (j->path && streq(path, j->path) && !j->result)
		j->result = strdup(result);
	return 0;
}

static int wait_job(sd_bus *bus, struct job *j)
{
	while (!j->result) {
		int r = sd_bus_process(bus, NULL);

		if (r < 0)
			return r;
		if (r == 0 && !j->result) {
			r = sd_bus_wait(bus, UINT64_MAX);
			if (r < 0)
				return r;
		}
	}
	return streq(j->result, "done") ? 0 : -EIO;
}

int unit_job(const char *method, const char *guest, bool wait, char **ret_why)
{
	_cleanup_(sd_bus_flush_close_unref_cleanup) sd_bus *bus = NULL;
	_cleanup_free_ char *unit = NULL;
	sd_bus_error err = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	struct job j = {};
	const char *path;
	int r;

	*ret_why = NULL;
	unit = bh_asprintf("bulkhead-guest@%s.service", guest);
	r = unit ? open_bus(&bus) : -ENOMEM;
	if (r >= 0 && wait)
		r = sd_bus_match_signal(bus, NULL, DEST, PATH, IFACE,
					"JobRemoved", on_removed, &j);
	if (r >= 0 && wait)
		r = sd_bus_call_method(bus, DEST, PATH, IFACE, "Subscribe",
				       NULL, NULL, NULL);
	/* a guest that failed and hit its start limit is to be tried again */
	if (r >= 0 && streq(method, "StartUnit"))
		(void)sd_bus_call_method(bus, DEST, PATH, IFACE,
					 "ResetFailedUnit", NULL, NULL, "s",
					 unit);
	if (r >= 0)
		r = sd_bus_call_method(bus, DEST, PATH, IFACE, method, &err,
				       &reply, "ss", unit, "replace");
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0 && wait) {
		j.path = strdup(path);
		r = j.path ? wait_job(bus, &j) : -ENOMEM;
		if (r == -EIO)
			*ret_why = bh_asprintf("its service %s", j.result);
	} else if (r < 0 && err.message) {
		*ret_why = strdup(err.message);
	}
	free(j.path);
	free(j.result);
	sd_bus_error_free(&err);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 0;
}

int unit_enable(const char *guest, bool on)
{
	_cleanup_(sd_bus_flush_close_unref_cleanup) sd_bus *bus = NULL;
	_cleanup_free_ char *unit = NULL;
	sd_bus_error err = SD_BUS_ERROR_NULL;
	int r;

	if (unit_is_enabled(guest) == on)
		return 0;
	unit = bh_asprintf("bulkhead-guest@%s.service", guest);
	r = unit ? open_bus(&bus) : -ENOMEM;
	if (r >= 0 && on)
		r = sd_bus_call_method(bus, DEST, PATH, IFACE,
				       "EnableUnitFiles", &err, NULL, "asbb", 1,
				       unit, 0, 1);
	else if (r >= 0)
		r = sd_bus_call_method(bus, DEST, PATH, IFACE,
				       "DisableUnitFiles", &err, NULL, "asb", 1,
				       unit, 0);
	if (r >= 0)
		r = sd_bus_call_method(bus, DEST, PATH, IFACE, "Reload", &err,
				       NULL, NULL);
	if (r < 0)
		fail(EX_FAIL, "cannot %s guest %s: %s",
		     on ? "enable" : "disable", guest,
		     err.message ? err.message : strerror(-r));
	sd_bus_error_free(&err);
	return r < 0 ? EX_FAIL : 0;
}

bool unit_is_enabled(const char *guest)
{
	char path[256];
	struct stat st;

	return bh_snprintf(path, sizeof(path),
			   "/etc/systemd/system/bulkhead-guests.target.wants/"
			   "bulkhead-guest@%s.service",
			   guest) >= 0 &&
	       lstat(path, &st) == 0;
}

/* "active", "activating", "failed" ... */
static int unit_state(const char *guest, char **ret)
{
	_cleanup_(sd_bus_flush_close_unref_cleanup) sd_bus *bus = NULL;
	_cleanup_free_ char *unit = NULL, *path = NULL;
	int r;

	unit = bh_asprintf("bulkhead-guest@%s.service", guest);
	r = unit ? open_bus(&bus) : -ENOMEM;
	if (r >= 0)
		r = sd_bus_path_encode(PATH "/unit", unit, &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, DEST, path,
					       "org.freedesktop.systemd1.Unit",
					       "ActiveState", NULL, ret);
	return r < 0 ? r : 0;
}

/* systemd does nothing more with it by itself. */
static bool is_over(const char *state)
{
	return streq(state, "inactive") || streq(state, "failed");
}

bool unit_is_up(const char *guest)
{
	_cleanup_free_ char *s = NULL;

	return have_systemd() && bh_name_valid(guest) &&
	       unit_state(guest, &s) == 0 && !is_over(s);
}

/* A start that was interrupted and that systemd tries again by itself. */
static bool comes_up_yet(const char *guest)
{
	for (;; usleep(200000)) {
		_cleanup_free_ char *s = NULL;

		if (unit_state(guest, &s) < 0 || is_over(s))
			return false;
		if (streq(s, "active"))
			return true;
	}
}

/* What the supervisor left for us to say. */
static char *last_error(const char *guest)
{
	char path[160], *text;
	size_t len;

	if (bh_snprintf(path, sizeof(path), RUN_DIR "/%s/error", guest) < 0 ||
	    bh_read_file(path, 4096, &text, &len) < 0)
		return NULL;
	return text;
}

static int start_plain(const char *guest)
{
	pid_t pid = fork();

	if (pid < 0)
		return fail(EX_FAIL, "fork: %s", strerror(errno));
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		setsid();
		dup2(null, 0);
		dup2(null, 1);
		execl("/usr/libexec/bulkhead/bulkhead-guest", "bulkhead-guest",
		      guest, NULL);
		_exit(127);
	}
	return 0;
}

int start_supervisor(const char *guest)
{
	_cleanup_free_ char *why = NULL, *text = NULL;
	char path[160];
	int r;

	if (bh_snprintf(path, sizeof(path), RUN_DIR "/%s/error", guest) >= 0)
		(void)unlink(path);
	if (!have_systemd())
		return start_plain(guest);
	r = unit_job("StartUnit", guest, true, &why);
	if (r == 0 || (r == -EIO && comes_up_yet(guest)))
		return 0;
	text = last_error(guest);
	return fail(EX_FAIL, "cannot start guest %s: %s%s", guest,
		    text  ? text
		    : why ? why
			  : strerror(-r),
		    text ? ""
			 : " (journalctl -u bulkhead-guest@... says more)");
}
