/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoder for the read-modify-write instructions with which a guest kernel
 * writes page-table entries. Pure: tested and fuzzed on the build host.
 */
#pragma once

#include <bh/types.h>

enum rmw_op {
	/* The order of the eight ALU operations is the encoding's. */
	RMW_ADD,
	RMW_OR,
	RMW_ADC,
	RMW_SBB,
	RMW_AND,
	RMW_SUB,
	RMW_XOR,
	RMW_MOV = 8,
	RMW_XCHG,
	RMW_CMPXCHG,
	RMW_XADD,
	RMW_BTS,
	RMW_BTR,
	RMW_BTC,
	RMW_NOT,
	RMW_NEG,
	RMW_INC,
	RMW_DEC,
};

struct rmw_insn {
	u8 len;  /* bytes, all prefixes included */
	u8 op;   /* enum rmw_op */
	u8 size; /* of the memory operand: 1, 2, 4, 8 */
	bool lock;
	bool src_reg; /* else imm */
	u8 reg;       /* hardware number 0..15 */
	bool high;    /* byte register AH, CH, DH, BH: reg is 0..3 */
	bool bit_addr; /* BTx with a register: the bit number moves the address */
	s64 imm;
	/* address: base + index * scale + disp, or next instruction + disp */
	s8 base, index; /* -1: none */
	u8 scale;       /* shift */
	bool rip_relative;
	s32 disp;
	u64 moffs; /* absolute, when base, index and rip_relative say nothing */
};

/* 0; -EINVAL: not one of them, or not all of it in buf. */
int rmw_decode(const u8 *buf, unsigned int n, struct rmw_insn *in);
/* gpr is indexed by hardware number. */
u64 rmw_address(const struct rmw_insn *in, const u64 *gpr, u64 rip);

struct rmw_result {
	u64 mem;        /* new value of the operand */
	bool write_mem; /* false: a compare that failed */
	bool write_reg; /* the register operand changes */
	bool write_rax; /* CMPXCHG that failed */
	u64 reg;        /* its new value (or RAX's) */
	u64 rflags;
};
/* old: the memory operand; rflags: before. */
void rmw_execute(const struct rmw_insn *in, u64 old, const u64 *gpr, u64 rflags,
		 struct rmw_result *res);
/* reg with its low `size` bytes replaced as an instruction would. */
u64 rmw_merge_reg(u64 reg, u64 val, unsigned int size, bool high);
