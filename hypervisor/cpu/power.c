/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restart, power off, halt. Restart tries what the firmware names, then what
 * PCs have always had, then a triple fault; reboot= picks where to begin:
 * acpi, pci, kbd, triple.
 */
#include <bh/acpi.h>
#include <bh/console.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/errno.h>
#include <bh/machine.h>
#include <bh/mm.h>
#include <bh/smp.h>
#include <bh/watchdog.h>

static char opt_reboot[16];
PARAM_STR("reboot", opt_reboot);

static volatile u8 *reset_reg; /* memory-mapped reset register */

/* Mapped while there is still a working machine to do it with. */
void power_init(void)
{
	paddr_t pa = acpi.reset_addr;

	if (acpi.has_reset && acpi.reset_space == 0 && pa) {
		reset_reg = ioremap(pa & PAGE_MASK, PAGE_SIZE, PTE_HV_UC);
		if (reset_reg)
			reset_reg += pa & ~PAGE_MASK;
	}
}

static void stop_this_cpu(void *unused)
{
	irq_disable();
	for (;;)
		cpu_halt();
}

/* The others must not run guests any more while the machine goes down. */
static void stop_others(void)
{
	unsigned int self = smp_processor_id(), c;
	cpumask_t m = cpu_online_map;

	irq_disable();
	watchdog_hold();
	__clear_bit(self, m.bits);
	/* smp_call() would wait for CPUs that hang; INIT does not ask. */
	for_each_cpu(c, &m) {
		if (cpus[c])
			lapic_send_init(cpus[c]->apic_id);
		clear_bit(c, cpu_online_map.bits);
	}
}

/* Port 0x80 takes about a microsecond; the platform timer has a lock, which may
 * be held by whoever we interrupted. */
static void delay(unsigned int us)
{
	for (unsigned int i = 0; i < us; i++)
		inb(0x80);
}

static void reset_acpi(void)
{
	if (!acpi.has_reset)
		return;
	if (acpi.reset_space == 1)
		outb(acpi.reset_value, acpi.reset_addr);
	else if (reset_reg)
		*reset_reg = acpi.reset_value;
	delay(50000);
}

static void reset_pci(void)
{
	u8 v = inb(0xcf9) & ~6;

	outb(v | 2, 0xcf9);
	delay(50);
	outb(v | 6, 0xcf9);
	delay(50000);
}

static void reset_kbd(void)
{
	for (unsigned int i = 0; i < 10; i++) {
		for (unsigned int j = 0; j < 10000 && (inb(0x64) & 2); j++)
			;
		outb(0xfe, 0x64);
		delay(10000);
	}
}

static void reset_triple(void)
{
	struct {
		u16 limit;
		u64 base;
	} __packed none = { 0, 0 };

	__asm__ volatile("lidt %0; int3" ::"m"(none));
}

void machine_restart(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} how[] = {
		{ "acpi", reset_acpi },
		{ "pci", reset_pci },
		{ "kbd", reset_kbd },
		{ "triple", reset_triple },
	};
	unsigned int i = 0;

	console_force_sync();
	stop_others();
	for (unsigned int j = 0; j < ARRAY_SIZE(how); j++)
		if (opt_reboot[0] == how[j].name[0])
			i = j;
	for (; i < ARRAY_SIZE(how); i++)
		how[i].fn();
	machine_halt();
}

/* SLP_TYP in 12:10, SLP_EN bit 13; SCI_EN and friends are kept. */
static u16 pm1_value(u32 port, u8 type)
{
	return (inw(port) & ~0x3c00) | type << 10;
}

int acpi_enter_sleep(u8 state, u32 pm1a, u32 pm1b)
{
	if (state != 5 || !acpi.pm1a_cnt)
		return -EINVAL;
	printk(LVL_INFO "entering ACPI S5: the machine is switched off\n");
	stop_others();
	outw(pm1a & ~0x2000, acpi.pm1a_cnt);
	if (acpi.pm1b_cnt)
		outw(pm1b & ~0x2000, acpi.pm1b_cnt);
	outw(pm1a | 0x2000, acpi.pm1a_cnt);
	if (acpi.pm1b_cnt)
		outw(pm1b | 0x2000, acpi.pm1b_cnt);
	delay(100000);
	return -EIO; /* we should not be here any more */
}

void machine_power_off(void)
{
	console_force_sync();
	if (acpi.has_s5 && acpi.pm1a_cnt) {
		u16 a = pm1_value(acpi.pm1a_cnt, acpi.s5_a);

		stop_others();
		outw(a, acpi.pm1a_cnt);
		outw(a | 0x2000, acpi.pm1a_cnt);
		if (acpi.pm1b_cnt)
			outw(pm1_value(acpi.pm1b_cnt, acpi.s5_b) | 0x2000,
			     acpi.pm1b_cnt);
		delay(1000000);
	}
	printk(LVL_ERR "this machine does not switch itself off\n");
	machine_halt();
}

void machine_halt(void)
{
	(void)watchdog_boot_done();
	console_force_sync();
	stop_others();
	stop_this_cpu(NULL);
	__builtin_unreachable();
}
