#: man          writes man/*.1 from the commands' own --help (needs help2man); tests/e2e/test_manual.py tells when they are out of date
.PHONY: man
man: $(BUILD)/tvg
	@man/generate.sh $(BUILD)/tvg man
