# SPDX-License-Identifier: GPL-2.0-or-later
srcs-y += control/console.c control/serial.c control/vga.c control/keyhandler.c
srcs-y += control/pci.c control/msi.c control/physdev.c control/ioport.c control/platform.c control/efi.c control/efi_runtime.c
srcs-y += control/domain.c control/vcpu.c control/area.c control/version.c
srcs-y += control/domctl.c control/domctl_domain.c control/domctl_vcpu.c
srcs-y += control/domctl_misc.c control/sysctl.c control/sysctl_topology.c
