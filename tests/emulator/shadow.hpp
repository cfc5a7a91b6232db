// The last accesses to each word of memory in a launch, and the check of the next one against them.
#pragma once
#include <cstdint>

namespace pylayers::emulator::shadow {

// Accesses before this launch are ordered before all of its own. Parameters are constant.
void start_launch(void const* params, int params_bytes);

// An access by the thread that runs; ends the launch when it races with an earlier one.
void access(void const* address, int bytes, bool write, void const* instruction);

}  // namespace pylayers::emulator::shadow
