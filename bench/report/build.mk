#: bench-report     time and memory of `tvg report` on 10 million ops, against reading and decoding the same blocks alone
BENCHES += report
.PHONY: bench-report
$(BUILD)/bench/tracegen $(BUILD)/bench/decode_floor: $(BUILD)/bench/%: bench/report/%.c $(BUILD)/libtvg.a
	@mkdir -p $(@D)
	$(CC) $(TVG_CFLAGS) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(BUILD)/libtvg.a $(TVG_LIBS)
bench-report: $(BUILD)/tvg $(BUILD)/bench/tracegen $(BUILD)/bench/decode_floor
	@$(PYTHON) bench/report/run.py $(BUILD) $(ARGS)
