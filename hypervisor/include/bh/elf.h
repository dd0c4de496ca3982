/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PV kernels as ELF64 files with Xen notes (public/elfnote.h). Pure parser: the
 * image is hostile input, every offset is checked before it is followed.
 */
#pragma once

#include <bh/types.h>

#define ELF_MAX_SEGS 16

struct elf_seg {
	u64 paddr, vaddr, memsz, filesz, offset;
	u32 flags;
};

struct elf_image {
	const u8 *data;
	size_t size;
	u64 e_entry;
	struct elf_seg seg[ELF_MAX_SEGS]; /* PT_LOAD only */
	unsigned int nr_segs;
	u64 pstart, pend; /* lowest and highest physical address loaded */
	/* From the notes; UNSET_ADDR where there was none. */
	bool have_notes;
	u64 virt_base, virt_entry, virt_hypercall, p2m_base, elf_paddr_offset;
	u64 hv_start_low, phys_entry;
	u32 features; /* XEN_ELFNOTE_SUPPORTED_FEATURES word */
	bool have_features;
	bool mod_start_pfn;
	char guest_os[32], xen_version[16], loader[16];
	const char *error; /* why elf_parse() refused, in a few words */
};
#define UNSET_ADDR (~0UL)

/* 0, or -ENOEXEC with img->error set. data must stay while img is used. */
int elf_parse(struct elf_image *img, const void *data, size_t size);
/* Virtual address a PV kernel runs at for a physical address of the file. */
static inline u64 elf_va(const struct elf_image *img, u64 paddr)
{
	return paddr - img->elf_paddr_offset + img->virt_base;
}

/*
 * bzImage (Linux/x86 boot protocol 2.08 or newer): where its payload lies.
 * Returns 0 when `data` is a bzImage and sets *off and *len; -ENOENT when it is
 * something else; -EINVAL when it is a bzImage that cannot be used (old
 * protocol, payload outside the file).
 */
int bzimage_payload(const void *data, size_t size, size_t *off, size_t *len);
