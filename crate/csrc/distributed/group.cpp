// The process group: PyTorch's `torch.distributed.init_process_group` and its plain collectives.

#include "group.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include <chrono>
#include <cstdlib>
#include <mutex>

#include "nccl.h"

namespace nnclr {

using std::chrono::milliseconds;
using Backends = c10d::ProcessGroup::BackendType;

namespace {

// What goes wrong leaves as an error; c10d would write dozens of lines beside it. libtorch's warnings go
// the same way. `TORCH_CPP_LOG_LEVEL` says otherwise.
void quiet() {
  static std::once_flag once;
  std::call_once(once, [] {
    constexpr int kFatal = 3;
    c10::initLogging();
    if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = kFatal;
  });
}

// A store that ended with its group could be reached, while it closes, by ranks that come for the next
// one. It ends with the process; groups on the same port share it, and their prefixes keep them apart.
void keep(const c10::intrusive_ptr<c10d::Store>& store) {
  static std::mutex mutex;
  static auto* kept = new std::vector<c10::intrusive_ptr<c10d::Store>>();
  const std::lock_guard<std::mutex> lock(mutex);
  kept->push_back(store);
}

}  // namespace

void Group::wait(const c10::intrusive_ptr<c10d::Work>& work, const Tensor& tensor) {
  const auto begun = std::chrono::steady_clock::now();
  bytes += static_cast<int64_t>(tensor.nbytes());
  work->wait();
  waited_ns += (std::chrono::steady_clock::now() - begun).count();
}

// Collectives get detached tensors: Gloo copies on its own thread, where gradients are recorded.

void Group::sum(Tensor& tensor) {
  std::vector<Tensor> tensors{tensor.detach()};
  wait(live()->allreduce(tensors), tensor);
}

Tensor Group::all_gather(const Tensor& tensor) {
  Tensor input = tensor.detach().contiguous();
  auto shape = input.sizes().vec();
  shape.at(0) *= size;
  Tensor output = at::empty(shape, input.options());
  if (output.numel() > 0) wait(live()->all_gather_single(output, input), input);
  return output;
}

}  // namespace nnclr

using nnclr::Group;
using nnclr::guarded;
using nnclr::Tensor;

