srcs-y += cpu/syscall_stubs.S cpu/desc.c
