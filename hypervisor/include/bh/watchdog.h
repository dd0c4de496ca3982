/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's watchdogs: a CPU that hangs, a boot that does not end. */
#pragma once

#include <bh/types.h>

struct cpu_user_regs;

/* Boot CPU, clocks known, interrupts on: starts what the options ask for. */
void watchdog_init(void);
/* All processors are up: watches them too. */
void watchdog_init_cpus(void);
/* Every NMI that no hardware error explains. */
void watchdog_nmi(struct cpu_user_regs *regs);
/* While held no CPU counts as hanging (a debug key that prints for long).
 * Holds add up. */
void watchdog_hold(void);
void watchdog_release(void);
/* dom0 is well: the boot is over. False: there was no boot watchdog. */
bool watchdog_boot_done(void);
