/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two vCPUs race on page tables.
 *
 * One pins a page as a level-1 table and unpins it, over and over, looking
 * whether its contents change while it is a table. The other maps the page
 * writable whenever it can, writes, unmaps without any TLB flush and writes
 * again through whatever its TLB remembers. If the hypervisor ever lets the
 * page be a table while the other can write to it, the contents change.
 *
 * Then both fight for the same entries, and at the end every frame involved
 * must be free of uses: it can be pinned at any level.
 *
 * At last one makes a page its GDT while the other loads a segment register from
 * the same page as its LDT, which faults inside the hypervisor: each may wait for
 * the other there.
 */
#include "lib.h"

#define ROUNDS 1500

long try_write(volatile u64 *p, u64 v);
extern char try_write_insn[], try_write_fault[];
__asm__(".text\n"
	"try_write:\n"
	"try_write_insn: mov %rsi, (%rdi)\n\t"
	"xor %eax, %eax\n\t"
	"ret\n"
	"try_write_fault: mov $1, %eax\n\t"
	"ret\n");

static u64 *victim, *window, *frames[8];
static volatile bool stop, running, stopped;
static volatile unsigned long mapped, stale, refused, loaded;

static bool on_fault(struct trap_frame *f)
{
	if (f->rip != (u64)try_write_insn)
		return false;
	f->rip = (u64)try_write_fault;
	return true;
}

/* Not present, so that it is a valid entry: bit 0 stays clear. */
static void attack(u64 n)
{
	if (map((u64)window, mfn_of(victim) << 12 | PTE_P | PTE_W | PTE_U, 0)) {
		/* It is a table now: does our TLB still let us write? */
		refused++;
		for (int i = 0; i < 3; i++)
			try_write(window + 8, (n << 1) + 0x2000000);
		return;
	}
	mapped++;
	try_write(window + 8, n << 1);
	/* Now and then an entry that would map the table into itself. */
	if (!(n & 15)) {
		try_write(window + 9, mfn_of(victim) << 12 | PTE_P | PTE_W);
		try_write(window + 9, 0);
	}
	map((u64)window, 0, 0); /* no flush: the TLB still has it */
	for (int i = 0; i < 20; i++)
		stale += !try_write(window + 8, (n << 1) + 0x1000000);
}

static void fight(u64 n)
{
	u64 f = mfn_of(frames[n % 8]) << 12;

	/* The first ones are read-only mapped in the initial map. */
	map((u64)window, f | PTE_P | (n & 1 ? PTE_W : 0) | PTE_U, 0);
	mmu_one(pte_maddr((u64)window, 1), n & 2 ? 0 : f | PTE_P | PTE_U);
	if (!(n & 7) && !mmuext(MMUEXT_PIN_L1_TABLE, f >> 12, 0))
		mmuext(MMUEXT_UNPIN_TABLE, f >> 12, 0);
}

/* Our LDT is the victim for a moment. */
static void load_from_ldt(void)
{
	if (mmuext(MMUEXT_SET_LDT, (u64)victim, 8))
		return;
	HC(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 7);
	HC(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 0);
	mmuext(MMUEXT_SET_LDT, 0, 0);
	loaded++;
}

static volatile bool fighting, describing;

static void second(void)
{
	running = true;
	for (u64 n = 1; !stop; n++) {
		if (describing)
			load_from_ldt();
		else if (fighting)
			fight(n * 5);
		else
			attack(n);
	}
	stopped = true;
	for (;;)
		HC(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
}

static void pin_and_watch(void)
{
	volatile u64 *v = victim;
	unsigned long pinned = 0, busy = 0, changed = 0, odd = 0;

	/* Until both have really been in each other's way. */
	for (unsigned int i = 0; i < 2000 * ROUNDS; i++) {
		u64 before[2];
		long rc;

		if (pinned > ROUNDS && refused > ROUNDS && mapped > ROUNDS &&
		    busy > ROUNDS)
			break;
		rc = mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(victim), 0);
		if (rc) {
			busy++;
			odd += rc != -E_BUSY && rc != -E_INVAL;
			continue;
		}
		pinned++;
		before[0] = v[8];
		before[1] = v[9];
		for (int k = 0; k < 300; k++)
			changed += v[8] != before[0] || v[9] != before[1];
		if (mmuext(MMUEXT_UNPIN_TABLE, mfn_of(victim), 0))
			odd++;
	}
	printk("pinned %lu times, mapped %lu, refused %lu, stale writes %lu\n",
	       pinned, mapped, refused, stale);
	EQ(changed, 0);
	EQ(odd, 0);
	CHECK(pinned > 0);
	CHECK(mapped > 0);
}

static void describe(void)
{
	unsigned long gdt[1] = { mfn_of(victim) }, set = 0;

	EQ(RW(victim), 0);
	memset(victim, 0, PAGE_SIZE);
	victim[0] = 0x00cff3000000ffffUL; /* data, DPL 3 */
	describing = true;
	for (unsigned int i = 0; i < 1000 * ROUNDS && set < 2 * ROUNDS; i++) {
		/* Each time it was writable before, so TLBs are flushed. */
		if (RW(victim))
			continue;
		victim[1] = 0;
		if (RO(victim) || HC(__HYPERVISOR_set_gdt, gdt, 8))
			continue;
		set++;
		EQ(HC(__HYPERVISOR_set_gdt, gdt, 0), 0);
	}
	printk("set as a GDT %lu times, loaded as an LDT %lu\n", set, loaded);
	CHECK(set > 0);
	CHECK(loaded > 0);
}

void test_main(void)
{
	if (HC(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0) < 0)
		skip("one vCPU only");
	victim = page();
	window = page();
	for (unsigned int i = 0; i < ARRAY_SIZE(frames); i++) {
		frames[i] = page();
		EQ(RO(frames[i]), 0);
	}
	EQ(RO(victim), 0);
	EQ(map((u64)window, 0, UVMF_INVLPG), 0);
	trap_on(14, on_fault);
	start_second(second);
	while (!running)
		HC(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	pin_and_watch();

	fighting = true;
	for (u64 n = 0; n < ROUNDS * 4; n++)
		fight(n * 3);
	fighting = false;
	describe();
	stop = true;
	while (!stopped)
		HC(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	/* Nothing may be left in use. */
	EQ(map((u64)window, 0, UVMF_TLB_FLUSH | UVMF_ALL), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(frames); i++) {
		u64 f = mfn_of(frames[i]);

		for (u32 cmd = MMUEXT_PIN_L1_TABLE; cmd <= MMUEXT_PIN_L3_TABLE;
		     cmd++) {
			EQ(mmuext(cmd, f, 0), 0);
			EQ(mmuext(MMUEXT_UNPIN_TABLE, f, 0), 0);
		}
		EQ(RW(frames[i]), 0);
		frames[i][0] = 1;
	}
	EQ(RW(victim), 0);
}
