// Averages gradients over the ranks while backward runs: the core of PyTorch's
// DistributedDataParallel.

#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <limits>

#include "group.h"

namespace {

struct Reducer {
  std::shared_ptr<c10d::Reducer> reducer;
  std::shared_ptr<c10d::Logger> logger;
  c10::intrusive_ptr<nnclr::Group> group;
  int64_t bytes;
  // On a GPU reading the clocks would wait for it.
  bool timed;
};

// c10d's own times of the pass that just ended.
void count(Reducer& reducer) {
  reducer.logger->set_runtime_stats_and_log();
  const auto times = reducer.logger->get_ddp_logging_data().ints_map;
  const auto of = [&](const char* name) {
    const auto found = times.find(name);
    return found == times.end() ? int64_t{0} : std::max(int64_t{0}, found->second);
  };
  const int64_t averaging = of("backward_comm_time");
  const int64_t overlap = std::min(averaging, of("backward_compute_comm_overlap_time"));
  reducer.group->averaging_ns += averaging;
  reducer.group->overlap_ns += overlap;
  reducer.group->waited_ns += averaging - overlap;
}

}  // namespace

extern "C" {

// The parameters that have gradients, in the same order on every rank.
Reducer* nnclr_reducer_new(nnclr::Group* group, at::Tensor** parameters, int64_t count,
                           char* message) {
  Reducer* result = nullptr;
  nnclr::guarded(message, [&] {
    std::vector<at::Tensor> list;
    int64_t bytes = 0;
    for (int64_t i = 0; i < count; ++i) {
      list.push_back(*parameters[i]);
      bytes += static_cast<int64_t>(parameters[i]->nbytes());
    }
    const std::vector<bool> sparse(list.size(), false);
    // One bucket at first; backward's order of the first step makes the real ones.
    auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(
        list, {std::numeric_limits<size_t>::max()}, sparse));
    std::reverse(buckets.begin(), buckets.end());
    auto made = std::make_unique<Reducer>();
    made->reducer = std::make_shared<c10d::Reducer>(
        list, buckets, group->live(), sparse, c10d::kDefaultBucketBytesCap,
        /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true,
        std::unordered_map<size_t, std::string>{}, c10d::kDefaultFirstBucketBytes,
        /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
        std::vector<int64_t>{});
    made->logger = std::make_shared<c10d::Logger>(made->reducer);
    made->reducer->set_logger(made->logger);
    made->reducer->set_ddp_runtime_logging_sample_rate(1);
    made->timed = list.at(0).is_cpu();
    made->group = c10::intrusive_ptr<nnclr::Group>::reclaim_copy(group);
    made->bytes = bytes;
    result = made.release();
  });
  return result;
}

// Right before a backward pass whose gradients are to be averaged; a pass without it is local, and
// its gradients are averaged with those of the next (gradient accumulation).
bool nnclr_reducer_prepare(Reducer* reducer, const at::Tensor* loss, char* message) {
  return nnclr::guarded(message, [&] {
    // Tells c10d that a pass begins: it takes no times of passes that it has not counted.
    if (reducer->timed) reducer->reducer->prepare_for_forward();
    reducer->reducer->rebuild_buckets();
    reducer->reducer->prepare_for_backward({*loss});
    reducer->group->bytes += reducer->bytes;
  });
}

// Right after it. A parameter without a gradient would leave the rest of its bucket as it was; this
// says so at once.
bool nnclr_reducer_finish(Reducer* reducer, char* message) {
  return nnclr::guarded(message, [&] {
    reducer->reducer->check_finalized();
    if (reducer->timed) count(*reducer);
  });
}

void nnclr_reducer_free(Reducer* reducer) {
  char message[nnclr::kMessage];
  nnclr::guarded(message, [&] {
    reducer->reducer->remove_autograd_hooks();
    delete reducer;
  });
}

}  // extern "C"
