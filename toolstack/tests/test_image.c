/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images: every compression, the ELF notes, the layout computed from
 * them, and that damaged ones are refused without reading beyond their end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <bzlib.h>
#include <cmocka.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "bulkhead/builder.h"

#define BASE 0xffffffff80000000ull

static size_t put_note(uint8_t *p, uint32_t type, const void *d, uint32_t len)
{
	uint32_t h[3] = { 4, len, type };

	memcpy(p, h, 12);
	memcpy(p + 12, "Xen", 4);
	memcpy(p + 16, d, len);
	return 16 + ((len + 3) & ~3u);
}

/* A kernel of one page of code at 16 MiB, with a bss of 1 MiB. */
static size_t make_elf(uint8_t *buf, bool modern)
{
	Elf64_Ehdr eh = { .e_type = ET_EXEC,
			  .e_machine = EM_X86_64,
			  .e_version = 1,
			  .e_phoff = sizeof(eh),
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 };
	Elf64_Phdr ph[2] = { { .p_type = PT_LOAD,
			       .p_offset = 4096,
			       .p_vaddr = BASE + 0x1000000,
			       .p_paddr = 0x1000000,
			       .p_filesz = 4000,
			       .p_memsz = 0x100000 },
			     { .p_type = PT_NOTE, .p_offset = 512 } };
	uint64_t entry = BASE + 0x1000040, base = BASE, p2m = 1ull << 39;
	uint32_t one = 1;
	size_t n = 0;

	memset(buf, 0, 8192);
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	n += put_note(buf + 512 + n, 1, &entry, 8);
	n += put_note(buf + 512 + n, 3, &base, 8);
	n += put_note(buf + 512 + n, 5, "xen-3.0", 8);
	n += put_note(buf + 512 + n, 6, "linux", 6);
	if (modern) {
		n += put_note(buf + 512 + n, 15, &p2m, 8);
		n += put_note(buf + 512 + n, 16, &one, 4);
	}
	ph[1].p_filesz = n;
	memcpy(buf, &eh, sizeof(eh));
	memcpy(buf + sizeof(eh), ph, sizeof(ph));
	for (size_t i = 0; i < 4000; i++)
		buf[4096 + i] = (uint8_t)(i * 7);
	return 8192;
}

static size_t pack(int kind, const uint8_t *in, size_t n, uint8_t *out,
		   size_t max)
{
	size_t k = 0;
	uLongf zn = max;
	unsigned int bn = (unsigned int)max;
	z_stream z = {};
	lzma_options_lzma lo;

	switch (kind) {
	case 0: /* gzip */
		assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0),
				 Z_OK);
		z.next_in = (uint8_t *)(uintptr_t)in;
		z.avail_in = (uInt)n;
		z.next_out = out;
		z.avail_out = (uInt)zn;
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
		k = z.total_out;
		deflateEnd(&z);
		return k;
	case 1: /* xz */
		assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32,
							 NULL, in, n, out, &k,
							 max),
				 LZMA_OK);
		return k;
	case 2: { /* lzma */
		lzma_stream s = LZMA_STREAM_INIT;

		lzma_lzma_preset(&lo, 6);
		assert_int_equal(lzma_alone_encoder(&s, &lo), LZMA_OK);
		s.next_in = in;
		s.avail_in = n;
		s.next_out = out;
		s.avail_out = max;
		assert_int_equal(lzma_code(&s, LZMA_FINISH), LZMA_STREAM_END);
		k = s.total_out;
		lzma_end(&s);
		return k;
	}
	case 3:
		assert_int_equal(BZ2_bzBuffToBuffCompress((char *)out, &bn,
							  (char *)(uintptr_t)in,
							  (unsigned int)n, 9, 0,
							  0),
				 BZ_OK);
		return bn;
	case 4:
		k = ZSTD_compress(out, max, in, n, 19);
		assert_false(ZSTD_isError(k));
		return k;
	case 5:
		k = LZ4F_compressFrame(out, max, in, n, NULL);
		assert_false(LZ4F_isError(k));
		return k;
	default: { /* lz4 legacy */
		uint32_t len;

		memcpy(out, "\x02\x21\x4c\x18", 4);
		len = (uint32_t)LZ4_compress_default((const char *)in,
						     (char *)out + 8, (int)n,
						     (int)max - 8);
		memcpy(out + 4, &len, 4);
		return 8 + len;
	}
	}
}

static size_t make_bzimage(int kind, uint8_t *out, size_t max)
{
	uint8_t elf[8192];
	size_t n = make_elf(elf, true), k;
	uint32_t v;

	memset(out, 0, 4096);
	k = pack(kind, elf, n, out + 1024, max - 2048);
	v = (uint32_t)n;
	memcpy(out + 1024 + k, &v, 4); /* as Linux appends it */
	k += 4;
	out[0x1f1] = 1;
	memcpy(out + 0x202, "HdrS", 4);
	out[0x206] = 0x0f;
	out[0x207] = 2;
	memset(out + 0x248, 0, 4);
	v = (uint32_t)k;
	memcpy(out + 0x24c, &v, 4);
	return 1024 + k;
}

