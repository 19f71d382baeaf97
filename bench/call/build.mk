#: bench-call   what recording one call costs over an empty function, beside uftrace, LTTng-UST and ltrace
BENCHES += call
.PHONY: bench-call
$(BUILD)/bench/call/libempty_blas.so: bench/call/empty_blas.c
	@mkdir -p $(@D)
	$(CC) -O2 -shared -fPIC -Wl,-soname,libempty_blas.so -o $@ $<
$(BUILD)/bench/call/call_loop: bench/call/call_loop.c $(BUILD)/bench/call/libempty_blas.so
	$(CC) -O2 -g -o $@ $< -L$(@D) -lempty_blas -Wl,-rpath,'$$ORIGIN'
# Built only where LTTng-UST is installed; the benchmark says so when it is not.
$(BUILD)/bench/call/call_loop_lttng: bench/call/call_loop.c bench/call/tracepoint.h $(BUILD)/bench/call/libempty_blas.so
	-@$(CC) -O2 -g -I. -DWITH_TRACEPOINT -o $@ $< -L$(@D) -lempty_blas -Wl,-rpath,'$$ORIGIN' -llttng-ust -ldl 2>/dev/null
bench-call: all $(BUILD)/bench/call/call_loop $(BUILD)/bench/call/call_loop_lttng
	@BUILD="$(abspath $(BUILD))" $(PYTHON) bench/call/run.py $(ARGS)