extern "C" {

// Mirrors `Config` of crate/src/distributed/ffi.rs.
struct nnclr_group_config {
  const char* address;
  const char* prefix;
  // Empty: the address of this machine on the way to `address`.
  const char* network_interface;
  const char* own_address;
  int32_t port;
  int32_t rank;
  int32_t size;
  int32_t hosts_store;
  // -1: CPU.
  int32_t cuda;
  int64_t join_timeout_ms;
  int64_t timeout_ms;
};

// Opens the store, as its host or as a client.
void* nnclr_store_open(const nnclr_group_config* config, char* message) {
  using namespace nnclr;
  c10::intrusive_ptr<c10d::Store>* store = nullptr;
  guarded(message, [&] {
    quiet();
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(config->port);
    options.isServer = config->hosts_store != 0;
    options.numWorkers = config->size;
    // Who is missing is found, and named, by the caller.
    options.waitWorkers = false;
    options.multiTenant = true;
    options.timeout = milliseconds(config->join_timeout_ms);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(config->address, options);
    if (options.isServer) keep(tcp);
    store = new c10::intrusive_ptr<c10d::Store>(
        c10::make_intrusive<c10d::PrefixStore>(config->prefix, tcp));
  });
  return store;
}

void nnclr_store_free(c10::intrusive_ptr<c10d::Store>* store) { delete store; }

bool nnclr_store_set(c10::intrusive_ptr<c10d::Store>* store, const char* key, const char* value,
                     int64_t length, char* message) {
  return guarded(message, [&] {
    (*store)->set(key, std::vector<uint8_t>(value, value + length));
  });
}

// Whether the key is there; `present` is left alone when the store does not answer.
bool nnclr_store_check(c10::intrusive_ptr<c10d::Store>* store, const char* key, bool* present,
                       char* message) {
  return guarded(message, [&] { *present = (*store)->check({key}); });
}

// The value of a key that is there, to be given back with `nnclr_bytes_free`.
bool nnclr_store_get(c10::intrusive_ptr<c10d::Store>* store, const char* key, uint8_t** value,
                     int64_t* length, char* message) {
  return guarded(message, [&] {
    const auto bytes = (*store)->get(key);
    *value = new uint8_t[bytes.size() + 1];
    std::memcpy(*value, bytes.data(), bytes.size());
    *length = static_cast<int64_t>(bytes.size());
  });
}

void nnclr_bytes_free(uint8_t* bytes) { delete[] bytes; }

// The communicator of all ranks over an open store.
Group* nnclr_group_create(c10::intrusive_ptr<c10d::Store>* store, const nnclr_group_config* config,
                          char* message) {
  using namespace nnclr;
  Group* result = nullptr;
  guarded(message, [&] {
    const int rank = config->rank, size = config->size;
    auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(config->join_timeout_ms));
    const std::string network_interface = config->network_interface;
    options->devices.push_back(
        network_interface.empty()
            ? c10d::ProcessGroupGloo::createDeviceForHostname(config->own_address)
            : c10d::ProcessGroupGloo::createDeviceForInterface(network_interface));
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("gloo", *store), rank, size, options);
    // Joining may take longer than a collective may.
    gloo->setTimeout(milliseconds(config->timeout_ms));
    auto group = c10::make_intrusive<c10d::ProcessGroup>(*store, rank, size);
    group->setBackend(at::kCPU, Backends::GLOO, c10::intrusive_ptr<c10d::Backend>(gloo));
    group->setDefaultBackend(Backends::GLOO);
    if (config->cuda >= 0) {
      const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(config->cuda));
      c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device);
      auto nccl = make_nccl(c10::make_intrusive<c10d::PrefixStore>("nccl", *store), rank, size,
                            milliseconds(config->timeout_ms));
      group->setBackend(at::kCUDA, Backends::NCCL, nccl);
      group->setDefaultBackend(Backends::NCCL);
      group->setBoundDeviceId(device);
    }
    auto made = c10::make_intrusive<Group>();
    made->group = group;
    made->rank = rank;
    made->size = size;
    const at::Device device = config->cuda >= 0
                                  ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(config->cuda))
                                  : at::Device(at::kCPU);
    Tensor one = at::ones({1}, at::TensorOptions(at::kFloat).device(device));
    made->sum(one);
    TORCH_CHECK(one.item<float>() == static_cast<float>(size), "the ranks do not add up to ", size);
    result = made.release();
  });
  return result;
}

// Closes the connections, as far as no reducer holds them, and lets the group go.
void nnclr_group_free(Group* group) {
  auto owned = c10::intrusive_ptr<Group>::reclaim(group);
  owned->group.reset();
}

// In place.
bool nnclr_all_reduce(Group* group, Tensor* tensor, char* message) {
  return guarded(message, [&] { group->sum(*tensor); });
}

// Every tensor takes rank `root`'s values; many small ones travel together.
bool nnclr_broadcast(Group* group, Tensor** tensors, int64_t count, int32_t root, char* message) {
  constexpr size_t kPacket = 25 << 20;
  return guarded(message, [&] {
    std::vector<Tensor> list;
    for (int64_t i = 0; i < count; ++i) list.push_back(tensors[i]->detach());
    c10d::broadcast_coalesced(group->live(), list, kPacket, root);
    for (const Tensor& tensor : list) group->bytes += static_cast<int64_t>(tensor.nbytes());
  });
}

// Waits for every rank; rank 0's message names those that are missing.
bool nnclr_barrier(Group* group, int64_t timeout_ms, char* message) {
  return guarded(message, [&] {
    c10d::BarrierOptions options;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    group->live()->monitoredBarrier(options, /*wait_all_ranks=*/true);
  });
}

// Mirrors `Counted` of crate/src/distributed/ffi.rs.
struct nnclr_group_counted {
  int64_t bytes;
  int64_t waited_ns;
  int64_t averaging_ns;
  int64_t overlap_ns;
};

// What collectives cost since the last call.
nnclr_group_counted nnclr_group_traffic(Group* group) {
  return {group->bytes.exchange(0), group->waited_ns.exchange(0), group->averaging_ns.exchange(0),
          group->overlap_ns.exchange(0)};
}

}  // extern "C"
