srcs-y += control/console.c control/serial.c control/vga.c control/keyhandler.c
