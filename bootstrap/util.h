/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every part of vm-bootstrap needs beside the toolstack's helpers: one
 * way to report an error, exit codes, string lists, sizes, and where things
 * live.
 *
 * Errors: the function that knows the thing, the reason and the way out says
 * so once through fail() and returns a negative exit code (-EX_xxx); callers
 * pass that number up and main() turns it into the exit status. Only
 * functions documented to return an errno do so.
 */
#pragma once

#include <bulkhead/util.h>

/* Exit codes, as vm-bootstrap(8) documents them. */
enum {
	VMB_OK = 0,
	VMB_FAILED = 1,   /* an operation failed; what it began was undone */
	VMB_USAGE = 2,    /* wrong options or values */
	VMB_CONFLICT = 3, /* exists already, busy, or not ours to touch */
	VMB_MISSING = 4,  /* no such guest, template, volume group, file */
	VMB_NOSPACE = 5,  /* volume group or thin pool too full */
	VMB_TIMEOUT = 6,  /* made, but not started or not reachable in time */
	VMB_SOURCE = 7,   /* mirror unreachable, archive damaged */
};

/* Prints "vm-bootstrap: ..." on stderr and returns -code. */
int fail(int code, const char *fmt, ...) __printf_like(2, 3);
void note(const char *fmt, ...) __printf_like(1, 2);
int oom(void);
/* Text of the last fail(), for --json and for tests. */
const char *last_failure(void);
extern bool opt_quiet, opt_json;
/* While set, fail() says nothing: what is tried again may fail at first. */
extern bool fail_muted;

/* A growing, NULL-terminated list of strings it owns. */
struct strv {
	char **v;
	size_t n;
};
int strv_add(struct strv *s, const char *str);
int strv_addf(struct strv *s, const char *fmt, ...) __printf_like(2, 3);
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
int buf_addf(struct buf *b, const char *fmt, ...) __printf_like(2, 3);
void buf_done(struct buf *b);
#define _cleanup_buf_ __attribute__((cleanup(buf_done)))

/* "512M", "8G", "1.5G", "8GiB", plain bytes; unit is assumed when none given. */
int parse_size(const char *s, uint64_t unit, uint64_t *ret_bytes);
/* A short human form, "8.0G". Static buffers, four of them in turn. */
const char *fmt_size(uint64_t bytes);

/* These return 0 or a negative errno and say nothing. */
int rm_rf(const char *path);
int random_bytes(void *p, size_t n);
void uuid_random(uint8_t out[16]);
char *uuid_text(const uint8_t u[16]);

/* Where things live. Tests on the build host move the root. */
const char *root_prefix(void);
char *state_path(const char *fmt, ...) __printf_like(1, 2);
char *run_path(const char *fmt, ...) __printf_like(1, 2);
char *etc_path(const char *fmt, ...) __printf_like(1, 2);
char *data_path(const char *fmt, ...) __printf_like(1, 2);
