# SPDX-License-Identifier: GPL-2.0-or-later
# One line a target: $(eval $(call fuzz,NAME,SOURCES below hypervisor/[,FLAGS]))
$(eval $(call fuzz,multiboot,boot/multiboot.c boot/e820.c))
$(eval $(call fuzz,acpi,boot/acpi.c))
$(eval $(call fuzz,decode,pv/decode.c))
$(eval $(call fuzz,elf,lib/elf.c))
$(eval $(call fuzz,decompress,boot/lz4.c,-llzma -lzstd -lz))
$(eval $(call fuzz,cmdline,,-Wno-missing-prototypes))
# These two include what they test.
$(out)/fuzz_decompress: $(hv)/boot/declib.c
$(out)/fuzz_cmdline: $(hv)/lib/param.c $(hv)/lib/string.c
