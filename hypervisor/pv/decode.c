/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding and computing the instructions a 64-bit guest kernel uses on its
 * page tables: mov, xchg, cmpxchg, xadd, add..xor, bts/btr/btc, not, neg, inc,
 * dec with a memory destination. (AMD64 APM vol. 3, chapters 1 and 3, app. A.)
 *
 * Anything else, and what no sane page-table write contains (FS/GS and address
 * size prefixes, repeat prefixes), is refused; the guest then gets its page
 * fault, as it would for any other read-only page.
 */
#include <bh/errno.h>

#include "decode.h"

#define F_CF  0x001UL
#define F_PF  0x004UL
#define F_AF  0x010UL
#define F_ZF  0x040UL
#define F_SF  0x080UL
#define F_OF  0x800UL
#define F_ALL (F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF)

struct cursor {
	const u8 *p;
	unsigned int pos, n;
	bool bad;
};

static u64 fetch(struct cursor *c, unsigned int size)
{
	u64 v = 0;

	if (c->bad || size > c->n - c->pos) {
		c->bad = true;
		return 0;
	}
	for (unsigned int i = 0; i < size; i++)
		v |= (u64)c->p[c->pos + i] << (8 * i);
	c->pos += size;
	return v;
}

static s64 fetch_signed(struct cursor *c, unsigned int size)
{
	u64 v = fetch(c, size);
	unsigned int sh = 64 - 8 * size;

	return (s64)(v << sh) >> sh;
}

struct prefixes {
	bool opsize, lock;
	u8 rex;
	u8 opcode;
	bool two_byte;
};

static bool decode_prefixes(struct cursor *c, struct prefixes *x)
{
	u8 b;

	*x = (struct prefixes){ 0 };
	for (;;) {
		b = fetch(c, 1);
		if (b == 0x66)
			x->opsize = true;
		else if (b == 0xf0)
			x->lock = true;
		else if (b != 0x2e && b != 0x3e && b != 0x26 && b != 0x36)
			break;
		if (c->bad)
			return false;
	}
	if ((b & 0xf0) == 0x40) {
		x->rex = b;
		b = fetch(c, 1);
	}
	if (b == 0x0f) {
		x->two_byte = true;
		b = fetch(c, 1);
	}
	x->opcode = b;
	return !c->bad;
}

/* ModRM, SIB, displacement. Returns the reg field, or -1. */
static int decode_modrm(struct cursor *c, u8 rex, struct rmw_insn *in)
{
	u8 modrm = fetch(c, 1), mod = modrm >> 6, rm = modrm & 7;

	if (c->bad || mod == 3)
		return -1;
	if (rm == 4) {
		u8 sib = fetch(c, 1), idx = sib >> 3 & 7, base = sib & 7;

		idx |= (rex & 2) << 2;
		in->index = idx == 4 ? -1 : idx;
		in->scale = sib >> 6;
		if (base == 5 && mod == 0)
			in->disp = fetch_signed(c, 4);
		else
			in->base = base | (rex & 1) << 3;
	} else if (rm == 5 && mod == 0) {
		in->rip_relative = true;
		in->disp = fetch_signed(c, 4);
	} else {
		in->base = rm | (rex & 1) << 3;
	}
	if (mod == 1)
		in->disp = fetch_signed(c, 1);
	else if (mod == 2)
		in->disp = fetch_signed(c, 4);
	return c->bad ? -1 : (modrm >> 3 & 7);
}

static void use_reg(struct rmw_insn *in, unsigned int reg, u8 rex)
{
	in->src_reg = true;
	in->reg = reg | (rex & 4) << 1;
	if (in->size == 1 && !rex && in->reg >= 4) {
		in->reg -= 4;
		in->high = true;
	}
}

/* An immediate is as wide as the operand, but never more than 4 bytes. */
static void use_imm(struct cursor *c, struct rmw_insn *in, unsigned int size)
{
	in->imm = fetch_signed(c, size > 4 ? 4 : size);
}

static int decode_one_byte(struct cursor *c, const struct prefixes *x,
			   struct rmw_insn *in)
{
	u8 op = x->opcode;
	int reg;

