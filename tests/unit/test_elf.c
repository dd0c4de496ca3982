/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib/elf.c: which kernels are understood, and that a file that lies about
 * itself is refused or read only as far as it goes. Files are made in exactly
 * sized heap blocks, so the sanitizer sees any read past their end.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bh/elf.h>
#include <bh/errno.h>
#include <public/elfnote.h>

struct ehdr {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct phdr {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

struct file {
	struct ehdr h;
	struct phdr ph[2];
	u8 notes[128];
};
static unsigned int note_len;

static void add_note(struct file *f, u32 type, const void *desc, u32 size)
{
	u32 h[3] = { 4, size, type };

	memcpy(f->notes + note_len, h, sizeof(h));
	memcpy(f->notes + note_len + 12, "Xen", 4);
	memcpy(f->notes + note_len + 16, desc, size);
	note_len += 16 + ((size + 3) & ~3U);
	f->ph[1].filesz = f->ph[1].memsz = note_len;
}

static struct file good(void)
{
	struct file f = {
		.h = { .ident = "\177ELF\2\1\1",
		       .type = 2,
		       .machine = 62,
		       .entry = 0x1000000,
		       .phoff = sizeof(struct ehdr),
		       .ehsize = sizeof(struct ehdr),
		       .phentsize = sizeof(struct phdr),
		       .phnum = 2 },
		.ph = { { .type = 1,
			  .flags = 5,
			  .offset = 0,
			  .vaddr = 0xffffffff81000000,
			  .paddr = 0x1000000,
			  .filesz = 64,
			  .memsz = 4096 },
			{ .type = 4, .offset = offsetof(struct file, notes) } },
	};
	u64 base = 0xffffffff80000000, entry = 0xffffffff81000040;
	u32 features = 0x8801;

	note_len = 0;
	add_note(&f, XEN_ELFNOTE_VIRT_BASE, &base, 8);
	add_note(&f, XEN_ELFNOTE_ENTRY, &entry, 8);
	add_note(&f, XEN_ELFNOTE_GUEST_OS, "linux", 6);
	add_note(&f, XEN_ELFNOTE_SUPPORTED_FEATURES, &features, 4);
	return f;
}

/* Parses an exactly sized copy of the first n bytes. */
static int parse(struct elf_image *e, const void *data, size_t n)
{
	u8 *copy = malloc(n ? n : 1);
	int rc;

	memcpy(copy, data, n);
	rc = elf_parse(e, copy, n);
	free(copy);
	return rc;
}

static void notes_are_read(void **state)
{
	struct file f = good();
	struct elf_image e;

	assert_int_equal(parse(&e, &f, sizeof(f)), 0);
	assert_int_equal(e.nr_segs, 1);
	assert_int_equal(e.pstart, 0x1000000);
	assert_int_equal(e.pend, 0x1001000);
	assert_true(e.virt_base == 0xffffffff80000000);
	assert_true(e.virt_entry == 0xffffffff81000040);
	assert_string_equal(e.guest_os, "linux");
	assert_true(e.have_features);
	assert_int_equal(e.features, 0x8801);
	assert_true(e.virt_hypercall == UNSET_ADDR);
	assert_true(elf_va(&e, 0x1000000) == 0xffffffff81000000);
}

static void every_truncation_is_survived(void **state)
{
	struct file f = good();
	struct elf_image e;
	size_t headers = offsetof(struct file, notes);

	for (size_t n = 0; n < sizeof(f); n++)
		assert_int_equal(parse(&e, &f, n), n < headers ? -ENOEXEC : 0);
}

static void lies_are_refused(void **state)
{
	struct elf_image e;
	struct file f = good();

	f.h.machine = 3;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	f = good();
	f.h.ident[4] = 1;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	f = good();
	f.h.phoff = ~0UL - 8;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	f = good();
	f.h.phnum = 0xffff;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	f = good();
	f.ph[0].offset = ~0UL;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	f = good();
	f.ph[0].filesz = f.ph[0].memsz + 1;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	f = good();
	f.ph[0].paddr = ~0UL - 100;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	f = good();
	f.ph[0].memsz = f.ph[0].filesz = 0;
	assert_int_equal(parse(&e, &f, sizeof(f)), -ENOEXEC);
	assert_string_equal(e.error, "nothing to load");
}

static void notes_may_not_run_over(void **state)
{
	struct elf_image e;
	struct file f = good();
	u32 huge = ~0U;

	/* A descriptor longer than its segment ends the list. */
	memcpy(f.notes + 4, &huge, 4);
	assert_int_equal(parse(&e, &f, sizeof(f)), 0);
	assert_false(e.have_notes);
	f = good();
	memcpy(f.notes, &huge, 4);
	assert_int_equal(parse(&e, &f, sizeof(f)), 0);
	f = good();
	f.ph[1].offset = ~0UL - 4;
	assert_int_equal(parse(&e, &f, sizeof(f)), 0);
	assert_false(e.have_notes);
}

static void long_strings_are_cut(void **state)
{
	struct file f = good();
	struct elf_image e;
	char name[41];

	memset(name, 'x', sizeof(name)); /* not terminated either */
	note_len = 0;
	add_note(&f, XEN_ELFNOTE_GUEST_OS, name, sizeof(name));
	assert_int_equal(parse(&e, &f, sizeof(f)), 0);
	assert_int_equal(strlen(e.guest_os), sizeof(e.guest_os) - 1);
}

static void bzimages(void **state)
{
	size_t off = 1, len = 1, size = 0x1000;
	u8 *b = calloc(1, size);
	u16 version = 0x20f;
	u32 poff = 0x100, plen = 0x200;

	assert_int_equal(bzimage_payload(b, size, &off, &len), -ENOENT);
	memcpy(b + 0x202, "HdrS", 4);
	memcpy(b + 0x206, &version, 2);
	memcpy(b + 0x248, &poff, 4);
	memcpy(b + 0x24c, &plen, 4);
	assert_int_equal(bzimage_payload(b, size, &off, &len), 0);
	assert_int_equal(off, 5 * 512 + 0x100);
	assert_int_equal(len, 0x200);
	b[0x1f1] = 1;
	assert_int_equal(bzimage_payload(b, size, &off, &len), 0);
	assert_int_equal(off, 2 * 512 + 0x100);
	plen = size - off + 1;
	memcpy(b + 0x24c, &plen, 4);
	assert_int_equal(bzimage_payload(b, size, &off, &len), -EINVAL);
	poff = ~0U;
	memcpy(b + 0x248, &poff, 4);
	assert_int_equal(bzimage_payload(b, size, &off, &len), -EINVAL);
	version = 0x207;
	memcpy(b + 0x206, &version, 2);
	assert_int_equal(bzimage_payload(b, size, &off, &len), -EINVAL);
	assert_int_equal(bzimage_payload(b, 0x24f, &off, &len), -ENOENT);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_are_read),
		cmocka_unit_test(every_truncation_is_survived),
		cmocka_unit_test(lies_are_refused),
		cmocka_unit_test(notes_may_not_run_over),
		cmocka_unit_test(long_strings_are_cut),
		cmocka_unit_test(bzimages),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
