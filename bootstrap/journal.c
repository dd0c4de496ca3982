/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See journal.h. The file is text, one record a line, words separated by
 * spaces with %XX escapes. A last line without newline was cut by a crash
 * before its fsync returned; its step had therefore not begun, and it is
 * ignored.
 */
#define _GNU_SOURCE
#include "journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>

#include "actions.h"
#include "lock.h"
#include "util.h"

#define JOURNAL_HEAD "bulkhead-journal 1"
#define MAX_WORDS    10

struct record {
	char *w[MAX_WORDS + 1];
	unsigned int n;
};

struct journal {
	char *path;
	int fd;
	struct record *rec;
	size_t n;
	bool committed;
};

void fault_point(const char *name)
{
	static unsigned long count;
	const char *log = secure_getenv("VM_BOOTSTRAP_FAULT_LOG");
	const char *how = secure_getenv("VM_BOOTSTRAP_FAULT");
	const char *colon = how ? strchr(how, ':') : NULL;
	unsigned long at;

	count++;
	if (log) {
		FILE *f = fopen(log, "a");

		if (f) {
			fprintf(f, "%lu %s\n", count, name);
			fclose(f);
		}
	}
	if (!colon || bh_parse_u64(colon + 1, 10, 100000, &at) < 0 ||
	    (at && at != count))
		return;
	if (bh_startswith(how, "kill:")) {
		kill(getpid(), SIGKILL);
	} else if (bh_startswith(how, "stop:")) {
		fprintf(stderr, "fault point %lu: %s\n", count, name);
		kill(getpid(), SIGSTOP);
	} else if (bh_startswith(how, "reset:")) {
		int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

		if (fd >= 0 && write(fd, "b", 1) == 1)
			pause();
	}
}

static void record_done(struct record *r)
{
	for (unsigned int i = 0; i < r->n; i++)
		free(r->w[i]);
}

static void journal_free(struct journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++)
		record_done(&j->rec[i]);
	free(j->rec);
	free(j->path);
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}

static int escape(struct buf *b, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		int r = c <= ' ' || c == '%' || c > 126
				? buf_addf(b, "%%%02x", c)
				: buf_add(b, s, 1);

		if (r < 0)
			return r;
	}
	return 0;
}

static void unescape(char *s)
{
	char *o = s;
	unsigned int c;

	while (*s) {
		if (*s == '%' && sscanf(s + 1, "%2x", &c) == 1) {
			*o++ = (char)c;
			s += 3;
		} else {
			*o++ = *s++;
		}
	}
	*o = 0;
}

static int remember(struct journal *j, char *line)
{
	struct record *rec = realloc(j->rec, (j->n + 1) * sizeof(*rec));
	char *save = NULL;

	if (!rec)
		return -ENOMEM;
	j->rec = rec;
	rec = &j->rec[j->n];
	memset(rec, 0, sizeof(*rec));
	for (char *t = strtok_r(line, " ", &save); t && rec->n < MAX_WORDS;
	     t = strtok_r(NULL, " ", &save)) {
		unescape(t);
		rec->w[rec->n] = strdup(streq(t, "-") ? "" : t);
		if (!rec->w[rec->n++])
			return -ENOMEM;
	}
	j->n++;
	return 0;
}

/* Takes the line (without newline) over; on disk when this returns. */
static int append_line(struct journal *j, struct buf *b)
{
	if (!b->s || buf_add(b, "\n", 1) < 0)
		return oom();
	if (write(j->fd, b->s, b->n) != (ssize_t)b->n || fsync(j->fd) < 0)
		return fail(VMB_FAILED, "cannot write journal %s: %m", j->path);
	b->s[b->n - 1] = 0;
	fault_point(b->s);
	return remember(j, b->s) < 0 ? oom() : 0;
}

static int append(struct journal *j, const char *kind, const char *verb,
		  va_list ap)
{
	_cleanup_buf_ struct buf b = { 0 };
	const char *w;
	int r = buf_addf(&b, "%s %s", kind, verb);

	while (r >= 0 && (w = va_arg(ap, const char *))) {
		r = buf_add(&b, " ", 1);
		if (r >= 0)
			r = *w ? escape(&b, w) : buf_add(&b, "-", 1);
	}
	return r < 0 ? oom() : append_line(j, &b);
}

int journal_undo(struct journal *j, const char *verb, ...)
{
	va_list ap;
	int r;

	va_start(ap, verb);
	r = append(j, "undo", verb, ap);
	va_end(ap);
	return r;
}

int journal_redo(struct journal *j, const char *verb, ...)
{
	va_list ap;
	int r;

	va_start(ap, verb);
	r = append(j, "redo", verb, ap);
	va_end(ap);
	return r;
}

int journal_begin(const char *kind, const char *name, const char *op,
		  struct journal **ret)
{
	_cleanup_free_ char *dir = state_path("journal");
	struct journal *j = calloc(1, sizeof(*j));
	_cleanup_free_ char *head = bh_asprintf(JOURNAL_HEAD " %s\n", op);
	int r;

