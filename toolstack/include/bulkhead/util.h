/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every file of the toolstack uses: cleanup by scope, one way to log,
 * string helpers that cannot overflow, and reading and writing whole files.
 *
 * Conventions: functions return 0 or a positive count on success and a
 * negative errno on failure; ret_x parameters are set only on success.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a)       (sizeof(a) / sizeof((a)[0]))
#define __must_check        __attribute__((warn_unused_result))
#define __printf_like(f, a) __attribute__((format(printf, f, a)))
#define __unused_arg        __attribute__((unused))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b)                     \
	({                            \
		__auto_type a_ = (a); \
		__auto_type b_ = (b); \
		a_ < b_ ? a_ : b_;    \
	})
#define MAX(a, b)                     \
	({                            \
		__auto_type a_ = (a); \
		__auto_type b_ = (b); \
		a_ > b_ ? a_ : b_;    \
	})

/* ---- cleanup by scope -------------------------------------------------- */

/* Hands a pointer or fd over to someone else: the cleanup then sees none. */
#define TAKE_PTR(p)                   \
	({                            \
		__auto_type p_ = (p); \
		(p) = NULL;           \
		p_;                   \
	})
#define TAKE_FD(fd)             \
	({                      \
		int fd_ = (fd); \
		(fd) = -1;      \
		fd_;            \
	})

/* Defines x_cleanup() for _cleanup_(x_cleanup): fn(p) when p is not NULL. */
#define BH_DEFINE_CLEANUP(type, fn)              \
	static inline void fn##_cleanup(type *p) \
	{                                        \
		if (*p)                          \
			fn(*p);                  \
	}                                        \
	struct bh_cleanup_semicolon

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _cleanup_free_  _cleanup_(bh_cleanup_free)
#define _cleanup_close_ _cleanup_(bh_cleanup_close)
#define _cleanup_file_  _cleanup_(bh_cleanup_file)

void bh_cleanup_free(void *p);
void bh_cleanup_close(int *fd);
void bh_cleanup_file(FILE **f);

/* Closes fd if it is one, keeps errno; returns -1 to assign back. */
int bh_close(int fd);

/* ---- logging ----------------------------------------------------------- */

/*
 * Levels are syslog's (BH_ERR == LOG_ERR). Under systemd the line gets the
 * "<N>" prefix the journal understands; on a terminal it is "program: text".
 * Who handles an error logs it, once; libraries return it instead.
 */
enum bh_level {
	BH_ERR = 3,
	BH_WARNING = 4,
	BH_NOTICE = 5,
	BH_INFO = 6,
	BH_DEBUG = 7,
};

void bh_log_setup(const char *program, enum bh_level max);
void bh_log(enum bh_level level, const char *fmt, ...) __printf_like(2, 3);
void bh_logv(enum bh_level level, const char *fmt, va_list ap);

/* Logs "text: strerror" and returns err unchanged: return bh_log_errno(...) */
int bh_log_errno(enum bh_level level, int err, const char *fmt, ...)
	__printf_like(3, 4);

/* ---- strings ----------------------------------------------------------- */

/* NULL is equal to nothing. */
static inline bool streq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* The rest of s after prefix, or NULL if s does not begin with it. */
const char *bh_startswith(const char *s, const char *prefix);
bool bh_endswith(const char *s, const char *suffix);

/* Formats into a new string; NULL when out of memory. */
char *bh_asprintf(const char *fmt, ...) __printf_like(1, 2);

/* snprintf that fails (-ENAMETOOLONG) instead of truncating. */
int bh_snprintf(char *buf, size_t size, const char *fmt, ...)
	__printf_like(3, 4) __must_check;

/* The whole string must be a number in [0, max]; base as for strtoull. */
int bh_parse_u64(const char *s, int base, uint64_t max, uint64_t *ret)
	__must_check;
int bh_parse_u32(const char *s, uint32_t *ret) __must_check;

/* Cuts white space off both ends, in place. */
char *bh_strip(char *s);
/* Control characters become "?", so that what a guest or a file says can forge no
 * line and work no terminal; keep: one that stays, or 0. */
void bh_printable(char *s, char keep);

/* ---- memory ------------------------------------------------------------ */

/*
 * Makes room for need elements of size in *array (which has *alloc of them):
 * grows by doubling. 0 or -ENOMEM, and then nothing has changed.
 */
int bh_grow(void *array, size_t *alloc, size_t need, size_t size) __must_check;

/* ---- files ------------------------------------------------------------- */

/* Reads all, at most max bytes (-EFBIG beyond); adds a NUL not counted. */
int bh_read_file(const char *path, size_t max, char **ret, size_t *ret_len)
	__must_check;
int bh_read_fd(int fd, size_t max, char **ret, size_t *ret_len) __must_check;

/* Writes all of it, over short writes and EINTR. */
int bh_write_all(int fd, const void *buf, size_t len) __must_check;

/* Replaces path atomically (temporary beside it, fsync, rename). */
int bh_write_file(const char *path, const void *buf, size_t len,
		  unsigned int mode) __must_check;

/*
 * The same without the temporary: for a name nobody looks at yet, and that
 * somebody removes after a crash.
 */
int bh_fill_file(const char *path, const void *buf, size_t len,
		 unsigned int mode) __must_check;

/* fsync of the directory that holds path: makes a rename there last. */
int bh_sync_dir_of(const char *path);

/* mkdir -p; existing directories are fine. */
int bh_mkdir_p(const char *path, unsigned int mode) __must_check;

/* CLOCK_MONOTONIC in microseconds, as sd-event counts. */
uint64_t bh_now_us(void);
