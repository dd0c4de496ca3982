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

/*
 * Tables of IOMMUs are made unrecognisable. dom0 must not program them: the
 * addresses it would put there are its own, not the machine's.
 */
static void hide_iommus(void)
{
	const u8 *r = boot_map(acpi.rsdp, 36), *root;
	u32 len, step = 4;
	u64 pa = 0;

	if (!r)
		return;
	memcpy(&pa, r + 16, 4);
	if (r[15] >= 2 && *(const u64 *)(r + 24)) {
		memcpy(&pa, r + 24, 8);
		step = 8;
	}
	root = boot_map(pa, 36);
	if (!root)
		return;
	memcpy(&len, root + 4, 4);
	if (len > 65536 || !boot_map(pa, len))
		return;
	for (u32 off = 36; off + step <= len; off += step) {
		u64 table = 0;
		u8 *t;

		memcpy(&table, root + off, step);
		t = (u8 *)boot_map(table, 36);
		if (!t || (memcmp(t, "DMAR", 4) && memcmp(t, "IVRS", 4)))
			continue;
		printk(LVL_INFO "ACPI: table %c%c%c%c hidden from dom0\n", t[0],
		       t[1], t[2], t[3]);
		t[9] += t[0] - 'X'; /* the checksum stays right */
		t[0] = 'X';
	}
}

void acpi_init(const struct boot_info *bi)
{
	paddr_t rsdp = bi->rsdp;

	if (!rsdp && !bi->efi) {
		paddr_t ebda = 0x40e; /* BIOS data area: segment of the EBDA */

		/* The compiler distrusts low addresses. */
		__asm__("" : "+r"(ebda));
		ebda = *(volatile u16 *)boot_va(ebda) << 4;
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
	if (acpi.rsdp)
		hide_iommus();
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
