/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Basic types. Numbers that must not be mixed up are one-member structs: a
 * machine frame number cannot be passed where a guest frame number is meant.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef s64 s_time_t;          /* nanoseconds since hypervisor boot */
typedef unsigned long paddr_t; /* machine (physical) address */

/* Machine frame number. */
typedef struct {
	unsigned long m;
} mfn_t;
/* Guest frame number. For PV guests what the ABI calls GMFN is an MFN. */
typedef struct {
	unsigned long g;
} gfn_t;
/* Guest virtual address: only the guest access layer may follow it. */
typedef struct {
	unsigned long a;
} gptr_t;

static inline mfn_t _mfn(unsigned long m)
{
	return (mfn_t){ m };
}
static inline unsigned long mfn_x(mfn_t m)
{
	return m.m;
}
static inline bool mfn_eq(mfn_t a, mfn_t b)
{
	return a.m == b.m;
}
#define INVALID_MFN_RAW (~0UL)
#define INVALID_MFN     ((mfn_t){ INVALID_MFN_RAW })

/* GPTR(address or pointer of an ABI handle), e.g. GPTR(op.handle.p). */
#define GPTR(x) ((gptr_t){ (unsigned long)(x) })
static inline gptr_t gptr_add(gptr_t p, unsigned long bytes)
{
	return (gptr_t){ p.a + bytes };
}
static inline bool gptr_null(gptr_t p)
{
	return p.a == 0;
}

#define __must_check   __attribute__((warn_unused_result))
#define __noreturn     __attribute__((noreturn))
#define __packed       __attribute__((packed))
#define __aligned(n)   __attribute__((aligned(n)))
#define __section(s)   __attribute__((section(s)))
#define __used         __attribute__((used))
#define __printf(a, b) __attribute__((format(printf, a, b)))
#define __init         __section(".init.text") __attribute__((cold))
#define __initdata     __section(".init.data")
#define __read_mostly  __section(".data.read_mostly")
#define likely(x)      __builtin_expect(!!(x), 1)
#define unlikely(x)    __builtin_expect(!!(x), 0)
#define barrier()      __asm__ volatile("" ::: "memory")
/* sparse lock annotations */
#ifdef __CHECKER__
#define __must_hold(x) __attribute__((context(x, 1, 1)))
#define __acquires(x)  __attribute__((context(x, 0, 1)))
#define __releases(x)  __attribute__((context(x, 1, 0)))
#else
#define __must_hold(x)
#define __acquires(x)
#define __releases(x)
#endif
