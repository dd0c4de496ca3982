/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of kernels, one function for each library.
 *
 * All of them write into one growing buffer with a limit, and stop where the
 * compressed stream ends: Linux appends the unpacked size to its payload, and
 * its "legacy" lz4 ends where a block length makes no sense any more.
 */
#include <bzlib.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "bulkhead/image.h"

struct out {
	uint8_t *buf;
	size_t len, alloc, max;
};

/* Room for at least one more byte, doubling up to max. */
static int out_room(struct out *o)
{
	size_t want;
	uint8_t *p;

	if (o->len < o->alloc)
		return 0;
	if (o->alloc >= o->max)
		return -EFBIG;
	want = o->alloc ? o->alloc * 2 : 8u << 20;
	if (want > o->max)
		want = o->max;
	p = realloc(o->buf, want);
	if (!p)
		return -ENOMEM;
	o->buf = p;
	o->alloc = want;
	return 0;
}

static int do_gzip(const uint8_t *in, size_t len, struct out *o)
{
	z_stream z = { .next_in = (void *)(uintptr_t)in,
		       .avail_in = (uInt)len };
	int r, zr = Z_OK;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	do {
		r = out_room(o);
		if (r < 0)
			break;
		z.next_out = o->buf + o->len;
		z.avail_out = (uInt)MIN(o->alloc - o->len, (size_t)1 << 30);
		zr = inflate(&z, Z_NO_FLUSH);
		o->len = (size_t)(z.next_out - o->buf);
		if (zr != Z_OK && zr != Z_STREAM_END)
			r = -EBADMSG;
	} while (r == 0 && zr != Z_STREAM_END);
	inflateEnd(&z);
	return r;
}

static int do_lzma(const uint8_t *in, size_t len, struct out *o)
{
	lzma_stream s = LZMA_STREAM_INIT;
	const uint64_t mem = 256u << 20;
	lzma_ret lr;
	int r = 0;

	if (in[0] == 0xfd)
		lr = lzma_stream_decoder(&s, mem, 0);
	else
		lr = lzma_alone_decoder(&s, mem);
	if (lr != LZMA_OK)
		return -ENOMEM;
	s.next_in = in;
	s.avail_in = len;
	do {
		r = out_room(o);
		if (r < 0)
			break;
		s.next_out = o->buf + o->len;
		s.avail_out = o->alloc - o->len;
		lr = lzma_code(&s, LZMA_RUN);
		o->len = (size_t)(s.next_out - o->buf);
		if (lr == LZMA_MEM_ERROR || lr == LZMA_MEMLIMIT_ERROR)
			r = -ENOMEM;
		else if (lr != LZMA_OK && lr != LZMA_STREAM_END)
			r = -EBADMSG;
		else if (lr == LZMA_OK && !s.avail_in && s.avail_out)
			r = -EBADMSG; /* cut off */
	} while (r == 0 && lr != LZMA_STREAM_END);
	lzma_end(&s);
	return r;
}

static int do_bzip2(const uint8_t *in, size_t len, struct out *o)
{
	bz_stream b = { .next_in = (char *)(uintptr_t)in,
			.avail_in = (unsigned int)len };
	int r = 0, br = BZ_OK;

	if (BZ2_bzDecompressInit(&b, 0, 0) != BZ_OK)
		return -ENOMEM;
	do {
		r = out_room(o);
		if (r < 0)
			break;
		b.next_out = (char *)o->buf + o->len;
		b.avail_out =
			(unsigned int)MIN(o->alloc - o->len, (size_t)1 << 30);
		br = BZ2_bzDecompress(&b);
		o->len = (size_t)((uint8_t *)b.next_out - o->buf);
		if (br != BZ_OK && br != BZ_STREAM_END)
			r = -EBADMSG;
		else if (br == BZ_OK && !b.avail_in && b.avail_out)
			r = -EBADMSG;
	} while (r == 0 && br != BZ_STREAM_END);
	BZ2_bzDecompressEnd(&b);
	return r;
}

static int do_zstd(const uint8_t *in, size_t len, struct out *o)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_inBuffer ib = { in, len, 0 };
	size_t zr = 1;
	int r = 0;

	if (!d)
		return -ENOMEM;
	/* the kernel compresses with a window of 128 MiB */
	(void)ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 27);
	while (r == 0 && zr != 0) {
		ZSTD_outBuffer ob;
		size_t before = ib.pos;

		r = out_room(o);
		if (r < 0)
			break;
		ob = (ZSTD_outBuffer){ o->buf, o->alloc, o->len };
		zr = ZSTD_decompressStream(d, &ob, &ib);
		if (ZSTD_isError(zr))
			r = -EBADMSG;
		else if (zr && ib.pos == before && ob.pos == o->len &&
			 ob.pos < ob.size)
			r = -EBADMSG; /* cut off */
		else
			o->len = ob.pos;
	}
	ZSTD_freeDStream(d);
	return r;
}

