// mbarriers as the emulator keeps them; the 8 bytes in shared memory only say which one it is.
#pragma once
#include <string>

#include "emulator/block.hpp"

namespace pylayers::emulator {

// The mbarrier at this place of a block's shared memory, initialised and not overwritten.
Barrier& barrier_at(Block& block, uint32_t offset, Site const& site);
// Its place: at a multiple of 8 in the shared memory of the thread that runs.
uint32_t barrier_offset(void const* address, Site const& site);

// `arrivals` by the thread that runs, at a barrier of its own block or of another one of the cluster.
void arrive(Block& block, Barrier& barrier, Site const& site);
void expect(Barrier& barrier, int bytes, Site const& site);
// Bytes of a copy, or the arrival of cp.async, at a barrier that was there when it began.
void land_bytes(Block& block, uint32_t offset, int bytes, race::Ticket const& ticket, Site const& site);
void land_arrival(Block& block, uint32_t offset, race::Ticket const& ticket, Site const& site);

// "mbarrier at byte 1024 of shared memory: phase 3, 1 of 2 arrivals and 512 bytes to come"
std::string describe(Barrier const& barrier);

}  // namespace pylayers::emulator
