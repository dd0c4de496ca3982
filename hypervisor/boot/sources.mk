srcs-y += boot/start.S
