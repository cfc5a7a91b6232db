// In which order the threads of a block run: four ways to look for missing synchronisation, each repeatable by its
// seed.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace pylayers::emulator {

enum class Order {
    kForward,   // by thread number
    kReverse,   // by falling thread number
    kRandom,    // any thread, which may give way at each primitive
    kPriority,  // the warp of the highest priority as far as it can go; priorities change now and then
};

// ValueError in Python for an unknown word.
Order order_named(std::string_view name);
std::string_view name(Order order);

class Schedule {
  public:
    Schedule(Order order, uint64_t seed) : order_(order), seed_(seed) {}

    // A new set of blocks with this many warps; `number` makes its random choices its own.
    void start(int64_t number, int warps);
    // The next thread to run (warp * 32 + lane), of those whose bit is set in the word of their warp; -1 if there is
    // none.
    int pick(std::vector<uint32_t> const& ready);
    // Whether the thread that runs gives way here to another that could run.
    bool gives_way() { return order_ >= Order::kRandom && one_of(4); }

  private:
    uint64_t random();
    bool one_of(uint32_t n) { return random() % n == 0; }

    Order order_;
    uint64_t seed_;
    uint64_t state_ = 0;
    int last_ = -1;
    std::vector<int> priority_;  // warps, the most urgent first
};

}  // namespace pylayers::emulator
