/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of the store: the tree of small strings through which toolstack,
 * frontends and backends agree on devices.
 *
 * Talks to the daemon's socket, or through /dev/xen/xenbus where there is none
 * (a guest, a driver domain). Requests are synchronous. Watches are callbacks:
 * put bh_xs_fd() into the event loop and call bh_xs_process() when readable.
 *
 * The daemon may be restarted at any moment. The client then reconnects by
 * itself, registers its watches again (each fires once, so nothing is missed)
 * and repeats the request it was waiting for. Only a transaction cannot be
 * carried over: its calls return -EAGAIN, as if it had met a conflict, and
 * bh_xs_transaction() runs it again. A commit whose answer was lost may thus
 * run twice; write transactions that can be repeated.
 *
 * Paths are absolute, or relative to the caller's /local/domain/<id>.
 * Not thread-safe: one handle a thread.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/util.h"

struct bh_xs;
struct bh_xs_watch;

/* A transaction, or BH_XS_NONE. */
typedef uint64_t bh_xs_tx;
#define BH_XS_NONE ((bh_xs_tx)0)

enum bh_xs_access {
	BH_XS_PERM_NONE = 'n',
	BH_XS_PERM_READ = 'r',
	BH_XS_PERM_WRITE = 'w',
	BH_XS_PERM_BOTH = 'b',
};

/* The first of a list names the owner, and what all others may do. */
struct bh_xs_perm {
	uint32_t domid;
	enum bh_xs_access access;
};

int bh_xs_open(struct bh_xs **ret) __must_check;
void bh_xs_free(struct bh_xs *xs);
static inline void bh_xs_freep(struct bh_xs **xs)
{
	bh_xs_free(*xs);
}
#define _cleanup_xs_ _cleanup_(bh_xs_freep)

/* How long to wait for a daemon that is away; 30 s by default. */
void bh_xs_set_timeout(struct bh_xs *xs, unsigned int seconds);

/* ---- nodes: -ENOENT, -EACCES, -EAGAIN (transaction lost) ... ----------- */

/* *ret is terminated by a NUL beyond ret_len; ret_len may be NULL. */
int bh_xs_read(struct bh_xs *xs, bh_xs_tx tx, const char *path, char **ret,
	       size_t *ret_len) __must_check;
int bh_xs_readf(struct bh_xs *xs, bh_xs_tx tx, char **ret, const char *fmt, ...)
	__printf_like(4, 5) __must_check;
/* The node's value as a decimal number; -EINVAL if it is none. */
int bh_xs_read_u64(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		   uint64_t *ret) __must_check;
/* Creates what is missing on the way. */
int bh_xs_write(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		const char *value) __must_check;
int bh_xs_write_bytes(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		      const void *value, size_t len) __must_check;
int bh_xs_writef(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		 const char *fmt, ...) __printf_like(4, 5) __must_check;
int bh_xs_mkdir(struct bh_xs *xs, bh_xs_tx tx, const char *path) __must_check;
/* The whole subtree. A node that is already missing is no error. */
int bh_xs_rm(struct bh_xs *xs, bh_xs_tx tx, const char *path);
/* 1, 0 or an error. */
int bh_xs_exists(struct bh_xs *xs, bh_xs_tx tx, const char *path) __must_check;
/* Children's names, NULL-terminated; one free() releases names and array. */
int bh_xs_directory(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		    char ***ret, size_t *ret_n) __must_check;
int bh_xs_get_perms(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		    struct bh_xs_perm **ret, size_t *ret_n) __must_check;
int bh_xs_set_perms(struct bh_xs *xs, bh_xs_tx tx, const char *path,
		    const struct bh_xs_perm *perms, size_t n) __must_check;

/* ---- transactions ------------------------------------------------------ */

int bh_xs_tx_start(struct bh_xs *xs, bh_xs_tx *ret) __must_check;
/* -EAGAIN: somebody else changed what was read or written; do it again. */
int bh_xs_tx_end(struct bh_xs *xs, bh_xs_tx tx, bool commit) __must_check;

/*
 * Runs fn inside a transaction until it commits without a conflict. fn returns
 * 0 to commit; anything else aborts and is returned (-EAGAIN: try again).
 */
typedef int (*bh_xs_tx_fn)(struct bh_xs *xs, bh_xs_tx tx, void *arg);
int bh_xs_transaction(struct bh_xs *xs, bh_xs_tx_fn fn, void *arg) __must_check;

/* ---- watches ----------------------------------------------------------- */

/*
 * Called from bh_xs_process(), once right after registration and after path or
 * anything below changed; event is a path that did, of several in the same
 * moment the first. A callback may make requests, add and remove watches (its
 * own too).
 */
typedef void (*bh_xs_watch_fn)(struct bh_xs *xs, const char *event, void *arg);

int bh_xs_watch(struct bh_xs *xs, const char *path, bh_xs_watch_fn fn,
		void *arg, struct bh_xs_watch **ret) __must_check;
void bh_xs_unwatch(struct bh_xs *xs, struct bh_xs_watch *watch);

/* Readable (for poll and sd-event) whenever bh_xs_process() has work. */
int bh_xs_fd(struct bh_xs *xs);
/* Delivers what has arrived; never waits, unless the daemon is away. */
int bh_xs_process(struct bh_xs *xs) __must_check;

/* ---- domains: for the toolstack in dom0 -------------------------------- */

int bh_xs_introduce(struct bh_xs *xs, uint32_t domid, uint64_t frame,
		    uint32_t port) __must_check;
int bh_xs_release(struct bh_xs *xs, uint32_t domid);
/* The domain runs again after it was suspended. */
int bh_xs_resume(struct bh_xs *xs, uint32_t domid) __must_check;
/* 1, 0 or an error. */
int bh_xs_is_introduced(struct bh_xs *xs, uint32_t domid) __must_check;
int bh_xs_set_target(struct bh_xs *xs, uint32_t domid, uint32_t target)
	__must_check;
/* "check", "quota", "memreport" ...: see bulkhead-store(8). */
int bh_xs_control(struct bh_xs *xs, const char *const *words, size_t n,
		  char **ret) __must_check;