static void every_compression_loads(void **state)
{
	static uint8_t img[65536];

	(void)state;
	for (int kind = 0; kind < 7; kind++) {
		struct bh_kernel k = {};
		struct bh_err e = {};
		size_t n = make_bzimage(kind, img, sizeof(img));
		int r = bh_kernel_parse(&k, img, n, &e);

		if (r)
			fail_msg("kind %d: %s", kind, e.msg);
		assert_int_equal(k.virt_entry, BASE + 0x1000040);
		assert_true(k.has_init_p2m);
		assert_true(k.unmapped_initrd);
		assert_string_equal(k.guest_os, "linux");
		assert_int_equal(k.n_seg, 1);
		assert_int_equal(k.seg[0].data[3], 21);
		free(k.owned);
	}
}

static void every_cut_is_refused(void **state)
{
	static uint8_t img[65536];
	size_t n = make_bzimage(1, img, sizeof(img));

	(void)state;
	for (size_t len = 0; len < n - 4; len += 7) {
		uint8_t *copy = malloc(len ? len : 1);
		struct bh_kernel k = {};
		struct bh_err e = {};

		memcpy(copy, img, len); /* exact size, for the sanitizer */
		assert_true(bh_kernel_parse(&k, copy, len, &e) < 0);
		assert_true(e.msg[0] != '\0');
		free(k.owned);
		free(copy);
	}
}

static void flipped_bytes_do_no_harm(void **state)
{
	uint8_t elf[8192];
	size_t n = make_elf(elf, true);

	(void)state;
	for (size_t i = 0; i < 640; i++)
		for (unsigned int v = 0; v < 256; v += 51) {
			struct bh_kernel k = {};
			uint8_t old = elf[i];

			elf[i] = (uint8_t)v;
			(void)!bh_kernel_parse(&k, elf, n, NULL);
			free(k.owned);
			elf[i] = old;
		}
}

/* A kernel of less than a page at 0 has no room for one anywhere. */
static void hypercall_page_is_inside_the_kernel(void **state)
{
	static const struct {
		uint64_t page, paddr, memsz;
		bool ok;
	} cases[] = {
		{ BASE + 0x1001000, 0x1000000, 0x100000, true },
		{ BASE + 0x1100000, 0x1000000, 0x100000, false },
		{ BASE + 0xfff000, 0x1000000, 0x100000, false },
		{ BASE + 0x40000000, 0, 4000, false },
	};
	uint8_t elf[8192];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t entry = BASE + cases[i].paddr + 0x40;
		size_t n = make_elf(elf, true);
		struct bh_kernel k = {};
		Elf64_Phdr ph[2];

		memcpy(ph, elf + sizeof(Elf64_Ehdr), sizeof(ph));
		ph[0].p_paddr = cases[i].paddr;
		ph[0].p_memsz = cases[i].memsz;
		(void)put_note(elf + 512, 1, &entry, 8);
		ph[1].p_filesz += put_note(elf + 512 + ph[1].p_filesz, 2,
					   &cases[i].page, 8);
		memcpy(elf + sizeof(Elf64_Ehdr), ph, sizeof(ph));
		assert_int_equal(bh_kernel_parse(&k, elf, n, NULL) == 0,
				 cases[i].ok);
		free(k.owned);
	}
}

static void too_much_output_stops(void **state)
{
	_cleanup_free_ uint8_t *big = calloc(1, 1 << 20);
	uint8_t packed[8192], *out;
	size_t n = pack(4, big, 1 << 20, packed, sizeof(packed)), len;

	(void)state;
	assert_int_equal(bh_decompress(packed, n, 65536, &out, &len, NULL),
			 -EFBIG);
	assert_int_equal(bh_decompress(packed, n, 1 << 20, &out, &len, NULL),
			 0);
	assert_int_equal(len, 1 << 20);
	free(out);
}

