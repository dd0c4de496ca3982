/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One-line errors: see err.h. Control characters are replaced, because parts
 * of the sentence can come from a configuration file or from a guest.
 */
#include "bulkhead/err.h"

int bh_fail(struct bh_err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e || e->code)
		return code;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	bh_printable(e->msg, '\0');
	return code;
}

const char *bh_err_text(const struct bh_err *e, int code)
{
	if (e && e->code && e->msg[0])
		return e->msg;
	return strerror(code < 0 ? -code : code);
}
