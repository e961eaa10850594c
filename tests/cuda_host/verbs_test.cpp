// Every verb of the GPU module, run on the CPU, over the table of verbs.h.
#include "cuda_host/verbs.h"
#include "cuda/module_table.h"
#include "cuda_host/schedules.h"

#include <gtest/gtest.h>

namespace convbasis {
namespace {

using namespace cuda_verbs;

TEST(CudaVerbs, AgreeWithTheReferences) {
  const Gpu gpu(convbasis_cuda_table(CONVBASIS_CUDA_VERSION));
  ASSERT_TRUE(gpu.status().ready()) << gpu.status().why;
  for (const Verb& verb : verbs()) {
    for (const Shape& shape : verb.shapes) {
      cuda_host::for_each_schedule([&] {
        for (const Result& result : verb.run(gpu, shape)) {
          const double error = result.error();
          EXPECT_TRUE(error <= tolerance) << verb.name << " " << result.what << " " << name_of(shape) << ": " << error;
        }
      });
    }
  }
  EXPECT_TRUE(cuda_host::leftovers().none());
}

/// Heads that share keys, and more groups of them than are in flight at once: asked of the module's table itself.
class GroupedHeads {
 public:
  GroupedHeads() {
    Rng rng(11);
    for (Index h = 0; h < heads; ++h) query_.push_back(gaussian<float>(n, d, rng));
    for (Index h = 0; h < heads; ++h) output_gradient_.push_back(gaussian<float>(n, d_v, rng));
    for (Index g = 0; g < groups; ++g) key_.push_back(gaussian<float>(n, d, rng));
    for (Index g = 0; g < groups; ++g) value_.push_back(gaussian<float>(n, d_v, rng));
  }

  void expect_right() {
    run();
    std::vector<Dense> key(groups, Dense::Zero(n, d)), value(groups, Dense::Zero(n, d_v));
    for (std::size_t h = 0; h < heads; ++h) {
      const std::size_t g = h / queries_of_a_key;
      const HeadTensors<float> head = head_of(h);
      const Dense p = reference::softmax(reference::scores(head.view())).probability;
      const Dense v = value_[g].cast<double>();
      const Dense dy = output_gradient_[h].cast<double>();
      Dense score = dy * v.transpose();
      score.colwise() -= (dy.array() * (p * v).array()).rowwise().sum().matrix();
      score.array() *= p.array();
      expect_close("output", h, output_[h], p * v);
      expect_close("query gradient", h, query_gradient_[h], head.scale * score * key_[g].cast<double>());
      key[g] += head.scale * score.transpose() * query_[h].cast<double>();
      value[g] += p.transpose() * dy;
    }
    for (std::size_t g = 0; g < groups; ++g) {
      expect_close("key gradient", g, key_gradient_[g], key[g]);
      expect_close("value gradient", g, value_gradient_[g], value[g]);
    }
  }

 private:
  static constexpr Index n = 70, d = 8, d_v = 5, heads = 6, queries_of_a_key = 2, groups = heads / queries_of_a_key;

  static void expect_close(const char* what, std::size_t number, const Matrix<float>& got, const Dense& expected) {
    const double error = (got.cast<double>() - expected).norm() / expected.norm();
    EXPECT_TRUE(error <= tolerance) << what << " " << number << ": " << error;
  }
  HeadTensors<float> head_of(std::size_t h) const {
    HeadTensors<float> head;
    head.query = query_[h];
    head.key = key_[h / queries_of_a_key];
    head.value = value_[h / queries_of_a_key];
    head.scale = 0.25;
    return head;
  }
  template <class Numbers>
  static auto pointers(Numbers& matrices) {
    std::vector<decltype(matrices[0].data())> all;
    for (auto& matrix : matrices) all.push_back(matrix.data());
    return all;
  }
  void run() {
    output_.assign(heads, Matrix<float>(n, d_v));
    query_gradient_.assign(heads, Matrix<float>(n, d));
    key_gradient_.assign(groups, Matrix<float>(n, d));
    value_gradient_.assign(groups, Matrix<float>(n, d_v));
    lse_.assign(heads, std::vector<double>(n));
    const auto query = pointers(std::as_const(query_)), key = pointers(std::as_const(key_)),
               value = pointers(std::as_const(value_));
    const ConvbasisCudaHeads all{query.data(), key.data(), value.data(),     d,    d, d_v, nullptr, n, d,
                                 d_v,          heads,      queries_of_a_key, 0.25F};
    const ConvbasisCudaTable* table = convbasis_cuda_table(CONVBASIS_CUDA_VERSION);
    const ConvbasisCudaCall call{0, nullptr, nullptr, nullptr, 0};
    ASSERT_EQ(table->exact_attention(&all, pointers(output_).data(), d_v, pointers(lse_).data(), &call), CONVBASIS_CUDA_DONE);
    ASSERT_EQ(table->exact_backward(&all, pointers(std::as_const(output_)).data(), pointers(std::as_const(lse_)).data(),
                                    pointers(std::as_const(output_gradient_)).data(), d_v, pointers(query_gradient_).data(),
                                    pointers(key_gradient_).data(), pointers(value_gradient_).data(), &call),
              CONVBASIS_CUDA_DONE);
  }

  std::vector<Matrix<float>> query_, key_, value_, output_gradient_;
  std::vector<Matrix<float>> output_, query_gradient_, key_gradient_, value_gradient_;
  std::vector<std::vector<double>> lse_;
};

TEST(CudaVerbs, HeadsThatShareKeysAgreeWithTheReferences) {
  GroupedHeads heads;
  cuda_host::for_each_schedule([&] { heads.expect_right(); });
  EXPECT_TRUE(cuda_host::leftovers().none());
}

}  // namespace
}  // namespace convbasis
