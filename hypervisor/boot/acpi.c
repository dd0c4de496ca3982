/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables, as far as a hypervisor needs them: processors and I/O APICs
 * (MADT), power management ports and reset (FADT), HPET, PCI configuration
 * windows (MCFG), memory affinity (SRAT). dom0's interpreter owns the rest;
 * the one thing taken from AML is the \_S5 package, so that the machine can be
 * switched off without dom0.
 *
 * The parser is pure: tables come from firmware, whose lengths are not
 * believed. (ACPI Specification 6.4, chapter 5.)
 */
#include <bh/acpi.h>
#include <bh/boot.h>
#include <bh/errno.h>
#include <bh/lib.h>

typedef const void *map_fn(paddr_t pa, size_t len);

#define TABLE_MAX (16U << 20)

static u16 rd16(const u8 *p)
{
	return p[0] | p[1] << 8;
}
static u32 rd32(const u8 *p)
{
	return rd16(p) | (u32)rd16(p + 2) << 16;
}
static u64 rd64(const u8 *p)
{
	return rd32(p) | (u64)rd32(p + 4) << 32;
}

static bool sum_ok(const u8 *p, size_t n)
{
	u8 s = 0;

	while (n--)
		s += *p++;
	return s == 0;
}

/* A table with a good header, whole; NULL otherwise. */
static const u8 *table_map(paddr_t pa, u32 *len, map_fn *map)
{
	const u8 *t = pa ? map(pa, 36) : NULL;

	if (!t)
		return NULL;
	*len = rd32(t + 4);
	if (*len < 36 || *len > TABLE_MAX)
		return NULL;
	return map(pa, *len);
}

static void parse_madt(struct acpi_info *a, const u8 *t, u32 len)
{
	if (len < 44)
		return;
	a->lapic_addr = rd32(t + 36);
	for (u32 off = 44; off + 2 <= len;) {
		const u8 *e = t + off;
		u32 n = e[1];

		if (n < 2 || n > len - off)
			return;
		if (e[0] == 0 && n >= 8) {
			if (a->nr_cpus < ARRAY_SIZE(a->cpu))
				a->cpu[a->nr_cpus++] = (struct acpi_cpu){
					.apic_id = e[3],
					.acpi_id = e[2],
					.enabled = rd32(e + 4) & 1,
				};
		} else if (e[0] == 9 && n >= 16) {
			if (a->nr_cpus < ARRAY_SIZE(a->cpu))
				a->cpu[a->nr_cpus++] = (struct acpi_cpu){
					.apic_id = rd32(e + 4),
					.acpi_id = rd32(e + 12),
					.enabled = rd32(e + 8) & 1,
				};
		} else if (e[0] == 1 && n >= 12) {
			if (a->nr_ioapics < ARRAY_SIZE(a->ioapic))
				a->ioapic[a->nr_ioapics++] =
					(struct acpi_ioapic){
						.id = e[2],
						.addr = rd32(e + 4),
						.gsi_base = rd32(e + 8),
					};
		} else if (e[0] == 2 && n >= 10) {
			u16 fl = rd16(e + 8);

			if (a->nr_ovr < ARRAY_SIZE(a->ovr))
				a->ovr[a->nr_ovr++] = (struct acpi_override){
					.irq = e[3],
					.gsi = rd32(e + 4),
					.active_low = (fl & 3) == 3,
					.level = (fl >> 2 & 3) == 3,
				};
		} else if (e[0] == 5 && n >= 12) {
			a->lapic_addr = rd64(e + 4);
		}
		off += n;
	}
}

/* \_S5: the bytes "_S5_", a package of at least two small integers. */
static void parse_s5(struct acpi_info *a, const u8 *t, u32 len)
{
	for (u32 i = 36; i + 12 < len; i++) {
		u8 val[2];
		u32 p, n;

		if (memcmp(t + i, "_S5_", 4) || t[i + 4] != 0x12)
			continue;
		p = i + 5;
		p += 1 + (t[p] >> 6); /* package length */
		p++;                  /* number of elements */
		for (n = 0; n < 2 && p + 1 < len; n++) {
			if (t[p] == 0x0a) { /* byte constant */
				val[n] = t[p + 1];
				p += 2;
			} else if (t[p] <= 1) { /* Zero, One */
				val[n] = t[p++];
			} else {
				break;
			}
		}
		if (n == 2) {
			a->s5_a = val[0] & 7;
			a->s5_b = val[1] & 7;
			a->has_s5 = true;
			return;
		}
	}
}

/* A generic address structure's address if it is of the wanted space. */
static u64 gas_addr(const u8 *g, u8 space)
{
	return g[0] == space ? rd64(g + 4) : 0;
}

