/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * systemd, by the bus: machined learns of the guest, so that machinectl list
 * shows it, and systemd is asked what it means by a signal or a start.
 *
 * Nothing depends on it. Without machined or the bus the guest runs all the
 * same: the registration is not waited for, and a question without an answer
 * has the answer of a supervisor that runs without systemd.
 */
#include "guest/guest.h"

#define DEST  "org.freedesktop.systemd1"
#define IFACE "org.freedesktop.systemd1."

BH_DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);

/* The bus and our unit's object there. */
static int open_unit(const struct guest *g, sd_bus **ret, char **ret_path)
{
	_cleanup_free_ char *unit =
		bh_asprintf("bulkhead-guest@%s.service", g->name);
	int r = unit ? sd_bus_open_system(ret) : -ENOMEM;

	return r < 0 ? r
		     : sd_bus_path_encode("/org/freedesktop/systemd1/unit",
					  unit, ret_path);
}

static int get_job(sd_bus *bus, const char *unit, uint32_t *ret_id,
		   char **ret_type)
{
	sd_bus_message *m = NULL;
	const char *job;
	int r;

	*ret_type = NULL;
	r = sd_bus_get_property(bus, DEST, unit, IFACE "Unit", "Job", NULL, &m,
				"(uo)");
	if (r >= 0)
		r = sd_bus_message_read(m, "(uo)", ret_id, &job);
	if (r >= 0 && *ret_id)
		r = sd_bus_get_property_string(bus, DEST, job, IFACE "Job",
					       "JobType", NULL, ret_type);
	sd_bus_message_unref(m);
	return r;
}

bool unit_is_stopped(const struct guest *g)
{
	_cleanup_(sd_bus_flush_close_unref_cleanup) sd_bus *bus = NULL;
	_cleanup_free_ char *path = NULL, *type = NULL;
	uint32_t id = 0;

	if (open_unit(g, &bus, &path) < 0 || get_job(bus, path, &id, &type) < 0)
		return true;
	return id && (streq(type, "stop") || streq(type, "restart"));
}

bool unit_was_restarted(const struct guest *g)
{
	_cleanup_(sd_bus_flush_close_unref_cleanup) sd_bus *bus = NULL;
	_cleanup_free_ char *path = NULL;
	uint32_t n = 0;

	if (open_unit(g, &bus, &path) < 0 ||
	    sd_bus_get_property_trivial(bus, DEST, path, IFACE "Service",
					"NRestarts", NULL, 'u', &n) < 0)
		return false;
	return n > 0;
}

/* ---- machined ---------------------------------------------------------- */

static int on_reply(sd_bus_message *m, void *arg, sd_bus_error *err)
{
	struct guest *g = arg;

	(void)err;
	if (sd_bus_message_is_method_error(m, NULL) &&
	    !sd_bus_message_is_method_error(
		    m, "org.freedesktop.machine1.MachineExists"))
		bh_log(BH_DEBUG, "guest %s: not registered with machined: %s",
		       g->name, sd_bus_message_get_error(m)->message);
	return 0;
}

void machine_register(struct guest *g)
{
	sd_bus_message *m = NULL;
	int r;

	if (!g->bus) {
		r = sd_bus_open_system(&g->bus);
		if (r < 0)
			return;
		if (sd_bus_attach_event(g->bus, g->event, 0) < 0)
			return;
	}
	r = sd_bus_message_new_method_call(
		g->bus, &m, "org.freedesktop.machine1",
		"/org/freedesktop/machine1", "org.freedesktop.machine1.Manager",
		"RegisterMachine");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", g->name);
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', g->cfg->uuid, 16);
	if (r >= 0)
		r = sd_bus_message_append(m, "ssus", "bulkhead", "vm",
					  (uint32_t)getpid(), "");
	if (r >= 0)
		r = sd_bus_call_async(g->bus, NULL, m, on_reply, g, 0);
	if (r < 0)
		bh_log(BH_DEBUG, "machined: %s", strerror(-r));
	sd_bus_message_unref(m);
}
