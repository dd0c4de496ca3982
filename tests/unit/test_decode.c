/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pv/decode.c. The reference is the processor: random instructions of the
 * supported forms are executed for real on a buffer and must do to memory,
 * registers and flags what rmw_execute() says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <bh/lib.h>

#include "../../hypervisor/pv/decode.h"

#define FLAGS_ALL 0x8d5UL
#define FLAG_AF   0x10UL
#define FLAG_CF   0x01UL

static u8 *code;
static unsigned int seed = 42;

static u64 rnd64(void)
{
	u64 v = 0;

	for (int i = 0; i < 5; i++)
		v = v << 15 ^ (rand_r(&seed) & 0x7fff);
	return v;
}

static unsigned int rnd(unsigned int n)
{
	return rnd64() % n;
}

struct state {
	u64 rax, rcx, rdx, rbx, rsi, r8, rflags;
};

static void run_native(struct state *s, void *mem)
{
	register u64 r8 __asm__("r8") = s->r8;

	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "push %[fl]\n\t"
			 "popfq\n\t"
			 "call *%[fn]\n\t"
			 "pushfq\n\t"
			 "pop %[fl]\n\t"
			 "lea 128(%%rsp), %%rsp"
			 : "+a"(s->rax), "+c"(s->rcx), "+d"(s->rdx),
			   "+b"(s->rbx), "+S"(s->rsi),
			   "+r"(r8), [fl] "+r"(s->rflags)
			 : "D"(mem), [fn] "r"(code)
			 : "memory", "cc");
	s->r8 = r8;
}

struct form {
	u8 op[2];
	u8 nop;    /* opcode bytes */
	s8 digit;  /* /digit, -1: register operand */
	u8 imm;    /* 0 none, 1 byte, 4: as wide as the operand, at most 4 */
	bool lock; /* may be locked */
};
static const struct form forms[] = {
	{ { 0x00 }, 1, -1, 0, true },       { { 0x01 }, 1, -1, 0, true },
	{ { 0x08 }, 1, -1, 0, true },       { { 0x09 }, 1, -1, 0, true },
	{ { 0x10 }, 1, -1, 0, true },       { { 0x11 }, 1, -1, 0, true },
	{ { 0x18 }, 1, -1, 0, true },       { { 0x19 }, 1, -1, 0, true },
	{ { 0x20 }, 1, -1, 0, true },       { { 0x21 }, 1, -1, 0, true },
	{ { 0x28 }, 1, -1, 0, true },       { { 0x29 }, 1, -1, 0, true },
	{ { 0x30 }, 1, -1, 0, true },       { { 0x31 }, 1, -1, 0, true },
	{ { 0x80 }, 1, 0, 1, true },        { { 0x81 }, 1, 1, 4, true },
	{ { 0x83 }, 1, 2, 1, true },        { { 0x80 }, 1, 3, 1, true },
	{ { 0x80 }, 1, 4, 1, true },        { { 0x81 }, 1, 4, 4, true },
	{ { 0x83 }, 1, 5, 1, true },        { { 0x81 }, 1, 6, 4, true },
	{ { 0x86 }, 1, -1, 0, true },       { { 0x87 }, 1, -1, 0, true },
	{ { 0x88 }, 1, -1, 0, false },      { { 0x89 }, 1, -1, 0, false },
	{ { 0xc6 }, 1, 0, 1, false },       { { 0xc7 }, 1, 0, 4, false },
	{ { 0xf6 }, 1, 2, 0, true },        { { 0xf7 }, 1, 3, 0, true },
	{ { 0xf6 }, 1, 3, 0, true },        { { 0xf7 }, 1, 2, 0, true },
	{ { 0xfe }, 1, 0, 0, true },        { { 0xff }, 1, 1, 0, true },
	{ { 0xfe }, 1, 1, 0, true },        { { 0xff }, 1, 0, 0, true },
	{ { 0x0f, 0xab }, 2, -1, 0, true }, { { 0x0f, 0xb3 }, 2, -1, 0, true },
	{ { 0x0f, 0xbb }, 2, -1, 0, true }, { { 0x0f, 0xba }, 2, 5, 1, true },
	{ { 0x0f, 0xba }, 2, 6, 1, true },  { { 0x0f, 0xba }, 2, 7, 1, true },
	{ { 0x0f, 0xb0 }, 2, -1, 0, true }, { { 0x0f, 0xb1 }, 2, -1, 0, true },
	{ { 0x0f, 0xc0 }, 2, -1, 0, true }, { { 0x0f, 0xc1 }, 2, -1, 0, true },
};

