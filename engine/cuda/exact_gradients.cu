#include "cuda/exact.h"
#include "cuda/exact_backward.cuh"
#include "cuda/host_rows.h"

#include <algorithm>
#include <array>

namespace convbasis::cuda {
namespace {

/// Gradients of a key head and the query heads that read it after those of the one before: dQ a strip of queries after the other,
/// then dK and dV a strip of keys after the other. Everything is float on the device: dS may have any size, which halves have
/// not.
class Gradients {
 public:
  Gradients(const ConvbasisCudaHeads& heads, const HeadForwards& forward, const HeadGradientOutputs& results,
            Workspace& workspace, const Poll& poll)
      : heads_(heads),
        forward_(forward),
        results_(results),
        workspace_(workspace),
        pace_(workspace, poll),
        sizes_(choose_blocks(workspace, heads.n, needs())),
        blocks_((heads.n + sizes_.rows - 1) / sizes_.rows),
        upload_(workspace, heads.half != 0, sizes_.longest, std::max(heads.d, heads.d_v)),
        bias_(upload_bias(heads, workspace)),
        pairs_(workspace, sizes_.count, sizes_.longest * heads.d, sizes_.longest * heads.d_v),
        output_(workspace.memory.take<float>(sizes_.longest * heads.d_v)),
        lse_(workspace.memory.take<double>(heads.queries_of_a_key * heads.n)),
        delta_(workspace.memory.take<float>(heads.queries_of_a_key * heads.n)) {
    for (Strip& strip : strips_) {
      strip.first = workspace.memory.take<float>(sizes_.longest * heads.d);
      strip.second = workspace.memory.take<float>(sizes_.longest * heads.d_v);
    }
  }

  void run() {
    for (std::int64_t key_head = 0; key_head < heads_.heads / heads_.queries_of_a_key; ++key_head) {
      group_done_.hold(workspace_.transfers.uploads());
      for (std::int64_t q = 0; q < heads_.queries_of_a_key; ++q) {
        workspace_.transfers.upload_numbers(forward_.lse[query_head(key_head, q)], heads_.n, lse_ + q * heads_.n);
      }
      in_strips(
          heads_.queries_of_a_key * blocks_, [&](std::int64_t number) { compute_query_strip(key_head, number); },
          [&](std::int64_t number) { fetch_query_strip(key_head, number); });
      in_strips(
          blocks_, [&](std::int64_t number) { compute_key_strip(key_head, number); },
          [&](std::int64_t number) { fetch_key_strip(key_head, number); });
      group_done_.record(workspace_.compute);
    }
  }

 private:
  using Pair = RowBlocks<float>::Pair;
  /// Results for some rows: dQ, or dK and dV. Two of them are under way at a time.
  struct Strip {
    float* first;
    float* second;
    Event computed;
  };

  BlockNeeds needs() const {
    const std::int64_t d = heads_.d * static_cast<std::int64_t>(sizeof(float));
    const std::int64_t d_v = heads_.d_v * static_cast<std::int64_t>(sizeof(float));
    const auto of_a_query = static_cast<std::int64_t>(sizeof(double) + sizeof(float));
    const std::int64_t narrow = heads_.half != 0 ? padded_width(std::max(heads_.d, heads_.d_v)) * std::int64_t{sizeof(Half)} : 0;
    return {.pair_bytes = d + d_v,
            .strip_bytes = 2 * (d + d_v) + d_v + narrow,
            .fixed_bytes = heads_.n * (heads_.queries_of_a_key * of_a_query + static_cast<std::int64_t>(sizeof(float))),
            .least = 3,
            .pairs_of_a_block = 2};
  }
  std::int64_t first_row(std::int64_t block) const { return block * sizes_.rows; }
  std::int64_t rows_of(std::int64_t block) const { return std::min(sizes_.rows, heads_.n - first_row(block)); }
  std::int64_t query_head(std::int64_t key_head, std::int64_t q) const { return key_head * heads_.queries_of_a_key + q; }
  Strip& strip_of(std::int64_t number) { return strips_[static_cast<std::size_t>(number % 2)]; }

  /// Fetches each strip while the next one is computed.
  template <class Compute, class Fetch>
  void in_strips(std::int64_t count, const Compute& compute, const Fetch& fetch) {
    for (std::int64_t number = 0; number < count; ++number) {
      compute(number);
      strip_of(number).computed.record(workspace_.compute);
      if (number > 0) fetch(number - 1);
    }
    fetch(count - 1);
  }

  /// K and V.
  Pair& key_block(std::int64_t key_head, std::int64_t block) {
    return pairs_.get(key_head * blocks_ + block, [&](const Pair& pair) {
      upload_(key_rows(heads_, key_head), first_row(block), rows_of(block), pair.first);
      upload_(value_rows(heads_, key_head), first_row(block), rows_of(block), pair.second);
    });
  }
  /// Q and G.
  Pair& query_block(std::int64_t head, std::int64_t block) {
    const std::int64_t key_blocks = heads_.heads / heads_.queries_of_a_key * blocks_;
    return pairs_.get(key_blocks + head * blocks_ + block, [&](const Pair& pair) {
      upload_(query_rows(heads_, head), first_row(block), rows_of(block), pair.first);
      upload_(forward_rows(forward_.output_gradient[head]), first_row(block), rows_of(block), pair.second);
    });
  }
  HostRows forward_rows(const float* rows) const { return {rows, forward_.stride, heads_.d_v, false}; }

