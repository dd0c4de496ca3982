/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot sequence, from the first C function to the idle loop of CPU 0. Each
 * step needs those above it; nothing here decides anything. When boot_main()
 * has started the domain, its own code is freed with the other init sections.
 */
#include <bh/acpi.h>
#include <bh/boot.h>
#include <bh/console.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/desc.h>
#include <bh/domain.h>
#include <bh/efi.h>
#include <bh/errno.h>
#include <bh/machine.h>
#include <bh/sections.h>
#include <bh/smp.h>
#include <bh/timer.h>
#include <bh/watchdog.h>

struct boot_info boot_info;
static struct cpu boot_cpu;
static char efi_memmap_copy[48 << 10] __aligned(16);

static u32 opt_maxcpus = NR_CPUS;
PARAM_UINT("maxcpus", opt_maxcpus);

void boot_main(u32 magic, paddr_t info);

/* percpu.h works from here on. */
static void __init boot_cpu_init(void)
{
	struct cpu_info *ci = cpu_info();

	ci->cpu = &boot_cpu;
	ci->cur = NULL;
	boot_cpu.info = ci;
	boot_cpu.online = true;
	cpus[0] = &boot_cpu;
	cpumask_set(0, &cpu_online_map);
	(void)desc_prepare_cpu(&boot_cpu);
	desc_load_cpu();
}

/* The loader's own memory is handed out soon: keep what is needed later. */
static void __init keep_efi_memmap(struct boot_info *bi)
{
	if (!bi->efi_memmap_size)
		return;
	if (bi->efi_memmap_size > sizeof(efi_memmap_copy)) {
		printk(LVL_WARN "EFI memory map of %u bytes is too long\n",
		       bi->efi_memmap_size);
		bi->efi_memmap_size = 0;
		return;
	}
	memcpy(efi_memmap_copy, boot_va(bi->efi_memmap), bi->efi_memmap_size);
	bi->efi_memmap = (paddr_t)efi_memmap_copy - IMAGE_START + image_phys;
}

static void __init print_memory(const struct boot_info *bi)
{
	static const char *const names[] = { "?",    "RAM", "reserved",
					     "ACPI", "NVS", "unusable" };
	u64 ram = 0;

	for (unsigned int i = 0; i < bi->nr_e820; i++) {
		const struct e820_entry *e = &bi->e820[i];

		if (e->type == E820_RAM)
			ram += e->size;
		printk(LVL_DEBUG "  %016lx-%016lx %s\n", e->addr,
		       e->addr + e->size - 1,
		       e->type < ARRAY_SIZE(names) ? names[e->type] : "?");
	}
	printk(LVL_INFO "memory: %lu MiB of RAM\n", ram >> 20);
}

static void __init check_loaded(const struct boot_info *bi, int rc)
{
	if (rc)
		panic("not started by a Multiboot loader (GRUB: multiboot2)\n");
	if (!bi->nr_e820)
		panic("the boot loader gave no memory map\n");
	if (!bi->nr_mods)
		panic("no dom0 kernel: the boot loader must load one as the first module\n");
}

static void __init clocks_init(void)
{
	u64 tsc_hz;

	platform_timer_init();
	clocks_calibrate(&tsc_hz, &lapic_timer_hz);
	lapic_timer_init();
	printk(LVL_INFO "APIC timer %lu.%03lu MHz%s\n",
	       lapic_timer_hz / 1000000, lapic_timer_hz / 1000 % 1000,
	       lapic_x2apic ? ", x2APIC" : "");
	time_init(tsc_hz, cpu_has.tsc_invariant);
}

/* Outlives the init sections. */
static void __noreturn __attribute__((noinline)) run(struct domain *dom0)
{
	mm_boot_release();
	(void)domain_unpause_by_controller(dom0);
	idle_loop();
}

void __init boot_main(u32 magic, paddr_t info)
{
	struct boot_info *bi = &boot_info;
	struct domain *dom0;
	int rc;

	boot_cpu_init();
	rc = multiboot_parse(bi, magic, info, boot_map);
	bi->image_start = image_phys;
	bi->image_end = image_phys + (_end - _start);
	cmdline_parse(bi->cmdline);
	console_init_early();
	printk(LVL_INFO "Bulkhead %s, started by %s at %#lx%s\n",
	       bulkhead_version, bi->loader[0] ? bi->loader : "?", image_phys,
	       bi->efi ? " (UEFI)" : "");
	printk(LVL_INFO "command line: %s\n", bi->cmdline);
	check_loaded(bi, rc);
	keep_efi_memmap(bi);
	efi_init(bi);
	print_memory(bi);

	cpu_identify();
	cpu_init_local();
	acpi_init(bi);
	mm_boot_init(bi);
	lapic_init();
	boot_cpu.apic_id = lapic_id();
	for (unsigned int i = 0; i < acpi.nr_cpus; i++)
		if (acpi.cpu[i].apic_id == boot_cpu.apic_id)
			boot_cpu.acpi_id = acpi.cpu[i].acpi_id;
	power_init();
	irq_init();
	lapic_init_cpu();
	clocks_init();
	timer_subsys_init_cpu(0);
	fpu_init_cpu();
	cpu_policy_init();

	domain_subsys_init();
	sched_init();
	boot_cpu.idle = idle_vcpu_create(0);
	if (!boot_cpu.idle)
		panic("no memory for the first idle vCPU\n");
	cpu_info()->cur = boot_cpu.idle;
	sched_init_cpu(0);
	irq_enable();
	console_init_irq();
	watchdog_init();
	smp_boot_aps(opt_maxcpus);
	watchdog_init_cpus();

	dom0 = dom0_build(bi);
	console_end_boot();
	run(dom0);
}