/* Writes one instruction with operand [rdi] and a return. Returns its length. */
static unsigned int emit(const struct form *f)
{
	static const u8 regs[] = { 0, 1, 2, 3, 6 };
	bool byte_op = !(f->op[f->nop - 1] & 1) && f->op[f->nop - 1] != 0xba;
	unsigned int n = 0, imm = f->imm;
	bool opsize = !rnd(4);
	u8 rex = rnd(2) ? 0x40 | (rnd(2) ? 8 : 0) | (rnd(3) ? 0 : 4) : 0, reg;

	if (f->digit >= 0)
		reg = f->digit;
	else if (rex & 4)
		reg = 0; /* r8 */
	else if (byte_op && !rex)
		reg = rnd(8); /* AH..BH too */
	else
		reg = regs[rnd(sizeof(regs))];
	if (opsize)
		code[n++] = 0x66;
	if (f->lock && rnd(2))
		code[n++] = 0xf0;
	if (rex)
		code[n++] = rex;
	for (int i = 0; i < f->nop; i++)
		code[n++] = f->op[i];
	code[n++] = reg << 3 | 7;
	if (imm == 4 && opsize && !(rex & 8))
		imm = 2;
	for (unsigned int i = 0; i < imm; i++)
		code[n++] = rnd(256);
	code[n] = 0xc3;
	return n;
}

static void one(const struct form *f)
{
	static u64 buf[64], before[64];
	unsigned int len = emit(f);
	struct rmw_insn in;
	struct rmw_result res;
	struct state s;
	u64 gpr[16] = { 0 }, flags_mask = FLAGS_ALL, addr, old = 0, rax;
	char *p;

	for (int i = 0; i < 64; i++)
		before[i] = buf[i] = rnd(3) ? rnd64() : 0;
	s = (struct state){ rnd64(),
			    rnd64(),
			    rnd64(),
			    rnd64(),
			    rnd64(),
			    rnd64(),
			    0x202 | (rnd64() & FLAGS_ALL) };
	assert_int_equal(rmw_decode(code, 15, &in), 0);
	assert_int_equal(in.len, len);
	if (in.bit_addr) /* keep it inside the buffer */
		s.rax = s.rcx = s.rdx = s.rbx = s.rsi = s.r8 = rnd(512);
	if (in.op == RMW_CMPXCHG && rnd(2))
		memcpy(&s.rax, &buf[32], 8);
	gpr[0] = rax = s.rax;
	gpr[1] = s.rcx;
	gpr[2] = s.rdx;
	gpr[3] = s.rbx;
	gpr[6] = s.rsi;
	gpr[7] = (u64)&buf[32];
	gpr[8] = s.r8;
	addr = rmw_address(&in, gpr, (u64)code);
	assert_true(addr >= (u64)buf && addr < (u64)(buf + 64));
	memcpy(&old, (void *)addr, in.size);
	rmw_execute(&in, old, gpr, s.rflags, &res);
	run_native(&s, &buf[32]);

	p = (char *)before + (addr - (u64)buf);
	if (res.write_mem)
		memcpy(p, &res.mem, in.size);
	assert_memory_equal(before, buf, sizeof(buf));
	if (in.op >= RMW_BTS && in.op <= RMW_BTC)
		flags_mask = FLAG_CF;
	if (in.op == RMW_AND || in.op == RMW_OR || in.op == RMW_XOR)
		flags_mask &= ~FLAG_AF;
	assert_int_equal(res.rflags & flags_mask, s.rflags & flags_mask);
	if (res.write_rax)
		gpr[0] = rmw_merge_reg(rax, res.reg, in.size, false);
	else if (res.write_reg)
		gpr[in.reg] =
			rmw_merge_reg(gpr[in.reg], res.reg, in.size, in.high);
	assert_int_equal(gpr[0], s.rax);
	assert_int_equal(gpr[1], s.rcx);
	assert_int_equal(gpr[2], s.rdx);
	assert_int_equal(gpr[3], s.rbx);
	assert_int_equal(gpr[6], s.rsi);
	assert_int_equal(gpr[8], s.r8);
}

