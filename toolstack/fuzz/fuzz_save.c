/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds arbitrary bytes to the reader of saved guests. */
#include "bulkhead/save.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t *copy = malloc(size + 8); /* aligned, as a mapping is */
	struct bh_save_file f;
	struct bh_err e = {};

	if (copy) {
		memcpy(copy, data, size);
		(void)!bh_save_parse(&f, (uint8_t *)copy, size, &e);
	}
	free(copy);
	return 0;
}
