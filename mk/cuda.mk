# The cuda backend: libsgaps-cuda.so beside the tools, where there is an nvcc (12 or later); without one everything else is
# built all the same. CUDA_TARGETS are the devices it has machine code for; compute_80's PTX is for later ones.
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
nvcc_major := $(if $(NVCC),$(shell $(NVCC) --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p'))
ifneq ($(shell [ 0$(nvcc_major) -ge 12 ] && echo enough),enough)
override NVCC :=
endif
CUDA_TARGETS ?= 80 90a
cuda_src := $(sort $(wildcard lib/op/cuda/*.cu))
cuda_codes := $(foreach t,$(CUDA_TARGETS),-gencode arch=compute_$(t),code=sm_$(t)) -gencode arch=compute_80,code=compute_80
cuda_flags := -std=c++20 -O3 -Ilib -DSGAPS_VERSION='"$(VERSION)"' -Xcompiler -fPIC,-fvisibility=hidden,-Wall $(if $(CI),-Werror all-warnings)
cuda_id := $(shell printf '%s' '$(NVCC) $(subst ','\'',$(cuda_flags) $(cuda_codes))' | sha256sum | cut -c1-12)
C := $(BUILD)/cuda-$(cuda_id)
# What of the program the library needs goes into it, so that it stands on its own.
cuda_base := lib/base/err.c
cuda_obj := $(cuda_src:%.cu=$(C)/%.o) $(cuda_base:%.c=$(C)/%.o)
cuda_library := $(bin)/libsgaps-cuda.so
# Where it looks for cuBLASLt before the system's folders: NVIDIA's installers do not all tell the loader.
CUDA_RUNPATH ?= /usr/local/cuda/lib64

.PHONY: cuda
ifneq ($(NVCC),)
cuda: $(cuda_library)
all: $(cuda_library)
else
cuda:
	@echo "make cuda: no nvcc (CUDA 12 or later): libsgaps-cuda.so is not built" >&2; exit 1
endif

$(C)/%.o: %.cu
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(cuda_flags) $(cuda_codes) -MMD -MP -c $< -o $@
$(C)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(base_cflags) -O2 -fPIC -fvisibility=hidden -c $< -o $@
$(cuda_library): $(cuda_obj)
	@mkdir -p $(@D)
	$(Q)$(NVCC) -shared -cudart static $(cuda_codes) -o $@ $^ $(CUDA_LDFLAGS) -Xlinker -z,defs,--enable-new-dtags,-rpath,$(CUDA_RUNPATH) -lcublasLt

# The same sources for the CPU, against an emulation of CUDA: every kernel runs in the tests where there is no GPU.
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(CC)),clang++,g++)
endif
emulated := $(O)/tests/cuda/libsgaps-cuda-emulated.so
emulator := tests/cuda/emulator
# TSan knows no fibers.
emulated_san := $(filter-out -fsanitize=thread,$(san_flags))
emulated_flags := -std=c++20 -O2 -g -fno-math-errno -fPIC -fvisibility=hidden -I$(emulator) -Ilib \
                  -DSGAPS_VERSION='"$(VERSION)"' $(emulated_san) -Wall -Wno-unknown-pragmas -Wno-pass-failed $(if $(CI),-Werror)
emulator_obj := $(patsubst %.cpp,$(O)/emulated/%.o,$(wildcard $(emulator)/*.cpp))
emulated_obj := $(cuda_src:%.cu=$(O)/emulated/%.o) $(emulator_obj) $(cuda_base:%.c=$(O)/emulated/%.o)
$(emulator_obj): emulated_flags += -O3
$(O)/emulated/%.o: %.cu
	@mkdir -p $(@D)
	$(Q)$(CXX) $(emulated_flags) -MMD -MP -x c++ -c $< -o $@
$(O)/emulated/%.o: %.cpp
	@mkdir -p $(@D)
	$(Q)$(CXX) $(emulated_flags) -MMD -MP -c $< -o $@
$(O)/emulated/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(base_cflags) -O2 -fPIC -fvisibility=hidden -c $< -o $@
$(emulated): $(emulated_obj)
	@mkdir -p $(@D)
	$(Q)$(CXX) -shared $(if $(SAN),,-Wl,-z,defs) $(emulated_san) -o $@ $^ -lm
.PHONY: cuda-emulated
cuda-emulated: $(emulated)

# Is the emulator right, and does it find faults?
emulator_check := $(O)/tests/cuda/emulator_check
$(O)/emulated/tests/cuda/emulator_check.o: emulated_flags += -Itests/support
$(emulator_check): $(O)/emulated/tests/cuda/emulator_check.o $(emulator_obj) $(O)/tests/support.a $(O)/libsgaps.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(san_flags) $(LDFLAGS) -o $@ $^ $(libs)

-include $(cuda_src:%.cu=$(C)/%.d) $(emulated_obj:.o=.d) $(O)/emulated/tests/cuda/emulator_check.d
