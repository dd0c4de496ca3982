/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end: says what is wrong, where, and how we came there, on every console,
 * then reboots after a few seconds (option noreboot: stops instead). Other
 * CPUs are left alone: they stop with the machine, and an IPI might be the
 * very thing that does not work.
 */
#include <bh/config.h>
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/percpu.h>
#include <bh/smp.h>
#include <bh/symbols.h>
#include <bh/watchdog.h>

static bool noreboot;
PARAM_BOOL("noreboot", noreboot);
static u32 panic_delay = 5;
PARAM_UINT("panic_delay", panic_delay); /* seconds before the reboot */

/* Follows frame pointers as long as they stay on this stack. */
void backtrace(unsigned long rip, unsigned long rsp, unsigned long rbp)
{
	unsigned long base = rsp & ~(STACK_SIZE - 1);

	printk(LVL_ERR "Call trace:\n   %pS\n", (void *)rip);
	for (int n = 0; n < 32; n++) {
		unsigned long *frame = (unsigned long *)rbp;

		if (rbp < base || rbp > base + STACK_SIZE - 16 || rbp & 7 ||
		    rbp < rsp)
			break;
		printk(LVL_ERR "   %pS\n", (void *)frame[1]);
		if (frame[0] <= rbp)
			break;
		rbp = frame[0];
	}
}

void show_registers(const struct cpu_user_regs *r)
{
	bool guest = (r->cs & 3) == 3;
	const struct vcpu *v = current;

	if (v && !is_idle_vcpu(v))
		printk(LVL_ERR "CPU %u, domain %u vCPU %u, %s\n",
		       smp_processor_id(), v->domain->id, v->id,
		       !guest              ? "in the hypervisor"
		       : v->pv.kernel_mode ? "in the guest's kernel"
					   : "in the guest's user space");
	printk(LVL_ERR "RIP %04x:%016lx RFLAGS %016lx error %08x vector %02x\n",
	       r->cs, r->rip, r->rflags, r->error_code, (u8)r->entry_vector);
	if (!guest)
		printk(LVL_ERR "    %pS\n", (void *)r->rip);
	printk(LVL_ERR "RAX %016lx RBX %016lx RCX %016lx RDX %016lx\n", r->rax,
	       r->rbx, r->rcx, r->rdx);
	printk(LVL_ERR "RSI %016lx RDI %016lx RBP %016lx RSP %04x:%016lx\n",
	       r->rsi, r->rdi, r->rbp, r->ss, r->rsp);
	printk(LVL_ERR "R8  %016lx R9  %016lx R10 %016lx R11 %016lx\n", r->r8,
	       r->r9, r->r10, r->r11);
	printk(LVL_ERR "R12 %016lx R13 %016lx R14 %016lx R15 %016lx\n", r->r12,
	       r->r13, r->r14, r->r15);
	printk(LVL_ERR "CR0 %08lx CR2 %016lx CR3 %016lx CR4 %08lx\n",
	       read_cr0(), read_cr2(), read_cr3(), read_cr4());
}

static void __noreturn stop(void)
{
	if (noreboot) {
		(void)watchdog_boot_done();
		printk(LVL_ERR
		       "Stopped (noreboot). Reset the machine by hand.\n");
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	printk(LVL_ERR "Rebooting in %u seconds (noreboot stops instead).\n",
	       panic_delay);
	/* Port 0x80 takes about a microsecond on every machine ever made. */
	for (u64 i = 0; i < (u64)panic_delay * 1000000; i++)
		outb(0, 0x80);
	machine_restart();
}

void panic(const char *fmt, ...)
{
	static unsigned int panicking;
	char buf[256];
	va_list ap;
	unsigned long rsp;

	irq_disable();
	watchdog_hold(); /* the delay below is no hang */
	if (__atomic_fetch_add(&panicking, 1, __ATOMIC_SEQ_CST) > 0)
		for (;;)
			cpu_halt(); /* a second CPU, or a fault in here */
	console_force_sync();
	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	printk(LVL_ERR "\n****************************************\n"
		       "Panic on CPU %u: %s",
	       this_cpu() ? smp_processor_id() : 0, buf);
	__asm__("mov %%rsp, %0" : "=r"(rsp));
	backtrace((unsigned long)__builtin_return_address(0), rsp,
		  *(unsigned long *)__builtin_frame_address(0));
	printk(LVL_ERR "****************************************\n");
	stop();
}