	if (op == 0xa2 || op == 0xa3) { /* mov rAX to an absolute address */
		in->op = RMW_MOV;
		in->moffs = fetch(c, 8);
		use_reg(in, 0, x->rex & ~4U ? x->rex & ~4U : 0x40);
		return 0;
	}
	if (op >= 0x40 && op < 0x80)
		return -EINVAL;
	reg = decode_modrm(c, x->rex, in);
	if (reg < 0)
		return -EINVAL;
	switch (op) {
	case 0x00 ... 0x3f: /* ALU r -> m: xxxxx00w; 7 is cmp */
		if ((op & 6) || op >> 3 == 7)
			return -EINVAL;
		in->op = op >> 3;
		use_reg(in, reg, x->rex);
		return 0;
	case 0x80:
	case 0x81:
	case 0x83:
		if (reg == 7)
			return -EINVAL;
		in->op = reg;
		use_imm(c, in, op == 0x81 ? in->size : 1);
		return 0;
	case 0x86:
	case 0x87:
		in->op = RMW_XCHG;
		use_reg(in, reg, x->rex);
		return 0;
	case 0x88:
	case 0x89:
		in->op = RMW_MOV;
		use_reg(in, reg, x->rex);
		return 0;
	case 0xc6:
	case 0xc7:
		if (reg)
			return -EINVAL;
		in->op = RMW_MOV;
		use_imm(c, in, in->size);
		return 0;
	case 0xf6:
	case 0xf7:
		if (reg != 2 && reg != 3)
			return -EINVAL;
		in->op = reg == 2 ? RMW_NOT : RMW_NEG;
		return 0;
	case 0xfe:
	case 0xff:
		if (reg > 1)
			return -EINVAL;
		in->op = reg ? RMW_DEC : RMW_INC;
		return 0;
	}
	return -EINVAL;
}

static int decode_two_byte(struct cursor *c, const struct prefixes *x,
			   struct rmw_insn *in)
{
	int reg;

	switch (x->opcode) {
	case 0xab:
	case 0xb3:
	case 0xbb:
	case 0xba:
		if (in->size == 1) /* bit 0 of the opcode is no width here */
			in->size = x->rex & 8 ? 8 : x->opsize ? 2 : 4;
		break;
	case 0xb0:
	case 0xb1:
	case 0xc0:
	case 0xc1:
		break;
	case 0xc3: /* movnti */
		if (x->opsize || x->lock)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	reg = decode_modrm(c, x->rex, in);
	if (reg < 0)
		return -EINVAL;
	switch (x->opcode) {
	case 0xba:
		if (reg < 5)
			return -EINVAL;
		in->op = RMW_BTS + (reg - 5);
		in->imm = fetch(c, 1) & (in->size * 8 - 1);
		return 0;
	case 0xab:
		in->op = RMW_BTS;
		break;
	case 0xb3:
		in->op = RMW_BTR;
		break;
	case 0xbb:
		in->op = RMW_BTC;
		break;
	case 0xb0:
	case 0xb1:
		in->op = RMW_CMPXCHG;
		break;
	case 0xc0:
	case 0xc1:
		in->op = RMW_XADD;
		break;
	default:
		in->op = RMW_MOV;
	}
	use_reg(in, reg, x->rex);
	in->bit_addr = in->op >= RMW_BTS && in->op <= RMW_BTC;
	return 0;
}

int rmw_decode(const u8 *buf, unsigned int n, struct rmw_insn *in)
{
	struct cursor c = { buf, 0, n > 15 ? 15 : n, false };
	struct prefixes x;
	int rc;

	*in = (struct rmw_insn){ .base = -1, .index = -1 };
	if (!decode_prefixes(&c, &x))
		return -EINVAL;
	in->size = !(x.opcode & 1) ? 1 : x.rex & 8 ? 8 : x.opsize ? 2 : 4;
	in->lock = x.lock;
	rc = x.two_byte ? decode_two_byte(&c, &x, in)
			: decode_one_byte(&c, &x, in);
	if (rc || c.bad || (in->lock && in->op == RMW_MOV))
		return -EINVAL;
	in->len = c.pos;
	return 0;
}

static u64 size_mask(unsigned int size)
{
	return size == 8 ? ~0UL : (1UL << (8 * size)) - 1;
}

static u64 sign_extend(u64 v, unsigned int size)
{
	unsigned int sh = 64 - 8 * size;

	return (s64)(v << sh) >> sh;
}

u64 rmw_address(const struct rmw_insn *in, const u64 *gpr, u64 rip)
{
	u64 a = in->moffs + (s64)in->disp;

	if (in->rip_relative)
		a += rip + in->len;
	if (in->base >= 0)
		a += gpr[in->base];
	if (in->index >= 0)
		a += gpr[in->index] << in->scale;
	if (in->bit_addr) {
		s64 bit = sign_extend(gpr[in->reg], in->size);
		unsigned int width = 3 + __builtin_ctz(in->size);

		a += (bit >> width) * in->size;
	}
	return a;
}

u64 rmw_merge_reg(u64 reg, u64 val, unsigned int size, bool high)
{
	u64 m = size_mask(size);

	if (high)
		return (reg & ~0xff00UL) | (val & 0xff) << 8;
	if (size == 4)
		return val & m; /* clears the upper half */
	return (reg & ~m) | (val & m);
}

/* Zero, sign, parity of a result. */
static u64 flags_of(u64 r, unsigned int size)
{
	u64 f = 0;

	r &= size_mask(size);
	if (!r)
		f |= F_ZF;
	if (r >> (8 * size - 1))
		f |= F_SF;
	if (!(__builtin_popcount(r & 0xff) & 1))
		f |= F_PF;
	return f;
}

static u64 flags_add(u64 a, u64 b, u64 r, unsigned int size, bool carry_in)
{
	u64 m = size_mask(size), top = 1UL << (8 * size - 1);
	u64 f = flags_of(r, size);

	a &= m;
	b &= m;
	r &= m;
	if (r < a || (carry_in && r == a))
		f |= F_CF;
	if ((a ^ r) & (b ^ r) & top)
		f |= F_OF;
	if ((a ^ b ^ r) & 0x10)
		f |= F_AF;
	return f;
}

static u64 flags_sub(u64 a, u64 b, u64 r, unsigned int size, bool borrow_in)
{
	u64 m = size_mask(size), top = 1UL << (8 * size - 1);
	u64 f = flags_of(r, size);

	a &= m;
	b &= m;
	r &= m;
	if (a < b || (borrow_in && a == b))
		f |= F_CF;
	if ((a ^ b) & (a ^ r) & top)
		f |= F_OF;
	if ((a ^ b ^ r) & 0x10)
		f |= F_AF;
	return f;
}

static void execute_alu(const struct rmw_insn *in, u64 old, u64 src,
			struct rmw_result *res)
{
	unsigned int cf = res->rflags & F_CF;
	u64 f;

