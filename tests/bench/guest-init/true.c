/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The dynamically linked program that tests/bench/guest-kernel's guests start. */
#include <stdlib.h>

int main(void)
{
	return getenv("BENCH_FAIL") != NULL;
}
