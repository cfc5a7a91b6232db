// Pooled, guarded stacks and the switch between them: a few lines of assembly on x86-64, ucontext elsewhere.
#include "emulator/fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what a call must keep, then goes on where `to` was saved. A jump, since a return would be mispredicted.
extern "C" void pylayers_emulator_switch(void** save, void* to);
asm(R"(
.text
.type pylayers_emulator_switch,@function
.hidden pylayers_emulator_switch
.globl pylayers_emulator_switch
pylayers_emulator_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    pop %rcx
    jmp *%rcx
.size pylayers_emulator_switch, .-pylayers_emulator_switch
)");
#endif

namespace pylayers::emulator {
namespace {

Context scheduler{};
std::vector<std::byte*> pool;

#if defined(__x86_64__)
void switch_context(Context& from, Context& to) { pylayers_emulator_switch(&from, to); }

void prepare(Context& context, std::byte* stack, std::size_t bytes, void (*entry)()) {
    auto word = reinterpret_cast<void**>(stack + bytes);
    *--word = nullptr;  // where a caller's return address would lie: the ABI's alignment
    *--word = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--word = nullptr;
    context = word;
}
#else
void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }

void prepare(Context& context, std::byte* stack, std::size_t bytes, void (*entry)()) {
    getcontext(&context);
    context.uc_stack = {.ss_sp = stack, .ss_flags = 0, .ss_size = bytes};
    makecontext(&context, entry, 0);
}
#endif

// AddressSanitizer must know on which stack it is: told before each switch and after it.
#if defined(__SANITIZE_ADDRESS__)
void const* scheduler_stack;
std::size_t scheduler_stack_bytes;
void* scheduler_fake_stack;

void before_switch(void** save, void const* stack, std::size_t bytes) {
    __sanitizer_start_switch_fiber(save, stack, bytes);
}
void after_switch(void* fake) { __sanitizer_finish_switch_fiber(fake, nullptr, nullptr); }
void before_return(void** save) { before_switch(save, scheduler_stack, scheduler_stack_bytes); }
void after_entry(void* fake) { __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_stack_bytes); }
void forget(void* stack, std::size_t bytes) { __asan_unpoison_memory_region(stack, bytes); }
#else
void* scheduler_fake_stack;

void before_switch(void**, void const*, std::size_t) {}
void after_switch(void*) {}
void before_return(void**) {}
void after_entry(void*) {}
void forget(void*, std::size_t) {}
#endif

}  // namespace

std::byte* Fiber::new_stack() {
    static std::size_t made = 0;
    auto const mapped =
        static_cast<std::byte*>(mmap(nullptr, kGuardBytes + kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (mapped == MAP_FAILED || mprotect(mapped, kGuardBytes, PROT_NONE)) throw std::bad_alloc();
    // Tops at different places in their pages, or all stacks would compete for the same lines of the cache.
    return mapped + kGuardBytes + made++ * 448 % kGuardBytes;
}

void Fiber::start(void (*entry)()) {
    if (pool.empty()) pool.push_back(new_stack());
    stack_ = pool.back();
    pool.pop_back();
    fake_stack_ = nullptr;
    prepare(context_, stack_, kStackBytes, entry);
}

void Fiber::entered() { after_entry(nullptr); }

void Fiber::resume() {
    before_switch(&scheduler_fake_stack, stack_, kStackBytes);
    switch_context(scheduler, context_);
    after_switch(scheduler_fake_stack);
}

void Fiber::suspend() {
    before_return(&fake_stack_);
    switch_context(context_, scheduler);
    after_entry(fake_stack_);
}

void Fiber::leave() {
    before_return(nullptr);
    switch_context(context_, scheduler);
    __builtin_unreachable();
}

void Fiber::release() {
    pool.push_back(stack_);
    stack_ = nullptr;
}

void Fiber::abandon() {
    if (!stack_) return;
    forget(stack_, kStackBytes);
    release();
}

}  // namespace pylayers::emulator
