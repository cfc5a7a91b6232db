// The emulator's body of csrc/runtime.hpp: a planned-for device, memory that is the host's, launches, and its controls.
#include "csrc/runtime.hpp"

#include <pybind11/stl.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>

#include "emulator/block.hpp"

namespace pylayers {

int active_mutant = 0;

namespace {

constexpr DeviceSpec kH200;

DeviceSpec spec = kH200;
emulator::Order order = emulator::Order::kForward;
uint64_t seed = 0;

struct Launched {
    std::string kernel;
    int64_t blocks;
    int threads, shared_bytes;
};
std::deque<Launched> launched;  // the last kMostLaunched
constexpr std::size_t kMostLaunched = 1 << 16;
std::mutex running;  // one kernel at a time: the schedule shall depend on nothing but its seed

// "random:7" in the environment sets the schedule of a whole process.
void configure_from_environment() {
    char const* const text = std::getenv("PYLAYERS_SCHEDULE");
    if (!text || !*text) return;
    std::string_view const words(text);
    auto const colon = words.find(':');
    order = emulator::order_named(words.substr(0, colon));
    if (colon != words.npos) seed = std::strtoull(text + colon + 1, nullptr, 10);
}

}  // namespace

DeviceSpec device_spec(int) { return spec; }

void upload(void* to, void const* from, int64_t bytes, Stream) { std::memcpy(to, from, bytes); }

namespace emulator {

void launch(Kernel const& kernel, int64_t blocks, void const* params, int params_bytes) {
    auto const refuse = [&](std::string const& what) {
        throw EmulatorError("launch of " + std::string(kernel.name) + ": " + what);
    };
    if (kernel.threads < 1 || kernel.threads > kMaxThreads)
        refuse(std::to_string(kernel.threads) + " threads, a block has 1 to 1024");
    if (kernel.shared_bytes > kMaxSharedBytes)
        refuse(std::to_string(kernel.shared_bytes) + " bytes of shared memory, a block has at most 232448");
    if (blocks < 0 || blocks > INT32_MAX) refuse(std::to_string(blocks) + " blocks, a grid has at most 2147483647");
    std::lock_guard const lock(running);
    launched.push_back({std::string(kernel.name), blocks, kernel.threads, kernel.shared_bytes});
    if (launched.size() > kMostLaunched) launched.pop_front();
    ++statistics.launches;
    if (!blocks) return;
    enter_kernel(kernel.name);
    race::start_launch(params, params_bytes);
    FaultTrap const trap;
    Group all(kernel, blocks, params, Schedule(order, seed));
    for (int64_t block = 0; block < blocks; ++block) all.run(block);
}

}  // namespace emulator

void bind_runtime(pybind11::module_& m) {
    namespace py = pybind11;
    configure_from_environment();
    py::register_local_exception<emulator::EmulatorError>(m, "EmulatorError", PyExc_RuntimeError);
    m.def("configure", [](std::string const& name, uint64_t number) {
        order = emulator::order_named(name);
        seed = number;
    });
    m.def("schedule", [] { return std::pair(emulator::name(order), seed); });
    m.def("set_device_spec", [](int capability, int sms, int64_t shared_bytes, int64_t l2_bytes) {
        spec = {capability, sms, shared_bytes, l2_bytes};
    });
    m.def("reset_device_spec", [] { spec = kH200; });
    m.def("sites", [] {
        py::list all;
        for (emulator::Site const& s : emulator::sites()) all.append(py::make_tuple(s.kernel, s.instruction, s.where));
        return all;
    });
    m.def("clear_sites", &emulator::clear_sites);
    m.def("drop", [](std::optional<emulator::SiteKey> const& site) {
        site ? emulator::drop(*site) : emulator::restore_sites();
    });
    m.def("set_mutant", [](int number) { active_mutant = number; });
    m.def("launches", [] {
        py::list all;
        for (Launched const& l : launched) all.append(py::make_tuple(l.kernel, l.blocks, l.threads, l.shared_bytes));
        return all;
    });
    m.def("clear_launches", [] { launched.clear(); });
    m.def("statistics", [] {
        auto const& s = emulator::statistics;
        using namespace py::literals;
        return py::dict("launches"_a = s.launches, "blocks"_a = s.blocks, "switches"_a = s.switches,
                        "barriers"_a = s.barriers, "exchanges"_a = s.exchanges);
    });
}

}  // namespace pylayers
