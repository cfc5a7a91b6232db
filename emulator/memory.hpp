// Memory a kernel must not leave: shared memory that ends at a guard page, and faults in kernels turned into reports.
#pragma once
#include <signal.h>

#include <cstddef>
#include <optional>

namespace pylayers::emulator {

constexpr int kMaxSharedBytes = 232448;  // what a block may have on sm_90

constexpr int kMaxResident = 160;  // blocks

// One block's shared memory, of kMaxResident. It ends exactly at a page nobody may touch; the bytes before it are
// watched.
class SharedMemory {
  public:
    SharedMemory(int number, int bytes);
    ~SharedMemory();
    SharedMemory(SharedMemory const&) = delete;

    std::byte* data() const { return begin_; }
    int bytes() const { return bytes_; }
    bool holds(void const* p) const { return p >= begin_ && p < begin_ + bytes_; }
    // Which number's memory the address is near; out of range for an address that is near none.
    static std::size_t number_at(void const* p);
    // All bytes 0xff: a NaN in every float type, -1 in every integer.
    void poison();
    // Whether the bytes before it are still as `poison` left them.
    bool intact() const;
    // Nobody may touch it any more, until it is opened again.
    void close();
    void open();
    // Whether the address lies on the page behind it.
    bool just_before(void const* p) const { return p >= begin_ + bytes_ && p < begin_ + bytes_ + 4096; }

  private:
    std::byte* begin_;
    int bytes_;
    bool closed_ = false;
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
