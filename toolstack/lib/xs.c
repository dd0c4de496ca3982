/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one can ask the store: see bulkhead/xs.h. Each function builds the
 * request that docs/misc/xenstore.txt of the Xen project describes and takes
 * the answer apart; the transport is xs_conn.c.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "xs_private.h"

int bh_xs_open(struct bh_xs **ret)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct bh_xs *xs = calloc(1, sizeof(*xs));
	int r;

	if (!xs)
		return -ENOMEM;
	xs->fd = -1;
	xs->events_tail = &xs->events;
	xs->timeout_us = 30 * 1000000ull;
	xs->epoll = epoll_create1(EPOLL_CLOEXEC);
	xs->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (xs->epoll < 0 || xs->wake < 0 ||
	    epoll_ctl(xs->epoll, EPOLL_CTL_ADD, xs->wake, &ev) < 0)
		r = -errno;
	else
		r = xs_reconnect(xs);
	if (r < 0) {
		bh_xs_free(xs);
		return r;
	}
	*ret = xs;
	return 0;
}

void bh_xs_free(struct bh_xs *xs)
{
	if (!xs)
		return;
	xs_disconnect(xs);
	bh_close(xs->epoll);
	bh_close(xs->wake);
	while (xs->events) {
		struct xs_event *e = xs->events;

		xs->events = e->next;
		free(e);
	}
	while (xs->watches) {
		struct bh_xs_watch *w = xs->watches;

		xs->watches = w->next;
		free(w);
	}
	free(xs);
}

void bh_xs_set_timeout(struct bh_xs *xs, unsigned int seconds)
{
	xs->timeout_us = seconds * 1000000ull;
}

/* ---- nodes ------------------------------------------------------------- */

int bh_xs_read(struct bh_xs *xs, bh_xs_tx tx, const char *path, char **ret,
	       size_t *ret_len)
{
	struct iovec iov = xs_str(path);

	return xs_talk(xs, XS_READ, tx, &iov, 1, ret, ret_len);
}

int bh_xs_readf(struct bh_xs *xs, bh_xs_tx tx, char **ret, const char *fmt, ...)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return bh_xs_read(xs, tx, path, ret, NULL);
}

int bh_xs_read_u64(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		   uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = bh_xs_read(xs, tx, path, &text, NULL);

	if (r < 0)
		return r;
	return bh_parse_u64(text, 10, UINT64_MAX, ret);
}

int bh_xs_write_bytes(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		      const void *value, size_t len)
{
	struct iovec iov[] = { xs_str(path), xs_iov(value, len) };

	return xs_talk(xs, XS_WRITE, tx, iov, 2, NULL, NULL);
}

int bh_xs_write(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		const char *value)
{
	return bh_xs_write_bytes(xs, tx, path, value, strlen(value));
}

int bh_xs_writef(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		 const char *fmt, ...)
{
	char value[XENSTORE_PAYLOAD_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(value))
		return -E2BIG;
	return bh_xs_write_bytes(xs, tx, path, value, (size_t)n);
}

int bh_xs_mkdir(struct bh_xs *xs, bh_xs_tx tx, const char *path)
{
	struct iovec iov = xs_str(path);

	return xs_talk(xs, XS_MKDIR, tx, &iov, 1, NULL, NULL);
}

int bh_xs_rm(struct bh_xs *xs, bh_xs_tx tx, const char *path)
{
	struct iovec iov = xs_str(path);
	int r = xs_talk(xs, XS_RM, tx, &iov, 1, NULL, NULL);

	return r == -ENOENT ? 0 : r;
}

