/* SPDX-License-Identifier: GPL-2.0-or-later */
/* <public/hvm/save.h>, which <public/domctl.h> pulls in, asks for this name and
 * wants BUG() from it. */
#pragma once
#include <bh/lib.h>
