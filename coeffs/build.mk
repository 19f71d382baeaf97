# Device files: checked against the loader, and the loader against arbitrary bytes.
.PHONY: coeffs-check fuzz-coeffs
#: make coeffs-check  every device file holds
coeffs-check: $(BUILD)/tvg
	TVG_COEFFS=coeffs $(BUILD)/tvg coeffs check

FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 20
# Its program is linked in tests/build.mk, beside the fuzz target of traces.
#: make fuzz-coeffs   arbitrary bytes as a device file, FUZZ_SECONDS=20
fuzz-coeffs: $(BUILD)/fuzz/fuzz_coeffs
	@mkdir -p $(BUILD)/fuzz/coeffs-corpus
	$(BUILD)/fuzz/fuzz_coeffs -max_total_time=$(FUZZ_SECONDS) -max_len=32768 -timeout=10 -print_final_stats=1 -artifact_prefix=$(BUILD)/fuzz/ \
	  $(BUILD)/fuzz/coeffs-corpus coeffs
fuzz: fuzz-coeffs
