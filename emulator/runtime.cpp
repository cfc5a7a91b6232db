// The emulator's body of csrc/runtime.hpp: a planned-for device, memory that is the host's, launches, and its controls.
#include "csrc/runtime.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "emulator/block.hpp"
#include "emulator/matrix.hpp"

namespace pylayers {

int active_mutant = 0;

namespace {

constexpr DeviceSpec kH200;

DeviceSpec spec = kH200;

// What the next launches run with.
struct Controls {
    emulator::Order order = emulator::Order::kForward;
    uint64_t seed = 0;
    emulator::Copies copies = emulator::Copies::kLate;
    int resident = 1;  // clusters
    int64_t first_block = 0, last_block = INT64_MAX;
};
Controls controls;

struct Launched {
    std::string kernel;
    int64_t blocks;
    int threads, shared_bytes, cluster;
};
std::deque<Launched> launched;  // the last kMostLaunched
constexpr std::size_t kMostLaunched = 1 << 16;
std::mutex running;  // one kernel at a time: the schedule shall depend on nothing but its seed

// "random:7:early" in the environment sets the schedule of a whole process; seed and copies may be missing.
void configure_from_environment() {
    char const* const text = std::getenv("PYLAYERS_SCHEDULE");
    if (!text || !*text) return;
    std::string_view rest(text);
    auto const next = [&] {
        auto const word = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
        return word;
    };
    controls.order = emulator::order_named(next());
    if (auto const word = next(); !word.empty()) controls.seed = std::strtoull(std::string(word).c_str(), nullptr, 10);
    controls.copies = rest.empty() ? emulator::copies_by(controls.seed) : emulator::copies_named(next());
}

}  // namespace

DeviceSpec device_spec(int) { return spec; }

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
    if (blocks % kernel.cluster)
        refuse(std::to_string(blocks) + " blocks, a grid of clusters of " + std::to_string(kernel.cluster) +
               " has a multiple of that");
    std::lock_guard const lock(running);
    launched.push_back({std::string(kernel.name), blocks, kernel.threads, kernel.shared_bytes, kernel.cluster});
    if (launched.size() > kMostLaunched) launched.pop_front();
    ++statistics.launches;
    if (!blocks) return;
    enter_kernel(kernel.name);
    race::start_launch(kernel, params, params_bytes);
    int64_t const cluster = kernel.cluster;
    int64_t const first = controls.first_block / cluster * cluster;
    int64_t const last = (std::min(blocks, controls.last_block) - 1) / cluster * cluster + cluster;
    if (first >= last) return;
    int64_t const resident = std::min<int64_t>({controls.resident, kMaxResident / cluster, (last - first) / cluster});
    FaultTrap const trap;
    Group all(kernel, blocks, int(resident), params, Schedule(controls.order, controls.seed, controls.copies));
    all.run(first, last);
}

}  // namespace emulator

void bind_runtime(pybind11::module_& m) {
    namespace py = pybind11;
    configure_from_environment();
    py::register_local_exception<emulator::EmulatorError>(m, "EmulatorError", PyExc_RuntimeError);
    m.def(
        "configure",
        [](std::string const& order, uint64_t seed, std::optional<std::string> const& copies) {
            auto const named = emulator::order_named(order);
            controls.copies = copies ? emulator::copies_named(*copies) : emulator::copies_by(seed);
            controls.order = named;
            controls.seed = seed;
        },
        py::arg("order"), py::arg("seed") = 0, py::arg("copies") = py::none());
    m.def("schedule",
          [] { return std::tuple(emulator::name(controls.order), controls.seed, emulator::name(controls.copies)); });
    m.def("set_resident", [](int clusters) {
        if (clusters < 1 || clusters > emulator::kMaxResident)
            throw std::invalid_argument("resident: argument 'clusters': expected 1 to " +
                                        std::to_string(emulator::kMaxResident) + ", got " + std::to_string(clusters));
        return std::exchange(controls.resident, clusters);
    });
    m.def("set_blocks", [](int64_t first, int64_t last) {
        controls.first_block = first;
        controls.last_block = last;
    });
    m.def("set_truncating", [](bool on) { return std::exchange(emulator::matrix::truncating, on); });
    m.def("set_device_spec",
          [](int capability, int sms, int64_t shared_bytes) { spec = {capability, sms, shared_bytes}; });
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
    m.def("leave_to_one_lane", &emulator::leave_to_one_lane);
    m.def("set_mutant", [](int number) { active_mutant = number; });
    m.def("launches", [] {
        py::list all;
        for (Launched const& l : launched)
            all.append(py::make_tuple(l.kernel, l.blocks, l.threads, l.shared_bytes, l.cluster));
        return all;
    });
    m.def("clear_launches", [] { launched.clear(); });
    m.def("statistics", [] {
        auto const& s = emulator::statistics;
        using namespace py::literals;
        return py::dict("launches"_a = s.launches, "blocks"_a = s.blocks, "switches"_a = s.switches,
                        "barriers"_a = s.barriers, "exchanges"_a = s.exchanges, "copies"_a = s.copies,
                        "products"_a = s.products);
    });
}

}  // namespace pylayers
