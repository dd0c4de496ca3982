/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA text console, 80x25 at 0xb8000: write-only, scrolling, for the time until
 * dom0 takes the screen. On UEFI there is no text mode and vga_init() is not
 * called.
 */
#include <bh/config.h>
#include <bh/cpuops.h>
#include <bh/lib.h>
#include <bh/mm.h>

#include "console_private.h"

#define COLS 80
#define ROWS 25
#define ATTR 0x0700

static volatile u16 *screen;
static unsigned int col, row;

bool vga_init(void)
{
	screen = ioremap(0xb8000, 0x1000, PTE_HV_UC);
	if (!screen)
		return false;
	for (unsigned int i = 0; i < COLS * ROWS; i++)
		screen[i] = ATTR | ' ';
	outb(10, 0x3d4);
	outb(0x20, 0x3d5); /* hide the cursor */
	return true;
}

static void newline(void)
{
	col = 0;
	if (++row < ROWS)
		return;
	row = ROWS - 1;
	for (unsigned int i = 0; i < COLS * (ROWS - 1); i++)
		screen[i] = screen[i + COLS];
	for (unsigned int i = 0; i < COLS; i++)
		screen[COLS * (ROWS - 1) + i] = ATTR | ' ';
}

void vga_putc(char c)
{
	if (!screen || c == '\r')
		return;
	if (c != '\n')
		screen[row * COLS + col++] = ATTR | (u8)c;
	if (c == '\n' || col == COLS)
		newline();
}
