// In which order the threads of the blocks run and when copies land: ways to look for missing synchronisation, each
// repeatable by its seed.
#pragma once
#include <cstddef>
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

// When what goes on by itself (copies, stores, matrix products) comes to its end.
enum class Copies {
    kEarly,  // at once
    kLate,   // when somebody has waited for it, or nobody can go on without it
    kMixed,  // at any time between
};

// ValueError in Python for an unknown word.
Order order_named(std::string_view name);
std::string_view name(Order order);
Copies copies_named(std::string_view name);
std::string_view name(Copies copies);
// What a seed says where nobody says more: late, mixed, early, in turn.
Copies copies_by(uint64_t seed);

class Schedule {
  public:
    Schedule(Order order, uint64_t seed, Copies copies) : order_(order), seed_(seed), copies_(copies) {}

    // A new set of blocks with this many warps; `number` makes its random choices its own.
    void start(int64_t number, int warps);
    // The next thread to run (warp * 32 + lane), of those whose bit is set in the word of their warp; -1 if there is
    // none.
    int pick(std::vector<uint32_t> const& ready);
    // Whether the thread that runs gives way here to another that could run.
    bool gives_way() { return order_ >= Order::kRandom && one_of(4); }
    // The lane of a warp that is elected.
    int leader() const { return leader_; }

    Copies copies() const { return copies_; }
    // Whether what begins now is done at once.
    bool at_once() { return copies_ == Copies::kEarly || (copies_ == Copies::kMixed && one_of(4)); }
    // Whether something under way comes to its end here although nobody needs it yet.
    bool lands() { return copies_ == Copies::kMixed && one_of(8); }
    // Which of n things under way is next.
    std::size_t next_of(std::size_t n);

  private:
    uint64_t random();
    bool one_of(uint32_t n) { return random() % n == 0; }

    Order order_;
    uint64_t seed_;
    Copies copies_;
    uint64_t state_ = 0;
    int last_ = -1;
    int leader_ = 0;
    std::vector<int> priority_;  // warps, the most urgent first
};

}  // namespace pylayers::emulator
