// The wgmma of one warp that are under way, and the registers they read and write.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/block.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers::emulator {

// The same array in each lane: an accumulator, or A.
struct Registers {
    uint32_t* lanes[kLanes];
    int words;
    int writing = 0, reading = 0;  // by how many wgmma under way
    std::vector<uint32_t> values;  // what wgmma made of them, or they were at the last fence; lane by lane

    uint32_t* values_of(int lane) { return values.data() + lane * words; }
};

struct Multiplication {
    ptx::detail::Wgmma what;
    Site const* site;
    Registers* d;
    Registers* a;  // null where A lies in shared memory
    int64_t group;
    bool landed;
    race::Ticket ticket;
    std::vector<std::byte> a_bytes, b_bytes;  // (16, 32) and (n, 32), as they were at the beginning
};

struct Multiplications {
    std::vector<std::unique_ptr<Multiplication>> queue, unused;
    std::vector<std::unique_ptr<Registers>> known;
    int64_t committed = 0;  // groups
    bool fenced = false;    // since the last wait

    void reset();
    // The site of one that nobody has waited for, or null.
    Site const* in_flight() const { return queue.empty() ? nullptr : queue.front()->site; }
};

}  // namespace pylayers::emulator