int bh_xs_exists(struct bh_xs *xs, bh_xs_tx tx, const char *path)
{
	int r = bh_xs_read(xs, tx, path, NULL, NULL);

	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

/* The whole list of a directory too large for one message, part by part. */
static int directory_parts(struct bh_xs *xs, bh_xs_tx tx, const char *path,
			   char **ret, size_t *ret_len)
{
	_cleanup_free_ char *list = NULL;
	size_t len = 0, alloc = 0;
	char gen[24] = "";

	for (;;) {
		_cleanup_free_ char *part = NULL;
		char off[24];
		struct iovec iov[2];
		size_t n, g;
		int r;

		snprintf(off, sizeof(off), "%zu", len);
		iov[0] = xs_str(path);
		iov[1] = xs_str(off);
		r = xs_talk(xs, XS_DIRECTORY_PART, tx, iov, 2, &part, &n);
		if (r < 0)
			return r;
		g = strlen(part) + 1;
		if (g > n || g > sizeof(gen))
			return -EPROTO;
		if (len > 0 && !streq(gen, part)) {
			len = 0; /* it changed meanwhile: from the start */
			continue;
		}
		memcpy(gen, part, g);
		if (n == g)
			return -EPROTO; /* would never end */
		r = bh_grow(&list, &alloc, len + n - g, 1);
		if (r < 0)
			return r;
		memcpy(list + len, part + g, n - g);
		len += n - g;
		/* The end is marked by one empty name. */
		if (len == 1 ||
		    (list[len - 1] == '\0' && list[len - 2] == '\0')) {
			*ret = TAKE_PTR(list);
			*ret_len = len - 1;
			return 0;
		}
	}
}

int bh_xs_directory(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		    char ***ret, size_t *ret_n)
{
	_cleanup_free_ char *list = NULL;
	struct iovec iov = xs_str(path);
	size_t len = 0, n = 0, i = 0;
	char **names, *text;
	int r;

	r = xs_talk(xs, XS_DIRECTORY, tx, &iov, 1, &list, &len);
	if (r == -E2BIG)
		r = directory_parts(xs, tx, path, &list, &len);
	if (r < 0)
		return r;
	if (len > 0 && list[len - 1] != '\0')
		return -EPROTO;

	for (size_t k = 0; k < len; k++)
		n += list[k] == '\0';
	names = malloc((n + 1) * sizeof(*names) + len);
	if (!names)
		return -ENOMEM;
	text = (char *)(names + n + 1);
	if (len > 0)
		memcpy(text, list, len);
	for (size_t k = 0; i < n; k += strlen(text + k) + 1)
		names[i++] = text + k;
	names[n] = NULL;
	*ret = names;
	if (ret_n)
		*ret_n = n;
	return 0;
}

int bh_xs_get_perms(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		    struct bh_xs_perm **ret, size_t *ret_n)
{
	_cleanup_free_ struct bh_xs_perm *perms = NULL;
	_cleanup_free_ char *list = NULL;
	struct iovec iov = xs_str(path);
	size_t len, n = 0, alloc = 0;
	int r;

	r = xs_talk(xs, XS_GET_PERMS, tx, &iov, 1, &list, &len);
	if (r < 0)
		return r;
	for (size_t k = 0; k < len; k += strlen(list + k) + 1) {
		r = bh_grow(&perms, &alloc, n + 1, sizeof(*perms));
		if (r < 0)
			return r;
		perms[n].access = (enum bh_xs_access)list[k];
		r = bh_parse_u32(list + k + 1, &perms[n].domid);
		if (r < 0 || !strchr("nrwb", list[k]))
			return -EPROTO;
		n++;
	}
	*ret = TAKE_PTR(perms);
	*ret_n = n;
	return 0;
}

int bh_xs_set_perms(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		    const struct bh_xs_perm *perms, size_t n)
{
	char text[XENSTORE_PAYLOAD_MAX];
	struct iovec iov[2];
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int r = bh_snprintf(text + len, sizeof(text) - len, "%c%u",
				    (char)perms[i].access, perms[i].domid);
		if (r < 0)
			return -E2BIG;
		len += (size_t)r + 1;
	}
	iov[0] = xs_str(path);
	iov[1] = xs_iov(text, len);
	return xs_talk(xs, XS_SET_PERMS, tx, iov, 2, NULL, NULL);
}

/* ---- transactions ------------------------------------------------------ */

int bh_xs_tx_start(struct bh_xs *xs, bh_xs_tx *ret)
{
	_cleanup_free_ char *text = NULL;
	struct iovec iov = xs_str("");
	uint32_t id;
	int r;

	r = xs_talk(xs, XS_TRANSACTION_START, 0, &iov, 1, &text, NULL);
	if (r < 0)
		return r;
	r = bh_parse_u32(text, &id);
	if (r < 0)
		return -EPROTO;
	*ret = (uint64_t)xs->gen << 32 | id;
	return 0;
}

int bh_xs_tx_end(struct bh_xs *xs, bh_xs_tx tx, bool commit)
{
	struct iovec iov = xs_str(commit ? "T" : "F");
	int r = xs_talk(xs, XS_TRANSACTION_END, tx, &iov, 1, NULL, NULL);

	/* An aborted transaction that died with its daemon is aborted. */
	return !commit && r == -EAGAIN ? 0 : r;
}

int bh_xs_transaction(struct bh_xs *xs, bh_xs_tx_fn fn, void *arg)
{
	uint64_t deadline = bh_now_us() + xs->timeout_us;
	int r;

	do {
		bh_xs_tx tx;

		r = bh_xs_tx_start(xs, &tx);
		if (r < 0)
			return r;
		r = fn(xs, tx, arg);
		if (r == 0)
			r = bh_xs_tx_end(xs, tx, true);
		else
			(void)!bh_xs_tx_end(xs, tx, false);
	} while (r == -EAGAIN && bh_now_us() < deadline);
	return r;
}

/* ---- watches ----------------------------------------------------------- */

