/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot-time parsers: Multiboot information, memory map, ACPI tables. Each is
 * fed good input, every truncation of it, and random damage; memory is a
 * small window so that any access outside it is an error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bh/acpi.h>
#include <bh/boot.h>
#include <bh/errno.h>
#include <bh/lib.h>

#include "host.h"

/* Simulated physical memory [BASE, BASE + size). */
#define BASE 0x1000UL
static u8 *mem;
static size_t mem_size;

static const void *map(paddr_t pa, size_t len)
{
	if (pa < BASE || pa - BASE > mem_size || len > mem_size - (pa - BASE))
		return NULL;
	return mem + (pa - BASE);
}

static void set_mem(const void *p, size_t n)
{
	free(mem);
	mem = malloc(n ? n : 1);
	memcpy(mem, p, n);
	mem_size = n;
}

/* ---- e820 -------------------------------------------------------------------- */

static void reserved_wins_over_ram(void **state)
{
	struct e820_entry e[8] = { { 0x1000, 0x9000, E820_RAM },
				   { 0x4000, 0x1000, E820_RESERVED } };
	unsigned int n = e820_sanitize(e, 2, 8);

	assert_int_equal(n, 3);
	assert_int_equal(e[0].addr, 0x1000);
	assert_int_equal(e[0].size, 0x3000);
	assert_int_equal(e[1].type, E820_RESERVED);
	assert_int_equal(e[2].addr, 0x5000);
	assert_int_equal(e[2].size, 0x5000);
}

static void neighbours_merge(void **state)
{
	struct e820_entry e[4] = { { 0x2000, 0x1000, E820_RAM },
				   { 0x1000, 0x1000, E820_RAM } };

	assert_int_equal(e820_sanitize(e, 2, 4), 1);
	assert_int_equal(e[0].addr, 0x1000);
	assert_int_equal(e[0].size, 0x2000);
}

static void map_has_no_overlap_whatever_comes_in(void **state)
{
	srand(1);
	for (int round = 0; round < 500; round++) {
		struct e820_entry in[16], e[64];
		unsigned int n = rand() % 16;

		for (unsigned int i = 0; i < n; i++) {
			in[i].addr = (u64)(rand() % 64) << 12;
			in[i].size = (u64)(rand() % 16) << 12;
			in[i].type = 1 + rand() % 6;
			if (rand() % 20 == 0)
				in[i].size = ~0UL;
		}
		memcpy(e, in, sizeof(in));
		n = e820_sanitize(e, n, 64);
		for (unsigned int i = 1; i < n; i++)
			assert_true(e[i - 1].addr + e[i - 1].size <= e[i].addr);
	}
}

/* ---- Multiboot ---------------------------------------------------------------- */

static u8 buf[4096];
static size_t len;

static void put(const void *p, size_t n)
{
	memcpy(buf + len, p, n);
	len += n;
}
static void put32(u32 v)
{
	put(&v, 4);
}
static void put64(u64 v)
{
	put(&v, 8);
}
static void pad8(void)
{
	while (len & 7)
		buf[len++] = 0;
}
static void tag_string(u32 type, const char *s)
{
	put32(type);
	put32(8 + strlen(s) + 1);
	put(s, strlen(s) + 1);
	pad8();
}

static void build_mb2(void)
{
	len = 0;
	put32(0); /* total, below */
	put32(0);
	tag_string(1, "placeholder console=com1 loglvl=all");
	tag_string(2, "GRUB 2.06");
	put32(3);
	put32(16 + 9);
	put32(0x800000);
	put32(0x900000);
	put("root=sda", 9);
	pad8();
	put32(3);
	put32(17);
	put32(0x900000);
	put32(0xa00000);
	put("", 1);
	pad8();
	put32(6);
	put32(16 + 2 * 24);
	put32(24);
	put32(0);
	put64(0);
	put64(0x9f000);
	put32(1);
	put32(0);
	put64(0x100000);
	put64(0x10000000);
	put32(1);
	put32(0);
	put32(14);
	put32(8 + 20);
	put("RSD PTR xxxxxxxxxxxx", 20);
	pad8();
	put32(0);
	put32(8);
	memcpy(buf, &(u32){ len }, 4);
}

static void mb2_gives_everything(void **state)
{
	static struct boot_info bi;

	build_mb2();
	set_mem(buf, len);
	assert_int_equal(multiboot_parse(&bi, 0x36d76289, BASE, map), 0);
	assert_string_equal(bi.cmdline, "console=com1 loglvl=all");
	assert_int_equal(bi.nr_mods, 2);
	assert_int_equal(bi.mod[0].start, 0x800000);
	assert_string_equal(bi.mod[0].cmdline, "root=sda");
	assert_int_equal(bi.mod[1].end, 0xa00000);
	assert_int_equal(bi.nr_e820, 2);
	assert_int_equal(bi.e820[1].size, 0x10000000);
	assert_true(bi.rsdp > BASE);
}

static void mb2_truncated_is_refused_or_survived(void **state)
{
	static struct boot_info bi;

	build_mb2();
	for (size_t n = 0; n < len; n++) {
		set_mem(buf, n);
		(void)multiboot_parse(&bi, 0x36d76289, BASE, map);
		assert_true(bi.nr_mods <= 2);
	}
}

static void mb2_damaged_is_survived(void **state)
{
	static struct boot_info bi;
	size_t n;

	srand(2);
	build_mb2();
	n = len;
	for (int round = 0; round < 20000; round++) {
		set_mem(buf, n);
		for (int i = rand() % 4; i >= 0; i--)
			mem[rand() % n] = rand();
		(void)multiboot_parse(&bi, 0x36d76289, BASE, map);
	}
}

