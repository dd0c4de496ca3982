/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550 serial ports: com1=BAUD[/CLOCK][,DPS[,PORT[,IRQ]]], as Xen spells it
 * (8n1 etc.; BAUD "auto" keeps the firmware's setting). Output is polled: a
 * hypervisor prints little after boot, and polled output works in any state,
 * panics included. A port that stops accepting characters is waited for a few
 * seconds; from then on characters are dropped until it accepts again.
 *
 * Hardware: PC16550D data sheet.
 */
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/irq.h>
#include <bh/lib.h>

#include "console_private.h"

enum {
	RBR = 0,
	IER = 1,
	FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	DLL = 0,
	DLM = 1
};
#define LSR_DR   0x01
#define LSR_THRE 0x20

static struct uart {
	u16 port;
	u8 irq;
	bool on;
	bool stuck; /* took no character for seconds */
	u32 baud, clock;
	u8 lcr;
} uarts[2] = {
	{ 0x3f8, 4, false, false, 115200, 1843200, 3 },
	{ 0x2f8, 3, false, false, 115200, 1843200, 3 },
};

static int parse_uart(struct uart *u, const char *s)
{
	if (!strncmp(s, "auto", 4)) {
		u->baud = 0;
		s += 4;
	} else {
		u->baud = strtou64(s, &s, 10);
	}
	if (*s == '/')
		u->clock = strtou64(s + 1, &s, 0) * 16;
	if (*s == ',' && s[1] >= '5' && s[1] <= '8') {
		static const char parity[] = "noems";
		const char *p;

		u->lcr = s[1] - '5';
		p = s[2] ? strchr(parity, s[2]) : NULL;
		if (p && p != parity)
			u->lcr |= 8 | (p - parity - 1) << 4;
		if (p && s[3] == '2')
			u->lcr |= 4;
		s = strchr(s + 1, ',');
	} else if (*s == ',') {
		s = strchr(s + 1, ',');
	} else {
		s = NULL;
	}
	if (s && s[1] != ',') {
		u->port = strtou64(s + 1, &s, 0);
		s = *s == ',' ? s : NULL;
	} else if (s) {
		s++;
	}
	if (s)
		u->irq = strtou64(s + 1, NULL, 0);
	return 0;
}

static int parse_com1(const char *s)
{
	return parse_uart(&uarts[0], s);
}
PARAM_FN("com1", parse_com1);

static int parse_com2(const char *s)
{
	return parse_uart(&uarts[1], s);
}
PARAM_FN("com2", parse_com2);

bool serial_init(unsigned int com)
{
	struct uart *u = &uarts[com];
	u32 div;

	/* A missing port reads as all ones. */
	if (inb(u->port + LSR) == 0xff)
		return false;
	outb(0, u->port + IER);
	if (u->baud) {
		div = u->clock / 16 / u->baud;
		outb(0x80 | u->lcr, u->port + LCR);
		outb(div, u->port + DLL);
		outb(div >> 8, u->port + DLM);
	}
	outb(u->lcr, u->port + LCR);
	outb(0xc7, u->port + FCR); /* FIFOs on, cleared, 14-byte trigger */
	outb(0x0b, u->port + MCR); /* DTR, RTS, OUT2 (interrupt gate) */
	u->on = true;
	return true;
}

void serial_putc(unsigned int com, char c)
{
	struct uart *u = &uarts[com];

	if (!u->on)
		return;
	if (c == '\n')
		serial_putc(com, '\r');
	for (u32 spin = 0; !(inb(u->port + LSR) & LSR_THRE); spin++) {
		/* A read of the port takes about a microsecond. */
		if (u->stuck || spin > 5000000) {
			u->stuck = true;
			return;
		}
		cpu_relax();
	}
	u->stuck = false;
	outb(c, u->port);
}

int serial_getc(unsigned int com)
{
	struct uart *u = &uarts[com];

	if (!u->on || !(inb(u->port + LSR) & LSR_DR))
		return -1;
	return inb(u->port + RBR);
}

void serial_init_irq(unsigned int com, void (*input)(void *))
{
	struct uart *u = &uarts[com];

	if (!u->on || !u->irq)
		return;
	if (irq_request(u->irq, input, (void *)(unsigned long)com))
		return;
	outb(1, u->port + IER);
	inb(u->port + RBR); /* drop what would hold an edge */
}

bool serial_owns_port(u16 port)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(uarts); i++)
		if (uarts[i].on && port >= uarts[i].port &&
		    port < uarts[i].port + 8)
			return true;
	return false;
}
