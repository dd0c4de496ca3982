/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on the control socket, a table of {name, function}.
 *
 * Request: {"op":"status"}; answer: {"ok":true,...} or {"ok":false,"error":
 * "..."}. shutdown, reboot, destroy and save with "wait":true are answered
 * when the guest has stopped.
 */
#include "guest/guest.h"

#include <json-c/json.h>

static void reply(struct client *c, struct json_object *o)
{
	const char *s =
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);

	if (s) {
		client_send(c, s, strlen(s));
		client_send(c, "\n", 1);
	}
	json_object_put(o);
}

void control_reply_ok(struct client *c)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ok", json_object_new_boolean(1));
	reply(c, o);
}

void control_reply_error(struct client *c, const char *text)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ok", json_object_new_boolean(0));
	json_object_object_add(o, "error", json_object_new_string(text));
	reply(c, o);
}

static bool wants_wait(struct json_object *req)
{
	struct json_object *w;

	return json_object_object_get_ex(req, "wait", &w) &&
	       json_object_get_boolean(w);
}

/* Answers now, or when the guest has stopped. */
static void done(struct client *c, struct json_object *req, const char *op)
{
	if (wants_wait(req)) {
		free(c->waiting_op);
		c->waiting_op = strdup(op);
	} else {
		control_reply_ok(c);
	}
}

static void op_status(struct client *c, struct json_object *req)
{
	struct guest *g = c->g;
	struct json_object *o = json_object_new_object();

	(void)req;
#define S(k, v) json_object_object_add(o, k, json_object_new_string(v))
#define N(k, v) \
	json_object_object_add(o, k, json_object_new_int64((int64_t)(v)))
#define B(k, v) json_object_object_add(o, k, json_object_new_boolean(v))
	B("ok", 1);
	S("name", g->name);
	S("phase", phase_names[g->phase]);
	B("ready", g->ready);
	S("config", g->config_path ? g->config_path : "");
	N("supervisor_pid", getpid());
	N("boots", g->boots);
	N("build_us", g->build_us);
	if (g->have_dom)
		N("domid", g->dom.domid);
	if (g->started_us)
		N("uptime_us", bh_now_us() - g->started_us);
	B("fallback_kernel", g->last_good_boot);
#undef S
#undef N
#undef B
	reply(c, o);
}

/* Or says why not. */
static bool runs(struct client *c)
{
	const struct guest *g = c->g;

	if (g->phase == PHASE_SAVING)
		control_reply_error(c, "the guest is being saved");
	else if (!g->have_dom || g->phase == PHASE_PRESERVED)
		control_reply_error(c, "the guest does not run");
	else
		return true;
	return false;
}

static void op_shutdown(struct client *c, struct json_object *req)
{
	struct guest *g = c->g;

	if (!runs(c))
		return;
	done(c, req, "shutdown");
	guest_stop(g);
}

static void op_reboot(struct client *c, struct json_object *req)
{
	struct guest *g = c->g;
	int r;

	if (!runs(c))
		return;
	r = guest_ask_shutdown(g, "reboot");
	if (r < 0) {
		control_reply_error(c, "the guest does not run");
		return;
	}
	(void)bh_hv_domain_unpause(g->hv, g->dom.domid);
	g->restart_wanted = true;
	done(c, req, "reboot");
}

static void op_destroy(struct client *c, struct json_object *req)
{
	done(c, req, "destroy");
	guest_finish(c->g, 0, "destroyed by request");
}

static void op_save(struct client *c, struct json_object *req)
{
	struct guest *g = c->g;
	struct bh_err e = {};
	struct json_object *p;
	const char *path;
	int r;

	if (!json_object_object_get_ex(req, "path", &p)) {
		control_reply_error(c, "save without a path");
		return;
	}
	path = json_object_get_string(p);
	if (!path || *path != '/') {
		control_reply_error(c, "save needs an absolute path");
		return;
	}
	if (!runs(c))
		return;
	if (g->phase != PHASE_RUNNING) {
		control_reply_error(c, "the guest shuts down");
		return;
	}
	r = guest_save(g, path, &e);
	if (r < 0)
		control_reply_error(c, bh_err_text(&e, r));
	else
		done(c, req, "save");
}

static const struct {
	const char *name;
	void (*fn)(struct client *c, struct json_object *req);
} ops[] = {
	{ "status", op_status }, { "shutdown", op_shutdown },
	{ "reboot", op_reboot }, { "destroy", op_destroy },
	{ "save", op_save },
};

void control_line(struct client *c, const char *line)
{
	struct json_object *req = json_tokener_parse(line), *op;
	const char *name = NULL;

	if (req && json_object_is_type(req, json_type_object) &&
	    json_object_object_get_ex(req, "op", &op))
		name = json_object_get_string(op);
	for (size_t i = 0; name && i < ARRAY_SIZE(ops); i++)
		if (streq(ops[i].name, name)) {
			ops[i].fn(c, req);
			json_object_put(req);
			return;
		}
	control_reply_error(c, name ? "unknown operation"
				    : "expected a JSON object with \"op\"");
	json_object_put(req);
}
