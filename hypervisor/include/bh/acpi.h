/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI tables, read only as far as a hypervisor needs them (ACPI 6.4 ch. 5). */
#pragma once

#include <bh/types.h>

struct boot_info;
struct acpi_cpu {
	u32 apic_id, acpi_id;
	bool enabled;
};
struct acpi_ioapic {
	u8 id;
	u32 addr, gsi_base;
};
struct acpi_override {
	u8 irq;
	u32 gsi;
	bool active_low, level;
};
struct acpi_info {
	paddr_t rsdp;
	paddr_t lapic_addr;
	struct acpi_cpu cpu[256];
	unsigned int nr_cpus;
	struct acpi_ioapic ioapic[16];
	unsigned int nr_ioapics;
	struct acpi_override ovr[16];
	unsigned int nr_ovr;
	paddr_t hpet_addr;
	u32 pm_timer_port;
	bool pm_timer_32bit;
	u32 pm1a_cnt, pm1b_cnt, pm1a_evt;
	u16 sci_irq;
	bool has_reset;
	u8 reset_space, reset_value;
	u64 reset_addr;
	bool has_s5; /* \_S5 found: SLP_TYP values */
	u8 s5_a, s5_b;
	struct {
		u64 base;
		u16 seg;
		u8 bus_first, bus_last;
	} mcfg[8];
	unsigned int nr_mcfg;
	struct {
		u64 base, size;
		u32 node;
	} srat_mem[64];
	unsigned int nr_srat_mem;
	u32 nr_nodes;
};
extern struct acpi_info acpi;
/* Pure parser part: fills from tables reached by `map(pa, len)`. 0 or -E. */
int acpi_parse(struct acpi_info *out, paddr_t rsdp,
	       const void *(*map)(paddr_t pa, size_t len));
void acpi_init(const struct boot_info *bi);
