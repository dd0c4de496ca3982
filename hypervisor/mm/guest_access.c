/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies between the hypervisor and the current guest's virtual memory.
 *
 * The guest's kernel page tables are loaded, so its addresses work as they are;
 * what has to be made sure is that they are not ours, that a fault is survived
 * (each instruction that touches guest memory has an exception-table entry) and
 * that SMAP is open no longer than the copy. Non-canonical addresses need no
 * check: they fault with #GP, which is fixed up the same way.
 *
 * A mispredicted range check must not make our own memory readable by
 * speculation: addresses in our range are masked to a non-canonical one
 * without a branch before use.
 */
#include <bh/config.h>
#include <bh/cpuops.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/lib.h>
#include <bh/smp.h>

#define HOLE_SIZE (HV_VIRT_END - HV_VIRT_START)

/*
 * In terms of distance from HV_VIRT_START our range is [0, HOLE_SIZE): both ends
 * must be at or above HOLE_SIZE, and the range must not wrap. What is shorter
 * than the hole cannot jump over it.
 */
static inline bool range_ok(unsigned long a, unsigned long n)
{
	unsigned long last = a + n - 1;

	return likely(a - HV_VIRT_START >= HOLE_SIZE) &&
	       likely(last - HV_VIRT_START >= HOLE_SIZE) && likely(last >= a) &&
	       likely(n < HOLE_SIZE);
}

bool gptr_ok(gptr_t p, unsigned long n)
{
	return !n || range_ok(p.a, n);
}

/* Ours: bit 63 is flipped, which leaves no canonical address. */
static inline unsigned long mask_spec(unsigned long a)
{
	unsigned long ours = 0UL - (a - HV_VIRT_START < HOLE_SIZE);

	__asm__("" : "+r"(ours));
	return a ^ (ours & 1UL << 63);
}

static inline void guest_open(void)
{
	if (cpu_has.smap)
		stac();
}

static inline void guest_close(void)
{
	if (cpu_has.smap)
		clac();
}

/* Both directions: only the guest's side can fault. Returns bytes left. */
static inline unsigned long raw_copy(void *dst, const void *src,
				     unsigned long n)
{
	unsigned long words = n / 8, left = n & 7;

	__asm__ volatile("1: rep movsq\n\t"
			 "mov %3, %0\n\t"
			 "2: rep movsb\n"
			 "4:\n\t"
			 ".pushsection .text.fixup, \"ax\"\n"
			 "3: lea (%3, %0, 8), %0\n\t"
			 "jmp 4b\n\t"
			 ".popsection\n\t" EX_TABLE(1b, 3b) EX_TABLE(2b, 4b)
			 : "+c"(words), "+D"(dst), "+S"(src), "+r"(left)
			 :
			 : "memory");
	return words;
}

int copy_from_guest(void *dst, gptr_t src, unsigned long n)
{
	unsigned long left;

	if (!n)
		return 0;
	if (unlikely(!range_ok(src.a, n)))
		return -EFAULT;
	guest_open();
	left = raw_copy(dst, (const void *)mask_spec(src.a), n);
	guest_close();
	if (unlikely(left)) {
		/* No stack contents by way of a half-filled structure. */
		memset((char *)dst + n - left, 0, left);
		return -EFAULT;
	}
	return 0;
}

int copy_to_guest(gptr_t dst, const void *src, unsigned long n)
{
	unsigned long left;

	if (!n)
		return 0;
	if (unlikely(!range_ok(dst.a, n)))
		return -EFAULT;
	guest_open();
	left = raw_copy((void *)mask_spec(dst.a), src, n);
	guest_close();
	return unlikely(left) ? -EFAULT : 0;
}

int clear_guest(gptr_t dst, unsigned long n)
{
	unsigned long words = n / 8, left = n & 7;
	unsigned long a = mask_spec(dst.a);

	if (!n)
		return 0;
	if (!range_ok(dst.a, n))
		return -EFAULT;
	guest_open();
	__asm__ volatile("1: rep stosq\n\t"
			 "mov %2, %0\n\t"
			 "2: rep stosb\n"
			 "4:\n\t"
			 ".pushsection .text.fixup, \"ax\"\n"
			 "3: inc %0\n\t"
			 "jmp 4b\n\t"
			 ".popsection\n\t" EX_TABLE(1b, 3b) EX_TABLE(2b, 4b)
			 : "+c"(words), "+D"(a), "+r"(left)
			 : "a"(0)
			 : "memory");
	guest_close();
	return words ? -EFAULT : 0;
}

