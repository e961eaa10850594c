#include "cuda/exact.h"

#include "cuda/half_attention.cuh"
#include "cuda/host_rows.h"
#include "cuda/score_columns.cuh"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace convbasis::cuda {
namespace {

cudaError_t launch_attention(const DeviceHead<float>& head, const ExactAttentionOutput& output, const Stream& stream) {
  return launch_exact_attention(head, output, stream);
}
cudaError_t launch_attention(const DeviceHead<Half>& head, const ExactAttentionOutput& output, const Stream& stream) {
  return launch_half_attention(head, output, stream);
}

/// Exact attention of heads whose rows are T on the device, a strip of queries after the other.
template <class T>
class Attention {
 public:
  Attention(const ConvbasisCudaHeads& heads, const HeadOutputs& results, Workspace& workspace, const Poll& poll)
      : heads_(heads),
        results_(results),
        workspace_(workspace),
        pace_(workspace, poll),
        sizes_(choose_blocks(workspace, heads.n, needs())),
        strips_of_a_head_((heads.n + sizes_.rows - 1) / sizes_.rows),
        upload_(workspace, false, 0, 0),
        bias_(upload_bias(heads, workspace)),
        keys_(workspace, sizes_.count, sizes_.longest * width_, sizes_.longest * value_width_),
        largest_(workspace.memory.take<float>(sizes_.longest)),
        sum_(workspace.memory.take<float>(sizes_.longest)) {
    for (Strip& strip : strips_) {
      strip.query = workspace.memory.take<T>(sizes_.longest * width_);
      strip.output = workspace.memory.take<float>(sizes_.longest * heads.d_v);
      strip.lse = workspace.memory.take<double>(sizes_.longest);
    }
  }

  void run() {
    const std::int64_t count = heads_.heads * strips_of_a_head_;
    for (std::int64_t number = 0; number < count; ++number) {
      compute(number);
      if (number > 0) fetch(number - 1);  // while this one is computed
    }
    fetch(count - 1);
  }

 private:
  /// Some queries and their results. Two of them are under way at a time.
  struct Strip {
    T* query;
    float* output;
    double* lse;
    Event uploaded, computed;
  };

  BlockNeeds needs() const {
    const std::int64_t row = width_ * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t results =
        heads_.d_v * static_cast<std::int64_t>(sizeof(float)) + static_cast<std::int64_t>(sizeof(double));
    return {.pair_bytes = row + value_width_ * static_cast<std::int64_t>(sizeof(T)),
            .strip_bytes = 2 * (row + results) + 2 * static_cast<std::int64_t>(sizeof(float)),
            .fixed_bytes = heads_.n * static_cast<std::int64_t>(sizeof(float)),
            .least = 2,
            .pairs_of_a_block = 1};
  }
  std::int64_t first_row(std::int64_t strip) const { return strip * sizes_.rows; }
  std::int64_t rows_of(std::int64_t strip) const { return std::min(sizes_.rows, heads_.n - first_row(strip)); }

  void compute(std::int64_t number) {
    const std::int64_t head = number / strips_of_a_head_;
    const std::int64_t own = number % strips_of_a_head_;
    Strip& strip = strips_[static_cast<std::size_t>(number % 2)];
    strip.computed.hold(workspace_.transfers.uploads());
    upload_(query_rows(heads_, head), first_row(own), rows_of(own), strip.query);
    strip.uploaded.record(workspace_.transfers.uploads());
    strip.uploaded.hold(workspace_.compute);
    for (std::int64_t block = 0; block <= own; ++block) {
      pace_.before_launch();
      auto& keys = key_block(head / heads_.queries_of_a_key, block);
      const DeviceHead<T> part{.query = strip.query,
                               .key = keys.first,
                               .value = keys.second,
                               .bias = bias_,
                               .n = static_cast<int>(heads_.n),
                               .first_query = static_cast<int>(first_row(own)),
                               .queries = static_cast<int>(rows_of(own)),
                               .first_key = static_cast<int>(first_row(block)),
                               .keys = static_cast<int>(rows_of(block)),
                               .d = static_cast<int>(width_),
                               .value_width = static_cast<int>(value_width_),
                               .scale = heads_.scale,
                               .begins = block == 0,
                               .ends = block == own};
      const ExactAttentionOutput output{strip.output, strip.lse, largest_, sum_, static_cast<int>(heads_.d_v)};
      check(launch_attention(part, output, workspace_.compute), "exact_attention");
      keys_.used(keys);
      pace_.after_launch();
    }
    strip.computed.record(workspace_.compute);
  }

  typename RowBlocks<T>::Pair& key_block(std::int64_t key_head, std::int64_t block) {
    return keys_.get(key_head * strips_of_a_head_ + block, [&](const auto& pair) {
      upload_(key_rows(heads_, key_head), first_row(block), rows_of(block), pair.first);
      upload_(value_rows(heads_, key_head), first_row(block), rows_of(block), pair.second);
    });
  }

  void fetch(std::int64_t number) {
    const std::int64_t head = number / strips_of_a_head_;
    const std::int64_t own = number % strips_of_a_head_;
    const Strip& strip = strips_[static_cast<std::size_t>(number % 2)];
    strip.computed.hold(workspace_.transfers.downloads());
    workspace_.transfers.download_rows(strip.output, rows_of(own), heads_.d_v,
                                       results_.output[head] + first_row(own) * results_.stride, results_.stride);
    workspace_.transfers.download_rows(strip.lse, rows_of(own), 1, results_.lse[head] + first_row(own), 1);
  }

