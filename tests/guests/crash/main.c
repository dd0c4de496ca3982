/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel that ends itself as its command line says, for the guest tests:
 *
 *   crash=idle    lives and does nothing (the least a guest can be)
 *   crash=busy    uses all the processor time it gets
 *   crash=ask     asks for it, as a panicking kernel does
 *   crash=table   writes a page-table entry it may not have, and cannot handle
 *                 the fault that answers it
 *   crash=triple  a fault without any handler, as a processor's triple fault
 *
 * Without a word, as in ring 2, it is dom0 and does the last: the machine must
 * say so and end.
 */
#include "lib.h"

static bool told(const char *word)
{
	const char *s = (const char *)start_info_ptr->cmd_line;
	size_t n = 0;

	while (word[n])
		n++;
	for (; *s; s++)
		if (!memcmp(s, word, n))
			return true;
	return false;
}

static void bad_entry(void)
{
	u64 at = pte_maddr((u64)page(), 1);
	volatile u64 *pte = (u64 *)((u64)va_of_mfn(at >> 12) + (at & 0xfff));

	*pte = 1UL << 40 | PTE_P | PTE_W | PTE_U; /* no such frame is ours */
}

void test_main(void)
{
	struct sched_shutdown ask = { .reason = SHUTDOWN_crash };

	printk("crash: told \"%s\"\n", (char *)start_info_ptr->cmd_line);
	while (told("crash=idle"))
		HC(__HYPERVISOR_sched_op, SCHEDOP_block, 0);
	while (told("crash=busy"))
		__asm__ volatile("" ::: "memory");
	if (told("crash=ask"))
		HC(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &ask);
	HC(__HYPERVISOR_set_trap_table, 0);
	if (told("crash=table"))
		bad_entry();
	__asm__ volatile("ud2");
}
