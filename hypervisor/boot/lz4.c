/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LZ4 in its legacy frame, as kernels use it: 4-byte sizes before blocks of at
 * most 8 MiB each. (lz4_Block_format.md, lz4_Frame_format.md.)
 */
#include <bh/errno.h>
#include <bh/lib.h>
#include <bh/sections.h>

#include "decompress.h"

#define LZ4_MAGIC 0x184c2102u
#define LZ4_BLOCK (8u << 20)

static size_t __init lz4_length(const u8 **p, const u8 *end, size_t n)
{
	u8 b = 255;

	if (n != 15)
		return n;
	while (b == 255 && *p < end) {
		b = *(*p)++;
		n += b;
	}
	return n;
}

static int __init lz4_block(const u8 *p, size_t len, u8 *out, size_t room,
			    size_t *done)
{
	const u8 *end = p + len;
	size_t o = 0;

	while (p < end) {
		u8 token = *p++;
		size_t lit = lz4_length(&p, end, token >> 4), match, dist;

		if (lit > (size_t)(end - p) || lit > room - o)
			return -EIO;
		memcpy(out + o, p, lit);
		p += lit;
		o += lit;
		if (p == end)
			break; /* the last sequence has no match */
		if (end - p < 2)
			return -EIO;
		dist = p[0] | p[1] << 8;
		p += 2;
		match = lz4_length(&p, end, token & 15) + 4;
		if (!dist || dist > o || match > room - o)
			return -EIO;
		for (; match; match--, o++) /* may overlap itself */
			out[o] = out[o - dist];
	}
	*done = o;
	return 0;
}

int __init unlz4(const u8 *src, size_t len, u8 *out, size_t room, size_t *done)
{
	size_t pos = 4, n;
	u32 size;
	int rc;

	*done = 0;
	while (pos + 4 <= len) {
		memcpy(&size, src + pos, 4);
		pos += 4;
		if (size == LZ4_MAGIC)
			continue; /* concatenated frames */
		if (!size || size > len - pos)
			break; /* the trailing length word of a bzImage */
		rc = lz4_block(src + pos, size, out + *done,
			       min(room - *done, (size_t)LZ4_BLOCK), &n);
		if (rc)
			return rc;
		pos += size;
		*done += n;
	}
	return *done ? 0 : -EIO;
}