  const ConvbasisCudaHeads& heads_;
  const HeadOutputs& results_;
  Workspace& workspace_;
  Pace pace_;
  std::int64_t width_ = device_width<T>(heads_.d), value_width_ = device_width<T>(heads_.d_v);
  BlockSizes sizes_;
  std::int64_t strips_of_a_head_;
  RowUpload upload_;
  const float* bias_;
  RowBlocks<T> keys_;
  float* largest_;
  float* sum_;
  std::array<Strip, 2> strips_;
};

/// Some rows of the columns that are read. Two of them are under way at a time.
struct ColumnStrip {
  float* query;
  float* scores;  // by column, then by row
  Event uploaded, computed;
};

/// Lag vectors of columns of the first head, a strip of rows after the other.
class Columns {
 public:
  /// For up to `most` columns at a time.
  Columns(const ConvbasisCudaHeads& heads, std::int64_t most, Workspace& workspace, const Poll& poll)
      : heads_(heads),
        workspace_(workspace),
        pace_(workspace, poll),
        rows_(std::min(most_rows, heads.n)),
        upload_(workspace, heads.half != 0, std::max(rows_, most), heads.d),
        bias_(upload_bias(heads, workspace)),
        key_(workspace.memory.take<float>(most * heads.d)),
        columns_(workspace.memory.take<int>(most)) {
    for (ColumnStrip& strip : strips_) {
      strip.query = workspace.memory.take<float>(rows_ * heads.d);
      strip.scores = workspace.memory.take<float>(most * rows_);
    }
  }

  void read(std::span<const std::int64_t> starts, float* const* lags) {
    const auto count = std::ssize(starts);
    upload_.gather(key_rows(heads_, 0), starts.data(), count, key_);
    const std::vector<int> columns(starts.begin(), starts.end());
    workspace_.transfers.upload_numbers(columns.data(), count, columns_);
    const std::int64_t first = *std::min_element(starts.begin(), starts.end()) / rows_;  // rows before see none of the columns
    const std::int64_t last = (heads_.n - 1) / rows_;
    for (std::int64_t strip = first; strip <= last; ++strip) {
      compute(strip, count);
      if (strip > first) fetch(strip - 1, starts, lags);
    }
    fetch(last, starts, lags);
  }

 private:
  static constexpr std::int64_t most_rows = 16384;

  std::int64_t rows_of(std::int64_t strip) const { return std::min(rows_, heads_.n - strip * rows_); }
  ColumnStrip& strip_of(std::int64_t number) { return strips_[static_cast<std::size_t>(number % 2)]; }

  void compute(std::int64_t number, std::int64_t count) {
    ColumnStrip& strip = strip_of(number);
    pace_.before_launch();
    strip.computed.hold(workspace_.transfers.uploads());
    upload_(query_rows(heads_, 0), number * rows_, rows_of(number), strip.query);
    strip.uploaded.record(workspace_.transfers.uploads());
    strip.uploaded.hold(workspace_.compute);
    const ScoreColumnsArguments arguments{{strip.query, static_cast<int>(rows_of(number)), static_cast<int>(heads_.d)},
                                          {key_, static_cast<int>(count), static_cast<int>(heads_.d)},
                                          bias_,
                                          columns_,
                                          static_cast<int>(number * rows_),
                                          heads_.scale,
                                          strip.scores};
    check(launch_score_columns(arguments, workspace_.compute), "score_columns");
    strip.computed.record(workspace_.compute);
    pace_.after_launch();
  }

  void fetch(std::int64_t number, std::span<const std::int64_t> starts, float* const* lags) {
    const ColumnStrip& strip = strip_of(number);
    const std::int64_t begin = number * rows_;
    const std::int64_t rows = rows_of(number);
    strip.computed.hold(workspace_.transfers.downloads());
    workspace_.transfers.download(std::ssize(starts), rows, strip.scores,
                                  [&](std::int64_t first, std::int64_t count, const float* scores) {
                                    for (std::int64_t c = first; c < first + count; ++c, scores += rows) {
                                      const std::int64_t start = starts[static_cast<std::size_t>(c)];
                                      const std::int64_t from = std::max(start, begin);
                                      if (from < begin + rows)
                                        std::copy(scores + (from - begin), scores + rows, lags[c] + (from - start));
                                    }
                                  });
  }

  const ConvbasisCudaHeads& heads_;
  Workspace& workspace_;
  Pace pace_;
  std::int64_t rows_;
  RowUpload upload_;
  const float* bias_;
  float* key_;
  int* columns_;
  std::array<ColumnStrip, 2> strips_;
};

}  // namespace

void exact_attention(const ConvbasisCudaHeads& heads, const HeadOutputs& results, Workspace& workspace, const Poll& poll) {
  if (heads.half != 0) {
    Attention<Half>(heads, results, workspace, poll).run();
  } else {
    Attention<float>(heads, results, workspace, poll).run();
  }
}

void score_columns(const ConvbasisCudaHeads& heads, const std::int64_t* starts, std::int64_t count, float* const* lags,
                   Workspace& workspace, const Poll& poll) {
  constexpr std::int64_t most = 1024;  // 64 MB of scores
  const std::span<const std::int64_t> all(starts, static_cast<std::size_t>(count));
  Columns columns(heads, std::min(most, count), workspace, poll);
  for (std::int64_t first = 0; first < count; first += most) {
    const auto some = static_cast<std::size_t>(std::min(most, count - first));
    columns.read(all.subspan(static_cast<std::size_t>(first), some), lags + first);
  }
}

}  // namespace convbasis::cuda
