/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernels: ELF headers and notes, and the bzImage header. What the parser
 * accepts must lie inside the file. */
#include <stdlib.h>
#include <string.h>

#include <bh/elf.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image e;
	size_t off, len;

	if (!elf_parse(&e, data, size)) {
		for (unsigned int i = 0; i < e.nr_segs; i++)
			if (e.seg[i].offset > size ||
			    e.seg[i].filesz > size - e.seg[i].offset ||
			    e.seg[i].filesz > e.seg[i].memsz ||
			    e.seg[i].paddr < e.pstart ||
			    e.seg[i].paddr + e.seg[i].memsz > e.pend)
				abort();
		if (strnlen(e.guest_os, sizeof(e.guest_os)) ==
		    sizeof(e.guest_os))
			abort();
	}
	if (!bzimage_payload(data, size, &off, &len) &&
	    (off > size || len > size - off || len < 8))
		abort();
	return 0;
}
