# make check: C test programs that print TAP (tests/{unit,op,golden}/*.c), shell and Python tests that print TAP
# (tests/**/*.t) and bats files (tests/**/*.bats), all run by prove, which closes with the counts.
test_src := $(sort $(wildcard tests/unit/*.c tests/op/*.c tests/golden/*.c tests/fuzz/*.c))
test_bin := $(test_src:tests/%.c=$(O)/tests/%)
# Programs that the tests of tests/live start; no tests themselves.
peer_bin := $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/live/*.c))
test_support := $(patsubst %.c,$(O)/%.o,$(wildcard tests/support/*.c))
scripts := $(sort $(wildcard tests/*/*.t) $(wildcard tests/*/*.bats))
# One job for each core: a test that measures time lives in `make bench`.
jobs ?= $(shell nproc)

.PHONY: check check-programs bench
check-programs: $(test_bin) $(peer_bin) $(emulated) $(emulator_check)

# An archive, so that a test gets only what it uses.
support := $(O)/tests/support.a
$(support): $(test_support)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
$(test_bin) $(peer_bin): $(O)/tests/%: $(O)/tests/%.o $(support) $(archive)
	$(Q)$(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ $(libs)
$(O)/tests/%.o: all_cflags += -Itests/support
$(O)/tests/support/%.o: all_cflags += -Itests/support

-include $(test_bin:=.d) $(peer_bin:=.d) $(test_support:.o=.d)

# TESTS="tests/cli/info.bats ..." runs a few.
check: deps
	+@$(MAKE) --no-print-directory check-run
.PHONY: check-run
check-run: all check-programs
	SGAPS_BIN=$(abspath $(bin)) SGAPS_TESTS=$(abspath $(O)/tests) SGAPS_ROOT=$(CURDIR) SAN=$(SAN) OMP_NUM_THREADS=$(or $(OMP_NUM_THREADS),1) \
	    prove --merge --timer -j$(jobs) --exec tests/run.sh $(or $(TESTS),$(test_bin) $(emulator_check) $(scripts))

bench: all
	$(bin)/sgaps-bench all
