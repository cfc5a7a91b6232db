// The call sites of primitives in kernels: named in reports; those that synchronise are dropped one at a time as
// planted bugs.
#pragma once
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace pylayers::emulator {

struct Site {
    std::string kernel;
    std::string instruction;
    std::string where;         // "kernels/norm.cuh:41:9"
    uint32_t number = 0;       // among all sites
    bool dropped = false;      // the instruction does nothing here
    bool of_one_lane = false;  // it does nothing for all lanes of a warp but the first
    int64_t visits = 0;        // where it synchronises
};

// "sync_block at kernels/norm.cuh:41:9"
std::string to_string(Site const& site);

// "kernels/norm.cuh:41:9"
std::string to_string(std::source_location const& where);

// The site of this call in the kernel that runs. Constant time after the first call.
Site& locate(char const* instruction, std::source_location const& where);

// The same of a call that synchronises, and so can be dropped.
inline Site& visit(char const* instruction, std::source_location const& where) {
    Site& site = locate(instruction, where);
    ++site.visits;
    return site;
}

Site const& site_of(uint32_t number);

// Sites met from now on belong to this kernel.
void enter_kernel(std::string_view name);

using SiteKey = std::tuple<std::string, std::string, std::string>;  // kernel, instruction, where

std::vector<Site> sites();
void clear_sites();
void drop(SiteKey const& key);
// For all lanes but the first of each warp.
void leave_to_one_lane(SiteKey const& key);
void restore_sites();

}  // namespace pylayers::emulator
