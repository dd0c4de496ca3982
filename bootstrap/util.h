/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small things every part of vm-bootstrap needs: scope-bound cleanup, one way
 * to report an error, exit codes, string lists, whole-file reads and writes.
 *
 * Errors: the function that knows the thing, the reason and the way out says
 * so once through fail() and returns a negative exit code (-EX_xxx); callers
 * pass that number up and main() turns it into the exit status. Only
 * functions documented to return an errno do so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exit codes, as vm-bootstrap(8) documents them. */
enum {
	VMB_OK = 0,
	VMB_FAILED = 1,	  /* an operation failed; what it began was undone */
	VMB_USAGE = 2,	  /* wrong options or values */
	VMB_CONFLICT = 3, /* exists already, busy, or not ours to touch */
	VMB_MISSING = 4,  /* no such guest, template, volume group, file */
	VMB_NOSPACE = 5,  /* volume group or thin pool too full */
	VMB_TIMEOUT = 6,  /* created, but not reachable in time */
	VMB_SOURCE = 7,	  /* mirror unreachable, archive damaged */
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define _unused_      __attribute__((unused))
#define _printf_(f, a) __attribute__((format(printf, f, a)))

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	__attribute__((cleanup(freep)))
#define _cleanup_close_ __attribute__((cleanup(closep)))
#define _cleanup_file_	__attribute__((cleanup(fclosep)))
#define TAKE_PTR(p)                     \
	({                              \
		__typeof__(p) _t = (p); \
		(p) = NULL;             \
		_t;                     \
	})

/* Prints "vm-bootstrap: ..." on stderr and returns -code. */
int fail(int code, const char *fmt, ...) _printf_(2, 3);
void note(const char *fmt, ...) _printf_(1, 2);
int oom(void);
/* Text of the last fail(), for --json and for tests. */
const char *last_failure(void);
extern bool opt_quiet, opt_json;

/* A growing, NULL-terminated list of strings it owns. */
struct strv {
	char **v;
	size_t n;
};
int strv_add(struct strv *s, const char *str);
int strv_addf(struct strv *s, const char *fmt, ...) _printf_(2, 3);
int strv_split(struct strv *s, const char *text, const char *seps);
bool strv_has(const struct strv *s, const char *str);
void strv_done(struct strv *s);
#define _cleanup_strv_ __attribute__((cleanup(strv_done)))

/* A growing text buffer. */
struct buf {
	char *s;
	size_t n, cap;
};
int buf_add(struct buf *b, const void *p, size_t n);
int buf_addf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_done(struct buf *b);
#define _cleanup_buf_ __attribute__((cleanup(buf_done)))

char *xasprintf(const char *fmt, ...) _printf_(1, 2);
bool streq(const char *a, const char *b);
bool startswith(const char *s, const char *prefix);
bool endswith(const char *s, const char *suffix);
char *strstrip(char *s);

/* "512M", "8G", "1.5G", "8GiB", plain bytes; unit is assumed when none given. */
int parse_size(const char *s, uint64_t unit, uint64_t *ret_bytes);
/* A short human form, "8.0G". Static buffers, four of them in turn. */
const char *fmt_size(uint64_t bytes);
int parse_uint(const char *s, unsigned long max, unsigned long *ret);

/* These return 0 or a negative errno and say nothing. */
int read_file(const char *path, size_t max, char **ret_text, size_t *ret_len);
int write_file(const char *path, const char *text, unsigned int mode);
/* Temporary name, fsync, rename, fsync of the directory. */
int write_file_atomic(const char *path, const char *text, unsigned int mode);
int fsync_dir_of(const char *path);
int mkdir_p(const char *path, unsigned int mode);
int rm_rf(const char *path);
int random_bytes(void *p, size_t n);
void uuid_random(uint8_t out[16]);
char *uuid_text(const uint8_t u[16]);

/* Where things live. Tests on the build host move the root. */
const char *root_prefix(void);
char *state_path(const char *fmt, ...) _printf_(1, 2);
char *run_path(const char *fmt, ...) _printf_(1, 2);
char *etc_path(const char *fmt, ...) _printf_(1, 2);
char *data_path(const char *fmt, ...) _printf_(1, 2);
