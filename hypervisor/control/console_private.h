/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What console.c, serial.c and vga.c share. */
#pragma once

#include <bh/types.h>

/* Parses com1=/com2= as given and sets the line; false: no such UART. */
bool serial_init(unsigned int com);
void serial_putc(unsigned int com, char c);
/* Next received character, or -1. */
int serial_getc(unsigned int com);
bool serial_owns_port(u16 port);
/* Enables the receive interrupt; input(com) is then called for it. */
void serial_init_irq(unsigned int com, void (*input)(void *));

/* Clears the text screen at physical 0xb8000. */
bool vga_init(void);
void vga_putc(char c);
