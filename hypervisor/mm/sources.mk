srcs-y +=
