/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host stand-in: what pure code uses of single instructions. */
#pragma once

#include <bh/types.h>

static inline void cpu_relax(void)
{
}
static inline void smp_mb(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#define mb()      smp_mb()
#define smp_rmb() barrier()
#define smp_wmb() barrier()
static inline void irq_disable(void)
{
}
static inline void irq_enable(void)
{
}
static inline unsigned long irq_save(void)
{
	return 0;
}
static inline void irq_restore(unsigned long f)
{
}
static inline void wbinvd(void)
{
}
