// What the files of this folder share: the process group and how its calls fail.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <atomic>

#include "../message.h"

namespace nnclr {

using at::Tensor;

// One communicator. Nodes of autograd hold it too: a backward pass may come after its owner has left.
struct Group : torch::CustomClassHolder {
  // Null after its owner has left.
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  int rank;
  int size;
  // What this process gave to collectives, and how long it did nothing else but wait for them.
  std::atomic<int64_t> bytes{0};
  std::atomic<int64_t> waited_ns{0};
  // From the first bucket of gradients that left to the last that was back, and how much of that was
  // beside the backward pass.
  std::atomic<int64_t> averaging_ns{0};
  std::atomic<int64_t> overlap_ns{0};

  // Sum over the ranks, in place.
  void sum(Tensor& tensor);
  // `[size * N, ...]` of `[N, ...]`, in rank order; no gradient.
  Tensor all_gather(const Tensor& tensor);
  // The communicator itself; throws after the owner has left.
  const c10::intrusive_ptr<c10d::ProcessGroup>& live() const {
    TORCH_CHECK(group, "the process group has been left");
    return group;
  }

 private:
  // Counts, waits and throws what went wrong.
  void wait(const c10::intrusive_ptr<c10d::Work>& work, const Tensor& tensor);
};

// Its way into a node of autograd, and out of it.
inline c10::IValue held(Group* group) {
  return c10::IValue::make_capsule(c10::intrusive_ptr<Group>::reclaim_copy(group));
}
inline Group& held(const c10::IValue& value) { return static_cast<Group&>(*value.toCapsule()); }

}  // namespace nnclr
