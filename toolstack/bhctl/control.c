/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Talking to a guest's supervisor over its control socket: one line of JSON
 * there, one line back.
 */
#include "bhctl/bhctl.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

static int dial(const char *guest, const char *what)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (!bh_name_valid(guest) ||
	    bh_snprintf(sa.sun_path, sizeof(sa.sun_path), RUN_DIR "/%s/%s",
			guest, what) < 0)
		return -ENOENT;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == ECONNREFUSED ? -ENOENT : -errno;
	return TAKE_FD(fd);
}

bool has_supervisor(const char *guest)
{
	_cleanup_close_ int fd = dial(guest, "control");

	return fd >= 0;
}

static int read_line(int fd, unsigned int timeout, char **ret)
{
	uint64_t end = bh_now_us() + timeout * 1000000ull;
	_cleanup_free_ char *buf = NULL;
	size_t n = 0, alloc = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = bh_now_us();
		ssize_t k;
		int r;

		if (timeout && now >= end)
			return -ETIMEDOUT;
		r = poll(&p, 1, timeout ? (int)((end - now) / 1000 + 1) : -1);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0)
			continue;
		r = bh_grow(&buf, &alloc, n + 4096, 1);
		if (r < 0)
			return r;
		k = read(fd, buf + n, 4095);
		if (k <= 0)
			return k < 0 ? -errno : -EPIPE;
		n += (size_t)k;
		buf[n] = '\0';
		if (memchr(buf, '\n', n)) {
			*ret = TAKE_PTR(buf);
			return 0;
		}
	}
}

int control_call(const char *guest, struct json_object *req,
		 unsigned int timeout, struct json_object **ret)
{
	_cleanup_close_ int fd = dial(guest, "control");
	_cleanup_free_ char *line = NULL;
	const char *s;
	int r;

	if (fd < 0) {
		json_object_put(req);
		return fd;
	}
	s = json_object_to_json_string_ext(req, JSON_C_TO_STRING_PLAIN);
	r = bh_write_all(fd, s, strlen(s));
	if (r >= 0)
		r = bh_write_all(fd, "\n", 1);
	json_object_put(req);
	if (r >= 0)
		r = read_line(fd, timeout, &line);
	if (r < 0)
		return r;
	*ret = json_tokener_parse(line);
	return *ret ? 0 : -EPROTO;
}

struct json_object *control_status(const char *guest)
{
	struct json_object *req = json_object_new_object(), *o = NULL;

	json_object_object_add(req, "op", json_object_new_string("status"));
	if (control_call(guest, req, 5, &o) < 0)
		return NULL;
	return o;
}

int control_op(struct ctl *c, const char *guest, const char *op, bool wait)
{
	struct json_object *req = json_object_new_object(), *o = NULL, *v;
	unsigned int timeout = c->timeout ? c->timeout : wait ? 0 : 30;
	int r;

	json_object_object_add(req, "op", json_object_new_string(op));
	json_object_object_add(req, "wait", json_object_new_boolean(wait));
	r = control_call(guest, req, timeout, &o);
	if (r == -EPIPE && wait)
		return 0; /* it ended, which is what we waited for */
	if (r == -ETIMEDOUT)
		return fail(EX_TIMEOUT, "guest %s: %s is not done after %u s",
			    guest, op, timeout);
	if (r == -EACCES)
		return fail(EX_FAIL, "only root may do this");
	if (r < 0)
		return fail(EX_FAIL, "guest %s: its supervisor: %s", guest,
			    strerror(-r));
	r = 0;
	if (!json_object_object_get_ex(o, "ok", &v) ||
	    !json_object_get_boolean(v))
		r = fail(EX_FAIL, "guest %s: %s", guest,
			 json_object_object_get_ex(o, "error", &v)
				 ? json_object_get_string(v)
				 : "refused");
	json_object_put(o);
	return r;
}
