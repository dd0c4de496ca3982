/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See util.h. Nothing here knows about guests or volumes. Paths all come from
 * four functions so that unit tests can run in a scratch directory
 * (VM_BOOTSTRAP_ROOT, test-only, honoured only when not installed setuid).
 */
#define _GNU_SOURCE
#include "util.h"

#include <ctype.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/random.h>
#include <sys/stat.h>

bool opt_quiet, opt_json, fail_muted;
static char last_msg[1024];

int fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_msg, sizeof(last_msg), fmt, ap);
	va_end(ap);
	bh_printable(last_msg,
		     '\n'); /* names come from images and exported guests */
	if (!fail_muted)
		fprintf(stderr, "vm-bootstrap: %s\n", last_msg);
	fflush(stderr);
	return -code;
}

void note(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (opt_quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bh_printable(text, '\n');
	fprintf(stderr, "vm-bootstrap: %s\n", text);
	fflush(stderr);
}

const char *last_failure(void)
{
	return last_msg;
}

int oom(void)
{
	return fail(VMB_FAILED, "out of memory");
}

int strv_add(struct strv *s, const char *str)
{
	char **nv = realloc(s->v, (s->n + 2) * sizeof(char *));
	char *copy;

	if (!nv)
		return -ENOMEM;
	s->v = nv;
	nv[s->n] = NULL;
	copy = strdup(str);
	if (!copy)
		return -ENOMEM;
	nv[s->n++] = copy;
	nv[s->n] = NULL;
	return 0;
}

int strv_addf(struct strv *s, const char *fmt, ...)
{
	_cleanup_free_ char *t = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&t, fmt, ap);
	va_end(ap);
	if (r < 0) {
		t = NULL;
		return -ENOMEM;
	}
	return strv_add(s, t);
}

int strv_split(struct strv *s, const char *text, const char *seps)
{
	_cleanup_free_ char *copy = strdup(text);
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *t = strtok_r(copy, seps, &save); t;
	     t = strtok_r(NULL, seps, &save))
		if (strv_add(s, t) < 0)
			return -ENOMEM;
	return 0;
}

bool strv_has(const struct strv *s, const char *str)
{
	for (size_t i = 0; i < s->n; i++)
		if (streq(s->v[i], str))
			return true;
	return false;
}

void strv_done(struct strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	s->v = NULL;
	s->n = 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->n + n + 1 > b->cap) {
		size_t cap = (b->n + n + 1) * 2;
		char *s = realloc(b->s, cap);

		if (!s)
			return -ENOMEM;
		b->s = s;
		b->cap = cap;
	}
	memcpy(b->s + b->n, p, n);
	b->n += n;
	b->s[b->n] = 0;
	return 0;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	_cleanup_free_ char *t = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&t, fmt, ap);
	va_end(ap);
	if (r < 0) {
		t = NULL;
		return -ENOMEM;
	}
	return buf_add(b, t, (size_t)r);
}

void buf_done(struct buf *b)
{
	free(b->s);
	memset(b, 0, sizeof(*b));
}

int parse_size(const char *s, uint64_t unit, uint64_t *ret_bytes)
{
	char *end;
	double d;

	if (!s || !isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	d = strtod(s, &end);
	if (errno || d < 0)
		return -EINVAL;
	switch (tolower((unsigned char)*end)) {
	case 0:
		break;
	case 'b':
		unit = 1;
		end++;
		break;
	case 'k':
		unit = 1ULL << 10;
		end++;
		break;
	case 'm':
		unit = 1ULL << 20;
		end++;
		break;
	case 'g':
		unit = 1ULL << 30;
		end++;
		break;
	case 't':
		unit = 1ULL << 40;
		end++;
		break;
	default:
		return -EINVAL;
	}
	if (tolower((unsigned char)*end) == 'i')
		end++;
	if (tolower((unsigned char)*end) == 'b')
		end++;
	if (*end || d * (double)unit > 1e18)
		return -EINVAL;
	*ret_bytes = (uint64_t)(d * (double)unit);
	return 0;
}

const char *fmt_size(uint64_t bytes)
{
	static char bufs[4][24];
	static unsigned int which;
	static const char units[] = "BKMGTP";
	char *b = bufs[which++ % 4];
	double d = (double)bytes;
	unsigned int u = 0;

	while (d >= 1024 && u < 5) {
		d /= 1024;
		u++;
	}
	if (u == 0)
		snprintf(b, 24, "%uB", (unsigned int)bytes);
	else
		snprintf(b, 24, "%.1f%c", d, units[u]);
	return b;
}

static int rm_one(const char *path, const struct stat *st __unused_arg,
		  int type __unused_arg, struct FTW *ftw __unused_arg)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int rm_rf(const char *path)
{
	if (nftw(path, rm_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 0;
}

int random_bytes(void *p, size_t n)
{
	return getrandom(p, n, 0) == (ssize_t)n ? 0 : -EIO;
}

void uuid_random(uint8_t out[16])
{
	/* getrandom of 16 bytes cannot be interrupted or cut short. */
	(void)random_bytes(out, 16);
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x40);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

char *uuid_text(const uint8_t u[16])
{
	return bh_asprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
			   "%02x%02x%02x%02x%02x%02x",
			   u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8],
			   u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

const char *root_prefix(void)
{
	const char *p = secure_getenv("VM_BOOTSTRAP_ROOT");

	return p ? p : "";
}

#define PATH_FN(name, dir)                                               \
	char *name(const char *fmt, ...)                                 \
	{                                                                \
		_cleanup_free_ char *tail = NULL;                        \
		va_list ap;                                              \
		int r;                                                   \
                                                                         \
		va_start(ap, fmt);                                       \
		r = vasprintf(&tail, fmt, ap);                           \
		va_end(ap);                                              \
		if (r < 0) {                                             \
			tail = NULL;                                     \
			return NULL;                                     \
		}                                                        \
		return bh_asprintf("%s%s/%s", root_prefix(), dir, tail); \
	}

PATH_FN(state_path, "/var/lib/bulkhead/bootstrap")
PATH_FN(run_path, "/run/bulkhead")
PATH_FN(etc_path, SYSCONFDIR)
PATH_FN(data_path, DATADIR)
