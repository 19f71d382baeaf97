# Device files: checked against the loader, and the loader against arbitrary bytes.
.PHONY: coeffs-check fuzz-coeffs
#: make coeffs-check  every device file holds
coeffs-check: $(BUILD)/tvg
	TVG_COEFFS=coeffs $(BUILD)/tvg coeffs check

FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 20
FUZZ_COEFFS_SRC := tests/fuzz/fuzz_coeffs.c analyzer/device.c analyzer/energy.c analyzer/interval.c analyzer/result.c trace/op.c
$(BUILD)/fuzz/fuzz_coeffs: $(FUZZ_COEFFS_SRC) $(wildcard analyzer/*.h trace/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) -std=gnu11 -D_GNU_SOURCE -DTVG_DATADIR='"$(PREFIX)/share/tvg"' -I. -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	  -o $@ $(FUZZ_COEFFS_SRC) -ljansson -lm
#: make fuzz-coeffs   arbitrary bytes as a device file, FUZZ_SECONDS=20
fuzz-coeffs: $(BUILD)/fuzz/fuzz_coeffs
	@mkdir -p $(BUILD)/fuzz/coeffs-corpus
	$(BUILD)/fuzz/fuzz_coeffs -max_total_time=$(FUZZ_SECONDS) -max_len=32768 -timeout=10 -print_final_stats=1 -artifact_prefix=$(BUILD)/fuzz/ \
	  $(BUILD)/fuzz/coeffs-corpus coeffs
fuzz: fuzz-coeffs
