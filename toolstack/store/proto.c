/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: taking them apart, finding their function, and the ones that work
 * on nodes. The dispatch table is the whole surface that a guest can reach.
 *
 * A function either answers (req_reply, req_ok) and returns 0, or returns the
 * error that is then sent: each request gets exactly one answer.
 */
#include "store/tx.h"

struct op {
	int (*fn)(struct req *q);
	uint8_t flags;
};

enum {
	OP_PRIVILEGED = 1, /* dom0 only */
	OP_NO_TX = 2,      /* the transaction id is not looked at */
};

static const struct op ops[XS_TYPE_COUNT] = {
	[XS_CONTROL] = { do_control, OP_PRIVILEGED | OP_NO_TX },
	[XS_DIRECTORY] = { do_directory, 0 },
	[XS_DIRECTORY_PART] = { do_directory_part, 0 },
	[XS_READ] = { do_read, 0 },
	[XS_GET_PERMS] = { do_get_perms, 0 },
	[XS_WATCH] = { do_watch, OP_NO_TX },
	[XS_UNWATCH] = { do_unwatch, OP_NO_TX },
	[XS_TRANSACTION_START] = { do_transaction_start, OP_NO_TX },
	[XS_TRANSACTION_END] = { do_transaction_end, 0 },
	[XS_INTRODUCE] = { do_introduce, OP_PRIVILEGED | OP_NO_TX },
	[XS_RELEASE] = { do_release, OP_PRIVILEGED | OP_NO_TX },
	[XS_GET_DOMAIN_PATH] = { do_get_domain_path, OP_NO_TX },
	[XS_WRITE] = { do_write, 0 },
	[XS_MKDIR] = { do_mkdir, 0 },
	[XS_RM] = { do_rm, 0 },
	[XS_SET_PERMS] = { do_set_perms, 0 },
	[XS_IS_DOMAIN_INTRODUCED] = { do_is_introduced, OP_NO_TX },
	[XS_RESUME] = { do_resume, OP_PRIVILEGED | OP_NO_TX },
	[XS_SET_TARGET] = { do_set_target, OP_PRIVILEGED | OP_NO_TX },
	[XS_RESET_WATCHES] = { do_reset_watches, OP_NO_TX },
};

/* ---- answers ----------------------------------------------------------- */

void req_reply(struct req *q, const void *data, size_t len)
{
	if (len > XENSTORE_PAYLOAD_MAX) {
		req_error(q, -E2BIG);
		return;
	}
	conn_send(q->c, q->hdr.type, q->hdr.req_id, q->hdr.tx_id, data, len);
}

void req_ok(struct req *q)
{
	req_reply(q, "OK", 3);
}

void req_error(struct req *q, int err)
{
	const char *name = "EINVAL";

	for (size_t i = 0; i < ARRAY_SIZE(xsd_errors); i++)
		if (xsd_errors[i].errnum == -err)
			name = xsd_errors[i].errstring;
	conn_send(q->c, XS_ERROR, q->hdr.req_id, q->hdr.tx_id, name,
		  strlen(name) + 1);
}

/* ---- arguments --------------------------------------------------------- */

int req_args(struct req *q, char **argv, unsigned int max)
{
	char *p = q->body, *end = q->body + q->len;
	unsigned int n = 0;

	while (p < end) {
		if (n == max || !memchr(p, '\0', (size_t)(end - p)))
			return -EINVAL;
		argv[n++] = p;
		p += strlen(p) + 1;
	}
	return (int)n;
}

static bool valid_path(const char *path)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789-/_@";
	size_t len = strlen(path);

	if (len == 0 || (len > 1 && path[len - 1] == '/'))
		return false;
	return strspn(path, allowed) == len && !strstr(path, "//");
}

int req_path(struct req *q, const char *arg, bool special, uint16_t *ret_home)
{
	unsigned int max =
		q->c->privileged ? XENSTORE_ABS_PATH_MAX : q->s->limits.path;
	int n = 0;

	if (!valid_path(arg))
		return -EINVAL;
	if (arg[0] != '/' && arg[0] != '@')
		n = snprintf(q->path, sizeof(q->path), "/local/domain/%u/",
			     q->c->domid);
	else if (arg[0] == '@' && !special)
		return -EINVAL;
	if (strlen(arg) > (n ? MIN(max, (unsigned int)XENSTORE_REL_PATH_MAX)
			     : XENSTORE_ABS_PATH_MAX) ||
	    (size_t)n + strlen(arg) >= sizeof(q->path))
		return -EINVAL;
	strcpy(q->path + n, arg);
	if (ret_home)
		*ret_home = (uint16_t)n;
	return 0;
}

/* The only argument, a path. */
static int one_path(struct req *q, bool special)
{
	char *arg;

	if (req_args(q, &arg, 1) != 1)
		return -EINVAL;
	return req_path(q, arg, special, NULL);
}

/*
 * Finds q->path and checks that the client may do need with it. A missing
 * node is -ENOENT to who could make or read it by its nearest ancestor's
 * permissions, and -EACCES to all others, who must not learn that.
 */
