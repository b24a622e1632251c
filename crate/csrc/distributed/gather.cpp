// Rows of all ranks, with the way back for gradients: lightly's `GatherLayer`.

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>

#include "group.h"

namespace nnclr {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// `[sum(rows), ...]` of each rank's `[rows[rank], ...]`: unequal counts are padded to the largest.
Tensor gather_rows(Group& group, const Tensor& x, const std::vector<int64_t>& rows) {
  const int64_t most = *std::max_element(rows.begin(), rows.end());
  if (std::all_of(rows.begin(), rows.end(), [&](int64_t n) { return n == most; })) {
    return group.all_gather(x);
  }
  auto shape = x.sizes().vec();
  shape.at(0) = most;
  Tensor padded = at::zeros(shape, x.options());
  padded.narrow(0, 0, x.size(0)).copy_(x.detach());
  const Tensor all = group.all_gather(padded);
  std::vector<Tensor> parts;
  for (int rank = 0; rank < group.size; ++rank) {
    parts.push_back(all.narrow(0, rank * most, rows[rank]));
  }
  return at::cat(parts, 0);
}

// Every rank's loss depends on the rows of every other, so a row's gradient is the sum over ranks.
struct Gather : torch::autograd::Function<Gather> {
  static Tensor forward(AutogradContext* context, const Tensor& x, Group* group,
                        const std::vector<int64_t>& rows) {
    context->saved_data["group"] = held(group);
    context->saved_data["rows"] = rows;
    return gather_rows(*group, x, rows);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto& group = held(context->saved_data["group"]);
    const auto rows = context->saved_data["rows"].toIntVector();
    Tensor gradient = gradients[0].contiguous().clone();
    group.sum(gradient);
    const int64_t before = std::accumulate(rows.begin(), rows.begin() + group.rank, int64_t{0});
    return {gradient.narrow(0, before, rows[group.rank]), Tensor(), Tensor()};
  }
};

}  // namespace
}  // namespace nnclr

// `rows` holds every rank's count. Null and a message when it fails.
extern "C" at::Tensor* nnclr_all_gather(nnclr::Group* group, const at::Tensor* x,
                                        const int64_t* rows, char* message) {
  at::Tensor* result = nullptr;
  nnclr::guarded(message, [&] {
    const std::vector<int64_t> counts(rows, rows + group->size);
    result = new at::Tensor(nnclr::Gather::apply(*x, group, counts));
  });
  return result;
}
