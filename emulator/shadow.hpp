// The last accesses to each word of memory in a launch, and the check of the next one against them.
#pragma once
#include <cstdint>

#include "emulator/race.hpp"

namespace pylayers::emulator::shadow {

// Accesses before this launch are ordered before all of its own. Parameters are constant.
void start_launch(void const* params, int params_bytes);

constexpr uint32_t kProxy = 1u << 31;   // in an actor: it accesses memory through the asynchronous proxy
constexpr uint64_t kSite = 1ull << 32;  // in a place: it is a site's number

// Who accesses memory, when, and where in the kernel: at a site, or the low half of the instruction's address.
struct Origin {
    race::View const* view;
    Thread const* thread;  // that acts, or began the copy; null where `view` is that of a whole warp
    uint32_t actor, time;
    uint64_t place;
};

// Ends the launch when the access races with an earlier one.
void access(Origin const& origin, void const* address, int bytes, race::Access access);

}  // namespace pylayers::emulator::shadow