static int get_node(struct req *q, unsigned int checks, unsigned int need,
		    struct vnode *v)
{
	int r = view_get(q, q->path, checks, v);

	if (r < 0)
		return r;
	if (!v->exists) {
		char up[XENSTORE_ABS_PATH_MAX + 1];
		struct vnode a;

		if (q->path[0] == '@')
			return -ENOENT;
		memcpy(up, q->path, v->nearest);
		up[v->nearest] = '\0';
		r = view_get(q, up, CHECK_EXISTS, &a);
		if (r < 0)
			return r;
		v->perms = a.perms;
		return (perms_for(q->c, a.perms) & need) == need ? -ENOENT
								 : -EACCES;
	}
	return (perms_for(q->c, v->perms) & need) == need ? 0 : -EACCES;
}

/* ---- nodes ------------------------------------------------------------- */

int do_read(struct req *q)
{
	struct vnode v;
	int r = one_path(q, false);

	if (r == 0)
		r = get_node(q, CHECK_GEN, PERM_READ, &v);
	if (r == 0)
		req_reply(q, v.value ? v.value->bytes : NULL,
			  v.value ? v.value->len : 0);
	return r;
}

static int too_large(const struct req *q, size_t len, const struct perms *perms)
{
	size_t size = strlen(q->path) + len + perms->n * sizeof(struct perm);

	return !q->c->privileged && size > q->s->limits.entry_size ? -ENOSPC
								   : 0;
}

/* Makes q->path and what is missing above it, after get_node() said ENOENT. */
static int make_node(struct req *q, const void *data, size_t len,
		     const struct vnode *missing)
{
	_cleanup_perms_ struct perms *perms = NULL;
	size_t total = strlen(q->path), at = missing->nearest, made = 0;
	int r;

	/* As its parent, but an unprivileged domain owns what it makes. */
	perms = q->c->privileged
			? perms_get(missing->perms)
			: perms_with_owner(missing->perms, q->c->domid);
	if (!perms)
		return -ENOMEM;
	r = too_large(q, len, perms);
	if (r < 0)
		return r;

	/* All or nothing: count first, "/" is its own slash. */
	for (size_t i = at == 1 ? 0 : at; i < total; i++)
		made += q->path[i] == '/';
	if (!q->c->privileged &&
	    q->s->db.owned[q->c->domid] + (q->tx ? q->tx->nr_created : 0) +
			    made >
		    q->s->limits.nodes)
		return -ENOSPC;

	if (at == 1)
		at = 0;
	while (at < total) {
		char *slash = strchr(q->path + at + 1, '/');
		bool last = !slash;

		at = last ? total : (size_t)(slash - q->path);
		q->path[at] = '\0';
		r = view_set(q, q->path, last ? data : NULL, last ? len : 0,
			     perms, !last);
		if (!last)
			q->path[at] = '/';
		if (r < 0)
			return r;
	}
	return 0;
}

int do_write(struct req *q)
{
	const char *nul = memchr(q->body, '\0', q->len);
	const char *data;
	struct vnode v;
	size_t len;
	int r;

	if (!nul)
		return -EINVAL;
	data = nul + 1;
	len = (size_t)(q->body + q->len - data);
	r = req_path(q, q->body, false, NULL);
	if (r < 0)
		return r;
	r = get_node(q, CHECK_GEN, PERM_WRITE, &v);
	if (r == -ENOENT) {
		r = make_node(q, data, len, &v);
	} else if (r == 0) {
		r = too_large(q, len, v.perms);
		if (r == 0)
			r = view_set(q, q->path, data, len, v.perms, false);
	}
	if (r == 0)
		req_ok(q);
	return r;
}

int do_mkdir(struct req *q)
{
	struct vnode v;
	int r = one_path(q, false);

	if (r < 0)
		return r;
	r = get_node(q, CHECK_GEN, PERM_WRITE, &v);
	if (r == -ENOENT)
		r = make_node(q, NULL, 0, &v);
	if (r == 0)
		req_ok(q);
	return r;
}

int do_rm(struct req *q)
{
	struct vnode v;
	int r = one_path(q, false);

	if (r < 0)
		return r;
	if (streq(q->path, "/"))
		return -EINVAL;
	r = get_node(q, CHECK_GEN, PERM_WRITE, &v);
	if (r == -ENOENT) {
		/* Already gone is fine, if there is a place it could be. */
		const char *slash = strrchr(q->path, '/');
		size_t parent = MAX((size_t)(slash - q->path), (size_t)1);

		if (v.nearest == parent)
			r = 0;
	} else if (r == 0) {
		r = view_rm(q, q->path);
	}
	if (r == 0)
		req_ok(q);
	return r;
}

int do_directory(struct req *q)
{
	_cleanup_free_ char *list = NULL;
	struct vnode v;
	uint64_t gen;
	size_t len;
	int r = one_path(q, false);

	if (r == 0)
		r = get_node(q, CHECK_GEN, PERM_READ, &v);
	if (r == 0)
		r = view_children(q, q->path, &list, &len, &gen);
	if (r == 0)
		req_reply(q, list, len);
	return r;
}

