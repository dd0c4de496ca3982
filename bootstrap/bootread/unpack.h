/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's kernel file to the ELF image in it: bzImage with a gzip, xz,
 * lzma, bzip2, lz4 or zstd payload, a compressed ELF, or a plain ELF. Runs in
 * the sandbox, so that no decoder ever sees a guest's bytes with privileges.
 */
#pragma once

#include <stddef.h>

/* Takes over nothing; *ret is malloc'd. A text why, for the administrator. */
int kernel_unpack(const char *data, size_t n, size_t max, char **ret,
		  size_t *ret_len, const char **ret_why);
