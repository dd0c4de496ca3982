/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hot paths of the hypervisor cost, in instructions.
 *
 * QEMU's -icount makes one instruction one nanosecond of virtual time, and the
 * TSC counts those: RDTSC is an instruction counter. Every figure is the least
 * of some rounds, so that an interrupt of the hypervisor's does not show. The
 * few instructions of the loops and stubs here are in the figures; they are
 * the same on every hypervisor.
 *
 * Prints BENCH lines for tests/bench/hypercalls; as a test it always passes.
 */
#include "domu.h"

#include <public/callback.h>

#define ROUNDS 8
#define LOOPS  200

static inline u64 tsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return lo | (u64)hi << 32;
}

static inline long hc(long nr, u64 a, u64 b, u64 c, u64 d)
{
	register u64 r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
			 :
			 : "rcx", "r11", "memory");
	return nr;
}

static void report(const char *name, u64 least, u64 per)
{
	printk("BENCH %s %lu\n", name, (least + per / 2) / per);
}

#define MEASURE(name, per, ...)                           \
	do {                                              \
		u64 least_ = ~0UL;                        \
		for (int r_ = 0; r_ < ROUNDS; r_++) {     \
			u64 t_ = tsc();                   \
			for (int i = 0; i < LOOPS; i++) { \
				__VA_ARGS__;              \
			}                                 \
			t_ = tsc() - t_;                  \
			if (t_ < least_)                  \
				least_ = t_;              \
		}                                         \
		report(name, least_, per);                \
	} while (0)

/* ---- page tables ------------------------------------------------------------ */

static void bench_pagetables(void)
{
	static u64 window[64][512] PAGE_ALIGNED;
	u64 *a = page(), *b = page();
	u64 pte[2] = { mfn_of(a) << 12 | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D,
		       mfn_of(b) << 12 | PTE_P | PTE_W | PTE_U | PTE_A |
			       PTE_D };
	struct mmu_update req[2][32];

	for (int i = 0; i < 32; i++)
		for (int k = 0; k < 2; k++)
			req[k][i] = (struct mmu_update){
				pte_maddr((u64)window[i], 1), pte[k]
			};
	MEASURE("update_va_mapping", LOOPS,
		hc(__HYPERVISOR_update_va_mapping, (u64)window[0], pte[i & 1],
		   0, 0));
	MEASURE("mmu_update_32", LOOPS,
		hc(__HYPERVISOR_mmu_update, (u64)req[i & 1], 32, 0,
		   DOMID_SELF));
}

/* ---- guest processes --------------------------------------------------------- */

void bench_syscall(void), bench_fault(void), bench_event(void);
void user_syscalls(void), user_faults(void);

/* The stubs do what a kernel must and no more. RBX counts, R14 and R13 carry
 * times; the loops end by UD2, whose frame has the registers. */
__asm__(".text\n"
	"bench_syscall:\n"
	"	pop %rcx\n	pop %r11\n"
	"	pushq $0\n	push %rcx\n	push %r11\n	push %rax\n"
	"	mov $23, %eax\n	syscall\n"
	"bench_fault:\n" /* first of all: how long since the access? */
	"	rdtsc\n	shl $32, %rdx\n	or %rdx, %rax\n	sub %r14, %rax\n"
	"	cmp %rax, %r13\n	cmova %rax, %r13\n"
	"	pop %rcx\n	pop %r11\n	add $8, %rsp\n"
	"	addq $2, (%rsp)\n" /* behind the access */
	"	pushq $0\n	push %rcx\n	push %r11\n	push %rax\n"
	"	mov $23, %eax\n	syscall\n"
	"user_syscalls:\n"
	"	mov $200, %ebx\n	rdtsc\n"
	"	shl $32, %rdx\n	or %rdx, %rax\n	mov %rax, %r14\n"
	"1:	syscall\n	dec %ebx\n	jnz 1b\n"
	"	rdtsc\n	shl $32, %rdx\n	or %rdx, %rax\n"
	"	sub %r14, %rax\n	ud2\n"
	"user_faults:\n"
	"	mov $200, %ebx\n	mov $-1, %r13\n	mov $0x10000, %edi\n"
	"1:	rdtsc\n	shl $32, %rdx\n	or %rdx, %rax\n	mov %rax, %r14\n"
	"	movb (%rdi), %al\n"
	"	dec %ebx\n	jnz 1b\n	ud2\n");

