/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI tables. The input is physical memory from 0x1000 on, behind an RSDP
 * made here so that its checksum does not stop every run. */
#include <stdlib.h>
#include <string.h>

#include <bh/acpi.h>

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
	static struct acpi_info a;
	u8 rsdp[20] = "RSD PTR ", sum = 0;
	u32 root = BASE + 20;

	mem_size = size + 20;
	mem = malloc(mem_size);
	memcpy(rsdp + 16, &root, 4);
	for (int i = 0; i < 20; i++)
		sum += rsdp[i];
	rsdp[8] = -sum;
	memcpy(mem, rsdp, 20);
	memcpy(mem + 20, data, size);
	(void)acpi_parse(&a, BASE, map);
	if (a.nr_cpus > 256 || a.nr_ioapics > 16 || a.nr_mcfg > 8)
		abort();
	free(mem);
	return 0;
}
