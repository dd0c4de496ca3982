/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Formatted printing: the C conversions d i u x X o c s p % with flags
 * (- 0 # space +), width, precision and lengths hh h l ll z t, plus %pS: the
 * symbol and offset of a code address. Never writes past the buffer and always
 * terminates it.
 */
#include <bh/lib.h>
#include <bh/symbols.h>

struct out {
	char *buf;
	size_t size, len;
};

struct spec {
	bool left, zero, alt, plus, space, upper;
	int width, prec; /* prec < 0: none */
};

static void put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void pad(struct out *o, char c, int n)
{
	while (n-- > 0)
		put(o, c);
}

static void put_str(struct out *o, const char *s, const struct spec *sp)
{
	int len;

	if (!s)
		s = "(null)";
	len = sp->prec >= 0 ? strnlen(s, sp->prec) : strlen(s);
	if (!sp->left)
		pad(o, ' ', sp->width - len);
	for (int i = 0; i < len; i++)
		put(o, s[i]);
	if (sp->left)
		pad(o, ' ', sp->width - len);
}

static void put_num(struct out *o, u64 v, bool neg, unsigned int base,
		    const struct spec *sp)
{
	const char *digits =
		sp->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char tmp[24], pre[3];
	int n = 0, np = 0, zeros, fill;

	if (neg)
		pre[np++] = '-';
	else if (sp->plus)
		pre[np++] = '+';
	else if (sp->space)
		pre[np++] = ' ';
	if (sp->alt && base == 16 && v) {
		pre[np++] = '0';
		pre[np++] = sp->upper ? 'X' : 'x';
	}
	do {
		tmp[n++] = digits[v % base];
		v /= base;
	} while (v);
	zeros = sp->prec > n ? sp->prec - n : 0;
	fill = sp->width - np - n - zeros;
	if (sp->zero && !sp->left && sp->prec < 0) {
		zeros += fill > 0 ? fill : 0;
		fill = 0;
	}
	if (!sp->left)
		pad(o, ' ', fill);
	for (int i = 0; i < np; i++)
		put(o, pre[i]);
	pad(o, '0', zeros);
	while (n)
		put(o, tmp[--n]);
	if (sp->left)
		pad(o, ' ', fill);
}

static void put_symbol(struct out *o, unsigned long addr)
{
	unsigned long off;
	const char *name = symbol_lookup(addr, &off);
	struct spec sp = { .prec = -1 };

	if (name) {
		put_str(o, name, &sp);
		put(o, '+');
		sp.alt = true;
		put_num(o, off, false, 16, &sp);
	} else {
		sp.alt = true;
		put_num(o, addr, false, 16, &sp);
	}
}

static const char *parse_spec(const char *f, struct spec *sp, va_list *ap)
{
	*sp = (struct spec){ .prec = -1 };
	for (;; f++) {
		if (*f == '-')
			sp->left = true;
		else if (*f == '0')
			sp->zero = true;
		else if (*f == '#')
			sp->alt = true;
		else if (*f == '+')
			sp->plus = true;
		else if (*f == ' ')
			sp->space = true;
		else
			break;
	}
	if (*f == '*') {
		sp->width = va_arg(*ap, int);
		f++;
		if (sp->width < 0) {
			sp->left = true;
			sp->width = -sp->width;
		}
	} else {
		while (*f >= '0' && *f <= '9')
			sp->width = sp->width * 10 + *f++ - '0';
	}
	if (*f == '.') {
		sp->prec = 0;
		if (*++f == '*') {
			sp->prec = va_arg(*ap, int);
			f++;
		} else {
			while (*f >= '0' && *f <= '9')
				sp->prec = sp->prec * 10 + *f++ - '0';
		}
	}
	return f;
}

static s64 get_arg(va_list *ap, int lng, bool sign)
{
	if (lng >= 1)
		return va_arg(*ap, s64);
	if (sign)
		return va_arg(*ap, int);
	return va_arg(*ap, unsigned int);
}

int vsnprintf(char *buf, size_t size, const char *f, va_list ap_in)
{
	struct out o = { buf, size, 0 };
	struct spec sp;
	va_list ap;
	char c[2] = "";

	va_copy(ap, ap_in);
	for (; *f; f++) {
		int lng = 0;
		s64 v;

		if (*f != '%') {
			put(&o, *f);
			continue;
		}
		f = parse_spec(f + 1, &sp, &ap);
		for (; *f == 'l' || *f == 'h' || *f == 'z' || *f == 't'; f++)
			lng += *f == 'h' ? -1 : 1;
		switch (*f) {
		case 'd':
		case 'i':
			v = get_arg(&ap, lng, true);
			put_num(&o, v < 0 ? -(u64)v : (u64)v, v < 0, 10, &sp);
			break;
		case 'u':
			put_num(&o, get_arg(&ap, lng, false), false, 10, &sp);
			break;
		case 'X':
			sp.upper = true;
			__attribute__((fallthrough));
		case 'x':
			put_num(&o, get_arg(&ap, lng, false), false, 16, &sp);
			break;
		case 'o':
			put_num(&o, get_arg(&ap, lng, false), false, 8, &sp);
			break;
		case 'p':
			if (f[1] == 'S') {
				f++;
				put_symbol(&o,
					   (unsigned long)va_arg(ap, void *));
				break;
			}
			sp.prec = 16;
			put_num(&o, (u64)va_arg(ap, void *), false, 16, &sp);
			break;
		case 'c':
			c[0] = va_arg(ap, int);
			sp.prec = 1;
			put_str(&o, c, &sp);
			break;
		case 's':
			put_str(&o, va_arg(ap, const char *), &sp);
			break;
		case '%':
			put(&o, '%');
			break;
		case '\0':
			f--;
			break;
		default:
			put(&o, '%');
			put(&o, *f);
		}
	}
	va_end(ap);
	if (size)
		buf[o.len < size ? o.len : size - 1] = '\0';
	return o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
