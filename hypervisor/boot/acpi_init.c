/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding the ACPI tables at boot, through the one-to-one map of the first
 * 4 GiB: from the boot loader's copy of the RSDP, or where a BIOS puts it.
 */
#include <bh/acpi.h>
#include <bh/boot.h>
#include <bh/console.h>
#include <bh/lib.h>

struct acpi_info acpi __read_mostly;
static bool opt_acpi = true;
PARAM_BOOL("acpi", opt_acpi);

const void *boot_map(paddr_t pa, size_t len)
{
	/* The first page holds nothing anyone points to. */
	if (pa < 0x400 || pa + len < pa || pa + len > 1UL << 32)
		return NULL;
	return boot_va(pa);
}

static paddr_t search(paddr_t from, paddr_t to)
{
	for (paddr_t p = from & ~15UL; p + 20 <= to; p += 16) {
		const u8 *r = boot_va(p);
		u8 sum = 0;

		if (memcmp(r, "RSD PTR ", 8))
			continue;
		for (unsigned int i = 0; i < 20; i++)
			sum += r[i];
		if (!sum)
			return p;
	}
	return 0;
}

void acpi_init(const struct boot_info *bi)
{
	paddr_t rsdp = bi->rsdp;

	if (!rsdp && !bi->efi) {
		paddr_t ebda = 0x40e; /* BIOS data area: segment of the EBDA */

		__asm__("" : "+r"(ebda)); /* the compiler distrusts low addresses */
		ebda = (paddr_t)*(volatile u16 *)boot_va(ebda) << 4;
		if (ebda >= 0x400 && ebda < 0xa0000)
			rsdp = search(ebda, ebda + 1024);
		if (!rsdp)
			rsdp = search(0xe0000, 0x100000);
	}
	if (!opt_acpi || !rsdp || acpi_parse(&acpi, rsdp, boot_map)) {
		printk(LVL_WARN
		       "no usable ACPI tables: one processor, no I/O APIC\n");
		acpi.lapic_addr = 0xfee00000;
		acpi.nr_nodes = 1;
	}
	if (!acpi.nr_cpus) {
		acpi.nr_cpus = 1;
		acpi.cpu[0].enabled = true;
	}
	printk(LVL_INFO
	       "ACPI: RSDP %#lx, %u processors, %u I/O APICs%s%s, %u node%s\n",
	       acpi.rsdp, acpi.nr_cpus, acpi.nr_ioapics,
	       acpi.hpet_addr ? ", HPET" : "", acpi.nr_mcfg ? ", MCFG" : "",
	       acpi.nr_nodes, acpi.nr_nodes == 1 ? "" : "s");
}
