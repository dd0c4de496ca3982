srcs-y += control/console.c control/serial.c control/vga.c control/keyhandler.c
srcs-y += control/pci.c control/msi.c control/physdev.c control/ioport.c control/platform.c control/efi.c control/efi_runtime.c
srcs-y += control/domain.c control/vcpu.c control/area.c control/version.c
