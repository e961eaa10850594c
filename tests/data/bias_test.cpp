// Position bias, sliding windows and scales by layer.
#include "core/errors.h"
#include "data/activations.h"
#include "support/expect_error.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace convbasis {
namespace {

using test::TensorBytes;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing_inputs::message_of;

constexpr float infinity = std::numeric_limits<float>::infinity();

TensorBytes floats(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<float>& numbers) {
  return {name, "F32", shape, test::bytes_of_numbers(numbers)};
}

/// Layers 0 and 1 of two heads, five tokens, width 4.
std::vector<TensorBytes> two_layers() {
  std::vector<TensorBytes> tensors;
  for (const char* name : {"layers.0.q", "layers.0.k", "layers.0.v", "layers.1.q", "layers.1.k", "layers.1.v"}) {
    tensors.push_back(floats(name, {2, 5, 4}, std::vector<float>(40, 0.5F)));
  }
  return tensors;
}

class BiasTest : public ::testing::Test {
 protected:
  Activations open(const std::vector<TensorBytes>& tensors, const std::map<std::string, std::string>& metadata = {}) {
    return Activations::open({folder_.write("a.safetensors", test::safetensors_bytes(tensors, metadata))});
  }
  std::string problem(const std::vector<TensorBytes>& tensors, const std::map<std::string, std::string>& metadata = {}) {
    return message_of<FileError>([&] {
      const Activations activations = open(tensors, metadata);
      (void)activations.load<float>(1, 1);
    });
  }
  std::vector<TensorBytes> with_bias(const std::vector<std::int64_t>& shape, const std::vector<float>& numbers) {
    std::vector<TensorBytes> tensors = two_layers();
    tensors.push_back(floats("layers.1.bias", shape, numbers));
    return tensors;
  }
  test::TemporaryFolder folder_;
};

TEST_F(BiasTest, ByHeadAndLag) {
  const Activations activations = open(with_bias({2, 5}, {0, -1, -2, -3, -4, 0, -0.5F, -infinity, -1e30F, -2}));
  EXPECT_EQ(activations.layer(0).bias, "");
  EXPECT_EQ(activations.layer(1).bias, "layers.1.bias");
  EXPECT_THAT(activations.load<float>(0, 0).bias, IsEmpty());
  EXPECT_THAT(activations.load<float>(1, 0).bias, ElementsAre(0, -1, -2, -3, -4));
  EXPECT_THAT(activations.load<double>(1, 1).bias, ElementsAre(0, -0.5, masked_score, masked_score, -2));
  EXPECT_THAT(activations.load<double>(1, 1, 2).bias, ElementsAre(0, -0.5));
  const HeadTensors<double> head = activations.load<double>(1, 1);
  EXPECT_DOUBLE_EQ(score(head.view(), 4, 3), 0.5 * 4 * 0.25 - 0.5);  // q . k is 1, the scale 1/2
}

TEST_F(BiasTest, BadBias) {
  EXPECT_THAT(
      problem(with_bias({5, 2}, std::vector<float>(10))),
      HasSubstr("tensor \"layers.1.bias\" (5, 2) of f32 is no position bias; expected one floating number for each of 2 heads "
                "and 5 lags, (2, 5)"));
  for (const float bad : {std::nanf(""), infinity}) {
    std::vector<float> numbers(10);
    numbers[7] = bad;
    EXPECT_THAT(problem(with_bias({2, 5}, numbers)), HasSubstr("tensor \"layers.1.bias\", head 1, lag 2 is "));
  }
}

TEST_F(BiasTest, SlidingWindows) {
  const std::map<std::string, std::string> metadata{{"sliding_window", R"({"0": 2, "1": 4096, "7": 3})"}};
  const Activations activations = open(with_bias({2, 5}, std::vector<float>(10, -1)), metadata);
  EXPECT_EQ(activations.layer(0).window, 2);
  EXPECT_EQ(activations.layer(1).window, 4096);
  EXPECT_THAT(activations.load<float>(0, 0).bias, ElementsAre(0, 0, masked_score, masked_score, masked_score));
  EXPECT_THAT(activations.load<float>(0, 0, 2).bias, IsEmpty()) << "no lag reaches the window";
  EXPECT_THAT(activations.load<float>(1, 0).bias, Each(-1.0F));
  const Activations both = open(with_bias({2, 5}, std::vector<float>(10, -1)), {{"sliding_window", R"({"1": 1})"}});
  EXPECT_THAT(both.load<float>(1, 0).bias, ElementsAre(-1, masked_score, masked_score, masked_score, masked_score));
  EXPECT_FALSE(both.layer(0).window);
  for (const char* bad : {"4096", "{\"0\": 0}", "{\"0\": -1}", "{\"0\": 1.5}", "{\"zero\": 1}", "{\"-1\": 1}", "{\"0\": \"1\"}",
                          "{", "[1]", "{\"0\": 1e300}"}) {
    EXPECT_THAT(problem(two_layers(), {{"sliding_window", bad}}), HasSubstr("metadata \"sliding_window\" is ")) << bad;
  }
}

TEST_F(BiasTest, ScalesByLayer) {
  const Activations activations = open(two_layers(), {{"scale", R"({"0": 0.25, "1": 1})"}});
  EXPECT_FALSE(activations.scale());
  EXPECT_EQ(activations.layer(0).scale, 0.25);
  EXPECT_EQ(activations.load<float>(1, 0).scale, 1.0);
  EXPECT_EQ(open(two_layers()).layer(0).scale, 0.5);
  EXPECT_EQ(open(two_layers(), {{"scale", "0.125"}}).layer(1).scale, 0.125);
  EXPECT_THAT(problem(two_layers(), {{"scale", R"({"0": 0.25})"}}),
              HasSubstr("metadata \"scale\" lists numbers by layer, but none for layer 1"));
  for (const char* bad : {"{\"0\": \"a\"}", "[1, 2]", "{\"0\": 1e999}"}) {
    EXPECT_THAT(problem(two_layers(), {{"scale", bad}}), HasSubstr("expected a finite number, or a JSON object of them by layer"))
        << bad;
  }
}

}  // namespace
}  // namespace convbasis
