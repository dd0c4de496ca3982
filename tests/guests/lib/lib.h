/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a test kernel has: hypercalls, its page tables and frames, traps with
 * expectations, printing, results.
 *
 * A test is one function, test_main(). It states facts with CHECK() and EQ();
 * when it returns, the verdict is printed and the machine powered off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <public/xen.h>

#include <public/event_channel.h>
#include <public/grant_table.h>
#include <public/memory.h>
#include <public/physdev.h>
#include <public/platform.h>
#include <public/sched.h>
#include <public/vcpu.h>
#include <public/version.h>

/* ABI handles are pointers or structs of one, as the including side chose. */
#define SET_HANDLE(h, v) (*(const void **)&(h) = (v))

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

#define VIRT_BASE     0xffffffff80000000UL
#define PAGE_SIZE     4096UL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE_ALIGNED  __attribute__((aligned(4096), section(".bss.page")))

#define E_PERM      1
#define E_NOENT     2
#define E_SRCH      3
#define E_2BIG      7
#define E_NOMEM     12
#define E_ACCES     13
#define E_FAULT     14
#define E_BUSY      16
#define E_EXIST     17
#define E_NODEV     19
#define E_INVAL     22
#define E_NOSPC     28
#define E_NOSYS     38
#define E_NODATA    61
#define E_OPNOTSUPP 95

#define PTE_P     1UL
#define PTE_W     2UL
#define PTE_U     4UL
#define PTE_A     0x20UL
#define PTE_D     0x40UL
#define PTE_PS    0x80UL
#define PTE_FRAME 0x000ffffffffff000UL

struct trap_frame { /* as entry.S pushes it */
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx,
		rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

void test_main(void);

/* ---- printing and results (print.c) ---- */
void printk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void check(bool ok, const char *what, const char *file, int line);
void check_eq(long got, long want, const char *what, const char *file,
	      int line);
#define CHECK(...) check((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)
#define EQ(got, want) \
	check_eq((long)(got), (long)(want), #got, __FILE__, __LINE__)
void skip(const char *why) __attribute__((noreturn));
void finish(void) __attribute__((noreturn));

/* ---- hypercalls (entry.S, lib.c) ---- */
long hypercall5(long nr, u64 a, u64 b, u64 c, u64 d, u64 e);
#define HC(nr, ...) HC_(nr, ##__VA_ARGS__, 0, 0, 0, 0, 0)
#define HC_(nr, a, b, c, d, e, ...) \
	hypercall5(nr, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e))
#define HC0(nr) hypercall5(nr, 0, 0, 0, 0, 0)
/* An address no kernel can use: inside the hypervisor; not canonical. */
#define HV_ADDR  0xffff830000000000UL
#define BAD_ADDR 0x0000900000000000UL

extern struct start_info *start_info_ptr;
extern struct shared_info *shared;
extern u64 initial_rsp;

u64 now(void); /* system time, vCPU 0 */
void debug_key(char key);

/* ---- traps (lib.c) ---- */
/* fn(frame) for a vector; returning true resumes (after changing the frame). */
typedef bool trap_fn(struct trap_frame *f);
void trap_on(unsigned int vector, trap_fn *fn);
extern struct trap_frame last_trap; /* the last one seen */
extern unsigned long nr_traps;
/* Runs the expression; true when it trapped (last_trap tells). The faulting
 * instruction is left by a jump behind the expression. */
#define TRAPS(...)                                 \
	({                                         \
		unsigned long before_ = nr_traps;  \
		if (!__builtin_setjmp(trap_jmp)) { \
			trap_armed = true;         \
			__VA_ARGS__;               \
		}                                  \
		trap_armed = false;                \
		nr_traps != before_;               \
	})
extern void *trap_jmp[5];
extern volatile bool trap_armed;
void events_on(bool on); /* upcall mask */
/* Lets vCPU 1 enter fn, which must not return, on a stack of its own; its page
 * faults go where ours do. Once in a test. */
void start_second(void (*fn)(void));
extern volatile unsigned long nr_events;
void user_enter(u64 rip, u64 rsp);
void user_exit(void);
void event_stub(void);
void syscall_stub(void);
void failsafe_stub(void);

/* ---- memory (mm.c) ---- */
u64 pfn_of(const void *va);
u64 mfn_of(const void *va);
u64 mfn_of_pfn(u64 pfn);
void *va_of_mfn(u64 mfn); /* of a frame in the initial mapping */
/* Machine address of the entry of `level` (1..4) that maps va; its value. */
u64 pte_maddr(u64 va, int level);
u64 pte_value(u64 va, int level);
void *page(void); /* a fresh zeroed page of the initial mapping */
long map(u64 va, u64 pte, u64 flags); /* update_va_mapping */
long mmu_one(u64 ptr, u64 val);
long mmuext(u32 cmd, u64 arg1, u64 arg2);
#define RO(va) \
	map((u64)(va), mfn_of(va) << 12 | PTE_P | PTE_U | PTE_A, UVMF_INVLPG)
#define RW(va)                                                        \
	map((u64)(va),                                                \
	    mfn_of(va) << 12 | PTE_P | PTE_U | PTE_A | PTE_D | PTE_W, \
	    UVMF_INVLPG)

void *memset(void *p, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);
