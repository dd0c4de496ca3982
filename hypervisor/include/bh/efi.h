/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UEFI firmware behind us: what dom0 asks about it (control/efi.c). */
#pragma once

#include <bh/types.h>

struct boot_info;
struct xenpf_firmware_info;
struct xenpf_efi_runtime_call;

/* Copies what is needed while everything is still where firmware left it. */
void efi_init(const struct boot_info *bi);
int efi_firmware_info(struct xenpf_firmware_info *fi);
/* Physical address of the runtime services table, 0: none. */
u64 efi_runtime_services(void);
int efi_runtime_call(struct xenpf_efi_runtime_call *op);
