/* Fibers: a thread of a block has its own stack, and says itself when another goes on. */
#ifndef SGAPS_EMULATOR_FIBER_H
#define SGAPS_EMULATOR_FIBER_H

#include <stddef.h>

namespace emulator
{
struct fiber;

/* A fiber with a fresh stack that will run entry(), which never returns. */
fiber *fiber_take(void (*entry)());
/* Its stack is free for the next fiber_take; the fiber itself may still switch away, for good. */
void fiber_give_back(fiber *f);
/* Runs `to` until it, or another, switches back to `from`. A fiber that has been given back does not come back. */
void fiber_switch(fiber *from, fiber *to, bool for_good = false);
/* First in entry(). */
void fiber_arrived();
/* The one that stands for the stack launches are called on. */
fiber *fiber_host();
} // namespace emulator

#endif
