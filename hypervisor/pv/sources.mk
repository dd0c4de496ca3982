srcs-y +=
srcs-y += pv/policy.c pv/cpuid.c pv/msr.c
srcs-y += pv/mmu.c pv/mmu_validate.c pv/mmu_update.c pv/mmuext.c pv/ptwr.c pv/decode.c
