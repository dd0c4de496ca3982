/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercall numbers and arguments: what is not implemented is -ENOSYS, bad
 * pointers are -EFAULT and never a crash, registers survive.
 */
#include "lib.h"

static void unknown_numbers(void)
{
	static const u16 absent[] = {
		6,  11, 16, 19, 27, 28, 31, 34, 37, 39,
		41, 42, 43, 47, 49, 55, 56, 63, 64, 4095
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(absent); i++)
		EQ(HC0(absent[i]), -E_NOSYS);
	EQ(HC0(0x100000000L), -E_NOSYS);
	EQ(HC0(-1L), -E_NOSYS);
}

static void bad_pointers(void)
{
	static const u64 bad[] = { HV_ADDR, BAD_ADDR, 0xffff800000000000UL - 8,
				   0xffff87fffffffff8UL, 0x7ff000000000UL };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		u64 b = bad[i];

		EQ(HC(__HYPERVISOR_xen_version, XENVER_extraversion, b),
		   -E_FAULT);
		EQ(HC(__HYPERVISOR_mmu_update, b, 1, 0, DOMID_SELF), -E_FAULT);
		EQ(HC(__HYPERVISOR_mmuext_op, b, 1, 0, DOMID_SELF), -E_FAULT);
		EQ(HC(__HYPERVISOR_multicall, b, 1), -E_FAULT);
		EQ(HC(__HYPERVISOR_set_trap_table, b), -E_FAULT);
		EQ(HC(__HYPERVISOR_event_channel_op, EVTCHNOP_status, b),
		   -E_FAULT);
		EQ(HC(__HYPERVISOR_grant_table_op, GNTTABOP_copy, b, 1),
		   -E_FAULT);
		EQ(HC(__HYPERVISOR_memory_op, XENMEM_memory_map, b), -E_FAULT);
		EQ(HC(__HYPERVISOR_sched_op, SCHEDOP_poll, b), -E_FAULT);
		EQ(HC(__HYPERVISOR_console_io, CONSOLEIO_write, 8, b),
		   -E_FAULT);
		EQ(HC(__HYPERVISOR_set_gdt, b, 8), -E_FAULT);
		EQ(HC(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, b),
		   -E_FAULT);
	}
}

static void version(void)
{
	struct xen_feature_info fi = { .submap_idx = 0 };
	char caps[1024];

	EQ(HC(__HYPERVISOR_xen_version, XENVER_version, 0), 0x40011);
	EQ(HC(__HYPERVISOR_xen_version, XENVER_get_features, &fi), 0);
	CHECK(fi.submap & (1U << 5));
	CHECK(fi.submap & (1U << 11));
	EQ(fi.submap & 15, 0);
	fi.submap_idx = 1;
	EQ(HC(__HYPERVISOR_xen_version, XENVER_get_features, &fi), -E_INVAL);
	EQ(HC(__HYPERVISOR_xen_version, XENVER_capabilities, caps), 0);
	CHECK(!memcmp(caps, "xen-3.0-x86_64 ", 15));
	EQ(HC(__HYPERVISOR_xen_version, XENVER_pagesize, 0), 4096);
	EQ(HC(__HYPERVISOR_xen_version, 9999, 0), -E_NOSYS);
}

static void multicall(void)
{
	struct multicall_entry e[3] = {
		{ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } },
		{ .op = 4000 },
		{ .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } },
	};

	EQ(HC(__HYPERVISOR_multicall, e, 3), 0);
	EQ(e[0].result, 0x40011);
	EQ((long)e[1].result, -E_NOSYS);
	EQ(e[2].result, 4096);
}

/* rbx, rbp, r12..r15, and the arguments, survive a hypercall. */
static void registers(void)
{
	u64 rdi = 0, rsi = 0x1111, rbx = 0x2222, r12 = 0x3333, r9 = 0x4444;
	register u64 r12v __asm__("r12") = r12;
	register u64 r9v __asm__("r9") = r9;
	long rax = __HYPERVISOR_xen_version;

	__asm__ volatile("syscall"
			 : "+a"(rax), "+D"(rdi), "+S"(rsi), "+b"(rbx),
			   "+r"(r12v), "+r"(r9v)::"rcx", "r11", "memory");
	r12 = r12v; /* before a call may change them */
	r9 = r9v;
	EQ(rax, 0x40011);
	EQ(rdi, 0);
	EQ(rsi, 0x1111);
	EQ(rbx, 0x2222);
	EQ(r12, 0x3333);
	EQ(r9, 0x4444);
}

void test_main(void)
{
	unknown_numbers();
	bad_pointers();
	version();
	multicall();
	registers();
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0), 1);
	EQ(HC(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 8000, 0), -E_NOENT);
	EQ(HC(__HYPERVISOR_vcpu_op, 999, 0, 0), -E_NOSYS);
	EQ(HC(__HYPERVISOR_sched_op, 999, 0), -E_NOSYS);
	EQ(HC(__HYPERVISOR_mmu_update, 0, 0, 0, DOMID_SELF), 0);
	EQ(HC(__HYPERVISOR_mmu_update, 0, 0, 0, 1234), -E_SRCH);
}
