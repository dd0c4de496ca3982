/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between xs.c (what one can ask the store) and xs_conn.c (how a question gets
 * there and survives the daemon's restart).
 */
#pragma once

#include <errno.h> /* before xs_wire.h, which then has its error table */
#include <stdint.h>
#include <sys/uio.h>
#include <xen/io/xs_wire.h>

#include "bulkhead/xs.h"

struct xs_event {
	struct xs_event *next;
	const char *token; /* inside path's buffer */
	char path[];
};

struct bh_xs_watch {
	struct bh_xs_watch *next;
	bh_xs_watch_fn fn;
	void *arg;
	char token[24]; /* never reused, so that a late event finds nobody */
	char path[];
};

struct bh_xs {
	int fd;    /* -1 while disconnected */
	int epoll; /* what the caller polls: fd and wake */
	int wake;  /* eventfd: events are queued though fd is quiet */
	bool signalled;
	uint32_t gen; /* counts connections; a transaction belongs to one */
	uint32_t next_req;
	uint32_t next_token;
	uint64_t timeout_us;

	struct bh_xs_watch *watches;
	struct xs_event *events, **events_tail;

	size_t in_len;
	union {
		struct xsd_sockmsg hdr;
		char bytes[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX +
			   1];
	} in;
};

/*
 * One request and its answer. Reconnects and repeats when the daemon went
 * away; within a transaction -EAGAIN instead. *ret (may be NULL) gets a copy
 * of the answer with a NUL behind it.
 */
int xs_talk(struct bh_xs *xs, uint32_t type, bh_xs_tx tx,
	    const struct iovec *iov, size_t n, char **ret, size_t *ret_len)
	__must_check;

/* Reads what is there without waiting, queueing events. */
int xs_pump(struct bh_xs *xs) __must_check;
int xs_reconnect(struct bh_xs *xs) __must_check;
void xs_disconnect(struct bh_xs *xs);
void xs_signal(struct bh_xs *xs, bool on);

static inline struct iovec xs_iov(const void *p, size_t len)
{
	return (struct iovec){ .iov_base = (void *)(uintptr_t)p,
			       .iov_len = len };
}
/* With its NUL, as most requests want their strings. */
#define xs_str(s) xs_iov((s), strlen(s) + 1)
