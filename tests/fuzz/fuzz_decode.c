/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pv/decode.c on arbitrary bytes: no read past the end, sane results. */
#include <stdlib.h>
#include <string.h>

#include "../../hypervisor/pv/decode.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t n);
int LLVMFuzzerTestOneInput(const u8 *data, size_t n)
{
	struct rmw_result res;
	struct rmw_insn in;
	u64 gpr[16], old = 0;
	u8 *copy;

	if (n < 1)
		return 0;
	/* An allocation of its own lets ASan see every step outside. */
	copy = malloc(n);
	memcpy(copy, data, n);
	if (rmw_decode(copy, n, &in) == 0) {
		if (in.len > n || in.len > 15 || in.reg > 15 || in.base > 15 ||
		    in.index > 15 ||
		    (in.size != 1 && in.size != 2 && in.size != 4 &&
		     in.size != 8))
			abort();
		for (int i = 0; i < 16; i++)
			gpr[i] = data[i % n] * 0x0101010101010101UL * (i + 1);
		(void)rmw_address(&in, gpr, gpr[3]);
		memcpy(&old, data, n < 8 ? n : 8);
		rmw_execute(&in, old, gpr, gpr[5], &res);
		if (in.size < 8 && res.mem >> (8 * in.size))
			abort();
	}
	free(copy);
	return 0;
}
