// Words for errors: thread lists, and source lines of instructions.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pylayers::emulator {

// "0-31, 64" for rising numbers.
std::string ranges(std::vector<int> const& numbers);

// "kernels/norm.cuh:41", and from where that was inlined, for an instruction of this module. The low half of its
// address tells which one.
std::string source_line(uint32_t instruction);
uint32_t low_half(void const* instruction);

}  // namespace pylayers::emulator
