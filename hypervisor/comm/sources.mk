srcs-y +=
srcs-y += comm/grant_table.c comm/grant_map.c comm/grant_copy.c comm/grant_ops.c
