/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registration with systemd-machined, so that machinectl list shows the guest.
 * Nothing depends on it: without machined or the bus the guest runs all the
 * same, so the call is made without waiting and errors are for debugging.
 */
#include "guest/guest.h"

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
