# SPDX-License-Identifier: GPL-2.0-or-later
# One line a test: $(eval $(call unit,NAME,SOURCES below hypervisor/[,FLAGS]))
$(eval $(call unit,boot_tables,boot/multiboot.c boot/e820.c boot/acpi.c))
