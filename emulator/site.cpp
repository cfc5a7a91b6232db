// Interned call sites, with a small cache keyed by the compiler's own constant for each call.
#include "emulator/site.hpp"

#include <array>
#include <bit>
#include <map>

namespace pylayers::emulator {
namespace {

std::map<SiteKey, Site> known;
std::vector<Site const*> numbered;
std::string kernel;

// A source_location is a pointer to a constant of its own for each call site.
static_assert(sizeof(std::source_location) == sizeof(std::uintptr_t));

struct Cached {
    std::uintptr_t call = 0;
    char const* instruction = nullptr;
    Site* site = nullptr;
};
std::array<Cached, 256> cache;

Site& intern(SiteKey const& key) {
    auto const [entry, added] = known.try_emplace(key);
    Site& site = entry->second;
    if (added) {
        std::tie(site.kernel, site.instruction, site.where) = key;
        site.number = uint32_t(numbered.size());
        numbered.push_back(&site);
    }
    return site;
}

}  // namespace

std::string to_string(Site const& site) { return site.instruction + " at " + site.where; }

std::string to_string(std::source_location const& where) {
    return std::string(where.file_name()) + ":" + std::to_string(where.line()) + ":" + std::to_string(where.column());
}

Site& locate(char const* instruction, std::source_location const& where) {
    auto const call = std::bit_cast<std::uintptr_t>(where);
    Cached& slot = cache[call / 16 % cache.size()];
    if (slot.call != call || slot.instruction != instruction) {
        slot = {call, instruction, &intern({kernel, instruction, to_string(where)})};
    }
    return *slot.site;
}

Site const& site_of(uint32_t number) { return *numbered[number]; }

void enter_kernel(std::string_view name) {
    kernel = name;
    cache.fill({});
}

std::vector<Site> sites() {
    std::vector<Site> all;
    for (auto const& [key, site] : known)
        if (site.visits) all.push_back(site);
    return all;
}

void clear_sites() {
    cache.fill({});
    for (auto& [key, site] : known) site.visits = 0;
}

void drop(SiteKey const& key) { intern(key).dropped = true; }
void leave_to_one_lane(SiteKey const& key) { intern(key).of_one_lane = true; }

void restore_sites() {
    for (auto& [key, site] : known) site.dropped = site.of_one_lane = false;
}

}  // namespace pylayers::emulator
