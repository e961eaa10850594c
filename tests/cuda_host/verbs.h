/// \file
/// Every verb of the GPU module over one grid of shapes, against plain references in double: for the module's source on the CPU
/// (verbs_test.cpp) and for the module on a GPU (gpu_check.cpp).
#pragma once

#include "basis/conv_weights.h"
#include "cuda/gpu.h"
#include "cuda_host/grouped_heads.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace convbasis::cuda_verbs {

using namespace testing_inputs;
using reference::Dense;

struct Shape {
  Index n, d, d_v, k, block;
  bool bias = false;
  /// Scores of some hundreds, so that a weight overflows unless its own row's largest score is taken from it. Of whole numbers:
  /// exact.
  bool large = false;
  /// Weights of 4e-8 beside one of 1 that lies tiles before, which matter together only. Of whole numbers of quarters: exact.
  bool faint = false;
  /// Query, key and value are half-precision numbers and go to the device as such.
  bool half = false;

  GpuStorage storage() const { return half ? GpuStorage::narrow : GpuStorage::f32; }
};

inline std::string name_of(const Shape& shape) {
  return "n=" + std::to_string(shape.n) + " d=" + std::to_string(shape.d) + " d_v=" + std::to_string(shape.d_v) +
         " k=" + std::to_string(shape.k) + " block=" + std::to_string(shape.block) + (shape.bias ? " bias" : "") +
         (shape.large ? " large" : "") + (shape.faint ? " faint" : "") + (shape.half ? " half" : "");
}

/// What a verb gave, and what is right; compared as a whole, relative to `size`.
struct Result {
  const char* what;
  Dense got, expected;
  double size;

  Result(const char* name, Dense is, Dense should)
      : what(name), got(std::move(is)), expected(std::move(should)), size(expected.norm()) {}
  Result(const char* name, Dense is, Dense should, double yardstick)
      : what(name), got(std::move(is)), expected(std::move(should)), size(yardstick) {}
  double error() const { return (got - expected).norm() / size; }
};

/// Sums of n or d products in float, in an order of their own, with weights whose exponents are off by a rounding of the score.
/// Halves are rounded before the references see them.
inline constexpr double tolerance = 1e-6;

inline Matrix<float> halves_of(const Matrix<float>& matrix) { return matrix.cast<Eigen::half>().cast<float>(); }

inline HeadTensors<float> head_of(const Shape& shape) {
  HeadTensors<float> head = gaussian_head<float>(shape.n, shape.d, shape.d_v, 17);
  if (shape.large) {
    Rng rng(29);
    head.query = whole_numbers<float>(shape.n, shape.d, rng, 3);
    head.key = whole_numbers<float>(shape.n, shape.d, rng, 3);
    head.scale = 4.0;
  }
  if (shape.faint) {
    head.query.setOnes();
    head.key.setConstant(-4.25F);
    head.key.topRows(64).setConstant(-25.0F);
    head.key.row(0).setZero();
    head.value.array() += 2.0F;
    head.scale = 4.0 / static_cast<double>(shape.d);
  }
  if (shape.half) {
    for (Matrix<float>* one : {&head.query, &head.key, &head.value}) *one = halves_of(*one);
  }
  if (shape.bias) {
    for (Index lag = 0; lag < shape.n; ++lag) head.bias.push_back(-0.05F * static_cast<float>(lag));
  }
  return head;
}

struct Forward {
  Matrix<float> output;
  std::vector<double> lse;
};

inline Forward forward_of(const Gpu& gpu, const HeadView<float>& head, GpuStorage storage) {
  Forward result{Matrix<float>(head.size(), head.value_width()), std::vector<double>(static_cast<std::size_t>(head.size()))};
  gpu.exact_attention(0, head, mutable_view(result.output), result.lse, {}, storage);
  return result;
}

inline Dense column(const std::vector<double>& numbers) {
  return Eigen::Map<const Dense>(numbers.data(), std::ssize(numbers), 1);
}