static void parse_fadt(struct acpi_info *a, const u8 *t, u32 len, map_fn *map)
{
	paddr_t dsdt;
	const u8 *d;
	u32 flags, dlen;

	if (len < 116)
		return;
	dsdt = rd32(t + 40);
	a->sci_irq = rd16(t + 46);
	a->pm1a_evt = rd32(t + 56);
	a->pm1a_cnt = rd32(t + 64);
	a->pm1b_cnt = rd32(t + 68);
	a->pm_timer_port = rd32(t + 76);
	flags = rd32(t + 112);
	a->pm_timer_32bit = flags & (1U << 8);
	if (len >= 129 && (flags & (1U << 10))) {
		a->has_reset = true;
		a->reset_space = t[116];
		a->reset_addr = rd64(t + 120);
		a->reset_value = t[128];
	}
	if (len >= 148 && rd64(t + 140))
		dsdt = rd64(t + 140);
	if (len >= 244) { /* the wide forms win where they are ports */
		if (gas_addr(t + 172, 1))
			a->pm1a_cnt = gas_addr(t + 172, 1);
		if (gas_addr(t + 184, 1))
			a->pm1b_cnt = gas_addr(t + 184, 1);
		if (gas_addr(t + 208, 1))
			a->pm_timer_port = gas_addr(t + 208, 1);
	}
	d = table_map(dsdt, &dlen, map);
	if (d && !memcmp(d, "DSDT", 4))
		parse_s5(a, d, dlen);
}

static void parse_mcfg(struct acpi_info *a, const u8 *t, u32 len)
{
	for (u32 off = 44; off + 16 <= len; off += 16) {
		if (a->nr_mcfg == ARRAY_SIZE(a->mcfg))
			return;
		if (t[off + 11] < t[off + 10])
			continue;
		a->mcfg[a->nr_mcfg].base = rd64(t + off);
		a->mcfg[a->nr_mcfg].seg = rd16(t + off + 8);
		a->mcfg[a->nr_mcfg].bus_first = t[off + 10];
		a->mcfg[a->nr_mcfg++].bus_last = t[off + 11];
	}
}

static void parse_srat(struct acpi_info *a, const u8 *t, u32 len)
{
	for (u32 off = 48; off + 2 <= len;) {
		const u8 *e = t + off;
		u32 n = e[1], node;

		if (n < 2 || n > len - off)
			return;
		off += n;
		if (e[0] != 1 || n < 40 || !(rd32(e + 28) & 1))
			continue;
		if (a->nr_srat_mem == ARRAY_SIZE(a->srat_mem))
			return;
		node = rd32(e + 2);
		a->srat_mem[a->nr_srat_mem].base = rd64(e + 8);
		a->srat_mem[a->nr_srat_mem].size = rd64(e + 16);
		a->srat_mem[a->nr_srat_mem++].node = node;
		if (node < 64 && node + 1 > a->nr_nodes)
			a->nr_nodes = node + 1;
	}
}

static void parse_table(struct acpi_info *a, paddr_t pa, map_fn *map)
{
	u32 len;
	const u8 *t = table_map(pa, &len, map);

	if (!t)
		return;
	if (!memcmp(t, "APIC", 4))
		parse_madt(a, t, len);
	else if (!memcmp(t, "FACP", 4))
		parse_fadt(a, t, len, map);
	else if (!memcmp(t, "HPET", 4) && len >= 52 && t[40] == 0)
		a->hpet_addr = rd64(t + 44);
	else if (!memcmp(t, "MCFG", 4))
		parse_mcfg(a, t, len);
	else if (!memcmp(t, "SRAT", 4))
		parse_srat(a, t, len);
}

int acpi_parse(struct acpi_info *out, paddr_t rsdp, map_fn *map)
{
	const u8 *r = map(rsdp, 20), *t;
	paddr_t root;
	u32 len, step = 4, nr;

	memset(out, 0, sizeof(*out));
	out->lapic_addr = 0xfee00000;
	out->nr_nodes = 1;
	if (!r || memcmp(r, "RSD PTR ", 8) || !sum_ok(r, 20))
		return -EINVAL;
	out->rsdp = rsdp;
	root = rd32(r + 16);
	if (r[15] >= 2) {
		r = map(rsdp, 36);
		if (r && sum_ok(r, 36) && rd64(r + 24)) {
			root = rd64(r + 24);
			step = 8;
		}
	}
	t = table_map(root, &len, map);
	if (!t || memcmp(t, step == 8 ? "XSDT" : "RSDT", 4))
		return -EINVAL;
	nr = (len - 36) / step;
	for (u32 i = 0; i < nr && i < 256; i++) {
		/* Mapped anew each time: the window may be the same. */
		t = map(root + 36 + i * step, step);
		if (!t)
			break;
		parse_table(out, step == 8 ? rd64(t) : rd32(t), map);
	}
	return 0;
}