static void mb1_takes_the_file_name_off(void **state)
{
	static struct boot_info bi;
	u32 w[64] = { 0 };
	char *c = (char *)w;

	w[0] = 1 << 2 | 1 << 3 | 1 << 6;
	w[4] = BASE + 120; /* command line */
	w[5] = 1;
	w[6] = BASE + 150;
	w[11] = 24;
	w[12] = BASE + 170;
	strcpy(c + 120, "/boot/x.elf loglvl=all");
	memcpy(c + 150, &(u32[]){ 0x1000, 0x2000, BASE + 200, 0 }, 16);
	memcpy(c + 170, &(u32[]){ 20, 0, 0, 0x8000000, 0, 1 }, 24);
	strcpy(c + 200, "vmlinuz ro");
	set_mem(w, sizeof(w));
	assert_int_equal(multiboot_parse(&bi, 0x2badb002, BASE, map), 0);
	assert_string_equal(bi.cmdline, "loglvl=all");
	assert_string_equal(bi.mod[0].cmdline, "ro");
	assert_int_equal(bi.e820[0].size, 0x8000000);

	srand(3);
	for (int round = 0; round < 20000; round++) {
		set_mem(w, sizeof(w));
		for (int i = rand() % 4; i >= 0; i--)
			mem[rand() % sizeof(w)] = rand();
		(void)multiboot_parse(&bi, 0x2badb002, BASE, map);
	}
}

static void other_magic_is_refused(void **state)
{
	static struct boot_info bi;

	assert_int_equal(multiboot_parse(&bi, 0x12345678, BASE, map), -EINVAL);
}

/* ---- ACPI -------------------------------------------------------------------------- */

static void table(const char *sig, size_t size)
{
	u8 h[36] = { 0 };
	u32 n = size;

	memcpy(h, sig, 4);
	memcpy(h + 4, &n, 4);
	put(h, 36);
}

/* RSDP at 0, RSDT at 64, MADT at 256, FADT at 512, DSDT at 1024. */
static void build_acpi(void)
{
	u8 sum = 0;

	memset(buf, 0, sizeof(buf));
	len = 0;
	put("RSD PTR ", 8);
	len = 16;
	put32(BASE + 64);
	for (int i = 0; i < 20; i++)
		sum += buf[i];
	buf[8] = -sum;
	len = 64;
	table("RSDT", 36 + 8);
	put32(BASE + 256);
	put32(BASE + 512);
	len = 256;
	table("APIC", 44 + 8 + 12 + 10);
	put32(0xfee00000);
	put32(1);
	put("\0\10\0\3\1\0\0\0", 8);
	put("\1\14\2\0", 4);
	put32(0xfec00000);
	put32(0);
	put("\2\12\0\0\2\0\0\0\0\0", 10);
	len = 512;
	table("FACP", 116);
	memcpy(buf + 512 + 40, &(u32){ BASE + 1024 }, 4);
	memcpy(buf + 512 + 64, &(u32){ 0x604 }, 4);
	memcpy(buf + 512 + 76, &(u32){ 0x608 }, 4);
	len = 1024;
	table("DSDT", 64);
	memcpy(buf + 1024 + 40, "\x08_S5_\x12\x06\x04\x0a\x05\x00\x00\x00", 13);
	len = 1100;
}

static void acpi_facts_are_found(void **state)
{
	struct acpi_info a;

	build_acpi();
	set_mem(buf, len);
	assert_int_equal(acpi_parse(&a, BASE, map), 0);
	assert_int_equal(a.nr_cpus, 1);
	assert_int_equal(a.cpu[0].apic_id, 3);
	assert_true(a.cpu[0].enabled);
	assert_int_equal(a.nr_ioapics, 1);
	assert_int_equal(a.ioapic[0].addr, 0xfec00000);
	assert_int_equal(a.ovr[0].gsi, 2);
	assert_int_equal(a.pm1a_cnt, 0x604);
	assert_int_equal(a.pm_timer_port, 0x608);
	assert_true(a.has_s5);
	assert_int_equal(a.s5_a, 5);
	assert_int_equal(a.s5_b, 0);
}

static void acpi_damage_is_survived(void **state)
{
	struct acpi_info a;

	build_acpi();
	for (size_t n = 0; n < len; n++) {
		set_mem(buf, n);
		(void)acpi_parse(&a, BASE, map);
	}
	srand(4);
	for (int round = 0; round < 20000; round++) {
		set_mem(buf, len);
		for (int i = rand() % 6; i >= 0; i--)
			mem[20 + rand() % (len - 20)] = rand();
		(void)acpi_parse(&a, BASE, map);
	}
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(reserved_wins_over_ram),
		cmocka_unit_test(neighbours_merge),
		cmocka_unit_test(map_has_no_overlap_whatever_comes_in),
		cmocka_unit_test(mb2_gives_everything),
		cmocka_unit_test(mb2_truncated_is_refused_or_survived),
		cmocka_unit_test(mb2_damaged_is_survived),
		cmocka_unit_test(mb1_takes_the_file_name_off),
		cmocka_unit_test(other_magic_is_refused),
		cmocka_unit_test(acpi_facts_are_found),
		cmocka_unit_test(acpi_damage_is_survived),
	};
	int rc = cmocka_run_group_tests_name("boot_tables", t, NULL, NULL);

	free(mem);
	return rc;
}
