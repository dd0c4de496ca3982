/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One-line errors that travel up to whoever prints them.
 *
 * An errno says "No such file or directory" and nothing about which one. The
 * parts of the library that an administrator's input reaches therefore fill a
 * struct bh_err with a sentence naming the thing, the reason and the way out.
 * The innermost description wins: callers add context only if there is none.
 */
#pragma once

#include "bulkhead/util.h"

struct bh_err {
	int code; /* negative errno, 0 = no error yet */
	char msg[600];
};

/* Records the sentence unless there is one already; returns code. */
int bh_fail(struct bh_err *e, int code, const char *fmt, ...)
	__printf_like(3, 4);

/* The recorded sentence, or strerror(code). */
const char *bh_err_text(const struct bh_err *e, int code);
