/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads an ELF64 kernel: its loadable segments and the Xen notes that say how
 * it wants to be started. Notes are looked for in PT_NOTE segments and, because
 * old kernels carry them only there, in SHT_NOTE sections. Specification: ELF-64
 * object file format 1.5, public/elfnote.h.
 */
#include <bh/elf.h>
#include <bh/errno.h>
#include <bh/lib.h>
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
struct shdr {
	u32 name, type;
	u64 flags, addr, offset, size;
	u32 link, info;
	u64 addralign, entsize;
};
#define PT_LOAD   1
#define PT_NOTE   4
#define SHT_NOTE  7
#define EM_X86_64 62

static bool in_file(const struct elf_image *e, u64 off, u64 len)
{
	return off <= e->size && len <= e->size - off;
}

static u64 note_num(const u8 *desc, u32 size)
{
	u64 v = 0;

	memcpy(&v, desc, size < 8 ? size : 8);
	return v;
}

static void note_str(char *dst, size_t room, const u8 *desc, u32 size)
{
	size_t n = strnlen((const char *)desc, size);

	if (n >= room)
		n = room - 1;
	memcpy(dst, desc, n);
	dst[n] = '\0';
}

static void take_note(struct elf_image *e, u32 type, const u8 *desc, u32 size)
{
	e->have_notes = true;
	switch (type) {
	case XEN_ELFNOTE_ENTRY:
		e->virt_entry = note_num(desc, size);
		break;
	case XEN_ELFNOTE_HYPERCALL_PAGE:
		e->virt_hypercall = note_num(desc, size);
		break;
	case XEN_ELFNOTE_VIRT_BASE:
		e->virt_base = note_num(desc, size);
		break;
	case XEN_ELFNOTE_PADDR_OFFSET:
		e->elf_paddr_offset = note_num(desc, size);
		break;
	case XEN_ELFNOTE_XEN_VERSION:
		note_str(e->xen_version, sizeof(e->xen_version), desc, size);
		break;
	case XEN_ELFNOTE_GUEST_OS:
		note_str(e->guest_os, sizeof(e->guest_os), desc, size);
		break;
	case XEN_ELFNOTE_LOADER:
		note_str(e->loader, sizeof(e->loader), desc, size);
		break;
	case XEN_ELFNOTE_HV_START_LOW:
		e->hv_start_low = note_num(desc, size);
		break;
	case XEN_ELFNOTE_INIT_P2M:
		e->p2m_base = note_num(desc, size);
		break;
	case XEN_ELFNOTE_MOD_START_PFN:
		e->mod_start_pfn = note_num(desc, size) != 0;
		break;
	case XEN_ELFNOTE_SUPPORTED_FEATURES:
		e->features = note_num(desc, size);
		e->have_features = true;
		break;
	case XEN_ELFNOTE_PHYS32_ENTRY:
		e->phys_entry = note_num(desc, size);
		break;
	}
}

static void parse_notes(struct elf_image *e, u64 off, u64 len)
{
	u32 h[3]; /* name size, descriptor size, type */

	if (!in_file(e, off, len))
		return;
	while (len >= sizeof(h)) {
		u64 name = off + sizeof(h), desc, next;

		memcpy(h, e->data + off, sizeof(h));
		desc = name + ROUNDUP((u64)h[0], 4);
		next = desc + ROUNDUP((u64)h[1], 4);
		if (next - off > len)
			return;
		if (h[0] == 4 && !memcmp(e->data + name, "Xen", 4))
			take_note(e, h[2], e->data + desc, h[1]);
		len -= next - off;
		off = next;
	}
}

