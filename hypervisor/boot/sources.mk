srcs-y += boot/start.S boot/multiboot.c boot/e820.c boot/acpi.c