	switch (in->op) {
	case RMW_ADD:
	case RMW_ADC:
		cf = in->op == RMW_ADC ? cf : 0;
		res->mem = old + src + cf;
		f = flags_add(old, src, res->mem, in->size, cf);
		break;
	case RMW_SUB:
	case RMW_SBB:
		cf = in->op == RMW_SBB ? cf : 0;
		res->mem = old - src - cf;
		f = flags_sub(old, src, res->mem, in->size, cf);
		break;
	case RMW_OR:
		res->mem = old | src;
		f = flags_of(res->mem, in->size);
		break;
	case RMW_AND:
		res->mem = old & src;
		f = flags_of(res->mem, in->size);
		break;
	default:
		res->mem = old ^ src;
		f = flags_of(res->mem, in->size);
		break;
	}
	res->rflags = (res->rflags & ~F_ALL) | f;
}

static void execute_unary(const struct rmw_insn *in, u64 old,
			  struct rmw_result *res)
{
	u64 keep = res->rflags & ~F_ALL;

	switch (in->op) {
	case RMW_NOT:
		res->mem = ~old;
		break;
	case RMW_NEG:
		res->mem = -old;
		res->rflags =
			keep | flags_sub(0, old, res->mem, in->size, false);
		break;
	case RMW_INC: /* carry stays */
		res->mem = old + 1;
		res->rflags =
			keep | (res->rflags & F_CF) |
			(flags_add(old, 1, res->mem, in->size, false) & ~F_CF);
		break;
	default:
		res->mem = old - 1;
		res->rflags =
			keep | (res->rflags & F_CF) |
			(flags_sub(old, 1, res->mem, in->size, false) & ~F_CF);
	}
}

static void execute_bit(const struct rmw_insn *in, u64 old, u64 src,
			struct rmw_result *res)
{
	u64 bit = 1UL << (src & (in->size * 8 - 1));

	res->rflags = (res->rflags & ~F_CF) | (old & bit ? F_CF : 0);
	if (in->op == RMW_BTS)
		res->mem = old | bit;
	else if (in->op == RMW_BTR)
		res->mem = old & ~bit;
	else
		res->mem = old ^ bit;
}

static void execute_cmpxchg(const struct rmw_insn *in, u64 old, u64 src,
			    u64 rax, struct rmw_result *res)
{
	u64 m = size_mask(in->size);

	res->rflags = (res->rflags & ~F_ALL) |
		      flags_sub(rax, old, rax - old, in->size, false);
	res->mem = src;
	if ((old ^ rax) & m) {
		res->write_mem = false;
		res->write_rax = true;
		res->reg = old;
	}
}

void rmw_execute(const struct rmw_insn *in, u64 old, const u64 *gpr, u64 rflags,
		 struct rmw_result *res)
{
	u64 src =
		in->src_reg ? gpr[in->reg] >> (in->high ? 8 : 0) : (u64)in->imm;

	*res = (struct rmw_result){ .write_mem = true, .rflags = rflags };
	switch (in->op) {
	case RMW_ADD ... RMW_XOR:
		execute_alu(in, old, src, res);
		break;
	case RMW_MOV:
		res->mem = src;
		break;
	case RMW_XCHG:
		res->mem = src;
		res->write_reg = true;
		res->reg = old;
		break;
	case RMW_XADD:
		res->mem = old + src;
		res->rflags = (rflags & ~F_ALL) |
			      flags_add(old, src, res->mem, in->size, false);
		res->write_reg = true;
		res->reg = old;
		break;
	case RMW_CMPXCHG:
		execute_cmpxchg(in, old, src, gpr[0], res);
		break;
	case RMW_BTS ... RMW_BTC:
		execute_bit(in, old, src, res);
		break;
	default:
		execute_unary(in, old, res);
	}
	res->mem &= size_mask(in->size);
	if (res->write_reg || res->write_rax)
		res->reg &= size_mask(in->size);
}
