# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y +=
srcs-y += pv/policy.c pv/cpuid.c pv/msr.c
srcs-y += pv/mmu.c pv/mmu_validate.c pv/mmu_update.c pv/mmuext.c pv/ptwr.c pv/decode.c
srcs-y += pv/traps.c pv/context.c pv/descriptor.c pv/state.c pv/hypercall.c
srcs-y += pv/emul_priv.c
