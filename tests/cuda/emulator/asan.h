/* __SANITIZE_ADDRESS__ is gcc's way of saying that ASan watches; clang has another. */
#ifndef SGAPS_EMULATOR_ASAN_H
#define SGAPS_EMULATOR_ASAN_H

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#endif
