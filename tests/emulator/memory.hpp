// Memory a kernel must not leave: shared memory that ends at a guard page, and faults in kernels turned into reports.
#pragma once
#include <signal.h>

#include <cstddef>
#include <optional>

namespace pylayers::emulator {

constexpr int kMaxSharedBytes = 232448;  // what a block may have on sm_90

// One block's shared memory. It ends exactly at a page nobody may touch; the bytes before it are watched.
class SharedMemory {
  public:
    explicit SharedMemory(int bytes);
    ~SharedMemory();
    SharedMemory(SharedMemory const&) = delete;

    std::byte* data() const { return begin_; }
    int bytes() const { return bytes_; }
    bool holds(void const* p) const { return p >= begin_ && p < begin_ + bytes_; }
    // All bytes 0xff: a NaN in every float type, -1 in every integer.
    void poison();
    // Whether the bytes before it are still as `poison` left them.
    bool intact() const;

  private:
    std::byte* begin_;
    int bytes_;
};

struct Fault {
    enum class Access { kRead, kWrite, kUnknown };

    void* address = nullptr;
    void* instruction = nullptr;
    Access access = Access::kUnknown;
};

// While it lives, a fault on a fiber ends that fiber instead of the process. Any other fault goes where it went before.
class FaultTrap {
  public:
    FaultTrap();
    ~FaultTrap();
    FaultTrap(FaultTrap const&) = delete;

    // The fault that ended the fiber that ran last, if one did.
    static std::optional<Fault> take();

  private:
    stack_t previous_stack_;
};

}  // namespace pylayers::emulator