static void results_are_those_of_the_processor(void **state)
{
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(code, MAP_FAILED);
	for (unsigned int round = 0; round < 400; round++)
		for (unsigned int i = 0; i < ARRAY_SIZE(forms); i++)
			one(&forms[i]);
}

static void addresses_are_computed(void **state)
{
	static const struct {
		u8 b[12];
		unsigned int n;
		u64 addr;
	} t[] = {
		{ { 0x48, 0x89, 0x07 }, 3, 0x7000 },             /* [rdi] */
		{ { 0x48, 0x89, 0x47, 0xf8 }, 4, 0x6ff8 },       /* [rdi-8] */
		{ { 0x48, 0x89, 0x87, 0, 1, 0, 0 }, 7, 0x7100 }, /* +disp32 */
		{ { 0x49, 0x89, 0x04, 0xd7 }, 4, 0x3f000 }, /* [r15+rdx*8] */
		{ { 0x48, 0x89, 0x04, 0x24 }, 4, 0x4000 },  /* [rsp] */
		{ { 0x48, 0x89, 0x05, 0x10, 0, 0, 0 }, 7, 0x100017 }, /* rip */
		{ { 0x48, 0x89, 0x04, 0x25, 0, 0, 0, 0x80 },
		  8,
		  0xffffffff80000000 }, /* [disp32] */
		{ { 0x48, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8 },
		  10,
		  0x0807060504030201 }, /* moffs */
		{ { 0x4a, 0x89, 0x04, 0x25, 0, 0, 0, 0 },
		  8,
		  0xc000 }, /* r12*1 */
	};
	u64 gpr[16];
	struct rmw_insn in;

	for (u64 i = 0; i < 16; i++)
		gpr[i] = i * 0x1000;
	gpr[2] = 0x6000;
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(rmw_decode(t[i].b, t[i].n, &in), 0);
		assert_int_equal(in.len, t[i].n);
		assert_int_equal(rmw_address(&in, gpr, 0x100000), t[i].addr);
		/* Cut short by a byte it is nothing. */
		assert_true(rmw_decode(t[i].b, t[i].n - 1, &in) < 0);
	}
}

static void others_are_refused(void **state)
{
	static const u8 t[][6] = {
		{ 0x48, 0x39, 0x07 },       /* cmp */
		{ 0x48, 0x8b, 0x07 },       /* load */
		{ 0x48, 0x89, 0xc7 },       /* register form */
		{ 0x64, 0x48, 0x89, 0x07 }, /* fs: */
		{ 0x67, 0x48, 0x89, 0x07 }, /* 32-bit address */
		{ 0xf3, 0x48, 0x89, 0x07 }, /* rep */
		{ 0xf0, 0x48, 0x89, 0x07 }, /* lock mov */
		{ 0x48, 0x83, 0x3f, 0x00 }, /* cmp imm */
		{ 0x0f, 0xba, 0x27, 0x00 }, /* bt */
		{ 0x48, 0x0f, 0xc7, 0x0f }, /* cmpxchg16b */
		{ 0xff, 0x17 },             /* call */
		{ 0xf3, 0xaa },             /* stos */
	};
	struct rmw_insn in;

	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++)
		assert_true(rmw_decode(t[i], sizeof(t[i]), &in) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_are_those_of_the_processor),
		cmocka_unit_test(addresses_are_computed),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
