/// \file
/// Query heads that share keys and values, and more groups of them than are under way at once: asked of the module's table.
#pragma once

#include "core/errors.h"
#include "cuda/halves.h"
#include "cuda/module_table.h"
#include "support/inputs.h"
#include "support/reference.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace convbasis::cuda_verbs {

using namespace testing_inputs;
using reference::Dense;

class GroupedHeads {
 public:
  struct Shape {
    Index n, d, d_v, queries_of_a_key;
    bool half;
  };
  /// All heads' results one below the other.
  struct Compared {
    const char* what;
    Dense got, expected;
  };

  explicit GroupedHeads(const Shape& shape) : shape_(shape) {
    Rng rng(11);
    const auto draw = [&](Index width) {
      const Matrix<float> drawn = gaussian<float>(shape.n, width, rng);
      return shape.half ? Matrix<float>(drawn.cast<Eigen::half>().cast<float>()) : drawn;
    };
    for (Index h = 0; h < heads(); ++h) query_.push_back(draw(shape.d));
    for (Index h = 0; h < heads(); ++h) output_gradient_.push_back(gaussian<float>(shape.n, shape.d_v, rng));
    for (Index g = 0; g < groups; ++g) key_.push_back(draw(shape.d));
    for (Index g = 0; g < groups; ++g) value_.push_back(draw(shape.d_v));
  }

  std::vector<Compared> run(const ConvbasisCudaTable& table) {
    compute(table);
    const Index n = shape_.n;
    std::vector<Dense> outputs, query, key(groups, Dense::Zero(n, shape_.d)), value(groups, Dense::Zero(n, shape_.d_v));
    for (Index h = 0; h < heads(); ++h) {
      const Index g = h / shape_.queries_of_a_key;
      const HeadTensors<float> head = head_of(h);
      const Dense p = reference::softmax(reference::scores(head.view())).probability;
      const Dense v = at(value_, g).cast<double>();
      const Dense dy = at(output_gradient_, h).cast<double>();
      Dense score = dy * v.transpose();
      score.colwise() -= (dy.array() * (p * v).array()).rowwise().sum().matrix();
      score.array() *= p.array();
      outputs.emplace_back(p * v);
      // Ones, since of one token the gradients are 0.
      query.emplace_back((head.scale * score * at(key_, g).cast<double>()).array() + 1.0);
      at(key, g) += head.scale * score.transpose() * at(query_, h).cast<double>();
      at(value, g) += p.transpose() * dy;
    }
    for (Dense& one : key) one.array() += 1.0;
    return {{"output", stacked(output_), stacked(outputs)},
            {"query gradient", stacked(query_gradient_).array() + 1.0, stacked(query)},
            {"key gradient", stacked(key_gradient_).array() + 1.0, stacked(key)},
            {"value gradient", stacked(value_gradient_), stacked(value)}};
  }

 private:
  static constexpr Index groups = 3;
  Index heads() const { return groups * shape_.queries_of_a_key; }

  template <class T>
  static T& at(std::vector<T>& all, Index number) {
    return all[static_cast<std::size_t>(number)];
  }
  template <class M>
  static Dense stacked(const std::vector<M>& all) {
    Dense result(all.front().rows() * std::ssize(all), all.front().cols());
    for (Index i = 0; i < std::ssize(all); ++i) {
      const M& one = all[static_cast<std::size_t>(i)];
      result.middleRows(i * one.rows(), one.rows()) = one.template cast<double>();
    }
    return result;
  }
  HeadTensors<float> head_of(Index h) {
    HeadTensors<float> head;
    head.query = at(query_, h);
    head.key = at(key_, h / shape_.queries_of_a_key);
    head.value = at(value_, h / shape_.queries_of_a_key);
    head.scale = 0.25;
    return head;
  }

  template <class M>
  static auto pointers(std::vector<M>& all) {
    std::vector<decltype(all[0].data())> result;
    for (M& one : all) result.push_back(one.data());
    return result;
  }
  template <class M>
  static auto constant_pointers(std::vector<M>& all) {
    std::vector<decltype(std::as_const(all[0]).data())> result;
    for (const M& one : all) result.push_back(one.data());
    return result;
  }
  /// As the module is to get them; `kept` holds halves.
  std::vector<const void*> numbers(const std::vector<Matrix<float>>& all, std::vector<std::vector<std::uint16_t>>& kept) const {
    std::vector<const void*> result;
    for (const Matrix<float>& one : all) {
      if (shape_.half) kept.push_back(exact_halves(view(one)));
      result.push_back(shape_.half ? static_cast<const void*>(kept.back().data()) : one.data());
    }
    return result;
  }

  void compute(const ConvbasisCudaTable& table) {
    const auto [n, d, d_v, queries_of_a_key, half] = shape_;
    const auto count = static_cast<std::size_t>(heads());
    output_.assign(count, Matrix<float>(n, d_v));
    query_gradient_.assign(count, Matrix<float>(n, d));
    key_gradient_.assign(groups, Matrix<float>(n, d));
    value_gradient_.assign(groups, Matrix<float>(n, d_v));
    lse_.assign(count, std::vector<double>(static_cast<std::size_t>(n)));
    std::vector<std::vector<std::uint16_t>> kept;
    const auto query = numbers(query_, kept), key = numbers(key_, kept), value = numbers(value_, kept);
    const ConvbasisCudaHeads all{query.data(), key.data(), value.data(),     half ? 1 : 0, d, d, d_v, nullptr, n, d,
                                 d_v,          heads(),    queries_of_a_key, 0.25F};
    std::array<char, 256> text{};
    ConvbasisCudaCall call{nullptr, nullptr, nullptr, text.data(), text.size()};
    const auto require = [&](int result) {
      if (result != CONVBASIS_CUDA_DONE) throw Error(text.data());
    };
    require(table.create_pool(0, &call.pool, &call));
    const std::unique_ptr<ConvbasisCudaPool, void (*)(ConvbasisCudaPool*)> pool(call.pool, table.destroy_pool);
    require(table.exact_attention(&all, pointers(output_).data(), d_v, pointers(lse_).data(), &call));
    require(table.exact_backward(&all, constant_pointers(output_).data(), constant_pointers(lse_).data(),
                                 constant_pointers(output_gradient_).data(), d_v, pointers(query_gradient_).data(),
                                 pointers(key_gradient_).data(), pointers(value_gradient_).data(), &call));
  }

  Shape shape_;
  std::vector<Matrix<float>> query_, key_, value_, output_gradient_;
  std::vector<Matrix<float>> output_, query_gradient_, key_gradient_, value_gradient_;
  std::vector<std::vector<double>> lse_;
};

}  // namespace convbasis::cuda_verbs