  /// One launch: queries of one block, keys of another.
  DeviceHead<float> part_of(const Pair& queries, std::int64_t query_block, const Pair& keys, std::int64_t key_block) const {
    return {.query = queries.first,
            .key = keys.first,
            .value = keys.second,
            .bias = bias_,
            .n = static_cast<int>(heads_.n),
            .first_query = static_cast<int>(first_row(query_block)),
            .queries = static_cast<int>(rows_of(query_block)),
            .first_key = static_cast<int>(first_row(key_block)),
            .keys = static_cast<int>(rows_of(key_block)),
            .d = static_cast<int>(heads_.d),
            .value_width = static_cast<int>(heads_.d_v),
            .scale = heads_.scale};
  }
  ExactBackwardArguments arguments_of(const Pair& queries, std::int64_t q, std::int64_t block) const {
    const std::int64_t at = q * heads_.n + first_row(block);
    return {lse_ + at, queries.second, delta_ + at};
  }

  void compute_query_strip(std::int64_t key_head, std::int64_t number) {
    const std::int64_t q = number / blocks_;
    const std::int64_t own = number % blocks_;
    const std::int64_t head = query_head(key_head, q);
    const Strip& strip = strip_of(number);
    for (std::int64_t block = 0; block <= own; ++block) {
      pace_.before_launch();
      Pair& queries = query_block(head, own);
      if (block == 0) find_delta(queries, head, q, own);
      Pair& keys = key_block(key_head, block);
      DeviceHead<float> part = part_of(queries, own, keys, block);
      part.begins = block == 0;
      part.ends = block == own;
      check(launch_query_gradient(part, arguments_of(queries, q, own), strip.first, workspace_.compute), "query_gradient");
      pairs_.used(queries);
      pairs_.used(keys);
      pace_.after_launch();
    }
  }
  /// delta_i = G_i . Y_i of a block.
  void find_delta(const Pair& queries, std::int64_t head, std::int64_t q, std::int64_t block) {
    output_used_.hold(workspace_.transfers.uploads());
    upload_(forward_rows(forward_.output[head]), first_row(block), rows_of(block), output_);
    output_uploaded_.record(workspace_.transfers.uploads());
    output_uploaded_.hold(workspace_.compute);
    check(launch_output_products(queries.second, output_, static_cast<int>(rows_of(block)), static_cast<int>(heads_.d_v),
                                 delta_ + q * heads_.n + first_row(block), workspace_.compute),
          "output_products");
    output_used_.record(workspace_.compute);
  }
  void fetch_query_strip(std::int64_t key_head, std::int64_t number) {
    const std::int64_t head = query_head(key_head, number / blocks_);
    fetch(strip_of(number), number % blocks_, strip_of(number).first, heads_.d, results_.query[head]);
  }

  void compute_key_strip(std::int64_t key_head, std::int64_t own) {
    const Strip& strip = strip_of(own);
    const std::int64_t last = heads_.queries_of_a_key * blocks_ - 1;
    for (std::int64_t q = 0; q < heads_.queries_of_a_key; ++q) {
      for (std::int64_t block = own; block < blocks_; ++block) {
        pace_.before_launch();
        Pair& keys = key_block(key_head, own);
        Pair& queries = query_block(query_head(key_head, q), block);
        DeviceHead<float> part = part_of(queries, block, keys, own);
        part.begins = q == 0 && block == own;
        part.ends = q * blocks_ + block == last;
        check(launch_key_gradients(part, arguments_of(queries, q, block), strip.first, strip.second, workspace_.compute),
              "key_gradient");
        pairs_.used(queries);
        pairs_.used(keys);
        pace_.after_launch();
      }
    }
  }
  void fetch_key_strip(std::int64_t key_head, std::int64_t own) {
    fetch(strip_of(own), own, strip_of(own).first, heads_.d, results_.key[key_head]);
    fetch(strip_of(own), own, strip_of(own).second, heads_.d_v, results_.value[key_head]);
  }

  void fetch(const Strip& strip, std::int64_t block, const float* source, std::int64_t width, float* target) {
    strip.computed.hold(workspace_.transfers.downloads());
    workspace_.transfers.download_rows(source, rows_of(block), width, target + first_row(block) * width, width);
  }

  const ConvbasisCudaHeads& heads_;
  const HeadForwards& forward_;
  const HeadGradientOutputs& results_;
  Workspace& workspace_;
  Pace pace_;
  BlockSizes sizes_;
  std::int64_t blocks_;  // of a head
  RowUpload upload_;
  const float* bias_;
  RowBlocks<float> pairs_;
  float* output_;  // Y of a block
  double* lse_;    // of the query heads of a key head
  float* delta_;   // likewise
  std::array<Strip, 2> strips_;
  Event output_uploaded_, output_used_, group_done_;
};

}  // namespace

void exact_backward(const ConvbasisCudaHeads& heads, const HeadForwards& forward, const HeadGradientOutputs& gradients,
                    Workspace& workspace, const Poll& poll) {
  Gradients(heads, forward, gradients, workspace, poll).run();
}

}  // namespace convbasis::cuda
