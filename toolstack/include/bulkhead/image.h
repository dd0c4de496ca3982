/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images: from the bytes of a bzImage, an ELF file or a compressed one
 * of either to what the domain builder needs: segments and Xen's notes.
 *
 * The bytes may come out of a guest's own disk, so they are an adversary's.
 * Nothing here trusts an offset, a size or a count, and nothing allocates more
 * than BH_KERNEL_MAX.
 */
#pragma once

#include "bulkhead/err.h"

#define BH_KERNEL_MAX (512u << 20)

/*
 * Unpacks gzip, xz, lzma, bzip2, zstd, lz4 (frame and the kernel's legacy
 * form). Trailing bytes after the stream are ignored: Linux appends the size.
 * -EOPNOTSUPP if it is none of these.
 */
int bh_decompress(const uint8_t *in, size_t len, size_t max, uint8_t **ret,
		  size_t *ret_len, struct bh_err *e);
bool bh_is_compressed(const uint8_t *in, size_t len);

struct bh_segment {
	uint64_t paddr, memsz, filesz;
	const uint8_t *data; /* filesz bytes */
};

#define BH_KERNEL_SEGMENTS 16

struct bh_kernel {
	const uint8_t *elf; /* the unpacked file */
	size_t elf_len;
	uint8_t *owned; /* malloc'ed, or NULL */
	void *mapped;   /* mmap'ed, or NULL */
	size_t mapped_len;

	struct bh_segment seg[BH_KERNEL_SEGMENTS];
	unsigned int n_seg;
	uint64_t p_start, p_end; /* of all segments, offset removed */

	/* notes */
	bool has_entry, has_hypercall_page, has_init_p2m, unmapped_initrd;
	bool suspend_cancel, l1_mfn_valid;
	uint64_t virt_entry, virt_base, paddr_offset, hypercall_page, init_p2m;
	uint64_t hv_start_low;
	char guest_os[32], guest_version[32], xen_version[32], loader[32];
};

int bh_kernel_parse(struct bh_kernel *k, const uint8_t *data, size_t len,
		    struct bh_err *e);
/* Reads the kernel from path, or from cache_dir if it was unpacked before. */
int bh_kernel_load(const char *path, const char *cache_dir,
		   struct bh_kernel **ret, struct bh_err *e);
void bh_kernel_free(struct bh_kernel *k);
BH_DEFINE_CLEANUP(struct bh_kernel *, bh_kernel_free);
