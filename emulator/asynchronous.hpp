// What goes on by itself: copies between global and shared memory, from their beginning to their end.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "emulator/race.hpp"

namespace pylayers::ptx {
struct TensorMap;
enum class TmaStore;
}  // namespace pylayers::ptx

namespace pylayers::emulator {

struct Block;
struct Site;
struct Thread;

// One cp.async.
struct Copy {
    std::byte* to;
    std::byte const* from;
    int bytes, source_bytes;
    Site const* site;
    bool landed;
    race::Ticket ticket;
    std::byte source[16];  // as it was at the beginning
};

// The cp.async of one thread that it has not waited for.
struct CopyGroups {
    std::vector<Copy> copies;
    uint64_t first = 0;          // number of the first of them
    uint64_t promised = 0;       // an mbarrier waits for those below
    std::vector<uint64_t> ends;  // of groups

    uint64_t end() const { return first + copies.size(); }
};

// A box of a tensor, or (without a map) bytes at `data`.
struct Source {
    ptx::TensorMap const* map = nullptr;
    std::byte* data = nullptr;
    int rank = 0;
    bool has_tap = false;
    int32_t at[5]{};
    uint16_t tap[3]{};
};

// A copy by TMA to shared memory of one block; or (without bytes) the arrival of a thread's cp.async at an mbarrier.
struct Load {
    Source from;
    Block* block = nullptr;
    uint32_t offset = 0, barrier = 0;  // in its shared memory
    int bytes = 0;
    Site const* site = nullptr;
    Thread* thread = nullptr;  // that began it
    uint64_t copies = 0;       // up to which the thread's cp.async count
    bool poisoned = false;
    race::Ticket ticket;
    std::vector<std::byte> source;  // as it was at the beginning
};

// A copy by TMA from shared memory.
struct Store {
    Source to;
    ptx::TmaStore how{};
    Block* block = nullptr;
    uint32_t offset = 0;
    int bytes = 0;
    int64_t group = 0;
    bool read = false, waited = false, written = false;
    Site const* site = nullptr;
    race::Ticket read_ticket, write_ticket;
    std::vector<std::byte> source;
};

// The stores of one thread that it has not waited for.
struct StoreGroups {
    std::vector<Store*> stores;
    int64_t committed = 0;  // groups
};

class UnderWay {
  public:
    Load& new_load();
    void begin(Load& load);
    Store& new_store();
    void begin(Store& store, Thread& thread);

    // Something comes to its end because nobody can go on without it; false if nothing would help.
    bool land();
    // The schedule's choice of what comes to its end although nobody needs it yet.
    void drift();
    bool any_loads() const { return !loads_.empty(); }
    // The first load that is on its way to this block's shared memory.
    Load const* toward(Block const& block) const;
    // Global memory has what a thread that leaves has stored.
    void take_over(StoreGroups& stores);
    void finish();

    void read(Store& store);
    void write(Store& store);
    void free(Store& store);

  private:
    void land(std::size_t i);
    void land(Load& load);

    std::vector<Load*> loads_;
    std::vector<Store*> stores_;  // of threads that have left
    std::vector<std::unique_ptr<Load>> all_loads_;
    std::vector<std::unique_ptr<Store>> all_stores_;
    std::vector<Load*> free_loads_;
    std::vector<Store*> free_stores_;
};

// The thread's cp.async below this number have landed.
void land_copies(Thread& thread, uint64_t end);

}  // namespace pylayers::emulator
