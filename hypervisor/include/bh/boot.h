/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the boot loader told us, in one form whatever its protocol was. */
#pragma once

#include <bh/types.h>

#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3
#define E820_NVS      4
#define E820_UNUSABLE 5
#define E820_MAX      256
struct e820_entry {
	u64 addr, size;
	u32 type;
} __packed; /* the layout of XENMEM_memory_map */

struct boot_module {
	paddr_t start, end;
	const char *cmdline; /* identity-mapped at boot; copied into bi */
	char cmdline_buf[1024];
};
struct boot_info {
	char cmdline[1024];
	char loader[64];
	struct e820_entry e820[E820_MAX]; /* sorted, non-overlapping */
	unsigned int nr_e820;
	struct boot_module mod[2]; /* dom0 kernel, initrd */
	unsigned int nr_mods;
	paddr_t rsdp; /* 0: search */
	bool efi;
	paddr_t efi_system_table, efi_memmap;
	u32 efi_memmap_size, efi_memdesc_size, efi_memdesc_version;
	struct {
		u8 kind; /* 0 none, 1 VGA text, 2 linear frame buffer */
		u64 base;
		u32 pitch, width, height;
		u8 bpp, rpos, rsize, gpos, gsize, bpos, bsize;
	} fb;
	paddr_t image_start, image_end; /* our own image in memory */
};
extern struct boot_info boot_info;
/*
 * Pure parsers (host-testable). `map` gives readable access to [pa, pa + len)
 * or NULL.
 */
typedef const void *boot_map_fn(paddr_t pa, size_t len);
/* Fills bi from the block at pa; magic as in EAX. 0, or -EINVAL: neither
 * protocol, or the block is damaged. */
int multiboot_parse(struct boot_info *bi, u32 magic, paddr_t pa,
		    boot_map_fn *map);
/* Sorts n entries, resolves overlaps (the more reserved type wins), merges
 * neighbours. Returns the new number, at most max; e has room for max. */
unsigned int e820_sanitize(struct e820_entry *e, unsigned int n,
			   unsigned int max);
/* Readable through the boot page tables; NULL above 4 GiB. */
boot_map_fn boot_map;
/* Image base: maddr = va - IMAGE_START + image_phys. */
extern paddr_t image_phys;
/* Identity address valid only before mm_boot_init() (low 4 GiB). */
#define boot_va(pa) ((void *)(pa))

/* boot/dom0.c: builds dom0 from the modules and returns its vCPU 0 ready to
 * run, or panics with a message that says what is wrong with the kernel. */
struct domain *dom0_build(const struct boot_info *bi);

/* Decompress any known payload (gzip, xz, lzma, zstd, lz4 legacy) from src;
 * *out is allocated from the heap (2^*order pages). 0 or -EINVAL (format),
 * -ENOMEM, -EIO (damaged). Boot only. */
int decompress(const void *src, size_t len, size_t size_hint, void **out,
	       size_t *out_len, unsigned int *order);
