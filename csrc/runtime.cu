// The device through the CUDA runtime: the only cuda*() calls of the project.
#include "csrc/runtime.hpp"

#include <cuda_runtime.h>
#include <pybind11/stl.h>

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "csrc/launch.cuh"
#include "csrc/tensor_map.hpp"

namespace pylayers {
namespace {

void check(cudaError_t error, char const* call, std::string const& what = "") {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();  // a launch error must not be reported again by the next call
    std::string message = std::string(call) + " failed with " + cudaGetErrorName(error) + " (" +
                          std::to_string(int(error)) + "): " + cudaGetErrorString(error);
    if (error == cudaErrorNoKernelImageForDevice)
        message += "; rebuild for this GPU: pip install --no-cache-dir --force-reinstall pylayers";
    throw CudaFailure(message + (what.empty() ? "" : "; " + what));
}

// Makes `device` current for a scope.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device) {
        check(cudaGetDevice(&previous_), "cudaGetDevice");
        if (device != previous_) check(cudaSetDevice(device), "cudaSetDevice");
        changed_ = device != previous_;
    }
    ~DeviceGuard() {
        if (changed_) cudaSetDevice(previous_);
    }

  private:
    int previous_ = 0;
    bool changed_ = false;
};

// In recording mode nothing reaches the driver: launches are noted, so that the host side is testable
// without a GPU and the cost of a call can be measured.
struct Record {
    std::string_view name;  // lasts as long as the module
    int64_t blocks;
    int threads, shared_bytes, cluster;
    Stream stream;
};

std::mutex mutex;  // guards everything below
bool records_only = false;
std::vector<Record> records;
std::set<void const*> launched;  // kernels that went to the driver; evidence is kept by their linker names
std::optional<DeviceSpec> planned_spec;
std::map<int, DeviceSpec> specs;
std::set<std::pair<void const*, int>> enlarged;  // entries that may have more than 48 KB of shared memory, by device

bool note(Record const& record, void const* entry) {
    std::lock_guard lock(mutex);
    if (records_only) records.push_back(record);
    if (!records_only) launched.insert(entry);
    return records_only;
}

// Allows the kernel its shared memory, once on each device. That is no work of a stream: one that is being captured may
// launch the kernel for the first time.
void enlarge_shared_memory(Launch const& what, int device) {
    std::lock_guard lock(mutex);
    if (enlarged.contains({what.entry, device})) return;
    check(cudaFuncSetAttribute(what.entry, cudaFuncAttributeMaxDynamicSharedMemorySize, what.shared_bytes),
          "cudaFuncSetAttribute", std::string(what.name));
    enlarged.emplace(what.entry, device);
}

// Linker names of what was launched since the last call.
std::vector<std::string> take_launched() {
    std::lock_guard lock(mutex);
    std::vector<std::string> names;
    for (void const* entry : std::exchange(launched, {})) {
        char const* name = nullptr;
        check(cudaFuncGetName(&name, entry), "cudaFuncGetName");
        names.emplace_back(name);
    }
    return names;
}

DeviceSpec query(int device) {
    cudaDeviceProp p;
    check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
    return {p.major * 10 + p.minor, p.multiProcessorCount, int64_t(p.sharedMemPerBlockOptin)};
}

}  // namespace

bool recording() {
    std::lock_guard lock(mutex);
    return records_only;
}

DeviceSpec device_spec(int device) {
    std::lock_guard lock(mutex);
    if (planned_spec) return *planned_spec;
    if (records_only) return {};
    auto const found = specs.find(device);
    return found != specs.end() ? found->second : specs.emplace(device, query(device)).first->second;
}

void launch(Launch const& what, void** parameters, Stream stream) {
    if (what.blocks == 0) return;
    if (what.blocks < 0 || what.blocks > 2147483647)
        throw std::invalid_argument(std::string(what.name) + ": a grid holds at most 2147483647 blocks, got " +
                                    std::to_string(what.blocks));
    if (what.blocks % what.cluster)
        throw std::invalid_argument(std::string(what.name) + ": a grid of clusters of " + std::to_string(what.cluster) +
                                    " holds a multiple of that, got " + std::to_string(what.blocks) + " blocks");
    if (note({what.name, what.blocks, what.threads, what.shared_bytes, what.cluster, stream}, what.entry)) return;
    DeviceGuard guard(stream.device);
    if (what.shared_bytes > 48 * 1024) enlarge_shared_memory(what, stream.device);
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {unsigned(what.cluster), 1, 1};
    cudaLaunchConfig_t const config{dim3(unsigned(what.blocks)),
                                    dim3(unsigned(what.threads)),
                                    size_t(what.shared_bytes),
                                    reinterpret_cast<cudaStream_t>(stream.handle),
                                    &cluster,
                                    what.cluster > 1};
    check(cudaLaunchKernelExC(&config, what.entry, parameters), "cudaLaunchKernelExC", std::string(what.name));
}

void bind_runtime(pybind11::module_& m) {
    namespace py = pybind11;
    static py::handle const cuda_error = py::object(py::module_::import("pylayers.errors").attr("CudaError")).release();
    py::register_exception_translator([](std::exception_ptr p) {
        try {
            if (p) std::rethrow_exception(p);
        } catch (CudaFailure const& e) {
            PyErr_SetString(cuda_error.ptr(), e.what());
        }
    });
    m.def("driver_version", [] {
        int version = 0;
        check(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
        return version;
    });
    m.def("runtime_version", [] { return CUDART_VERSION; });
    m.def("device_count", [] {
        int count = 0;
        check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
        return count;
    });
    m.def("device_name", [](int device) {
        cudaDeviceProp p;
        check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
        return std::string(p.name);
    });
    m.def("record", [](bool on) {
        {
            std::lock_guard lock(mutex);
            records_only = on;
            records.clear();
        }
        forget_tensor_maps();  // which takes a lock of its own
    });
    m.def("take_records", [] {
        std::lock_guard lock(mutex);
        py::list list;
        for (auto const& r : std::exchange(records, {}))
            list.append(py::make_tuple(r.name, r.blocks, r.threads, r.shared_bytes, r.stream.handle, r.stream.device,
                                       r.cluster));
        return list;
    });
    m.def("take_launched", &take_launched);
    m.def("set_device_spec", [](int capability, int sms, int64_t shared_bytes) {
        std::lock_guard lock(mutex);
        planned_spec = DeviceSpec{capability, sms, shared_bytes};
    });
    m.def("clear_device_spec", [] {
        std::lock_guard lock(mutex);
        planned_spec.reset();
    });
}

}  // namespace pylayers
