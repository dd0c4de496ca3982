/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The library decoders (declib.c) behind one shape: 0, -ENOMEM or -EIO. */
#pragma once

#include <bh/types.h>

int unxz(const u8 *src, size_t len, u8 *out, size_t room, size_t *done);
int unlzma(const u8 *src, size_t len, u8 *out, size_t room, size_t *done);
int unzstd(const u8 *src, size_t len, u8 *out, size_t room, size_t *done);
int ungzip(const u8 *src, size_t len, u8 *out, size_t room, size_t *done);
int unlz4(const u8 *src, size_t len, u8 *out, size_t room, size_t *done);

/* The libraries' malloc works between these two; all of it is freed at once. */
void arena_open(void);
void arena_close(void);
