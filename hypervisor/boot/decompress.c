/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unpacks dom0's kernel with the distribution's own static libraries (liblzma,
 * libzstd, zlib), linked into the init section and gone after boot; the LZ4
 * legacy format, which is a handful of lines, is decoded in lz4.c.
 *
 * The libraries are ordinary user-space code: they want malloc, SSE, a stack
 * protector canary at %fs:0x28 and a red zone. So they run with interrupts off,
 * CR4.OSFXSR on, FS pointing at a scratch page, and malloc from an arena.
 */
#include <bh/boot.h>
#include <bh/cpuops.h>
#include <bh/errno.h>
#include <bh/mm.h>
#include <bh/percpu.h>

#include "decompress.h"

struct job {
	const u8 *src;
	size_t len;
	u8 *out;
	size_t room, done;
};

/* ---- choosing ------------------------------------------------------------------- */

static int __init call_xz(struct job *j)
{
	return unxz(j->src, j->len, j->out, j->room, &j->done);
}
static int __init call_lzma(struct job *j)
{
	return unlzma(j->src, j->len, j->out, j->room, &j->done);
}
static int __init call_zstd(struct job *j)
{
	return unzstd(j->src, j->len, j->out, j->room, &j->done);
}
static int __init call_gzip(struct job *j)
{
	return ungzip(j->src, j->len, j->out, j->room, &j->done);
}
static int __init call_lz4(struct job *j)
{
	return unlz4(j->src, j->len, j->out, j->room, &j->done);
}

static struct {
	const char *name;
	u8 magic[6], len;
	int (*fn)(struct job *j);
	bool library;
} formats[] __initdata = {
	{ "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, call_xz, true },
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, call_zstd, true },
	{ "gzip", { 0x1f, 0x8b }, 2, call_gzip, true },
	{ "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, call_lz4, false },
	{ "lzma", { 0x5d, 0, 0 }, 3, call_lzma, true },
};

/* User-space conditions for fn. */
static int __init run_library(int (*fn)(struct job *j), struct job *j)
{
	unsigned long flags = irq_save(), cr4 = read_cr4(), cr0 = read_cr0();
	void *tls = alloc_page();
	int rc;

	if (!tls)
		return -ENOMEM;
	write_cr4(cr4 | CR4_OSFXSR | CR4_OSXMMEXC);
	write_cr0(cr0 & ~(CR0_EM | CR0_TS));
	wrmsr(MSR_FS_BASE, (unsigned long)tls);
	arena_open();
	rc = fn(j);
	arena_close();
	wrmsr(MSR_FS_BASE, 0);
	write_cr0(cr0);
	write_cr4(cr4);
	free_page(tls);
	irq_restore(flags);
	return rc;
}

int __init decompress(const void *src, size_t len, size_t size_hint, void **out,
		      size_t *out_len, unsigned int *order)
{
	struct job j = { .src = src, .len = len };
	struct page_info *pg;
	unsigned int o = 0;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (len < 8 || memcmp(src, formats[i].magic, formats[i].len))
			continue;
		while ((PAGE_SIZE << o) < size_hint)
			o++;
		pg = heap_alloc(o, 0, MEMF_NO_SCRUB);
		if (!pg)
			return -ENOMEM;
		j.out = page_to_virt(pg);
		j.room = PAGE_SIZE << o;
		rc = formats[i].library ? run_library(formats[i].fn, &j)
					: formats[i].fn(&j);
		if (rc) {
			heap_free(pg, o, false);
			return rc;
		}
		printk(LVL_DEBUG "unpacked %zu KiB of %s\n", j.done >> 10,
		       formats[i].name);
		*out = j.out;
		*out_len = j.done;
		*order = o;
		return 0;
	}
	return -EINVAL;
}
