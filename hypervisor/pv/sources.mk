srcs-y +=
srcs-y += pv/policy.c pv/cpuid.c pv/msr.c
