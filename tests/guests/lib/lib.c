/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start of a test kernel: traps, shared info, then the test. */
#include "lib.h"

#include <public/callback.h>
#include <public/sysctl.h>

struct shared_info *shared;
struct trap_frame last_trap;
unsigned long nr_traps;
volatile unsigned long nr_events;
void *trap_jmp[5];
volatile bool trap_armed;
static trap_fn *handlers[258];
static char shared_page[4096] PAGE_ALIGNED;

void trap_stub_0(void), trap_stub_1(void), trap_stub_2(void), trap_stub_3(void),
	trap_stub_4(void), trap_stub_5(void), trap_stub_6(void),
	trap_stub_7(void), trap_stub_8(void), trap_stub_9(void),
	trap_stub_10(void), trap_stub_11(void), trap_stub_12(void),
	trap_stub_13(void), trap_stub_14(void), trap_stub_15(void),
	trap_stub_16(void), trap_stub_17(void), trap_stub_18(void),
	trap_stub_19(void), trap_stub_128(void);

void *memset(void *p, int c, size_t n)
{
	for (u8 *b = p; n--;)
		*b++ = c;
	return p;
}

void *memcpy(void *d, const void *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((u8 *)d)[i] = ((const u8 *)s)[i];
	return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void trap_on(unsigned int vector, trap_fn *fn)
{
	handlers[vector] = fn;
}

void trap_handler(struct trap_frame *f);

void trap_handler(struct trap_frame *f)
{
	if (f->vector == 256) {
		struct vcpu_info *v = &shared->vcpu_info[0];

		nr_events++;
		v->evtchn_upcall_pending = 0;
		if (handlers[256])
			handlers[256](f);
		return;
	}
	last_trap = *f;
	nr_traps++;
	if (handlers[f->vector] && handlers[f->vector](f))
		return;
	if (trap_armed) {
		trap_armed = false;
		__builtin_longjmp(trap_jmp, 1);
	}
	printk("FAILED unexpected trap %d error 0x%lx rip 0x%lx cr2 0x%lx\n",
	       (int)f->vector, f->error, f->rip,
	       shared ? shared->vcpu_info[0].arch.cr2 : 0UL);
	check(false, "no unexpected trap", __FILE__, __LINE__);
	finish();
}

static void set_traps(void)
{
#define T(v, dpl)                                                    \
	{                                                            \
		v, dpl, FLAT_KERNEL_CS, (unsigned long)trap_stub_##v \
	}
	static struct trap_info table[] = {
		T(0, 0),  T(1, 0),  T(2, 0),  T(3, 3),   T(4, 3),
		T(5, 0),  T(6, 0),  T(7, 0),  T(8, 0),   T(10, 0),
		T(11, 0), T(12, 0), T(13, 0), T(14, 0),  T(16, 0),
		T(17, 0), T(18, 0), T(19, 0), T(128, 3), { 0, 0, 0, 0 }
	};
#undef T
	struct callback_register cb = {
		.type = CALLBACKTYPE_event,
		.flags = CALLBACKF_mask_events,
		.address = (unsigned long)event_stub,
	};

	EQ(HC(__HYPERVISOR_set_trap_table, table), 0);
	EQ(HC(__HYPERVISOR_callback_op, CALLBACKOP_register, &cb), 0);
	cb.type = CALLBACKTYPE_failsafe;
	cb.address = (unsigned long)failsafe_stub;
	EQ(HC(__HYPERVISOR_callback_op, CALLBACKOP_register, &cb), 0);
	cb.type = CALLBACKTYPE_syscall;
	cb.address = (unsigned long)syscall_stub;
	EQ(HC(__HYPERVISOR_callback_op, CALLBACKOP_register, &cb), 0);
}

void events_on(bool on)
{
	shared->vcpu_info[0].evtchn_upcall_mask = !on;
	if (on && shared->vcpu_info[0].evtchn_upcall_pending)
		HC(__HYPERVISOR_xen_version, 0); /* a hypercall delivers it */
}

u64 now(void)
{
	volatile struct vcpu_time_info *t = &shared->vcpu_info[0].time;
	u64 tsc, stamp, sys;
	u32 lo, hi, mul, version;
	int8_t shift;

	do {
		version = t->version;
		__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi));
		stamp = t->tsc_timestamp;
		sys = t->system_time;
		mul = t->tsc_to_system_mul;
		shift = t->tsc_shift;
	} while ((version & 1) || version != t->version);
	tsc = (lo | (u64)hi << 32) - stamp;
	tsc = shift >= 0 ? tsc << shift : tsc >> -shift;
	return sys + (u64)(((unsigned __int128)tsc * mul) >> 32);
}

/* As typed on the serial line. */
void debug_key(char key)
{
	static char keys[1];
	struct xen_sysctl op = {
		.cmd = XEN_SYSCTL_debug_keys,
		.interface_version = XEN_SYSCTL_INTERFACE_VERSION,
	};

	keys[0] = key;
	SET_HANDLE(op.u.debug_keys.keys, keys);
	op.u.debug_keys.nr_keys = 1;
	EQ(HC(__HYPERVISOR_sysctl, &op), 0);
}

void guest_main(void);

void guest_main(void)
{
	set_traps();
	EQ(map((u64)shared_page,
	       start_info_ptr->shared_info | PTE_P | PTE_W | PTE_U | PTE_A,
	       UVMF_INVLPG),
	   0);
	shared = (struct shared_info *)shared_page;
	test_main();
	finish();
}

/* ---- a second vCPU -------------------------------------------------------------- */

void start_second(void (*fn)(void))
{
	static char stack[16384] __attribute__((aligned(16)));
	static struct vcpu_guest_context ctx;
	u64 top = (u64)stack + sizeof(stack) - 8;

	ctx.flags = VGCF_in_kernel | VGCF_online;
	ctx.user_regs.rip = (u64)fn;
	ctx.user_regs.rsp = ctx.kernel_sp = top;
	ctx.user_regs.cs = FLAT_KERNEL_CS;
	ctx.user_regs.ss = ctx.kernel_ss = FLAT_KERNEL_SS;
	ctx.ctrlreg[3] = mfn_of((void *)start_info_ptr->pt_base) << 12;
	ctx.trap_ctxt[14] =
		(struct trap_info){ 14, 0, FLAT_KERNEL_CS, (u64)trap_stub_14 };
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, &ctx), 0);
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), 0);
}
