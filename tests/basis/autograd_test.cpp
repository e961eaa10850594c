// Gradients against those of PyTorch autograd in float64 (tests/data/make_gradients.py): stored ones, or those of the file that
// CONVSCOPE_GRADIENTS names.
#include "attention/exact_attention.h"
#include "attention/exact_backward.h"
#include "basis/conv_backward.h"
#include "basis/recover.h"
#include "data/tensor_file.h"
#include "support/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace convbasis {
namespace {

// Both sides sum the same numbers in float64, in another order: some ten roundings of 1e-16 times the size of a score each.
constexpr double tolerance = 1e-10;

struct Gradients {
  Matrix<double> query, key, value;

  explicit Gradients(const HeadView<double>& head)
      : query(head.size(), head.width()), key(head.size(), head.width()), value(head.size(), head.value_width()) {}
  HeadGradients<double> views() { return {mutable_view(query), mutable_view(key), mutable_view(value)}; }
};

/// One case of the file.
class Case {
 public:
  Case(const TensorFile& file, int number) : file_(file), prefix_(std::to_string(number) + ".") {
    head_.query = matrix("query");
    head_.key = matrix("key");
    head_.value = matrix("value");
    head_.scale = numbers("scale").at(0);
    if (file.find(prefix_ + "bias") != nullptr) head_.bias = numbers("bias");
    output_gradient_ = matrix("output_gradient");
  }

  HeadView<double> head() const { return head_.view(); }
  MatrixView<double> output_gradient() const { return view(output_gradient_); }
  std::vector<Index> starts() const {
    const std::vector<double> found = numbers("starts");
    return {found.begin(), found.end()};
  }

  /// `way` is "exact" or "conv".
  void expect(const Gradients& got, const std::string& way) const {
    expect_near(got.query, way + ".query");
    expect_near(got.key, way + ".key");
    expect_near(got.value, way + ".value");
  }

 private:
  std::vector<double> numbers(const std::string& name) const {
    const TensorInfo* tensor = file_.find(prefix_ + name);
    if (tensor == nullptr) throw std::runtime_error("no tensor " + prefix_ + name);
    std::vector<double> found(static_cast<std::size_t>(tensor->element_count()));
    file_.read<double>(*tensor, 0, found);
    return found;
  }
  Matrix<double> matrix(const std::string& name) const {
    const std::vector<double> found = numbers(name);
    const std::vector<Index>& shape = file_.find(prefix_ + name)->shape;
    return Eigen::Map<const Matrix<double>>(found.data(), shape.at(0), shape.at(1));
  }
  void expect_near(const Matrix<double>& got, const std::string& name) const {
    const Matrix<double> wanted = matrix(name);
    // Of a single token P is 1 whatever the scores: gradients are then 0 against the 1 that they are differences of.
    const double size = std::max(wanted.norm(), output_gradient_.norm());
    const double error = (got - wanted).norm() / size;
    EXPECT_TRUE(error <= tolerance) << prefix_ + name << ": " << error;
  }

  const TensorFile& file_;
  std::string prefix_;
  HeadTensors<double> head_;
  Matrix<double> output_gradient_;
};

class Autograd : public testing::Test {
 protected:
  template <class Check>
  void for_each_case(const Check& check) {
    const char* named = std::getenv("CONVSCOPE_GRADIENTS");
    const auto file =
        open_tensor_file(named != nullptr ? named : CONVSCOPE_SOURCE_DIR "/tests/data/golden/gradients.safetensors");
    const int cases = std::stoi(file->metadata().at("cases"));
    ASSERT_GE(cases, 8);
    for (int number = 0; number < cases; ++number) check(Case(*file, number));
  }
};

TEST_F(Autograd, ExactBackward) {
  for_each_case([](const Case& stored) {
    const HeadView<double> head = stored.head();
    Matrix<double> output(head.size(), head.value_width());
    std::vector<double> lse(static_cast<std::size_t>(head.size()));
    exact_attention<double>(head, mutable_view(output), lse);
    Gradients got(head);
    exact_backward<double>(head, {view(output), lse, stored.output_gradient()}, got.views());
    stored.expect(got, "exact");
  });
}

TEST_F(Autograd, GradientOfTheApproximateForward) {
  for_each_case([](const Case& stored) {
    const HeadView<double> head = stored.head();
    const ConvBasis<double> basis = recover_at<double>(HeadScores<double>(head), stored.starts()).basis;
    const auto weights = std::make_shared<const ConvWeights<double>>(exponentiate(basis));
    for (const Index block :
         {0, 16}) {  // the cost model's choice, which is direct products here, and FFTs where segments are long
      const ConvAttentionPlan<double> plan(weights, head.value_width(), {.block = block});
      Matrix<double> output(head.size(), head.value_width());
      plan.apply(head.value, mutable_view(output));
      Gradients got(head);
      conv_forward_gradient<double>(head, basis, plan, {view(output), stored.output_gradient()}, got.views());
      stored.expect(got, "conv");
    }
  });
}

}  // namespace
}  // namespace convbasis
