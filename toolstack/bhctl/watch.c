/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking on: the hypervisor's messages, what happens to guests, and who uses
 * how much.
 */
#include "bhctl/bhctl.h"

#include <inttypes.h>
#include <ncurses.h>
#undef clear
#include <poll.h>
#include <time.h>

#undef timeout

int cmd_dmesg(struct ctl *c)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = need_hv(c);

	if (r)
		return r;
	r = bh_hv_console(c->hv, c->clear, &text, &len);
	if (r < 0)
		return fail(EX_FAIL, "cannot read the hypervisor's console: %s",
			    strerror(-r));
	if (len && fwrite(text, 1, len, stdout) != len)
		return EX_FAIL;
	return 0;
}

/* ---- events ------------------------------------------------------------ */

struct seen {
	uint32_t id, flags;
	char *name;
	bool ready;
};

struct view {
	struct ctl *c;
	struct seen *v;
	size_t n, alloc;
	unsigned int printed;
	bool first;
};

static void print_event(struct view *w, const char *what, const struct seen *s)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	if (w->first)
		return;
	w->printed++;
	localtime_r(&now, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S%z", &tm);
	if (w->c->json) {
		struct json_object *o = json_doc();

		json_object_object_add(o, "time", json_object_new_string(when));
		json_object_object_add(o, "event",
				       json_object_new_string(what));
		json_object_object_add(o, "id",
				       json_object_new_int((int)s->id));
		json_object_object_add(
			o, "guest",
			json_object_new_string(s->name ? s->name : ""));
		puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
		json_object_put(o);
	} else {
		printf("%s %-10s %u %s\n", when, what, s->id,
		       s->name ? s->name : "-");
	}
	fflush(stdout);
}

static const char *down_word(uint32_t flags)
{
	switch (flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask) {
	case SHUTDOWN_poweroff:
		return "poweroff";
	case SHUTDOWN_reboot:
		return "reboot";
	case SHUTDOWN_suspend:
		return "suspended";
	case SHUTDOWN_watchdog:
		return "watchdog";
	default:
		return "crash";
	}
}

static bool read_ready(struct view *w, uint32_t id)
{
	_cleanup_free_ char *v = NULL;

	return bh_xs_readf(w->c->xs, BH_XS_NONE, &v,
			   "/local/domain/%u/bulkhead/ready", id) == 0 &&
	       streq(v, "1");
}

static void look_at(struct view *w, const struct xen_domctl_getdomaininfo *d)
{
	struct seen *s = NULL;

	for (size_t k = 0; k < w->n; k++)
		if (w->v[k].id == d->domain)
			s = &w->v[k];
	if (!s) {
		char *name = bh_store_domain_name(w->c->xs, d->domain);

		/* one that is being built gets its name in a moment */
		if ((!name && (d->flags & XEN_DOMINF_paused)) ||
		    bh_grow(&w->v, &w->alloc, w->n + 1, sizeof(*w->v)) < 0) {
			free(name);
			return;
		}
		s = &w->v[w->n++];
		*s = (struct seen){ .id = d->domain,
				    .flags = d->flags,
				    .name = name };
		print_event(w, "created", s);
	}
	if (!s->name)
		s->name = bh_store_domain_name(w->c->xs, d->domain);
	if ((d->flags & XEN_DOMINF_shutdown) &&
	    !(s->flags & XEN_DOMINF_shutdown))
		print_event(w, down_word(d->flags), s);
	if ((d->flags ^ s->flags) & XEN_DOMINF_paused)
		print_event(w, d->flags & XEN_DOMINF_paused ? "paused" : "runs",
			    s);
	s->flags = d->flags;
	if (!s->ready && read_ready(w, s->id)) {
		s->ready = true;
		print_event(w, "ready", s);
	}
}

static void look(struct bh_xs *xs, const char *event, void *arg)
{
	_cleanup_free_ struct xen_domctl_getdomaininfo *d = NULL;
	struct view *w = arg;
	size_t n = 0;

	(void)xs;
	(void)event;
	if (bh_hv_domain_list(w->c->hv, &d, &n) < 0)
		return;
	for (size_t k = 0; k < w->n;) {
		bool there = false;

		for (size_t i = 0; i < n; i++)
			there |= d[i].domain == w->v[k].id &&
				 !(d[i].flags & XEN_DOMINF_dying);
		if (there) {
			k++;
			continue;
		}
		print_event(w, "destroyed", &w->v[k]);
		free(w->v[k].name);
		w->v[k] = w->v[--w->n];
	}
	for (size_t i = 0; i < n; i++)
		if (d[i].domain && !(d[i].flags & XEN_DOMINF_dying))
			look_at(w, &d[i]);
}

int cmd_events(struct ctl *c)
{
	uint64_t end = c->timeout ? bh_now_us() + c->timeout * 1000000ull : 0;
	struct view w = { .c = c, .first = true };
	struct bh_xs_watch *a = NULL, *b = NULL;
	int r = need_hv(c);

	if (r == 0)
		r = need_xs(c);
	if (r)
		return r;
	look(c->xs, "", &w);
	w.first = false;
	r = bh_xs_watch(c->xs, "@introduceDomain", look, &w, &a);
	if (r == 0)
		r = bh_xs_watch(c->xs, "@releaseDomain", look, &w, &b);
	while (r == 0 && !(end && bh_now_us() >= end) &&
	       !(c->count && w.printed >= c->count)) {
		struct pollfd p = { .fd = bh_xs_fd(c->xs), .events = POLLIN };

		/* pausing and readiness make no noise in the store's watches */
		(void)poll(&p, 1, 500);
		r = bh_xs_process(c->xs);
		look(c->xs, "", &w);
	}
	for (size_t k = 0; k < w.n; k++)
		free(w.v[k].name);
	free(w.v);
	return r < 0 ? fail(EX_FAIL, "store: %s", strerror(-r)) : 0;
}

