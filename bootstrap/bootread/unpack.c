/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See unpack.h. Offsets are from Documentation/arch/x86/boot.rst (payload at
 * 0x248/0x24c since protocol 2.08). The kernel build appends the unpacked
 * size, 4 bytes, after most payloads; decoders stop before it by themselves.
 */
#include "unpack.h"

#include <bzlib.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdint.h>
#include <zlib.h>
#include <zstd.h>

#include "../util.h"

struct out {
	char *s;
	size_t n, cap, max;
};

static int grow(struct out *o)
{
	size_t cap = o->cap ? o->cap * 2 : 32u << 20;
	char *s;

	if (cap > o->max)
		cap = o->max;
	if (cap <= o->n)
		return -EFBIG;
	s = realloc(o->s, cap);
	if (!s)
		return -ENOMEM;
	o->s = s;
	o->cap = cap;
	return 0;
}

static int un_gzip(const uint8_t *in, size_t n, struct out *o)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)in,
		       .avail_in = (uInt)n };
	int r = inflateInit2(&z, 15 + 32);

	while (r == Z_OK || r == Z_BUF_ERROR) {
		if (o->n == o->cap && grow(o) < 0)
			break;
		z.next_out = (uint8_t *)o->s + o->n;
		z.avail_out = (uInt)(o->cap - o->n);
		r = inflate(&z, Z_NO_FLUSH);
		o->n = o->cap - z.avail_out;
		if (r == Z_BUF_ERROR && z.avail_out)
			break; /* input is over, output is not full: cut off */
	}
	inflateEnd(&z);
	return r == Z_STREAM_END ? 0 : -EINVAL;
}

static int un_lzma(const uint8_t *in, size_t n, struct out *o)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret r = in[0] == 0x5d ? lzma_alone_decoder(&s, 256u << 20)
				   : lzma_stream_decoder(&s, 256u << 20, 0);

	s.next_in = in;
	s.avail_in = n;
	while (r == LZMA_OK) {
		if (o->n == o->cap && grow(o) < 0)
			break;
		s.next_out = (uint8_t *)o->s + o->n;
		s.avail_out = o->cap - o->n;
		r = lzma_code(&s, LZMA_RUN);
		o->n = o->cap - s.avail_out;
	}
	lzma_end(&s);
	return r == LZMA_STREAM_END ? 0 : -EINVAL;
}

static int un_bzip2(const uint8_t *in, size_t n, struct out *o)
{
	bz_stream z = { .next_in = (char *)(uintptr_t)in,
			.avail_in = (unsigned int)n };
	int r = BZ2_bzDecompressInit(&z, 0, 0);

	while (r == BZ_OK) {
		if (o->n == o->cap && grow(o) < 0)
			break;
		z.next_out = o->s + o->n;
		z.avail_out = (unsigned int)(o->cap - o->n);
		r = BZ2_bzDecompress(&z);
		o->n = o->cap - z.avail_out;
		if (r == BZ_OK && !z.avail_in && z.avail_out)
			break;
	}
	BZ2_bzDecompressEnd(&z);
	return r == BZ_STREAM_END ? 0 : -EINVAL;
}

static int un_zstd(const uint8_t *in, size_t n, struct out *o)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_inBuffer ib = { in, n, 0 };
	size_t r = d ? ZSTD_initDStream(d) : 0;

	if (!d)
		return -ENOMEM;
	/* The kernel is built with --ultra: its window is large. */
	(void)ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 28);
	for (r = 1; r && !ZSTD_isError(r);) {
		ZSTD_outBuffer ob;
		size_t in_was = ib.pos, out_was = o->n;

		if (o->n == o->cap && grow(o) < 0)
			break;
		ob = (ZSTD_outBuffer){ o->s, o->cap, o->n };
		r = ZSTD_decompressStream(d, &ob, &ib);
		o->n = ob.pos;
		if (ib.pos == in_was && o->n == out_was)
			break; /* no progress: cut off */
	}
	ZSTD_freeDStream(d);
	return r == 0 ? 0 : -EINVAL;
}

/* The legacy format: magic, then le32 sizes and 8 MiB blocks. */
static int un_lz4(const uint8_t *in, size_t n, struct out *o)
{
	enum {
		BLOCK = 8 << 20
	};
	size_t at = 4;

	while (at + 4 <= n) {
		uint32_t len;
		int r;

		memcpy(&len, in + at, 4);
		/* What cannot be a block is the size trailer: done. */
		if (len == 0 || len > LZ4_COMPRESSBOUND(BLOCK) ||
		    len > n - at - 4)
			break;
		while (o->cap - o->n < BLOCK)
			if (grow(o) < 0)
				return -EFBIG;
		r = LZ4_decompress_safe((const char *)in + at + 4, o->s + o->n,
					(int)len, BLOCK);
		if (r < 0)
			return -EINVAL;
		o->n += (size_t)r;
		at += 4 + len;
	}
	return o->n && n - at <= 4 ? 0 : -EINVAL;
}

static const struct {
	const char *magic;
	size_t n;
	int (*fn)(const uint8_t *in, size_t n, struct out *o);
} packers[] = {
	{ "\x1f\x8b", 2, un_gzip },
	{ "\xfd"
	  "7zXZ\0",
	  6, un_lzma },
	{ "\x5d\0\0", 3, un_lzma },
	{ "BZh", 3, un_bzip2 },
	{ "\x28\xb5\x2f\xfd", 4, un_zstd },
	{ "\x02\x21\x4c\x18", 4, un_lz4 },
};

static int payload(const char *data, size_t n, const char **ret, size_t *ret_n)
{
	uint16_t version;
	uint32_t off, len;
	uint64_t start;

	if (n < 0x250 || memcmp(data + 0x202, "HdrS", 4) != 0) {
		*ret = data;
		*ret_n = n;
		return 0;
	}
	memcpy(&version, data + 0x206, 2);
	memcpy(&off, data + 0x248, 4);
	memcpy(&len, data + 0x24c, 4);
	start = ((uint64_t)((uint8_t)data[0x1f1] ? (uint8_t)data[0x1f1] : 4) +
		 1) * 512 +
		off;
	if (version < 0x208 || start >= n || len > n - start || len < 16)
		return -EINVAL;
	*ret = data + start;
	*ret_n = len;
	return 0;
}

int kernel_unpack(const char *data, size_t n, size_t max, char **ret,
		  size_t *ret_len, const char **ret_why)
{
	struct out o = { .max = max };
	const char *p;
	size_t pn;
	int r;

	*ret_why = "not a Linux kernel, or cut off";
	if (n < 64 || payload(data, n, &p, &pn) < 0)
		return -EINVAL;
	if (memcmp(p, "\177ELF", 4) == 0) {
		*ret = malloc(pn);
		if (!*ret)
			return -ENOMEM;
		memcpy(*ret, p, pn);
		*ret_len = pn;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		if (memcmp(p, packers[i].magic, packers[i].n) != 0)
			continue;
		r = packers[i].fn((const uint8_t *)p, pn, &o);
		*ret_why = "its compressed part is damaged";
		if (r >= 0 && (o.n < 64 || memcmp(o.s, "\177ELF", 4) != 0)) {
			*ret_why = "its payload is not an ELF image";
			r = -EINVAL;
		}
		if (r < 0) {
			free(o.s);
			return r;
		}
		*ret = o.s;
		*ret_len = o.n;
		return 0;
	}
	*ret_why =
		"its compression is not known (gzip, xz, lzma, bzip2, lz4, zstd are)";
	return -EINVAL;
}