static void layouts_do_not_overlap(void **state)
{
	uint8_t elf[8192];

	(void)state;
	for (int modern = 0; modern < 2; modern++) {
		size_t n = make_elf(elf, modern);
		struct bh_kernel k = {};

		assert_int_equal(bh_kernel_parse(&k, elf, n, NULL), 0);
		for (uint64_t mib = 32; mib <= 65536; mib = mib * 3 / 2) {
			struct bh_layout l;
			uint64_t initrd = 5u << 20;

			assert_int_equal(
				bh_layout_plan(&k, mib << 8, initrd, &l, NULL),
				0);
			assert_true(l.start_info_pfn >= l.kernel_end_pfn);
			assert_true(l.stack_pfn == l.pt_pfn + l.nr_pt);
			assert_true(l.stack_pfn < l.map_pages);
			assert_true(l.used_pages < l.nr_pages);
			assert_true(l.nr_p2m * 512 >= l.nr_pages);
			assert_int_equal(l.nr_initrd, 1280);
			if (modern) {
				assert_true(l.initrd_pfn > l.stack_pfn);
				assert_true(l.p2m_pfn >=
					    l.initrd_pfn + l.nr_initrd);
			} else {
				assert_true(l.initrd_pfn + l.nr_initrd <=
					    l.p2m_pfn);
				assert_true(l.p2m_pfn + l.nr_p2m <=
					    l.start_info_pfn);
			}
			/* one L1 for each 2 MiB, and it maps itself */
			assert_true(l.nr_pt >= 3 + (l.map_pages + 511) / 512);
		}
		struct bh_layout l;
		struct bh_err e = {};

		assert_int_equal(bh_layout_plan(&k, 16 << 8, 0, &l, &e),
				 -ENOMEM);
		assert_non_null(strstr(e.msg, "memory = 16"));
	}
}

/* Loads in a process of its own, which exits 0 when that worked. */
static pid_t load_aside(const char *path, const char *dir)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct bh_kernel *k;

		_exit(bh_kernel_load(path, dir, &k, NULL) == 0 ? 0 : 1);
	}
	return pid;
}

static unsigned int files_in(const char *dir)
{
	struct dirent *de;
	unsigned int n = 0;
	DIR *d = opendir(dir);

	assert_non_null(d);
	while ((de = readdir(d)) != NULL)
		n += de->d_name[0] != '.';
	closedir(d);
	return n;
}

static void cached_kernels_are_shared(void **state)
{
	static uint8_t img[65536];
	char dir[] = "/tmp/bulkhead-test-XXXXXX";
	_cleanup_free_ char *path = NULL, *cache = NULL, *clean = NULL;
	size_t n = make_bzimage(0, img, sizeof(img));
	struct bh_kernel *k;
	pid_t pid[2];
	int lock, status;

	(void)state;
	if (geteuid() != 0)
		skip(); /* what others wrote is not trusted */
	assert_non_null(mkdtemp(dir));
	path = bh_asprintf("%s/vmlinuz", dir);
	cache = bh_asprintf("%s/cache", dir);
	clean = bh_asprintf("rm -r %s", dir);
	assert_int_equal(bh_write_file(path, img, n, 0400), 0);
	assert_int_equal(bh_mkdir_p(cache, 0700), 0);

	/* another unpacks: they wait, and one entry is made in the end */
	lock = open(cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	for (int i = 0; i < 2; i++)
		pid[i] = load_aside(path, cache);
	usleep(200000);
	for (int i = 0; i < 2; i++)
		assert_int_equal(waitpid(pid[i], &status, WNOHANG), 0);
	assert_int_equal(files_in(cache), 0);
	assert_int_equal(flock(lock, LOCK_UN), 0); /* they have it open too */
	close(lock);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(files_in(cache), 1);

	/* unpacked it is mapped, and no lock is asked for */
	lock = open(cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	assert_int_equal(bh_kernel_load(path, cache, &k, NULL), 0);
	assert_null(k->owned);
	assert_int_equal(k->virt_entry, BASE + 0x1000040);
	bh_kernel_free(k);
	close(lock);

	/* another file in its place is another kernel */
	n = make_bzimage(1, img, sizeof(img));
	assert_int_equal(bh_write_file(path, img, n, 0400), 0);
	assert_int_equal(bh_kernel_load(path, cache, &k, NULL), 0);
	assert_non_null(k->owned);
	bh_kernel_free(k);
	assert_int_equal(files_in(cache), 2);
	assert_int_equal(system(clean), 0);
}

/* Tables for addresses beyond the last one would be counted as none, or 2^64. */
static void kernel_at_two_gib_is_refused(void **state)
{
	uint8_t elf[8192];
	size_t n = make_elf(elf, true);
	struct bh_kernel k = {};

	(void)state;
	assert_int_equal(bh_kernel_parse(&k, elf, n, NULL), 0);
	for (uint64_t at = 0x7e800000; at <= 0x80000000; at += 0x8000) {
		struct bh_layout l;
		struct bh_err e = {};

		k.p_start = at;
		k.p_end = at + 4096;
		if (bh_layout_plan(&k, 4ull << 18, 0, &l, &e) == 0) {
			assert_true(l.map_pages <= 1u << 19);
			assert_true(l.nr_pt < 2048);
		} else {
			assert_non_null(strstr(e.msg, "do not fit"));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_compression_loads),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(flipped_bytes_do_no_harm),
		cmocka_unit_test(hypercall_page_is_inside_the_kernel),
		cmocka_unit_test(too_much_output_stops),
		cmocka_unit_test(layouts_do_not_overlap),
		cmocka_unit_test(cached_kernels_are_shared),
		cmocka_unit_test(kernel_at_two_gib_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
