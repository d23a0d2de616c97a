# SGAPS. `make help` lists the targets; the rules live in mk/.
#   make [all]      the tools, in bin/            make check [SAN=1|thread]   every test that needs no GPU
#   make demo       the main job on a real game   make bench                  speed, against the machine's peak
#   make install PREFIX=/usr/local DESTDIR=       make clean / dist / deps / uninstall
#   make doc        the manual as HTML            make completions            for bash, zsh and fish
# CC, CFLAGS, CPPFLAGS, LDFLAGS, BUILD (objects) and BIN (tools) are respected.
.DEFAULT_GOAL := all
VERSION := 0.1.0
include mk/build.mk
include mk/cuda.mk
include mk/check.mk
include mk/gpu.mk
include mk/install.mk
include mk/demo.mk

.PHONY: help
help:
	@sed -n '2,6s/^# //p' Makefile
