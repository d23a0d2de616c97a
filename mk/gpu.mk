# make check-gpu: what must hold on a machine with an NVIDIA GPU; fails with the reason where there is none. It builds only what
# it runs, with a C compiler and nvcc and none of the libraries that the tools need: lib/base, lib/op (ref and the cuda
# library's loader), lib/spt. Python with numpy and h5py drives the network. SANITIZE=1: the operations once more under
# compute-sanitizer's memcheck and racecheck.
G := $(O)/gpu
gpu_flags = $(base_cflags) $(CPPFLAGS) $(CFLAGS) -fPIC -Itests/support
gpu_src := $(sort $(wildcard lib/base/*.c lib/op/*.c lib/op/ref/*.c lib/spt/*.c)) tests/gpu/no_cpu.c
gpu_obj := $(gpu_src:%.c=$(G)/%.o)
# Tests that need nothing else either.
gpu_tests := large_cuda ops_cuda recordings_cuda state_cuda
gpu_support := $(patsubst %,$(G)/tests/support/%.o,cuda_case op_compare tap)
gpu_own := $(patsubst %,$(G)/tests/gpu/%.o,network gpu_device curand_device) $(gpu_tests:%=$(G)/tests/op/%.o) $(gpu_support)
PYTHON ?= python3
# nvcc itself knows where its libraries are; the C compiler, which links what it compiled, is told. cuRAND is not in every
# toolkit.
cuda_folders := $(if $(NVCC),$(patsubst %/bin/,%,$(dir $(NVCC)) $(dir $(realpath $(NVCC)))) /usr/local/cuda)
curand := $(firstword $(wildcard $(cuda_folders:%=%/include/curand_kernel.h)))
gpu_programs := $(G)/gpu_device $(gpu_tests:%=$(G)/%) $(G)/libsgaps-network.so $(if $(curand),$(G)/curand_device)

$(G)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(gpu_flags) -MMD -MP -c $< -o $@
$(G)/gpu_device: $(G)/tests/gpu/gpu_device.o $(gpu_obj)
$(gpu_tests:%=$(G)/%): $(G)/%: $(G)/tests/op/%.o $(gpu_support) $(gpu_obj)
$(G)/gpu_device $(gpu_tests:%=$(G)/%):
	$(Q)$(CC) $(gpu_flags) $(LDFLAGS) -o $@ $^ -lm -ldl -lpthread
$(G)/libsgaps-network.so: $(G)/tests/gpu/network.o $(gpu_obj)
	$(Q)$(CC) $(gpu_flags) $(LDFLAGS) -shared -o $@ $^ -lm -ldl -lpthread
$(G)/%.o: %.cu
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(cuda_flags) $(cuda_codes) -MMD -MP -c $< -o $@
$(G)/curand_device: $(G)/tests/gpu/curand_device.o $(gpu_obj)
	$(Q)$(CC) $(gpu_flags) $(LDFLAGS) -o $@ $^ $(cuda_folders:%=-L%/lib64) -lcudart_static -lstdc++ -lrt -lm -ldl -lpthread

-include $(gpu_obj:.o=.d) $(gpu_own:.o=.d)

.PHONY: gpu-programs gpu-folder check-gpu
gpu-programs: $(gpu_programs)
check-programs: gpu-programs
gpu-folder:
	@echo $(abspath $(G))
check-gpu: cuda gpu-programs
	SGAPS_ROOT=$(CURDIR) SGAPS_CUDA_LIBRARY=$(or $(SGAPS_CUDA_LIBRARY),$(abspath $(cuda_library))) SANITIZE=$(SANITIZE) \
	    PYTHON=$(PYTHON) sh tests/gpu/check.sh $(abspath $(G))
