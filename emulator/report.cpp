// addr2line, asked only when there is something to report.
#include "emulator/report.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string_view>

namespace pylayers::emulator {
namespace {

Dl_info const& module() {
    static Dl_info const found = [] {
        Dl_info info{};
        dladdr(reinterpret_cast<void const*>(&low_half), &info);
        return info;
    }();
    return found;
}

}  // namespace

std::string ranges(std::vector<int> const& numbers) {
    std::string text;
    for (std::size_t i = 0; i < numbers.size();) {
        std::size_t end = i + 1;
        while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
        text += (i ? ", " : "") + std::to_string(numbers[i]);
        if (end > i + 1) text += "-" + std::to_string(numbers[end - 1]);
        i = end;
    }
    return text;
}

uint32_t low_half(void const* instruction) { return uint32_t(reinterpret_cast<std::uintptr_t>(instruction)); }

std::string source_line(uint32_t instruction) {
    static std::map<uint32_t, std::string> known;  // the tests that drop every site meet few lines, and often
    std::string& text = known[instruction];
    if (!text.empty()) return text;
    uint32_t const offset = instruction - low_half(module().dli_fbase);
    char command[4200];
    std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%x 2>/dev/null", module().dli_fname, offset);
    std::unique_ptr<FILE, int (*)(FILE*)> const pipe(popen(command, "r"), pclose);
    char line[1024];
    while (pipe && std::fgets(line, sizeof line, pipe.get())) {
        std::string_view place(line);
        place = place.substr(0, place.find_first_of("\n "));
        if (place.starts_with(PYLAYERS_ROOT)) place.remove_prefix(std::string_view(PYLAYERS_ROOT).size());
        if (place.find("emulator/csrc/launch.cuh") != place.npos) break;  // the same for every kernel
        if (place.find('?') == place.npos) text += (text.empty() ? "" : ", inlined at ") + std::string(place);
    }
    return text.empty() ? text = "an unknown line" : text;
}

}  // namespace pylayers::emulator
