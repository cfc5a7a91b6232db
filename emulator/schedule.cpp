// The choice of the next thread, on one word of ready lanes for each warp.
#include "emulator/schedule.hpp"

#include <bit>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace pylayers::emulator {

namespace {

constexpr std::string_view kOrders[] = {"forward", "reverse", "random", "priority"};
constexpr std::string_view kCopies[] = {"early", "late", "mixed"};

template <std::size_t n>
int index_of(std::string_view name, std::string_view const (&names)[n], char const* argument, char const* expected) {
    for (std::size_t i = 0; i < n; ++i)
        if (names[i] == name) return int(i);
    throw std::invalid_argument(std::string("schedule: argument '") + argument + "': expected " + expected + ", got '" +
                                std::string(name) + "'");
}

}  // namespace

std::string_view name(Order order) { return kOrders[int(order)]; }
std::string_view name(Copies copies) { return kCopies[int(copies)]; }

Order order_named(std::string_view name) {
    return Order(index_of(name, kOrders, "order", "'forward', 'reverse', 'random' or 'priority'"));
}

Copies copies_named(std::string_view name) {
    return Copies(index_of(name, kCopies, "copies", "'early', 'late' or 'mixed'"));
}

Copies copies_by(uint64_t seed) {
    constexpr Copies kTurn[] = {Copies::kLate, Copies::kMixed, Copies::kEarly};
    return kTurn[seed % std::size(kTurn)];
}

// splitmix64
uint64_t Schedule::random() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void Schedule::start(int64_t number, int warps) {
    state_ = seed_ * 0x2545f4914f6cdd1d + uint64_t(number);
    last_ = order_ == Order::kReverse ? warps * 32 : -1;
    leader_ = order_ == Order::kForward ? 0 : order_ == Order::kReverse ? 31 : int(seed_ * 7 % 32);
    priority_.resize(warps);
    std::iota(priority_.begin(), priority_.end(), 0);
    if (order_ == Order::kPriority)
        for (int i = warps; i > 1; --i) std::swap(priority_[i - 1], priority_[random() % i]);
}

std::size_t Schedule::next_of(std::size_t n) {
    if (copies_ == Copies::kMixed || order_ >= Order::kRandom) return std::size_t(random() % n);
    return order_ == Order::kForward ? 0 : n - 1;
}

int Schedule::pick(std::vector<uint32_t> const& ready) {
    int const warps = int(ready.size());
    auto const forward = [&](int from) {
        for (int w = from / 32, above = from % 32; w < warps; ++w, above = 0)
            if (uint32_t const lanes = ready[w] >> above << above) return w * 32 + std::countr_zero(lanes);
        return -1;
    };
    auto const backward = [&](int from) {
        for (int w = from / 32, below = 31 - from % 32; w >= 0; --w, below = 0)
            if (uint32_t const lanes = ready[w] << below >> below) return w * 32 + 31 - std::countl_zero(lanes);
        return -1;
    };
    // Lanes in turn from a random one on.
    auto const any_lane = [&](int w) {
        int const turn = int(random() % 32);
        return w * 32 + (std::countr_zero(std::rotr(ready[w], turn)) + turn) % 32;
    };
    switch (order_) {
        case Order::kForward:
            last_ = forward(last_ + 1 < warps * 32 ? last_ + 1 : 0);
            return last_ >= 0 ? last_ : last_ = forward(0);
        case Order::kReverse:
            last_ = backward(last_ > 0 ? last_ - 1 : warps * 32 - 1);
            return last_ >= 0 ? last_ : last_ = backward(warps * 32 - 1);
        case Order::kRandom:
            for (int i = 0, w = int(random() % warps); i < warps; ++i, ++w)
                if (ready[w % warps]) return any_lane(w % warps);
            return -1;
        case Order::kPriority:
            if (one_of(64)) std::swap(priority_[random() % warps], priority_[random() % warps]);
            for (int w : priority_)
                if (ready[w]) return any_lane(w);
            return -1;
    }
    return -1;
}

}  // namespace pylayers::emulator
