/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Glue between the static decompression libraries and the hypervisor: the four
 * decoders and the few C library functions they call. Their headers come from
 * the distribution; since those pull in the C library's, which a freestanding
 * build does not have, the handful of declarations needed is written here as
 * the libraries document them (lzma.h, zstd.h, zlib.h).
 */
#include <bh/boot.h>
#include <bh/errno.h>
#include <bh/mm.h>

#include "decompress.h"

/* ---- C library ------------------------------------------------------------------- */

/* Blocks are never reused: a decoder allocates a few times and is done. */
#define MAX_BLOCKS 64
static struct {
	struct page_info *pg;
	unsigned int order;
} blocks[MAX_BLOCKS] __initdata;
static unsigned int nr_blocks __initdata;

void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void free(void *p);
void abort(void) __noreturn;
void __stack_chk_fail(void) __noreturn;

void *__init malloc(size_t n)
{
	unsigned int order = 0;
	struct page_info *pg;

	while ((PAGE_SIZE << order) < n)
		order++;
	if (nr_blocks == MAX_BLOCKS)
		return NULL;
	pg = heap_alloc(order, 0, MEMF_NO_SCRUB);
	if (!pg)
		return NULL;
	blocks[nr_blocks].pg = pg;
	blocks[nr_blocks++].order = order;
	return page_to_virt(pg);
}

void *__init calloc(size_t n, size_t size)
{
	size_t all;
	void *p;

	if (__builtin_mul_overflow(n, size, &all))
		return NULL;
	p = malloc(all);
	if (p)
		memset(p, 0, all);
	return p;
}

void __init free(void *p)
{
}

void __init abort(void)
{
	panic("a decompression library gave up\n");
}

void __init __stack_chk_fail(void)
{
	panic("a decompression library overran its stack\n");
}

void __init arena_open(void)
{
	nr_blocks = 0;
}

void __init arena_close(void)
{
	while (nr_blocks) {
		nr_blocks--;
		heap_free(blocks[nr_blocks].pg, blocks[nr_blocks].order, false);
	}
}

/* ---- liblzma --------------------------------------------------------------------- */

/* What a header may make us allocate; kernels use dictionaries of 32 MiB. */
#define LZMA_LIMIT (256UL << 20)

struct lzma_stream_s {
	const u8 *next_in;
	size_t avail_in;
	u64 total_in;
	u8 *next_out;
	size_t avail_out;
	u64 total_out;
	const void *allocator;
	void *internal;
	void *reserved_ptr[4];
	u64 reserved_int[4];
	u32 reserved_enum[2];
};
enum {
	LZMA_OK = 0,
	LZMA_STREAM_END = 1,
	LZMA_MEM_ERROR = 5,
	LZMA_RUN = 0
};
int lzma_stream_decoder(struct lzma_stream_s *s, u64 memlimit, u32 flags);
int lzma_alone_decoder(struct lzma_stream_s *s, u64 memlimit);
int lzma_code(struct lzma_stream_s *s, int action);
void lzma_end(struct lzma_stream_s *s);

static int __init run_lzma(struct lzma_stream_s *s, int rc, const u8 *src,
			   size_t len, u8 *out, size_t room, size_t *done,
			   bool end_mark)
{
	if (rc)
		return rc == LZMA_MEM_ERROR ? -ENOMEM : -EIO;
	s->next_in = src;
	s->avail_in = len;
	s->next_out = out;
	s->avail_out = room;
	do
		rc = lzma_code(s, LZMA_RUN);
	while (rc == LZMA_OK && s->avail_in && s->avail_out);
	*done = s->total_out;
	lzma_end(s);
	/* Old .lzma streams may lack the end mark: all output is as good. */
	if (rc == LZMA_STREAM_END ||
	    (rc == LZMA_OK && !s->avail_in && !end_mark))
		return 0;
	return rc == LZMA_MEM_ERROR ? -ENOMEM : -EIO;
}

int __init unxz(const u8 *src, size_t len, u8 *out, size_t room, size_t *done)
{
	struct lzma_stream_s s = { 0 };
	int rc = lzma_stream_decoder(&s, LZMA_LIMIT, 0);

	return run_lzma(&s, rc, src, len, out, room, done, true);
}

int __init unlzma(const u8 *src, size_t len, u8 *out, size_t room, size_t *done)
{
	struct lzma_stream_s s = { 0 };
	int rc = lzma_alone_decoder(&s, LZMA_LIMIT);

	return run_lzma(&s, rc, src, len, out, room, done, false);
}

/* ---- libzstd --------------------------------------------------------------------- */

void *ZSTD_createDCtx(void);
size_t ZSTD_freeDCtx(void *ctx);
unsigned int ZSTD_isError(size_t code);
size_t ZSTD_findFrameCompressedSize(const void *src, size_t len);
size_t ZSTD_decompressDCtx(void *ctx, void *dst, size_t room, const void *src,
			   size_t len);

/* In one go: the output buffer is the window. Trailing bytes are cut first. */
int __init unzstd(const u8 *src, size_t len, u8 *out, size_t room, size_t *done)
{
	size_t frame = ZSTD_findFrameCompressedSize(src, len), n;
	void *ctx;

	if (ZSTD_isError(frame))
		return -EIO;
	ctx = ZSTD_createDCtx();
	if (!ctx)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(ctx, out, room, src, frame);
	(void)ZSTD_freeDCtx(ctx);
	if (ZSTD_isError(n))
		return -EIO;
	*done = n;
	return 0;
}

/* ---- zlib ------------------------------------------------------------------------ */

struct z_stream_s {
	const u8 *next_in;
	u32 avail_in;
	u64 total_in;
	u8 *next_out;
	u32 avail_out;
	u64 total_out;
	const char *msg;
	void *state, *zalloc, *zfree, *opaque;
	int data_type;
	u64 adler, reserved;
};
enum {
	Z_STREAM_END = 1,
	Z_FINISH = 4
};
int inflateInit2_(struct z_stream_s *s, int bits, const char *version,
		  int size);
int inflate(struct z_stream_s *s, int flush);
int inflateEnd(struct z_stream_s *s);

int __init ungzip(const u8 *src, size_t len, u8 *out, size_t room, size_t *done)
{
	struct z_stream_s s = {
		.next_in = src,
		.avail_in = min(len, (size_t)~0U),
		.next_out = out,
		.avail_out = min(room, (size_t)~0U),
	};
	int rc;

	if (inflateInit2_(&s, 16 + 15, "1", sizeof(s)))
		return -ENOMEM;
	rc = inflate(&s, Z_FINISH);
	*done = s.total_out;
	(void)inflateEnd(&s);
	return rc == Z_STREAM_END ? 0 : -EIO;
}

/* libzstd refers to these weakly; no address of ours is near enough to 0. */
unsigned long long ZSTD_trace_decompress_begin(const void *dctx);
unsigned long long ZSTD_trace_decompress_begin(const void *dctx)
{
	return 0; /* not traced */
}
void ZSTD_trace_decompress_end(unsigned long long ctx, const void *trace);
void ZSTD_trace_decompress_end(unsigned long long ctx, const void *trace)
{
}
