#include "fiber.h"

#include <asan.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <new>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
enum { STACK = 512 << 10 };
#define UNWATCHED __attribute__((no_sanitize_address))
#else
enum { STACK = 128 << 10 };
#define UNWATCHED
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

static const size_t PAGE = 4096;

struct emulator::fiber {
#ifdef __x86_64__
    void *pointer; /* of the stack, where it stands while another runs; what it needs to go on lies there */
#else
    ucontext_t context;
#endif
    const void *low; /* the stack, for ASan */
    size_t size;
    void *fake;
};

static const size_t ROOM = (sizeof(emulator::fiber) + 127) / 128 * 128;
static emulator::fiber host, *here = &host;
static std::vector<emulator::fiber *> unused;
static size_t stacks;

#ifdef __x86_64__
/* What a function must keep for its caller, on the old stack; then the same from the new one. The floating-point control
 * words are the same on all of them. */
extern "C" __attribute__((visibility("hidden"))) void sgaps_emulator_switch(void **save, void *pointer);
asm(".text\n"
    ".hidden sgaps_emulator_switch\n"
    ".globl sgaps_emulator_switch\n"
    ".type sgaps_emulator_switch, @function\n"
    "sgaps_emulator_switch:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size sgaps_emulator_switch, . - sgaps_emulator_switch\n");
#endif

/* A page that cannot be touched lies below each stack, the fiber itself above it. */
static emulator::fiber *new_fiber()
{
    void *p =
        mmap(NULL, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, PAGE, PROT_NONE)) {
        perror("CUDA emulator: no memory for stacks");
        abort();
    }
    emulator::fiber *f = new ((char *)p + PAGE + STACK - ROOM) emulator::fiber();
    /* Frames at the same place of their page would all fall into the same few sets of the cache. */
    size_t stagger = stacks++ % 31 * 128;
    f->low = (char *)p + PAGE;
    f->size = STACK - ROOM - stagger;
    return f;
}

emulator::fiber *emulator::fiber_take(void (*entry)())
{
    if (unused.empty())
        unused.push_back(new_fiber());
    fiber *f = unused.back();
    unused.pop_back();
#ifdef __x86_64__
    /* As if entry() had been called from nowhere and had come to a switch at once. */
    void **top = (void **)((char *)f->low + f->size);
    top[-1] = NULL;
    top[-2] = (void *)entry;
    for (int i = 3; i <= 8; i++)
        top[-i] = NULL;
    f->pointer = top - 8;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = (void *)f->low;
    f->context.uc_stack.ss_size = f->size;
    f->context.uc_link = NULL;
    makecontext(&f->context, entry, 0);
#endif
    return f;
}

void emulator::fiber_give_back(fiber *f)
{
    unused.push_back(f);
}

UNWATCHED void emulator::fiber_arrived()
{
#ifdef __SANITIZE_ADDRESS__
    const void *low;
    size_t size;
    __sanitizer_finish_switch_fiber(here->fake, &low, &size);
    here->fake = NULL;
    if (!host.low) { /* the first switch came from there */
        host.low = low;
        host.size = size;
    }
#endif
}

UNWATCHED void emulator::fiber_switch(fiber *from, fiber *to, bool for_good)
{
    here = to;
#ifdef __SANITIZE_ADDRESS__
    if (from == &host)
        host.low = NULL;
    __sanitizer_start_switch_fiber(for_good ? NULL : &from->fake, to->low, to->size);
#else
    (void)for_good;
#endif
#ifdef __x86_64__
    sgaps_emulator_switch(&from->pointer, to->pointer);
#else
    swapcontext(&from->context, &to->context);
#endif
    fiber_arrived();
}

emulator::fiber *emulator::fiber_host()
{
    return &host;
}
