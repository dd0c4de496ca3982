/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the C library would give: strings, formatted printing, bit maps,
 * checks. Also compiled for the build host by the unit tests, which supply
 * printk and panic over libc.
 */
#pragma once

#include <bh/types.h>

#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))
#define DIV_ROUND_UP(n, d)    (((n) + (d)-1) / (d))
#define ROUNDUP(x, a)         (((x) + (a)-1) & ~((typeof(x))(a)-1))
#define MASK_INSR(v, m)       (((v) * ((m) & -(m))) & (m))
#define MASK_EXTR(v, m)       (((v) & (m)) / ((m) & -(m)))
#define min(a, b)                   \
	({                          \
		typeof(a) a_ = (a); \
		typeof(b) b_ = (b); \
		a_ < b_ ? a_ : b_;  \
	})
#define max(a, b)                   \
	({                          \
		typeof(a) a_ = (a); \
		typeof(b) b_ = (b); \
		a_ > b_ ? a_ : b_;  \
	})
#define READ_ONCE(x)     (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

void *memcpy(void *d, const void *s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strstr(const char *h, const char *n);
/* Copies at most size - 1 bytes and terminates. Returns strlen(src). */
size_t strlcpy(char *dst, const char *src, size_t size);
/* C syntax of numbers (0x.., 0.., decimal). *end may be NULL. */
u64 strtou64(const char *s, const char **end, int base);
/* Like strtou64 with a suffix B, K, M, G, T (default unit K, as Xen does). */
u64 parse_size(const char *s, const char **end);

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/*
 * Console printing with a level: printk(LVL_ERR "text %d\n", n). Formats as C
 * plus %pS (symbol+offset of a code address). Safe in any context.
 */
#define LVL_ERR   "\0010" /* always seen by default */
#define LVL_WARN  "\0011"
#define LVL_INFO  "\0012"
#define LVL_DEBUG "\0013"
#define LVL_GUEST "\0014" /* caused by a guest: rate limited */
void printk(const char *fmt, ...) __printf(1, 2);

/* Prints registers and a backtrace of here, then reboots (or stops). */
void panic(const char *fmt, ...) __noreturn __printf(1, 2);

#define BUG() panic("BUG at %s:%d (%s)\n", __FILE__, __LINE__, __func__)
#define BUG_ON(c)                                                            \
	do {                                                                 \
		if (unlikely(c))                                             \
			panic("BUG at %s:%d: %s\n", __FILE__, __LINE__, #c); \
	} while (0)
#ifdef NDEBUG
#define ASSERT(c) ((void)sizeof((c)))
#else
#define ASSERT(c)                                                          \
	do {                                                               \
		if (unlikely(!(c)))                                        \
			panic("assertion failed at %s:%d: %s\n", __FILE__, \
			      __LINE__, #c);                               \
	} while (0)
#endif
#define WARN_ON(c)                                                          \
	({                                                                  \
		bool w_ = (c);                                              \
		if (unlikely(w_))                                           \
			printk(LVL_WARN "warning at %s:%d: %s\n", __FILE__, \
			       __LINE__, #c);                               \
		w_;                                                         \
	})

/*
 * Clamps a guest-chosen index for speculative execution: returns i when
 * i < size, 0 otherwise, without a branch.
 */
static inline unsigned long index_nospec(unsigned long i, unsigned long size)
{
	unsigned long mask;

	__asm__("cmp %2, %1; sbb %0, %0"
		: "=r"(mask)
		: "r"(i), "r"(size)
		: "cc");
	return i & mask;
}

/* Bit maps of unsigned long. The plain forms are not atomic. */
#define BITS_PER_LONG           64
#define BITS_TO_LONGS(n)        (((n) + 63) / 64)
#define DECLARE_BITMAP(name, n) unsigned long name[BITS_TO_LONGS(n)]
static inline bool test_bit(unsigned long n, const void *p)
{
	return (((const volatile unsigned long *)p)[n / 64] >> (n % 64)) & 1;
}
static inline void __set_bit(unsigned long n, void *p)
{
	((unsigned long *)p)[n / 64] |= 1UL << (n % 64);
}
static inline void __clear_bit(unsigned long n, void *p)
{
	((unsigned long *)p)[n / 64] &= ~(1UL << (n % 64));
}
/* Atomic, full barrier. */
static inline void set_bit(unsigned long n, void *p)
{
	__atomic_fetch_or((unsigned long *)p + n / 64, 1UL << (n % 64),
			  __ATOMIC_SEQ_CST);
}
static inline void clear_bit(unsigned long n, void *p)
{
	__atomic_fetch_and((unsigned long *)p + n / 64, ~(1UL << (n % 64)),
			   __ATOMIC_SEQ_CST);
}
/* Written so that compilers make LOCK BTS and BTR of them. */
static inline bool test_and_set_bit(unsigned long n, void *p)
{
	unsigned long bit = 1UL << (n % 64);

	return __atomic_fetch_or((unsigned long *)p + n / 64, bit,
				 __ATOMIC_SEQ_CST) &
	       bit;
}
static inline bool test_and_clear_bit(unsigned long n, void *p)
{
	unsigned long bit = 1UL << (n % 64);

	return __atomic_fetch_and((unsigned long *)p + n / 64, ~bit,
				  __ATOMIC_SEQ_CST) &
	       bit;
}
/* First set bit at or after start, or nbits. */
unsigned long find_next_bit(const unsigned long *p, unsigned long nbits,
			    unsigned long start);
unsigned long find_next_zero_bit(const unsigned long *p, unsigned long nbits,
				 unsigned long start);
unsigned int bitmap_weight(const unsigned long *p, unsigned long nbits);
#define for_each_set_bit(b, p, n)                         \
	for ((b) = find_next_bit((p), (n), 0); (b) < (n); \
	     (b) = find_next_bit((p), (n), (b) + 1))

/* Host CPU set. */
typedef struct {
	DECLARE_BITMAP(bits, 256);
} cpumask_t;
#define cpumask_test(c, m)  test_bit((c), (m)->bits)
#define cpumask_set(c, m)   set_bit((c), (m)->bits)
#define cpumask_clear(c, m) clear_bit((c), (m)->bits)
#define for_each_cpu(c, m)  for_each_set_bit(c, (m)->bits, 256UL)
static inline bool cpumask_empty(const cpumask_t *m)
{
	return !(m->bits[0] | m->bits[1] | m->bits[2] | m->bits[3]);
}
static inline void cpumask_and(cpumask_t *d, const cpumask_t *a,
			       const cpumask_t *b)
{
	for (int i = 0; i < 4; i++)
		d->bits[i] = a->bits[i] & b->bits[i];
}

/* Sets of [start, end] ranges, both ends inclusive (I/O ports, frames). */
struct rangeset;
struct rangeset *rangeset_new(void);
void rangeset_free(struct rangeset *r);
int __must_check rangeset_add(struct rangeset *r, unsigned long s,
			      unsigned long e);
int __must_check rangeset_remove(struct rangeset *r, unsigned long s,
				 unsigned long e);
bool rangeset_contains(const struct rangeset *r, unsigned long s,
		       unsigned long e);
bool rangeset_empty(const struct rangeset *r);
