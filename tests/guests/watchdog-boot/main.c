/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel that hangs before it does anything: the boot watchdog restarts the
 * machine (`expect`).
 */
#include "lib.h"

void test_main(void)
{
	for (;;)
		;
}
