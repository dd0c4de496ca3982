/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds arbitrary bytes to the kernel image loader and the layout. */
#include "bulkhead/builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bh_kernel k = {};
	struct bh_err e = {};
	struct bh_layout l;

	if (bh_kernel_parse(&k, data, size, &e) == 0)
		(void)!bh_layout_plan(&k, 65536, 1 << 20, &l, &e);
	free(k.owned);
	return 0;
}
