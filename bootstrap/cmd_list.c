/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm-bootstrap list and info: guests with what their volumes really use. */
#define _GNU_SOURCE
#include <getopt.h>
#include <json-c/json.h>

#include "bhctl.h"
#include "cmd.h"
#include "guest.h"
#include "journal.h"
#include "names.h"

static const struct option opts[] = { { "json", 0, 0, 'j' },
				      { "help", 0, 0, 'h' },
				      { 0, 0, 0, 0 } };

static const char *state_of(const char *name, const struct strv *running)
{
	return strv_has(running, name) ? "running" : "stopped";
}

static void used_text(const struct lvm *l, const struct guest *g, char out[24])
{
	_cleanup_free_ char *root = lv_root(g->name);
	const struct lv *v = root ? lvm_lv(l, g->vg, root) : NULL;

	if (!v)
		snprintf(out, 24, "missing");
	else if (v->data_pct >= 0)
		snprintf(out, 24, "%s",
			 fmt_size((uint64_t)((double)v->size * v->data_pct /
					     100)));
	else
		snprintf(out, 24, "%s", fmt_size(v->size));
}

static json_object *to_json(const struct guest *g, const struct lvm *l,
			    const struct strv *running)
{
	_cleanup_free_ char *text = guest_to_json(g);
	_cleanup_free_ char *root = lv_root(g->name);
	json_object *o = json_tokener_parse(text ? text : "{}");
	const struct lv *v = root ? lvm_lv(l, g->vg, root) : NULL;

	json_object_object_add(
		o, "state", json_object_new_string(state_of(g->name, running)));
	if (v && v->data_pct >= 0)
		json_object_object_add(o, "used_percent",
				       json_object_new_double(v->data_pct));
	return o;
}

static void print_json(json_object *o)
{
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int cmd_list(int argc, char **argv)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	_cleanup_strv_ struct strv names = { 0 }, running = { 0 };
	json_object *arr = NULL, *top = NULL;
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o != 'j')
			return usage_of("list");
		opt_json = true;
	}
	if (optind != argc)
		return usage_of("list");
	(void)journal_recover_all(NULL, NULL);
	r = guest_names(&names);
	if (r >= 0)
		r = lvm_load(NULL, &l);
	if (r < 0)
		return r;
	bhctl_running(&running);
	if (opt_json) {
		top = json_object_new_object();
		arr = json_object_new_array();
		json_object_object_add(top, "schema", json_object_new_int(1));
		json_object_object_add(top, "guests", arr);
	} else {
		printf("%-24s %-8s %-20s %8s %8s %8s  %s\n", "NAME", "STATE",
		       "TEMPLATE", "MEMORY", "DISK", "USED", "ADDRESS");
	}
	for (size_t i = 0; i < names.n; i++) {
		struct guest g _cleanup_guest_ = { 0 };
		char used[24];

		if (!guest_exists(names.v[i]) || guest_load(names.v[i], &g) < 0)
			continue;
		/* (Its mistakes are told by what needs it right.) */
		fail_muted = true;
		(void)guest_read_cfg(&g);
		fail_muted = false;
		if (opt_json) {
			json_object_array_add(arr, to_json(&g, &l, &running));
			continue;
		}
		used_text(&l, &g, used);
		printf("%-24s %-8s %-20s %8s %8s %8s  %s\n", g.name,
		       state_of(g.name, &running),
		       g.template ? g.template : "-", fmt_size(g.memory),
		       fmt_size(g.disk), used,
		       !g.n_nics        ? "-"
		       : g.nics[0].ip4  ? g.nics[0].ip4
		       : g.nics[0].ip6  ? g.nics[0].ip6
		       : g.nics[0].dhcp ? "dhcp"
					: "-");
	}
	if (top)
		print_json(top);
	return 0;
}

int cmd_info(int argc, char **argv)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	struct guest g _cleanup_guest_ = { 0 };
	_cleanup_free_ char *owner = NULL;
	_cleanup_strv_ struct strv running = { 0 };
	char used[24];
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o != 'j')
			return usage_of("info");
		opt_json = true;
	}
	if (optind != argc - 1)
		return usage_of("info");
	(void)journal_recover_all(NULL, NULL);
	r = name_check_guest(argv[optind]);
	if (r >= 0)
		r = guest_load(argv[optind], &g);
	if (r >= 0)
		r = lvm_load(NULL, &l);
	if (r < 0)
		return r;
	if (guest_exists(g.name) && guest_read_cfg(&g) < 0)
		note("shown as it was made");
	bhctl_running(&running);
	if (opt_json) {
		print_json(to_json(&g, &l, &running));
		return 0;
	}
	used_text(&l, &g, used);
	printf("name:      %s\nstate:     %s\nhostname:  %s\nuuid:      %s\n"
	       "template:  %s\ncreated:   %s\nboot:      %s\n",
	       g.name, state_of(g.name, &running),
	       g.hostname ? g.hostname : "-", g.uuid ? g.uuid : "-",
	       g.template ? g.template : "-", g.created ? g.created : "-",
	       g.boot);
	if (g.kernel)
		printf("kernel:    %s\n", g.kernel);
	printf("memory:    %s\nvcpus:     %u\ndisk:      %s (%s used, %s)\n",
	       fmt_size(g.memory), g.vcpus, fmt_size(g.disk), used,
	       g.fstype ? g.fstype : "?");
	if (g.swap)
		printf("swap:      %s\n", fmt_size(g.swap));
	for (size_t i = 0; i < g.n_nics; i++)
		printf("network %zu: %s on %s, %s%s%s\n", i, g.nics[i].mac,
		       g.nics[i].bridge ? g.nics[i].bridge
					: "the default bridge",
		       g.nics[i].ip4    ? g.nics[i].ip4
		       : g.nics[i].dhcp ? "dhcp"
					: "no IPv4",
		       g.nics[i].ip6 ? ", " : "",
		       g.nics[i].ip6 ? g.nics[i].ip6 : "");
	owner = guest_owner_tag(g.name);
	for (size_t i = 0; i < l.n_lv; i++)
		if (owner && streq(l.lv[i].vg, g.vg) &&
		    strv_has(&l.lv[i].tags, owner))
			printf("volume:    /dev/%s/%s %s (%s)\n", l.lv[i].vg,
			       l.lv[i].name, fmt_size(l.lv[i].size),
			       lv_tag(&l.lv[i], TAG_ROLE));
	return 0;
}
