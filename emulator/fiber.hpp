// A stack of its own for each thread of a block: start a function on it, leave it, come back.
#pragma once
#include <cstddef>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace pylayers::emulator {

#if defined(__x86_64__)
using Context = void*;  // the stack pointer; the registers that a call keeps lie above it
#else
using Context = ucontext_t;
#endif

// All fibers hang on one scheduler: the code that calls `resume`.
class Fiber {
  public:
    // Takes a stack from the pool. `entry` begins with `entered` and ends with a last `suspend`, never by returning.
    void start(void (*entry)());
    static void entered();
    // From the scheduler into the fiber, until it suspends or leaves.
    void resume();
    // From the fiber back to the scheduler.
    void suspend();
    // The same from a fiber that failed. Nothing is unwound, so it may be called anywhere, in a signal handler too.
    [[noreturn]] void leave();
    // Gives back the stack of a fiber that came to its end.
    void release();
    // The same for a fiber that has not.
    void abandon();

    bool started() const { return stack_ != nullptr; }
    bool on_stack(void const* address) const {
        auto const p = static_cast<std::byte const*>(address);
        return stack_ && p >= stack_ && p < stack_ + kStackBytes;
    }
    // Just below the stack, where an overflow ends.
    bool on_guard(void const* address) const {
        auto const p = static_cast<std::byte const*>(address);
        return stack_ && p < stack_ && p >= stack_ - 2 * kGuardBytes;
    }

  private:
    static constexpr std::size_t kStackBytes = 128 << 10;
    static constexpr std::size_t kGuardBytes = 4096;
    static std::byte* new_stack();

    Context context_{};
    std::byte* stack_ = nullptr;
    void* fake_stack_ = nullptr;  // AddressSanitizer's
};

}  // namespace pylayers::emulator