inline std::vector<Result> exact_attention_verb(const Gpu& gpu, const Shape& shape) {
  const HeadTensors<float> head = head_of(shape);
  const Forward got = forward_of(gpu, head.view(), shape.storage());
  const auto softmax = reference::softmax(reference::scores(head.view()));
  const Dense ones = Dense::Ones(shape.n, 1);  // an lse may be 0
  return {{"output", got.output.cast<double>(), softmax.probability * head.value.cast<double>()},
          {"lse", ones + column(got.lse), ones + column(softmax.lse)}};
}

inline std::vector<Result> exact_backward_verb(const Gpu& gpu, const Shape& shape) {
  const HeadTensors<float> head = head_of(shape);
  Rng rng(5);
  const Matrix<float> gradient = gaussian<float>(shape.n, shape.d_v, rng);
  const Forward forward = forward_of(gpu, head.view(), shape.storage());
  Matrix<float> query(shape.n, shape.d), key(shape.n, shape.d), value(shape.n, shape.d_v);
  gpu.exact_backward(0, head.view(), {view(forward.output), forward.lse, view(gradient)},
                     {mutable_view(query), mutable_view(key), mutable_view(value)}, {}, shape.storage());
  const Dense p = reference::softmax(reference::scores(head.view())).probability;
  const Dense g = gradient.cast<double>();
  const Dense v = head.value.cast<double>();
  const Dense gv = g * v.transpose();
  const Eigen::VectorXd delta = (p.array() * gv.array()).rowwise().sum();
  const Dense score = p.array() * (gv.colwise() - delta).array();
  const Dense expected_query = head.scale * score * head.key.cast<double>();
  const Dense expected_key = head.scale * score.transpose() * head.query.cast<double>();
  double query_size = expected_query.norm();
  double key_size = expected_key.norm();
  if (shape.n == 1 || shape.large) {
    // Where a query attends to one key, dS is the difference of two equal numbers: 0, but for their rounding.
    const Dense added = p.array() * (gv.cwiseAbs().colwise() + delta.cwiseAbs()).array();
    query_size = head.scale * (added * head.key.cast<double>().cwiseAbs()).norm();
    key_size = head.scale * (added.transpose() * head.query.cast<double>().cwiseAbs()).norm();
  }
  return {{"query", query.cast<double>(), expected_query, query_size},
          {"key", key.cast<double>(), expected_key, key_size},
          {"value", value.cast<double>(), p.transpose() * g}};
}

inline std::vector<Index> starts_of(const Shape& shape) {
  Rng rng(static_cast<std::uint64_t>(shape.n * 31 + shape.k));
  return random_starts(shape.n, std::min(shape.k, shape.n), rng);
}

inline std::vector<Result> score_columns_verb(const Gpu& gpu, const Shape& shape) {
  const HeadTensors<float> head = head_of(shape);
  const std::vector<Index> starts = starts_of(shape);
  const auto lags = gpu.score_columns(0, head.view(), starts, {}, shape.storage());
  const Dense scores = reference::scores(head.view());
  Dense got = Dense::Zero(shape.n, std::ssize(starts)), expected = got;
  for (std::size_t r = 0; r < starts.size(); ++r) {
    const Index m = shape.n - starts[r];
    for (Index t = 0; t < m; ++t) {
      got(t, static_cast<Index>(r)) = static_cast<double>(lags[r].at(static_cast<std::size_t>(t)));
      expected(t, static_cast<Index>(r)) = scores(starts[r] + t, starts[r]);
    }
  }
  return {{"lags", got, expected}};
}