static u64 user_stack[512] PAGE_ALIGNED;

static void run_user(void (*fn)(void))
{
	(void)TRAPS(user_enter((u64)fn, (u64)(user_stack + 500)));
}

static void bench_user(void)
{
	struct callback_register cb = {
		.type = CALLBACKTYPE_syscall,
		.address = (u64)bench_syscall,
	};
	struct trap_info ti[2] = { { 14, 0, FLAT_KERNEL_CS, (u64)bench_fault },
				   { 0, 0, 0, 0 } };
	u64 least = ~0UL;

	/* One address space serves as both. */
	EQ(mmuext(MMUEXT_NEW_USER_BASEPTR,
		  mfn_of((void *)start_info_ptr->pt_base), 0),
	   0);
	EQ(HC(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS,
	      (u64)page() + PAGE_SIZE),
	   0);
	EQ(HC(__HYPERVISOR_callback_op, CALLBACKOP_register, &cb), 0);
	for (int i = 0; i < ROUNDS; i++) {
		run_user(user_syscalls);
		if (last_trap.vector == 6 && last_trap.rax < least)
			least = last_trap.rax;
	}
	report("guest_syscall_and_iret", least, LOOPS);
	EQ(HC(__HYPERVISOR_set_trap_table, ti), 0);
	run_user(user_faults);
	report("page_fault_delivered", last_trap.r13, 1);
}

/* ---- events -------------------------------------------------------------------- */

struct vcpu_info *bench_vcpu;
u64 *bench_pending;
__asm__("bench_event:\n"
	"	pop %rcx\n	pop %r11\n	push %rax\n"
	"	mov bench_vcpu, %rax\n	movb $0, (%rax)\n	movq $0, 8(%rax)\n"
	"	mov bench_pending, %rax\n	movq $0, (%rax)\n	pop %rax\n"
	"	pushq $0\n	push %rcx\n	push %r11\n	push %rax\n"
	"	mov $23, %eax\n	syscall\n");

static void bench_events(void)
{
	struct callback_register cb = {
		.type = CALLBACKTYPE_event,
		.flags = CALLBACKF_mask_events,
		.address = (u64)bench_event,
	};
	struct evtchn_bind_ipi b = { .vcpu = 0 };
	struct evtchn_send s;

	EQ(HC(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b), 0);
	s.port = b.port;
	bench_vcpu = &shared->vcpu_info[0];
	bench_pending = (u64 *)shared->evtchn_pending;
	shared->evtchn_mask[0] = 0;
	EQ(HC(__HYPERVISOR_callback_op, CALLBACKOP_register, &cb), 0);
	bench_vcpu->evtchn_upcall_mask = 0;
	MEASURE("event_round_trip", LOOPS,
		hc(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (u64)&s, 0,
		   0));
	bench_vcpu->evtchn_upcall_mask = 1;
}

/* ---- what the hypervisor keeps for itself ----------------------------------------- */

static void bench_memory(void)
{
	static struct e820 {
		u64 addr, size;
		u32 type;
	} __attribute__((packed)) e[128];
	struct xen_memory_map m = { .nr_entries = ARRAY_SIZE(e) };
	struct xen_domctl op = {
		.cmd = XEN_DOMCTL_getdomaininfo,
		.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
	};
	u64 ram = 0, used;

	SET_HANDLE(m.buffer, e);
	EQ(HC(__HYPERVISOR_memory_op, XENMEM_machine_memory_map, &m), 0);
	for (unsigned int i = 0; i < m.nr_entries; i++)
		if (e[i].type == 1)
			ram += e[i].size >> 12;
	EQ(HC(__HYPERVISOR_domctl, &op), 0);
	used = ram - free_frames() - op.u.getdomaininfo.tot_pages;
	printk("BENCH frames %lu\nBENCH own_kib %lu\n", ram, used * 4);
}

void test_main(void)
{
	/* Firmware and loader included, which are the same for all. */
	report("reset_to_dom0", tsc(), 1);
	MEASURE("null_hypercall", LOOPS,
		hc(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0));
	bench_memory();
	bench_pagetables();
	bench_events();
	bench_user();
	printk("BENCH end 0\n");
}
