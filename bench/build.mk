BENCHES :=
include $(sort $(wildcard bench/*/build.mk))
