include $(sort $(wildcard tests/*/build.mk))
#: stacks     real inference stacks, each installed by pip into build/stacks (5 GB at most at a time; kept when TVG_STACKS_KEEP is set); ARGS='-k name' picks some
.PHONY: stacks
stacks: all | $(VENV)/ok
	@BUILD="$(abspath $(BUILD))" $(VENV)/bin/python -m pytest -c tests/pytest.ini --rootdir=. tests/stacks --durations=10 $(ARGS)

#: ci         what CI runs: `make test` and the stacks, with one summary of pytest at its end
.PHONY: ci
ci: deps
	@echo "tvg: building"
	@$(MAKE) --no-print-directory -s all
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory fuzz-short
	@$(MAKE) --no-print-directory e2e TESTS="tests/e2e tests/stacks"

# Sanitizers and the fuzz target of traces.
.PHONY: fuzz-trace sanitize
#: fuzz-trace  arbitrary bytes as a trace, through reader, profile, energy and report, FUZZ_SECONDS=20
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 20
FUZZ_FLAGS   := -std=gnu11 -D_GNU_SOURCE -DTVG_VERSION='"$(VERSION)"' -DTVG_DATADIR='"$(PREFIX)/share/tvg"' -I. -MMD -MP -g -O1 -fno-sanitize-recover=all
FUZZ_OBJ     := $(patsubst %.c,$(BUILD)/fuzz-obj/%.o,$(TRACE_SRC) $(filter-out analyzer/commands/%,$(ANALYZER_SRC)) analyzer/commands/command.c $(OPTIMIZER_SRC))
$(BUILD)/fuzz-obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
$(BUILD)/fuzz/fuzz_trace $(BUILD)/fuzz/fuzz_coeffs: $(BUILD)/fuzz/%: $(BUILD)/fuzz-obj/tests/fuzz/%.o $(FUZZ_OBJ)
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(TVG_LIBS)
fuzz-trace: $(BUILD)/fuzz/fuzz_trace
	@rm -rf $(BUILD)/fuzz/trace-seeds && mkdir -p $(BUILD)/fuzz/trace-corpus $(BUILD)/fuzz/trace-seeds
	TVG_COEFFS=coeffs TVG_FUZZ_SEEDS=$(BUILD)/fuzz/trace-seeds $(BUILD)/fuzz/fuzz_trace -runs=0 2>/dev/null
	ASAN_OPTIONS=quarantine_size_mb=16:$$ASAN_OPTIONS TVG_COEFFS=coeffs $(BUILD)/fuzz/fuzz_trace -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
	  -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/trace-corpus $(BUILD)/fuzz/trace-seeds
fuzz: fuzz-trace

#: sanitize    unit tests and the end-to-end tests of bad input under AddressSanitizer and UndefinedBehaviorSanitizer, in a build folder of their own
# The hosts of the end-to-end tests are recorded by the plain shim: what is looked at is the analyzer.
SANITIZE := SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
SANITIZE_TESTS := tests/e2e/test_bad_input.py tests/e2e/test_bad_traces.py tests/e2e/test_hostile_names.py tests/e2e/test_schema.py
sanitize: all | $(VENV)/ok
	@ASAN_OPTIONS=detect_leaks=1 $(MAKE) --no-print-directory -s BUILD=$(BUILD)-asan $(SANITIZE) unit $(BUILD)-asan/tvg
	@cp $(BUILD)/libtvgshim.so $(BUILD)-asan/
	@ASAN_OPTIONS=detect_leaks=1 BUILD=$(abspath $(BUILD)-asan) $(VENV)/bin/python -m pytest -q -c tests/pytest.ini --rootdir=. $(SANITIZE_TESTS)
#: cross-aarch64  the shim built for aarch64, and a host run under it by qemu-aarch64 (asks for a cross compiler and qemu-user; not part of `make test`)
.PHONY: cross-aarch64
DEBIAN_cross := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
cross-aarch64: $(BUILD)/tvg $(BUILD)/debian-cross.ok
	@BUILD="$(BUILD)" tests/cross/aarch64.sh

# What `make test` runs of the fuzzers: a few seconds each, quiet unless they find something. clang is among what `make deps` installs.
.PHONY: fuzz-short
fuzz-short:
	@mkdir -p $(BUILD)/fuzz
	@$(MAKE) --no-print-directory -s fuzz FUZZ_SECONDS=10 > $(BUILD)/fuzz/short.log 2>&1 || { tail -60 $(BUILD)/fuzz/short.log; exit 1; }
	@echo "fuzz: arbitrary traces and device files, 10 s each: nothing found"

# The patcher is the shim's; its test calls code that it has patched.
PATCH_OBJ := $(addprefix $(BUILD)/shim-obj/shim/intercept/,patch.o relocate.o stubs.o decoder.o)
$(BUILD)/unit/test_patch: tests/unit/test_patch.c $(PATCH_OBJ)
	@mkdir -p $(@D)
	$(CC) $(TVG_CFLAGS) $(if $(CAPSTONE),-DTVG_WITH_CAPSTONE) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(PATCH_OBJ) -lcmocka $(if $(CAPSTONE),-l:libcapstone.a) -lpthread -ldl

# The shim with rules for the engines of tests/guard as well.
$(BUILD)/gen/engine.c: tests/guard/engine.spec $(BUILD)/specgen
	@mkdir -p $(@D)
	$(BUILD)/specgen $< > $@
$(BUILD)/guard/libtvgshim.so: $(SHIM_OBJ) $(BUILD)/shim-obj/gen/engine.o
	@mkdir -p $(@D)
	$(SHIM_LINK)
e2e: $(BUILD)/guard/libtvgshim.so
