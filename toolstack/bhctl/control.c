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

bool await_supervisor(const char *guest, uint64_t until_us)
{
	while (!has_supervisor(guest)) {
		/* once more: it may have come up between the questions */
		if (!unit_is_up(guest))
			return has_supervisor(guest);
		if (until_us && bh_now_us() >= until_us)
			return false;
		usleep(200000);
	}
	return true;
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

/* Its end may be gone at any moment, which must not end us as well. */
static int send_text(int fd, const char *s)
{
	while (*s) {
		ssize_t n = send(fd, s, strlen(s), MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		s += n > 0 ? n : 0;
	}
	return 0;
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
	r = send_text(fd, s);
	if (r == 0)
		r = send_text(fd, "\n");
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

static bool went_away(int r)
{
	return r == -EPIPE || r == -ECONNRESET || r == -ENOENT;
}

/*
 * Asks until there is an answer. A supervisor that was killed is waited for:
 * the one after it takes the guest over and is asked again, which does no harm
 * for what is asked here. -ENOENT: there is none and none will come.
 */
static int ask(const char *guest, const char *op, bool wait,
	       unsigned int timeout, bool *ret_asked, struct json_object **ret)
{
	uint64_t end = timeout ? bh_now_us() + timeout * 1000000ull : 0;
	int r;

	*ret_asked = false;
	do {
		struct json_object *req;
		uint64_t now = bh_now_us();

		if (end && now >= end)
			return -ETIMEDOUT;
		req = json_object_new_object();
		json_object_object_add(req, "op", json_object_new_string(op));
		json_object_object_add(req, "wait",
				       json_object_new_boolean(wait));
		r = control_call(guest, req,
				 end ? (unsigned int)((end - now) / 1000000 + 1)
				     : 0,
				 ret);
		if (r != -ENOENT)
			*ret_asked = true;
	} while (went_away(r) && await_supervisor(guest, end));
	return went_away(r) ? -ENOENT : r;
}

/* The supervisor is gone, for good. */
static int op_without(struct ctl *c, const char *guest, bool asked)
{
	uint32_t id;
	int r = need_hv(c);

	if (r == 0)
		r = need_xs(c);
	if (r)
		return r;
	if (bh_store_find(c->xs, c->hv, guest, &id) == 0)
		return fail(EX_FAIL,
			    "guest %s has lost its supervisor; systemctl "
			    "status bulkhead-guest@%s says why, bhctl start %s "
			    "brings another",
			    guest, guest, guest);
	if (asked)
		return 0; /* it ended, which was asked for */
	return fail(EX_STATE, "guest %s does not run", guest);
}

int control_op(struct ctl *c, const char *guest, const char *op, bool wait)
{
	unsigned int timeout = c->timeout ? c->timeout : wait ? 0 : 30;
	struct json_object *o = NULL, *v;
	bool asked;
	int r;

	r = ask(guest, op, wait, timeout, &asked, &o);
	if (r == -ENOENT)
		return op_without(c, guest, asked);
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
