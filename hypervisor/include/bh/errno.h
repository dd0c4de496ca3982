/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Error numbers: Xen's, as the guest ABI fixes them. Functions return -E*. */
#pragma once

#ifdef BH_HOST_TEST
#include <errno.h>
#undef ERESTART
#define ERESTART 85
#else
#define XEN_ERRNO(name, value) name = (value),
enum bh_errno {
#include <public/errno.h>
};
#undef XEN_ERRNO
#endif
