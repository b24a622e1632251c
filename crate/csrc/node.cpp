// A node of autograd whose two directions are written in Rust (crate/src/nn/node.rs) and come as function
// pointers; PyTorch's counterpart is torch.autograd.Function.

#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "message.h"
#include "owned.h"

namespace {

using at::Tensor;
using nnclr::kMessage;
using nnclr::take;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Pointers = std::vector<const Tensor*>;

// Each gives false and a message when it fails; what it writes are new Tensors that the caller owns.
struct Callbacks {
  // A bit for each input that the backward pass needs.
  uint64_t needed;
  // The result comes twice, for two readers whose gradients reach `backward` apart.
  bool twice;
  // Of `count` inputs the result, and what the backward pass needs besides them or null.
  bool (*forward)(const Tensor* const* inputs, int64_t count, Tensor** results, char* message);
  // Of `count` tensors, those inputs, undefined where not needed, what was needed besides, then the result's
  // gradient, of which the second is undefined where it comes once or one reader asked for none: the gradient
  // of each input where it is `wanted`.
  bool (*backward)(const Tensor* const* kept, int64_t count, const bool* wanted,
                   Tensor** gradients, char* message);
};

Pointers pointers(at::TensorList tensors) {
  Pointers all;
  for (const Tensor& tensor : tensors) all.push_back(&tensor);
  return all;
}

// Inputs of a node at most; crate/src/nn/node.rs has the same and sees to it.
constexpr size_t kMost = 8;

struct Node : torch::autograd::Function<Node> {
  // A TensorList: the tensors of a vector would be none of the node's inputs.
  static variable_list forward(AutogradContext* context, at::TensorList inputs,
                               const Callbacks* callbacks) {
    char message[kMessage] = "";
    const Pointers given = pointers(inputs);
    Tensor* results[2] = {};
    const auto count = static_cast<int64_t>(given.size());
    if (!callbacks->forward(given.data(), count, results, message)) {
      throw std::runtime_error(message);
    }
    variable_list kept;
    for (int64_t place = 0; place < count; ++place) {
      kept.push_back(callbacks->needed >> place & 1 ? inputs[place] : Tensor());
    }
    if (results[1] != nullptr) kept.push_back(take(results[1]));
    context->save_for_backward(std::move(kept));
    context->saved_data["inputs"] = count;
    context->saved_data["backward"] = reinterpret_cast<int64_t>(callbacks->backward);
    variable_list ys{take(results[0])};
    if (callbacks->twice) {
      ys.push_back(again(ys[0]));
      // Zeros would be read for a reader that asked for nothing.
      context->set_materialize_grads(false);
    }
    return ys;
  }

  // The same memory and count of changes, and no view to autograd.
  static Tensor again(const Tensor& y) {
    return Tensor(y.unsafeGetTensorImpl()->shallow_copy_and_detach(
        y.unsafeGetTensorImpl()->version_counter(), /*allow_tensor_metadata_change=*/false));
  }

  static variable_list backward(AutogradContext* context, variable_list dys) {
    const auto callback =
        reinterpret_cast<decltype(Callbacks::backward)>(context->saved_data["backward"].toInt());
    const auto inputs = static_cast<size_t>(context->saved_data["inputs"].toInt());
    const auto saved = context->get_saved_variables();
    if (!dys[0].defined()) {
      if (dys.size() < 2 || !dys[1].defined()) return variable_list(inputs + 1);
      std::swap(dys[0], dys[1]);
    }
    dys.resize(2);
    Pointers kept = pointers(saved);
    kept.push_back(&dys[0]);
    kept.push_back(&dys[1]);
    char message[kMessage] = "";
    bool wanted[kMost] = {};
    Tensor* gradients[kMost] = {};
    for (size_t place = 0; place < inputs; ++place) {
      wanted[place] = context->needs_input_grad(place);
    }
    const auto count = static_cast<int64_t>(kept.size());
    if (!callback(kept.data(), count, wanted, gradients, message)) {
      throw std::runtime_error(message);
    }
    // One more, for the callbacks.
    variable_list taken(inputs + 1);
    for (size_t place = 0; place < inputs; ++place) {
      if (gradients[place] != nullptr) taken[place] = take(gradients[place]);
    }
    return taken;
  }
};

}  // namespace

// The result as a new Tensor, or null and a message; where it comes twice the other as well.
extern "C" Tensor* nnclr_node(const Tensor* const* inputs, int64_t count,
                              const Callbacks* callbacks, Tensor** other, char* message) {
  Tensor* y = nullptr;
  nnclr::guarded(message, [&] {
    variable_list given;
    for (int64_t place = 0; place < count; ++place) given.push_back(*inputs[place]);
    const variable_list ys = Node::apply(at::TensorList(given), callbacks);
    if (callbacks->twice) *other = new Tensor(ys[1]);
    y = new Tensor(ys[0]);
  });
  return y;
}
