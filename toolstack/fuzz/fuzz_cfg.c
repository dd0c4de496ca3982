/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds arbitrary text to the guest configuration parser. */
#include "bulkhead/cfg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bh_guest_cfg *c = NULL;
	struct bh_err e = {};

	if (bh_guest_cfg_parse("f", (const char *)data, size, "g", NULL, NULL,
			       &c, &e) == 0)
		bh_guest_cfg_free(c);
	return 0;
}
