# make demo: the main job on the recording that ships with the project.
.PHONY: demo
demo: deps-build
	+@$(MAKE) --no-print-directory all
	@SGAPS_BIN=$(abspath $(bin)) sh examples/demo.sh
