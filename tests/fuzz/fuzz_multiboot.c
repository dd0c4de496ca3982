/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Multiboot information of both protocols; the first byte picks one. */
#include <stdlib.h>
#include <string.h>

#include <bh/boot.h>

#define BASE 0x1000UL
static u8 *mem;
static size_t mem_size;

static const void *map(paddr_t pa, size_t len)
{
	if (pa < BASE || pa - BASE > mem_size || len > mem_size - (pa - BASE))
		return NULL;
	return mem + (pa - BASE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_info bi;

	if (size < 2)
		return 0;
	mem_size = size - 1;
	mem = malloc(mem_size);
	memcpy(mem, data + 1, mem_size);
	if (!multiboot_parse(&bi, data[0] & 1 ? 0x36d76289 : 0x2badb002, BASE,
			     map)) {
		if (bi.nr_mods > 2 || bi.nr_e820 > E820_MAX)
			abort();
		for (unsigned int i = 1; i < bi.nr_e820; i++)
			if (bi.e820[i - 1].addr + bi.e820[i - 1].size >
			    bi.e820[i].addr)
				abort();
	}
	free(mem);
	return 0;
}