static int take_segment(struct elf_image *e, const struct phdr *ph)
{
	if (!ph->memsz)
		return 0;
	if (e->nr_segs == ELF_MAX_SEGS) {
		e->error = "too many segments";
		return -ENOEXEC;
	}
	if (ph->filesz > ph->memsz || !in_file(e, ph->offset, ph->filesz) ||
	    ph->paddr > ~0UL - ph->memsz) {
		e->error = "segment outside the file";
		return -ENOEXEC;
	}
	e->seg[e->nr_segs++] = (struct elf_seg){
		.paddr = ph->paddr,
		.vaddr = ph->vaddr,
		.memsz = ph->memsz,
		.filesz = ph->filesz,
		.offset = ph->offset,
		.flags = ph->flags,
	};
	e->pstart = min(e->pstart, ph->paddr);
	e->pend = max(e->pend, ph->paddr + ph->memsz);
	return 0;
}

static int check_header(struct elf_image *e, const struct ehdr *h)
{
	if (e->size < sizeof(*h) || memcmp(h->ident, "\177ELF", 4)) {
		e->error = "not an ELF file";
		return -ENOEXEC;
	}
	if (h->ident[4] != 2 || h->ident[5] != 1 || h->machine != EM_X86_64) {
		e->error = "not an x86-64 ELF file";
		return -ENOEXEC;
	}
	if (h->phentsize != sizeof(struct phdr) ||
	    !in_file(e, h->phoff, (u64)h->phnum * sizeof(struct phdr))) {
		e->error = "program headers outside the file";
		return -ENOEXEC;
	}
	return 0;
}

static void parse_note_sections(struct elf_image *e, const struct ehdr *h)
{
	struct shdr sh;

	if (h->shentsize != sizeof(sh) ||
	    !in_file(e, h->shoff, (u64)h->shnum * sizeof(sh)))
		return;
	for (u32 i = 0; i < h->shnum; i++) {
		memcpy(&sh, e->data + h->shoff + i * sizeof(sh), sizeof(sh));
		if (sh.type == SHT_NOTE)
			parse_notes(e, sh.offset, sh.size);
	}
}

int elf_parse(struct elf_image *e, const void *data, size_t size)
{
	struct ehdr h;
	struct phdr ph;
	int rc;

	memset(e, 0, sizeof(*e));
	e->data = data;
	e->size = size;
	e->pstart = ~0UL;
	e->virt_base = e->virt_entry = e->virt_hypercall = UNSET_ADDR;
	e->p2m_base = e->hv_start_low = e->phys_entry = UNSET_ADDR;
	memset(&h, 0, sizeof(h));
	if (size >= sizeof(h))
		memcpy(&h, data, sizeof(h));
	rc = check_header(e, &h);
	if (rc)
		return rc;
	e->e_entry = h.entry;
	for (u32 i = 0; i < h.phnum; i++) {
		memcpy(&ph, e->data + h.phoff + i * sizeof(ph), sizeof(ph));
		if (ph.type == PT_LOAD)
			rc = take_segment(e, &ph);
		else if (ph.type == PT_NOTE)
			parse_notes(e, ph.offset, ph.filesz);
		if (rc)
			return rc;
	}
	if (!e->have_notes)
		parse_note_sections(e, &h);
	if (!e->nr_segs) {
		e->error = "nothing to load";
		return -ENOEXEC;
	}
	if (e->virt_entry == UNSET_ADDR)
		e->virt_entry = e->e_entry;
	if (e->virt_base == UNSET_ADDR)
		e->virt_base = 0;
	if (e->elf_paddr_offset > e->pstart)
		e->elf_paddr_offset = 0;
	return 0;
}

int bzimage_payload(const void *data, size_t size, size_t *off, size_t *len)
{
	const u8 *b = data;
	u16 version;
	u32 poff, plen;
	u64 start;

	if (size < 0x250 || memcmp(b + 0x202, "HdrS", 4))
		return -ENOENT;
	memcpy(&version, b + 0x206, 2);
	memcpy(&poff, b + 0x248, 4);
	memcpy(&plen, b + 0x24c, 4);
	start = ((b[0x1f1] ? b[0x1f1] : 4) + 1) * 512UL + poff;
	/* At least a magic number and the appended size. */
	if (version < 0x208 || plen < 8 || start > size || plen > size - start)
		return -EINVAL;
	*off = start;
	*len = plen;
	return 0;
}
