/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Payloads of dom0's kernel: our LZ4, and our use of the libraries for the
 * others. The first byte chooses the format and how much room there is; what
 * comes out must lie within it.
 */
#include <stdlib.h>
#include <string.h>

/* The libraries here use the host's. */
#define malloc           hv_malloc
#define calloc           hv_calloc
#define free             hv_free
#define abort            hv_abort
#define __stack_chk_fail hv_stack_chk_fail
#include "../../hypervisor/boot/declib.c"
#undef malloc
#undef calloc
#undef free
#undef abort

struct page_info *heap_alloc(unsigned int order, unsigned int bits,
			     unsigned int flags)
{
	return NULL;
}
void heap_free(struct page_info *pg, unsigned int order, bool dirty)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const fn[])(const u8 *, size_t, u8 *, size_t, size_t *) = {
		unlz4, unlz4, unxz, unlzma, unzstd, ungzip,
	};
	size_t room, done = 0;
	u8 *out, *in;

	if (size < 8)
		return 0;
	room = data[0] & 0x80 ? 64 << 10 : 1 + data[1] * 8;
	out = malloc(room);
	in = malloc(size - 2);
	if (!out || !in)
		abort();
	memcpy(in, data + 2, size - 2);
	if (!fn[(data[0] & 0x7f) % ARRAY_SIZE(fn)](in, size - 2, out, room,
						   &done) &&
	    done > room)
		abort();
	free(in);
	free(out);
	return 0;
}