int bh_xs_watch(struct bh_xs *xs, const char *path, bh_xs_watch_fn fn,
		void *arg, struct bh_xs_watch **ret)
{
	size_t len = strlen(path) + 1;
	struct bh_xs_watch *w = calloc(1, sizeof(*w) + len);
	struct iovec iov[2];
	int r;

	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->arg = arg;
	memcpy(w->path, path, len);
	snprintf(w->token, sizeof(w->token), "bh%u", ++xs->next_token);

	iov[0] = xs_str(w->path);
	iov[1] = xs_str(w->token);
	r = xs_talk(xs, XS_WATCH, 0, iov, 2, NULL, NULL);
	if (r < 0) {
		free(w);
		return r;
	}
	w->next = xs->watches;
	xs->watches = w;
	if (ret)
		*ret = w;
	return 0;
}

void bh_xs_unwatch(struct bh_xs *xs, struct bh_xs_watch *watch)
{
	struct bh_xs_watch **p = &xs->watches;
	struct iovec iov[2];

	if (!watch)
		return;
	while (*p && *p != watch)
		p = &(*p)->next;
	if (!*p)
		return;
	/* First off the list, so that a reconnect does not bring it back. */
	*p = watch->next;
	iov[0] = xs_str(watch->path);
	iov[1] = xs_str(watch->token);
	(void)!xs_talk(xs, XS_UNWATCH, 0, iov, 2, NULL, NULL);
	free(watch);
}

int bh_xs_fd(struct bh_xs *xs)
{
	return xs->epoll;
}

static void deliver(struct bh_xs *xs, const struct xs_event *e)
{
	for (struct bh_xs_watch *w = xs->watches; w; w = w->next) {
		if (streq(w->token, e->token)) {
			w->fn(xs, e->path, w->arg);
			return; /* w may be gone by now */
		}
	}
}

int bh_xs_process(struct bh_xs *xs)
{
	int r = xs->fd < 0 ? -ECONNRESET : xs_pump(xs);
	struct xs_event *list;

	if (r == -ECONNRESET) {
		xs_disconnect(xs);
		r = xs_reconnect(xs);
	}
	/*
	 * What comes while these are delivered is for the next call: a guest
	 * that writes to a watched node without end must not keep us here.
	 */
	list = xs->events;
	xs->events = NULL;
	xs->events_tail = &xs->events;
	xs_signal(xs, false);
	while (list) {
		struct xs_event *e = list;

		list = e->next;
		deliver(xs, e);
		free(e);
	}
	return r;
}

/* ---- domains ----------------------------------------------------------- */

static int domain_request(struct bh_xs *xs, uint32_t type, uint32_t domid,
			  char **ret)
{
	char id[16];
	struct iovec iov;

	snprintf(id, sizeof(id), "%u", domid);
	iov = xs_str(id);
	return xs_talk(xs, type, 0, &iov, 1, ret, NULL);
}

int bh_xs_introduce(struct bh_xs *xs, uint32_t domid, uint64_t frame,
		    uint32_t port)
{
	char text[64];
	struct iovec iov;
	int n;

	n = snprintf(text, sizeof(text), "%u%c%llu%c%u", domid, 0,
		     (unsigned long long)frame, 0, port);
	iov = xs_iov(text, (size_t)n + 1);
	return xs_talk(xs, XS_INTRODUCE, 0, &iov, 1, NULL, NULL);
}

int bh_xs_release(struct bh_xs *xs, uint32_t domid)
{
	return domain_request(xs, XS_RELEASE, domid, NULL);
}

int bh_xs_resume(struct bh_xs *xs, uint32_t domid)
{
	return domain_request(xs, XS_RESUME, domid, NULL);
}

int bh_xs_is_introduced(struct bh_xs *xs, uint32_t domid)
{
	_cleanup_free_ char *text = NULL;
	int r = domain_request(xs, XS_IS_DOMAIN_INTRODUCED, domid, &text);

	return r < 0 ? r : text[0] == 'T';
}

int bh_xs_set_target(struct bh_xs *xs, uint32_t domid, uint32_t target)
{
	char text[32];
	struct iovec iov;
	int n = snprintf(text, sizeof(text), "%u%c%u", domid, 0, target);

	iov = xs_iov(text, (size_t)n + 1);
	return xs_talk(xs, XS_SET_TARGET, 0, &iov, 1, NULL, NULL);
}

int bh_xs_control(struct bh_xs *xs, const char *const *words, size_t n,
		  char **ret)
{
	struct iovec iov[16];

	if (n > ARRAY_SIZE(iov))
		return -E2BIG;
	for (size_t i = 0; i < n; i++)
		iov[i] = xs_str(words[i]);
	return xs_talk(xs, XS_CONTROL, 0, iov, n, ret, NULL);
}