/* "generation\0" and as many whole names from an offset as fit. */
int do_directory_part(struct req *q)
{
	_cleanup_free_ char *list = NULL;
	char buf[XENSTORE_PAYLOAD_MAX];
	size_t len, n, part;
	struct vnode v;
	uint64_t gen;
	char *argv[2];
	uint32_t off;
	int r;

	if (req_args(q, argv, 2) != 2 || bh_parse_u32(argv[1], &off) < 0)
		return -EINVAL;
	r = req_path(q, argv[0], false, NULL);
	if (r == 0)
		r = get_node(q, CHECK_GEN, PERM_READ, &v);
	if (r == 0)
		r = view_children(q, q->path, &list, &len, &gen);
	if (r < 0)
		return r;

	n = (size_t)snprintf(buf, sizeof(buf), "%llu",
			     (unsigned long long)gen) +
	    1;
	off = (uint32_t)MIN((size_t)off, len);
	part = len - off;
	if (part > sizeof(buf) - n - 1) {
		/* Cut behind the last name that fits whole. */
		part = sizeof(buf) - n - 1;
		while (part > 0 && list[off + part - 1] != '\0')
			part--;
	}
	if (part > 0)
		memcpy(buf + n, list + off, part);
	n += part;
	if (off + part == len)
		buf[n++] = '\0'; /* an empty name: that was all */
	req_reply(q, buf, n);
	return 0;
}

/* ---- permissions ------------------------------------------------------- */

static const char access_letter[] = { 'n', 'r', 'w', 'b' };

int do_get_perms(struct req *q)
{
	char buf[XENSTORE_PAYLOAD_MAX];
	struct vnode v;
	size_t len = 0;
	int r = one_path(q, true);

	if (r == 0)
		r = get_node(q, CHECK_GEN, PERM_READ, &v);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < v.perms->n; i++) {
		r = bh_snprintf(buf + len, sizeof(buf) - len, "%c%u",
				access_letter[v.perms->p[i].access & 3],
				v.perms->p[i].domid);
		if (r < 0)
			return -E2BIG;
		len += (size_t)r + 1;
	}
	req_reply(q, buf, len);
	return 0;
}

static int parse_perm(const char *text, struct perm *ret)
{
	const char *letter = memchr(access_letter, text[0], 4);
	uint32_t domid;

	if (!letter || bh_parse_u32(text + 1, &domid) < 0 || domid >= DB_DOMIDS)
		return -EINVAL;
	*ret = (struct perm){
		.domid = (uint16_t)domid,
		.access = (uint8_t)(letter - access_letter),
	};
	return 0;
}

int do_set_perms(struct req *q)
{
	_cleanup_perms_ struct perms *perms = NULL;
	char *argv[1 + 256];
	struct perm list[256];
	struct vnode v;
	int n, r;

	n = req_args(q, argv, ARRAY_SIZE(argv));
	if (n < 2)
		return -EINVAL;
	n--;
	for (int i = 0; i < n; i++) {
		r = parse_perm(argv[i + 1], &list[i]);
		if (r < 0)
			return r;
	}
	r = req_path(q, argv[0], true, NULL);
	if (r == 0)
		r = get_node(q, CHECK_GEN, PERM_WRITE | PERM_OWNER, &v);
	if (r < 0)
		return r;
	if (!q->c->privileged) {
		if ((unsigned int)n > q->s->limits.perms)
			return -ENOSPC;
		/* Giving nodes away would charge them to somebody else. */
		if (list[0].domid != v.perms->p[0].domid)
			return -EPERM;
	}
	perms = perms_new(list, (size_t)n);
	if (!perms)
		return -ENOMEM;
	r = view_set_perms(q, q->path, perms);
	if (r == 0)
		req_ok(q);
	return r;
}

/* ---- dispatch ---------------------------------------------------------- */

static int dispatch(struct req *q)
{
	const struct op *op;

	if (q->hdr.type >= ARRAY_SIZE(ops) || !ops[q->hdr.type].fn)
		return -ENOSYS;
	op = &ops[q->hdr.type];
	if (op->flags & OP_PRIVILEGED && !q->c->privileged)
		return -EACCES;
	if (!(op->flags & OP_NO_TX) && q->hdr.tx_id != 0) {
		q->tx = tx_find(q->c, q->hdr.tx_id);
		if (!q->tx)
			return -ENOENT;
	}
	return op->fn(q);
}

void conn_handle(struct conn *c)
{
	struct req q = {
		.s = c->store,
		.c = c,
		.hdr = c->in.hdr,
		.body = c->in.bytes + sizeof(c->in.hdr),
		.len = c->in.hdr.len,
	};
	int r;

	q.body[q.len] = '\0';
	/* Taken: what is recorded from here on is the state after it. */
	c->in_len = 0;
	c->store->nr_requests++;
	r = dispatch(&q);
	if (r < 0)
		req_error(&q, r);
}
