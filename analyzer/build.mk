# main.c lists the commands whose files are in the tree.
$(BUILD)/tvg-obj/analyzer/main.o: $(wildcard analyzer/commands/*.c analyzer/*.c optimizer/*.c)
