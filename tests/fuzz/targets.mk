# SPDX-License-Identifier: GPL-2.0-or-later
# One line a target: $(eval $(call fuzz,NAME,SOURCES below hypervisor/[,FLAGS]))
$(eval $(call fuzz,multiboot,boot/multiboot.c boot/e820.c))
$(eval $(call fuzz,acpi,boot/acpi.c))
$(eval $(call fuzz,decode,pv/decode.c))
$(eval $(call fuzz,elf,lib/elf.c))