	if (!j || !dir || !head) {
		free(j);
		return oom();
	}
	j->fd = -1;
	r = bh_mkdir_p(dir, 0700);
	j->path = state_path("journal/%s.%s", kind, name);
	if (r >= 0 && j->path)
		j->fd = open(j->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			     0600);
	if (j->fd < 0) {
		r = fail(VMB_FAILED, "cannot make journal %s: %m", j->path);
		journal_free(j);
		return r;
	}
	if (write(j->fd, head, strlen(head)) < 0 || fsync(j->fd) < 0 ||
	    bh_sync_dir_of(j->path) < 0) {
		r = fail(VMB_FAILED, "cannot write journal %s: %m", j->path);
		(void)unlink(j->path);
		journal_free(j);
		return r;
	}
	fault_point("begin");
	*ret = j;
	return 0;
}

static int run_record(struct record *rec)
{
	int r = action_run(rec->w[1], rec->n - 2,
			   (const char *const *)&rec->w[2]);

	fault_point(rec->w[1]);
	return r;
}

static int forget(struct journal *j)
{
	if (unlink(j->path) < 0 && errno != ENOENT)
		return fail(VMB_FAILED, "cannot remove journal %s: %m",
			    j->path);
	(void)bh_sync_dir_of(j->path);
	fault_point("forgotten");
	return 0;
}

/*
 * Carries out what the journal says; keeps it if something could not be, unless
 * the rest is whole without it: then ret_lacking has the failure.
 */
static int settle(struct journal *j, int *ret_lacking)
{
	int first = 0;

	for (size_t k = 0; k < j->n; k++) {
		size_t i = j->committed ? k : j->n - 1 - k;
		struct record *rec = &j->rec[i];
		const char *want = j->committed ? "redo" : "undo";
		int r;

		if (rec->n < 2 || !streq(rec->w[0], want))
			continue;
		r = run_record(rec);
		if (r < 0 && j->committed && action_may_fail(rec->w[1])) {
			if (*ret_lacking == 0)
				*ret_lacking = r;
			continue;
		}
		/* Undo goes on as far as it can; redo steps build up. */
		if (r < 0 && j->committed)
			return r;
		if (r < 0 && first == 0)
			first = r;
	}
	return first < 0 ? first : forget(j);
}

int journal_commit(struct journal **jp)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct journal *j = *jp;
	int r, lacking = 0;

	(void)buf_addf(&b, "commit");
	r = append_line(j, &b);
	if (r < 0)
		return r;
	j->committed = true;
	r = settle(j, &lacking);
	*jp = NULL;
	journal_free(j);
	return r < 0 ? r : lacking;
}

void journal_abort(struct journal **jp)
{
	struct journal *j = *jp;
	int lacking = 0;

	if (!j)
		return;
	*jp = NULL;
	(void)settle(j, &lacking);
	journal_free(j);
}

static int load(const char *path, struct journal **ret)
{
	_cleanup_free_ char *text = NULL;
	struct journal *j = calloc(1, sizeof(*j));
	char *p, *nl;
	int r;

	if (!j)
		return -ENOMEM;
	j->fd = -1;
	j->path = strdup(path);
	r = bh_read_file(path, 1 << 20, &text, NULL);
	for (p = text; r >= 0 && p && (nl = strchr(p, '\n')); p = nl + 1) {
		*nl = 0;
		if (streq(p, "commit"))
			j->committed = true;
		else if (p != text)
			r = remember(j, p);
	}
	if (r < 0) {
		journal_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

static int recover_one(const char *file, const char *held)
{
	_cleanup_free_ char *path = state_path("journal/%s", file);
	_cleanup_free_ char *kind = strdup(file);
	_cleanup_lock_ int lock = -1;
	struct journal *j = NULL;
	char *name = kind ? strchr(kind, '.') : NULL;
	int r, lacking = 0;

	if (!name || !path)
		return 0;
	*name++ = 0;
	if (!held || !streq(held, file)) {
		lock = lock_try_quiet(kind, name);
		if (lock < 0)
			return 0; /* somebody is at work, or cleans up already */
	}
	r = load(path, &j);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fail(VMB_FAILED, "cannot read journal %s: %s", path,
			    strerror(-r));
	note("%s an interrupted operation on %s %s",
	     j->committed ? "completing" : "undoing", kind, name);
	r = settle(j, &lacking);
	journal_free(j);
	return r;
}

int journal_give_up(const char *kind, const char *name)
{
	_cleanup_free_ char *path = state_path("journal/%s.%s", kind, name);
	struct journal *j = NULL;
	int r = path ? load(path, &j) : -ENOMEM;

	if (r == -ENOENT)
		return 0;
	if (r >= 0)
		r = j->committed ? forget(j) : -EBUSY;
	journal_free(j);
	return r;
}

int journal_recover_all(const char *held_kind, const char *held_name)
{
	_cleanup_free_ char *dir = state_path("journal");
	_cleanup_free_ char *held = NULL;
	struct dirent *de;
	DIR *d;
	int r = 0;

	if (held_kind)
		held = bh_asprintf("%s.%s", held_kind, held_name);
	d = dir ? opendir(dir) : NULL;
	if (!d)
		return 0;
	while ((de = readdir(d))) {
		if (*de->d_name == '.')
			continue;
		/* Another guest's trouble has been told; it is not ours. */
		if (recover_one(de->d_name, held) < 0 &&
		    (!held || streq(held, de->d_name)))
			r = -VMB_FAILED;
	}
	closedir(d);
	return r;
}