#define DEFINE_GET(type, name)                                        \
	int name(type *v, gptr_t src)                                 \
	{                                                             \
		unsigned long a = mask_spec(src.a);                   \
		int rc = 0;                                           \
		type x = 0;                                           \
		if (unlikely(!range_ok(src.a, sizeof(type))))         \
			return -EFAULT;                               \
		guest_open();                                         \
		__asm__ volatile("1: mov %2, %1\n"                    \
				 "2:\n\t"                             \
				 ".pushsection .text.fixup, \"ax\"\n" \
				 "3: mov %3, %0\n\t"                  \
				 "jmp 2b\n\t"                         \
				 ".popsection\n\t" EX_TABLE(1b, 3b)   \
				 : "+r"(rc), "+q"(x)                  \
				 : "m"(*(type *)a), "i"(-EFAULT));    \
		guest_close();                                        \
		*v = x;                                               \
		return rc;                                            \
	}
DEFINE_GET(u64, get_guest_u64)
DEFINE_GET(u32, get_guest_u32)
DEFINE_GET(u8, get_guest_u8)

int get_guest_words(u64 *v, gptr_t src, unsigned int n)
{
	const u64 *p = (const u64 *)mask_spec(src.a);
	int rc = 0;

	if (unlikely(!range_ok(src.a, n * sizeof(*v))))
		return -EFAULT;
	guest_open();
	for (unsigned int i = 0; i < n; i++) {
		u64 x = 0;

		__asm__ volatile("1: mov %2, %1\n"
				 "2:\n\t"
				 ".pushsection .text.fixup, \"ax\"\n"
				 "3: mov %3, %0\n\t"
				 "jmp 2b\n\t"
				 ".popsection\n\t" EX_TABLE(1b, 3b)
				 : "+r"(rc), "+r"(x)
				 : "m"(p[i]), "i"(-EFAULT));
		v[i] = x;
	}
	guest_close();
	return rc;
}

#define DEFINE_PUT(type, name)                                        \
	int name(gptr_t dst, type v)                                  \
	{                                                             \
		unsigned long a = mask_spec(dst.a);                   \
		int rc = 0;                                           \
		if (unlikely(!range_ok(dst.a, sizeof(v))))            \
			return -EFAULT;                               \
		guest_open();                                         \
		__asm__ volatile("1: mov %2, %1\n"                    \
				 "2:\n\t"                             \
				 ".pushsection .text.fixup, \"ax\"\n" \
				 "3: mov %3, %0\n\t"                  \
				 "jmp 2b\n\t"                         \
				 ".popsection\n\t" EX_TABLE(1b, 3b)   \
				 : "+r"(rc), "=m"(*(type *)a)         \
				 : "r"(v), "i"(-EFAULT));             \
		guest_close();                                        \
		return rc;                                            \
	}
DEFINE_PUT(u64, put_guest_u64)
DEFINE_PUT(u32, put_guest_u32)

int cmpxchg_guest_u64(gptr_t p, u64 *old, u64 new)
{
	unsigned long a = mask_spec(p.a);
	int rc = 1;

	if (!range_ok(p.a, sizeof(new)) || (p.a & 7))
		return -EFAULT;
	guest_open();
	__asm__ volatile("1: lock; cmpxchg %3, %1\n\t"
			 "jne 2f\n\t"
			 "xor %0, %0\n"
			 "2:\n\t"
			 ".pushsection .text.fixup, \"ax\"\n"
			 "3: mov %4, %0\n\t"
			 "jmp 2b\n\t"
			 ".popsection\n\t" EX_TABLE(1b, 3b)
			 : "+r"(rc), "+m"(*(u64 *)a), "+a"(*old)
			 : "r"(new), "i"(-EFAULT)
			 : "cc", "memory");
	guest_close();
	return rc;
}

int strncpy_from_guest(char *dst, gptr_t src, unsigned long size)
{
	for (unsigned long i = 0; i < size; i++) {
		u8 c;

		if (get_guest_u8(&c, gptr_add(src, i)))
			return -EFAULT;
		dst[i] = c;
		if (!c)
			return 0;
	}
	return -E2BIG;
}
