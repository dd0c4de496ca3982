/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CMOS clock: wall-clock time at boot. Index and data port are used under a
 * lock, because dom0 has them too (through control/ioport.c).
 */
#include <bh/cpuops.h>
#include <bh/machine.h>
#include <bh/smp.h>

static struct spinlock cmos_lock = SPINLOCK_INIT(LOCK_NONE);

u8 cmos_read(u8 index)
{
	unsigned long f = spin_lock_irqsave(&cmos_lock);
	u8 v;

	outb(index, 0x70);
	v = inb(0x71);
	spin_unlock_irqrestore(&cmos_lock, f);
	return v;
}

void cmos_write(u8 index, u8 val)
{
	unsigned long f = spin_lock_irqsave(&cmos_lock);

	outb(index, 0x70);
	outb(val, 0x71);
	spin_unlock_irqrestore(&cmos_lock, f);
}

struct rtc {
	u8 sec, min, hour, day, mon, year;
};

static struct rtc rtc_read(void)
{
	return (struct rtc){ cmos_read(0), cmos_read(2), cmos_read(4),
			     cmos_read(7), cmos_read(8), cmos_read(9) };
}

static unsigned int bcd(u8 v)
{
	return (v >> 4) * 10 + (v & 0xf);
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static u64 days_from_civil(unsigned int y, unsigned int m, unsigned int d)
{
	unsigned int era, yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return (u64)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy -
	       719468;
}

u64 cmos_read_time(void)
{
	struct rtc a, b;
	unsigned int year, hour;
	u8 status;
	bool pm;

	/* Not while it is being updated; two equal readings are one time. */
	for (unsigned int i = 0; i < 100; i++) {
		for (unsigned int j = 0; j < 10000 && (cmos_read(10) & 0x80);
		     j++)
			cpu_relax();
		a = rtc_read();
		b = rtc_read();
		if (!memcmp(&a, &b, sizeof(a)))
			break;
	}
	status = cmos_read(11);
	pm = a.hour & 0x80;
	a.hour &= 0x7f;
	if (!(status & 4)) {
		a.sec = bcd(a.sec);
		a.min = bcd(a.min);
		a.hour = bcd(a.hour);
		a.day = bcd(a.day);
		a.mon = bcd(a.mon);
		a.year = bcd(a.year);
	}
	hour = a.hour;
	if (!(status & 2)) /* 12-hour clock */
		hour = hour % 12 + (pm ? 12 : 0);
	year = a.year + (a.year < 70 ? 2000 : 1900);
	if (a.mon < 1 || a.mon > 12 || a.day < 1 || a.day > 31)
		return 0; /* an empty battery */
	return days_from_civil(year, a.mon, a.day) * 86400 + hour * 3600 +
	       a.min * 60 + a.sec;
}