static int do_lz4_frame(const uint8_t *in, size_t len, struct out *o)
{
	LZ4F_dctx *d;
	size_t pos = 0, hint = 1;
	int r = 0;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)))
		return -ENOMEM;
	while (r == 0 && hint != 0) {
		size_t n, k;

		r = out_room(o);
		if (r < 0)
			break;
		n = o->alloc - o->len;
		k = len - pos;
		hint = LZ4F_decompress(d, o->buf + o->len, &n, in + pos, &k,
				       NULL);
		if (LZ4F_isError(hint) || (hint && !n && !k))
			r = -EBADMSG;
		pos += k;
		o->len += n;
	}
	LZ4F_freeDecompressionContext(d);
	return r;
}

/* magic, then blocks of at most 8 MiB unpacked, each after its length */
static int do_lz4_legacy(const uint8_t *in, size_t len, struct out *o)
{
	const size_t block = 8u << 20;
	size_t pos = 4;
	uint8_t *tmp = malloc(block);
	int r = 0;

	if (!tmp)
		return -ENOMEM;
	while (len - pos >= 4) {
		uint32_t n = (uint32_t)in[pos] | (uint32_t)in[pos + 1] << 8 |
			     (uint32_t)in[pos + 2] << 16 |
			     (uint32_t)in[pos + 3] << 24;
		size_t got = 0;
		int k;

		pos += 4;
		if (n == 0x184c2102)
			continue; /* another stream follows */
		if (n == 0 || n > len - pos ||
		    n > (size_t)LZ4_COMPRESSBOUND(block))
			break; /* the appended size, not a block */
		k = LZ4_decompress_safe((const char *)in + pos, (char *)tmp,
					(int)n, (int)block);
		if (k < 0) {
			r = -EBADMSG;
			break;
		}
		pos += n;
		while (r == 0 && got < (size_t)k) {
			size_t m;

			r = out_room(o);
			if (r < 0)
				break;
			m = MIN((size_t)k - got, o->alloc - o->len);
			memcpy(o->buf + o->len, tmp + got, m);
			o->len += m;
			got += m;
		}
		if (r < 0)
			break;
	}
	free(tmp);
	return r < 0 || o->len ? r : -EBADMSG;
}

static const struct {
	const char *name;
	const char *magic;
	size_t magic_len;
	int (*fn)(const uint8_t *in, size_t len, struct out *o);
} formats[] = {
	{ "gzip", "\x1f\x8b", 2, do_gzip },
	{ "xz", "\xfd\x37zXZ\0", 6, do_lzma },
	{ "lzma", "\x5d\0\0", 3, do_lzma },
	{ "bzip2", "BZh", 3, do_bzip2 },
	{ "zstd", "\x28\xb5\x2f\xfd", 4, do_zstd },
	{ "lz4", "\x04\x22\x4d\x18", 4, do_lz4_frame },
	{ "lz4", "\x02\x21\x4c\x18", 4, do_lz4_legacy },
};

static size_t find_format(const uint8_t *in, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(formats); i++)
		if (len > formats[i].magic_len + 8 &&
		    !memcmp(in, formats[i].magic, formats[i].magic_len))
			break;
	return i;
}

bool bh_is_compressed(const uint8_t *in, size_t len)
{
	return find_format(in, len) < ARRAY_SIZE(formats);
}

int bh_decompress(const uint8_t *in, size_t len, size_t max, uint8_t **ret,
		  size_t *ret_len, struct bh_err *e)
{
	size_t i = find_format(in, len);
	struct out o = { .max = max };
	int r;

	if (i == ARRAY_SIZE(formats))
		return bh_fail(e, -EOPNOTSUPP,
			       "unknown compression, expected gzip, xz, lzma, "
			       "bzip2, zstd or lz4");
	if (len > UINT32_MAX)
		return bh_fail(e, -EFBIG, "compressed data beyond 4 GiB");
	r = formats[i].fn(in, len, &o);
	if (r < 0) {
		free(o.buf);
		return bh_fail(e, r, "%s data: %s", formats[i].name,
			       r == -EFBIG     ? "unpacks to too much"
			       : r == -EBADMSG ? "damaged or cut off"
					       : strerror(-r));
	}
	*ret = o.buf;
	*ret_len = o.len;
	return 0;
}
