# For the tests of this folder: the CUDA device is the one SGAPS_CUDA_LIBRARY names, else the emulated one.
: "${SGAPS_CUDA_LIBRARY:=$SGAPS_TESTS/cuda/libsgaps-cuda-emulated.so}"
export SGAPS_CUDA_LIBRARY