inline std::vector<Result> apply_verb(const Gpu& gpu, const Shape& shape) {
  Rng rng(23);
  const ConvBasis<float> basis = uniform_basis<float>(shape.n, starts_of(shape), rng, 1.0);
  const auto weights = std::make_shared<const ConvWeights<float>>(exponentiate(basis));
  const Matrix<float> drawn = gaussian<float>(shape.n, shape.d_v, rng);
  const Matrix<float> value = shape.half ? halves_of(drawn) : drawn;
  const GpuPlan plan = gpu.plan(0, weights, shape.d_v, shape.block);
  Matrix<float> output(shape.n, shape.d_v), transposed(shape.n, shape.d_v);
  plan.apply(view(value), mutable_view(output), {}, shape.storage());
  plan.apply_transpose(view(value), mutable_view(transposed), {}, shape.storage());
  // An average of random V cancels; an FFT's error is relative to what it adds up.
  const Dense v = value.cast<double>();
  return {{"output", output.cast<double>(), reference::segment_sum(basis, v), reference::segment_sum(basis, v.cwiseAbs()).norm()},
          {"transposed", transposed.cast<double>(), reference::segment_sum_transposed(basis, v),
           reference::segment_sum_transposed(basis, v.cwiseAbs()).norm()}};
}

struct Verb {
  const char* name;
  std::vector<Result> (*run)(const Gpu& gpu, const Shape& shape);
  std::vector<Shape> shapes;
};

/// k query heads to a key head, in three groups.
inline std::vector<Result> grouped_heads_verb(const Gpu& gpu, const Shape& shape) {
  GroupedHeads heads({shape.n, shape.d, shape.d_v, shape.k, shape.half});
  std::vector<Result> results;
  for (GroupedHeads::Compared& one : heads.run(*gpu.table())) {
    results.push_back({one.what, std::move(one.got), std::move(one.expected)});
  }
  return results;
}

inline std::vector<Verb> verbs() {
  const std::vector<Shape> heads{
      {1, 1, 1, 1, 0},     {2, 8, 1, 1, 0},     {31, 8, 8, 1, 0},     {63, 33, 17, 1, 0},       {64, 64, 64, 1, 0},
      {65, 128, 65, 1, 0}, {129, 5, 128, 1, 0}, {97, 256, 256, 1, 0}, {70, 16, 16, 1, 0, true}, {70, 16, 16, 1, 0, false, true}};
  const auto with_halves = [](std::vector<Shape> shapes) {
    const std::vector<Shape> plain = shapes;
    for (Shape shape : plain) {
      shape.half = true;
      shapes.push_back(shape);
    }
    return shapes;
  };
  const std::vector<Shape> columns{{1, 1, 1, 1, 0},     {65, 8, 1, 1, 0},     {130, 64, 1, 16, 0},
                                   {97, 256, 1, 64, 0}, {129, 33, 1, 129, 0}, {70, 16, 1, 5, 0, true}};
  // With a block of 16 to 64 segments longer than some columns go through the FFT; with block 0 the cost model decides. Of 2100
  // rows the direct columns of the transposed product are summed in three parts.
  const std::vector<Shape> products{{1, 1, 1, 1, 0},       {2, 1, 3, 2, 2},     {67, 1, 8, 1, 16},     {128, 1, 64, 4, 32},
                                    {200, 1, 33, 16, 16},  {131, 1, 5, 131, 0}, {257, 1, 65, 64, 64},  {400, 1, 256, 3, 64},
                                    {300, 1, 128, 2, 128}, {515, 1, 9, 5, 0},   {2100, 1, 3, 40, 2048}};
  const std::vector<Shape> groups{{70, 8, 5, 2, 0}, {1, 3, 2, 3, 0}, {65, 64, 64, 4, 0}};
  std::vector<Shape> exact = with_halves(heads);
  exact.push_back({300, 4, 8, 1, 0, false, false, true, true});  // floats add up one after the other, and lose such
  return {{"exact_attention", &exact_attention_verb, exact},
          {"exact_backward", &exact_backward_verb, with_halves(heads)},
          {"score_columns", &score_columns_verb, with_halves(columns)},
          {"apply", &apply_verb, with_halves(products)},
          {"grouped heads", &grouped_heads_verb, with_halves(groups)}};
}

}  // namespace convbasis::cuda_verbs
