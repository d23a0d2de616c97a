# Sources to objects to libsgaps.a to one program for each folder of cmd/. A room is found by its folder; adding a
# source needs no change here. Objects live in one folder for each set of flags, so SAN=1 and plain builds coexist.
BUILD ?= build
BIN   ?= bin
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings
ifdef CI
WARN += -Werror
endif

ifeq ($(SAN),1)
san_flags := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(SAN),thread)
san_flags := -fsanitize=thread
else ifdef SAN
$(error SAN is 1 (address and undefined behaviour) or thread)
endif

need := hdf5 libfyaml libpng libcjson libcrypto zlib libwebsockets libsixel
ifneq ($(filter-out help clean uninstall dist doc deps deps-build,$(or $(MAKECMDGOALS),all)),)
pkg_cflags := $(shell pkg-config --cflags $(need) 2>/dev/null)
pkg_libs   := $(shell pkg-config --libs $(need) 2>/dev/null)
endif

base_cflags := -std=c11 -D_GNU_SOURCE -DSGAPS_VERSION='"$(VERSION)"' -Ilib -fopenmp -ffp-contract=off -fno-math-errno \
               $(WARN) $(san_flags)
all_cflags := $(base_cflags) $(CPPFLAGS) $(CFLAGS) $(pkg_cflags)
libs := $(pkg_libs) -ldnnl -lqhull_r -lev -lm -ldl -lpthread

flags_id := $(shell printf '%s' '$(CC) $(subst ','\'',$(all_cflags)) $(LDFLAGS)' | sha256sum | cut -c1-12)
O := $(BUILD)/$(flags_id)
# Sanitised tools must not take the place of the plain ones.
bin := $(if $(SAN),$(O)/bin,$(BIN))

lib_src := $(sort $(shell find lib -name '*.c'))
lib_obj := $(lib_src:%.c=$(O)/%.o)
archive := $(O)/libsgaps.a
tools   := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard cmd/*/main.c)))))
tool_bin := $(tools:%=$(bin)/sgaps-%)
tool_obj := $(foreach t,$(tools),$(patsubst %.c,$(O)/%.o,$(wildcard cmd/$(t)/*.c)))

.PHONY: all clean deps deps-build
all: $(tool_bin)

# The set-up step: says what it installs, does nothing when nothing is missing.
deps:
	@sh mk/deps.sh
deps-build:
	@sh mk/deps.sh build

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -MMD -MP -c $< -o $@

$(archive): $(lib_obj)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

.SECONDEXPANSION:
$(tool_bin): $(bin)/sgaps-%: $$(patsubst %.c,$(O)/%.o,$$(wildcard cmd/$$*/*.c)) $(archive)
	@mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ $(libs)

# The cpu backend is one source compiled for three instruction sets; the machine's is chosen when it runs. Loops there
# are worth -O3 and fused multiply-adds.
x86 := $(findstring x86_64,$(shell $(CC) -dumpmachine 2>/dev/null))
$(O)/lib/op/cpu/cpu_%.o: all_cflags += -O3 -ffp-contract=fast
$(O)/lib/op/cpu/cpu_avx2.o: all_cflags += $(if $(x86),-mavx2 -mfma)
$(O)/lib/op/cpu/cpu_avx512.o: all_cflags += $(if $(x86),-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)

# The live page is a part of the program.
$(O)/lib/live/page.o: share/live.html

-include $(lib_obj:.o=.d) $(tool_obj:.o=.d)

# make V=1 shows the command lines.
ifndef V
Q = @echo '  $(if $(filter %.o,$@),CC,LD) $@';
endif

clean:
	rm -rf $(BUILD) $(BIN) demo