/* ---- top --------------------------------------------------------------- */

struct sample {
	struct xen_domctl_getdomaininfo *d;
	size_t n;
	uint64_t at;
};

static uint64_t cpu_before(const struct sample *s, uint32_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->d[i].domain == id)
			return s->d[i].cpu_time;
	return 0;
}

static double percent(const struct sample *old, const struct sample *new,
		      size_t i)
{
	uint64_t before = cpu_before(old, new->d[i].domain);
	uint64_t dt = new->at - old->at;

	if (!old->d || !dt || new->d[i].cpu_time < before)
		return 0;
	return (double)(new->d[i].cpu_time - before) / 10.0 / (double)dt;
}

static void row(struct ctl *c, const struct sample *old,
		const struct sample *new, size_t i, char *buf, size_t size)
{
	const struct xen_domctl_getdomaininfo *d = &new->d[i];
	_cleanup_free_ char *name = bh_store_domain_name(c->xs, d->domain);
	char st[8];

	(void)snprintf(buf, size, "%-24s %5u %s %10.0f %6.1f %10" PRIu64 " %5u",
		       name             ? name
		       : d->domain == 0 ? "Domain-0"
					: "-",
		       d->domain, state_letters(d->flags, st),
		       (double)d->cpu_time / 1e9, percent(old, new, i),
		       d->tot_pages * 4, d->nr_online_vcpus);
}

static int take(struct ctl *c, struct sample *s)
{
	s->at = bh_now_us();
	return bh_hv_domain_list(c->hv, &s->d, &s->n);
}

static int top_plain(struct ctl *c, unsigned int rounds, unsigned int delay)
{
	struct sample old = {}, new = {};
	int r = take(c, &old);

	for (unsigned int k = 0; r == 0 && k < rounds; k++) {
		struct json_object *doc = NULL, *arr = NULL;

		sleep(delay);
		r = take(c, &new);
		if (r < 0)
			break;
		if (c->json) {
			doc = json_doc();
			arr = json_object_new_array();
			json_object_object_add(doc, "guests", arr);
		} else {
			printf("%-24s %5s %6s %10s %6s %10s %5s\n", "NAME",
			       "ID", "STATE", "CPU(sec)", "CPU(%)", "MEM(k)",
			       "VCPUS");
		}
		for (size_t i = 0; i < new.n; i++) {
			_cleanup_free_ char *name = NULL;
			struct json_object *o;
			char buf[160];

			if (!arr) {
				row(c, &old, &new, i, buf, sizeof(buf));
				puts(buf);
				continue;
			}
			name = bh_store_domain_name(c->xs, new.d[i].domain);
			o = json_object_new_object();
			json_object_object_add(
				o, "name",
				json_object_new_string(name ? name
							    : "Domain-0"));
			json_object_object_add(
				o, "id", json_object_new_int(new.d[i].domain));
			json_object_object_add(
				o, "cpu_percent",
				json_object_new_double(percent(&old, &new, i)));
			json_object_object_add(
				o, "cpu_seconds",
				json_object_new_double(
					(double)new.d[i].cpu_time / 1e9));
			json_object_object_add(
				o, "memory_kib",
				json_object_new_int64(
					(int64_t) new.d[i].tot_pages * 4));
			json_object_array_add(arr, o);
		}
		if (doc)
			print_json(doc);
		free(old.d);
		old = new;
		new.d = NULL;
	}
	free(old.d);
	return r < 0 ? fail(EX_FAIL, "cannot list domains: %s", strerror(-r))
		     : 0;
}

static void draw(struct ctl *c, const struct sample *old,
		 const struct sample *new)
{
	struct xen_sysctl_physinfo p = {};
	char buf[200];

	(void)bh_hv_physinfo(c->hv, &p);
	erase();
	mvprintw(0, 0,
		 "bhctl top   %zu domains, memory %" PRIu64
		 " MiB, free %" PRIu64 " MiB, %u processors   (q quits)",
		 new->n, (uint64_t)p.total_pages >> 8,
		 (uint64_t)p.free_pages >> 8, p.nr_cpus);
	attron(A_REVERSE);
	mvprintw(2, 0, "%-24s %5s %6s %10s %6s %10s %5s", "NAME", "ID", "STATE",
		 "CPU(sec)", "CPU(%)", "MEM(k)", "VCPUS");
	attroff(A_REVERSE);
	for (size_t i = 0; i < new->n && (int)i + 3 < LINES; i++) {
		row(c, old, new, i, buf, sizeof(buf));
		mvaddnstr((int)i + 3, 0, buf, COLS);
	}
	refresh();
}

int cmd_top(struct ctl *c)
{
	unsigned int delay = c->delay ? c->delay : 2;
	struct sample old = {}, new = {};
	int r = need_hv(c);

	if (r == 0)
		r = need_xs(c);
	if (r)
		return r;
	if (c->json || c->count || !isatty(STDOUT_FILENO))
		return top_plain(c, c->count ? c->count : 1, delay);
	initscr();
	cbreak();
	noecho();
	curs_set(0);
	wtimeout(stdscr, (int)delay * 1000);
	while (r == 0) {
		r = take(c, &new);
		if (r < 0)
			break;
		draw(c, &old, &new);
		free(old.d);
		old = new;
		new.d = NULL;
		if (getch() == 'q')
			break;
	}
	endwin();
	free(old.d);
	return r < 0 ? fail(EX_FAIL, "cannot list domains: %s", strerror(-r))
		     : 0;
}
