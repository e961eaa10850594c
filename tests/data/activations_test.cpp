// Finding query, key and value: names, layouts, grouped-query attention, several files, and what is said when it fails.
#include "data/activations.h"

#include "core/errors.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cmath>
#include <limits>

namespace convbasis {
namespace {

using test::TemporaryFolder;
using test::TensorBytes;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// One layer's numbers: value(which, head, token, column) is unique and exact in f32.
float number(int which, Index head, Index token, Index column) {
  return static_cast<float>(which) * 100'000.0F + static_cast<float>(head) * 10'000.0F + static_cast<float>(token) * 100.0F +
         static_cast<float>(column);
}

struct Sizes {
  Index heads = 4, kv_heads = 2, n = 7, d = 3, value_width = 5;
};

/// One of Q (0), K (1), V (2) in a layout whose characters stand for the axes, as ActivationHints says.
TensorBytes tensor(const std::string& name, int which, const std::string& layout, const Sizes& sizes = {}) {
  const Index heads = which == 0 ? sizes.heads : sizes.kv_heads;
  const Index width = which == 2 ? sizes.value_width : sizes.d;
  const bool joined = layout.find('(') != std::string::npos;
  std::vector<char> axes;
  for (const char c : layout) {
    if (c != '(' && c != ')') axes.push_back(c);
  }
  std::vector<Index> lengths;
  for (const char axis : axes)
    lengths.push_back(axis == 'h' ? heads : axis == 'n' ? sizes.n : axis == 'd' ? width : axis == 'l' ? 2 : 1);
  Index count = 1;
  for (const Index length : lengths) count *= length;
  std::vector<float> numbers;
  for (Index i = 0; i < count; ++i) {
    Index rest = i, head = 0, token = 0, column = 0, layer = 0;
    for (std::size_t a = axes.size(); a-- > 0; rest /= lengths[a]) {
      const Index place = rest % lengths[a];
      if (axes[a] == 'h') head = place;
      if (axes[a] == 'n') token = place;
      if (axes[a] == 'd') column = place;
      if (axes[a] == 'l') layer = place;
    }
    numbers.push_back(number(which, head, token, column) + 1'000'000.0F * static_cast<float>(layer));
  }
  std::vector<std::int64_t> shape;
  for (std::size_t a = 0; a < axes.size(); ++a) {
    if (joined && axes[a] == 'd') {
      shape.back() *= lengths[a];
    } else {
      shape.push_back(lengths[a]);
    }
  }
  return {name, "F32", shape, test::bytes_of_numbers(numbers)};
}

std::vector<TensorBytes> trio(const std::string& layout, const Sizes& sizes = {}, const std::string& q = "q",
                              const std::string& k = "k", const std::string& v = "v") {
  return {tensor(q, 0, layout, sizes), tensor(k, 1, layout, sizes), tensor(v, 2, layout, sizes)};
}

/// An empty tensor list of these names, as f32 of this shape.
TensorBytes zeros(const std::string& name, const std::vector<std::int64_t>& shape, const std::string& dtype = "F32",
                  std::size_t width = 4) {
  std::size_t count = width;
  for (const std::int64_t axis : shape) count *= static_cast<std::size_t>(axis);
  return {name, dtype, shape, std::string(count, '\0')};
}

class ActivationsTest : public ::testing::Test {
 protected:
  Activations open(const std::vector<TensorBytes>& tensors, const ActivationHints& hints = {},
                   const std::map<std::string, std::string>& metadata = {}) {
    return Activations::open({folder_.write("a.safetensors", test::safetensors_bytes(tensors, metadata))}, hints);
  }

  /// The message of the FileError or InvalidArgument that opening throws.
  std::string problem(const std::vector<TensorBytes>& tensors, const ActivationHints& hints = {},
                      const std::map<std::string, std::string>& metadata = {}) {
    return error_of([&] { open(tensors, hints, metadata); });
  }

  template <class Body>
  static std::string error_of(Body body) {
    try {
      body();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "no error";
  }

  TemporaryFolder folder_;
};

/// Every head of the layer holds the numbers that were written.
void expect_heads(const Activations& activations, Index layer, const Sizes& sizes, float layer_offset = 0.0F) {
  const LayerInfo& info = activations.layer(layer);
  EXPECT_EQ(info.heads, sizes.heads);
  EXPECT_EQ(info.kv_heads, sizes.kv_heads);
  EXPECT_EQ(info.size, sizes.n);
  EXPECT_EQ(info.width, sizes.d);
  EXPECT_EQ(info.value_width, sizes.value_width);
  for (Index head = 0; head < sizes.heads; ++head) {
    const Index shared = head / (sizes.heads / sizes.kv_heads);
    EXPECT_EQ(activations.kv_head(layer, head), shared);
    const HeadTensors<float> tensors = activations.load<float>(layer, head);
    ASSERT_EQ(tensors.query.rows(), sizes.n);
    for (Index i = 0; i < sizes.n; ++i) {
      for (Index c = 0; c < sizes.d; ++c) {
        ASSERT_EQ(tensors.query(i, c), number(0, head, i, c) + layer_offset);
        ASSERT_EQ(tensors.key(i, c), number(1, shared, i, c) + layer_offset);
      }
      for (Index c = 0; c < sizes.value_width; ++c) ASSERT_EQ(tensors.value(i, c), number(2, shared, i, c) + layer_offset);
    }
  }
}

TEST_F(ActivationsTest, TheExportersNamesAndMetadata) {
  std::vector<TensorBytes> tensors;
  for (const Index layer : {0, 10, 2}) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    for (TensorBytes& one : trio("hnd", {}, prefix + "q", prefix + "k", prefix + "v")) tensors.push_back(std::move(one));
  }
  const Activations activations =
      open(tensors, {}, {{"scale", "0.25"}, {"model", "tiny"}, {"tokens", R"(["a","b","c","d","e","f","g"])"}});
  ASSERT_EQ(activations.layers().size(), 3U);
  EXPECT_EQ(activations.layers()[2].layer, 10);
  expect_heads(activations, 0, {});
  expect_heads(activations, 10, {});
  EXPECT_EQ(activations.model(), "tiny");
  EXPECT_EQ(activations.scale(), 0.25);
  EXPECT_EQ(activations.load<double>(2, 3).scale, 0.25);
  EXPECT_THAT(activations.tokens(), ElementsAre("a", "b", "c", "d", "e", "f", "g"));
  EXPECT_EQ(activations.display_name(), "a.safetensors");
  EXPECT_EQ(activations.layer(2).query, "layers.2.q");
  EXPECT_EQ(activations.layer(2).layout, "hnd");
  EXPECT_THAT(activations.layer(2).reason, HasSubstr("\"layers.2.q\""));
}

TEST_F(ActivationsTest, ScaleDefaultsToTheWidths) {
  const Activations activations = open(trio("hnd"));
  EXPECT_FALSE(activations.scale().has_value());
  EXPECT_DOUBLE_EQ(activations.load<float>(0, 0).scale, 1.0 / std::sqrt(3.0));
}

TEST_F(ActivationsTest, NamesOfOtherPrograms) {
  const std::vector<std::array<std::string, 3>> names{
      {"model.layers.3.self_attn.q_proj", "model.layers.3.self_attn.k_proj", "model.layers.3.self_attn.v_proj"},
      {"blocks.3.attn.hook_q", "blocks.3.attn.hook_k", "blocks.3.attn.hook_v"},
      {"transformer.h.3.attn.query.output", "transformer.h.3.attn.key.output", "transformer.h.3.attn.value.output"},
      {"layer3_Q", "layer3_K", "layer3_V"},
      {"3/query_states", "3/key_states", "3/value_states"},
      {"L3.q_value", "L3.k_value", "L3.v_value"},
      {"queries-3", "keys-3", "values-3"}};
  for (const auto& [q, k, v] : names) {
    const Activations activations = open(trio("hnd", {}, q, k, v));
    ASSERT_EQ(activations.layers().size(), 1U) << q;
    EXPECT_EQ(activations.layers()[0].layer, 3) << q;
    expect_heads(activations, 3, {});
  }
}

TEST_F(ActivationsTest, OtherTensorsAreLeftAlone) {
  std::vector<TensorBytes> tensors = trio("hnd");
  tensors.push_back(zeros("tokens", {7}, "I32"));
  tensors.push_back(zeros("extra.key", {2}));
  EXPECT_EQ(open(tensors).layers().size(), 1U);
}

TEST_F(ActivationsTest, LayoutsUnderstoodWithoutHelp) {
  for (const char* layout : {"hnd", "1hnd", "nhd", "1nhd"}) {
    const Activations activations = open(trio(layout));
    EXPECT_EQ(activations.layers()[0].layout, layout);
    expect_heads(activations, 0, {});
  }
  const Sizes one{1, 1, 7, 3, 5};
  EXPECT_EQ(open(trio("nd", one)).layers()[0].layout, "nd");
  expect_heads(open(trio("nd", one)), 0, one);
  const Sizes equal_heads{2, 2, 9, 3, 3};
  EXPECT_EQ(open(trio("hnd", equal_heads)).layers()[0].layout, "hnd");
  EXPECT_EQ(open(trio("nhd", equal_heads)).layers()[0].layout, "nhd");
  expect_heads(open(trio("nhd", equal_heads)), 0, equal_heads);
}

TEST_F(ActivationsTest, LayersAsAnAxis) {
  const Activations activations = open(trio("lhnd"));
  ASSERT_EQ(activations.layers().size(), 2U);
  expect_heads(activations, 0, {});
  expect_heads(activations, 1, {}, 1'000'000.0F);
}

TEST_F(ActivationsTest, HeadsInOneAxisNeedTheirCount) {
  ActivationHints hints;
  hints.heads = 4;
  for (const char* layout : {"n(hd)", "1n(hd)"}) {
    const Activations activations = open(trio(layout), hints);
    EXPECT_EQ(activations.layers()[0].layout, layout);
    expect_heads(activations, 0, {});
    EXPECT_THAT(problem(trio(layout)), HasSubstr("give the number of query heads"));
  }
  hints.heads = 5;
  EXPECT_THAT(problem(trio("n(hd)"), hints), HasSubstr("cannot be cut into 5 heads"));
}

TEST_F(ActivationsTest, HintsAndTheTokenListSettleWhatIsAmbiguous) {
  const Sizes few_tokens{4, 4, 2, 3, 3};
  EXPECT_EQ(open(trio("hnd", few_tokens)).layers()[0].layout, "nhd");  // the longer axis would be the tokens
  ActivationHints hints;
  hints.layout = "hnd";
  expect_heads(open(trio("hnd", few_tokens), hints), 0, few_tokens);
  expect_heads(open(trio("hnd", few_tokens), {}, {{"tokens", R"(["a","b"])"}}), 0, few_tokens);
  expect_heads(open(trio("hnd", few_tokens, "layers.0.q", "layers.0.k", "layers.0.v")), 0, few_tokens);
  hints.layout = "hdn";
  EXPECT_THAT(problem(trio("hnd"), hints), HasSubstr("layout \"hdn\" is not known; the layouts are hnd, 1hnd"));
  hints.layout = "nd";
  EXPECT_THAT(problem(trio("hnd"), hints), HasSubstr("tensor \"q\" (4, 7, 3) cannot be read as layout \"nd\""));
}

TEST_F(ActivationsTest, NamesByHand) {
  ActivationHints hints;
  hints.query_name = "one";
  hints.key_name = "two";
  hints.value_name = "three";
  expect_heads(open(trio("hnd", {}, "one", "two", "three"), hints), 0, {});
  EXPECT_THAT(problem(trio("hnd"), hints), HasSubstr("has no tensor \"one\" (given as query)"));
  hints.value_name.reset();
  EXPECT_THAT(problem(trio("hnd"), hints), HasSubstr("give all three or none"));
}

TEST_F(ActivationsTest, NamesByHandWithALayerNumber) {
  std::vector<TensorBytes> tensors = trio("hnd", {}, "a4", "b4", "c4");
  for (TensorBytes& one : trio("hnd", {}, "a5", "b5", "c5")) tensors.push_back(std::move(one));
  ActivationHints hints;
  hints.query_name = "a{L}";
  hints.key_name = "b{L}";
  hints.value_name = "c{L}";
  const Activations activations = open(tensors, hints);
  ASSERT_EQ(activations.layers().size(), 2U);
  expect_heads(activations, 5, {});
  hints.value_name = "c5";
  EXPECT_THAT(problem(tensors, hints), HasSubstr("must all hold {L}, or none"));
}

TEST_F(ActivationsTest, NpyFilesTogether) {
  std::vector<std::filesystem::path> paths;
  const std::vector<TensorBytes> tensors = trio("hnd");
  for (const TensorBytes& one : tensors)
    paths.push_back(folder_.write(one.name + ".npy", test::npy_bytes("<f4", one.shape, one.data)));
  const Activations activations = Activations::open(paths);
  expect_heads(activations, 0, {});
  EXPECT_EQ(activations.display_name(), "q.npy, k.npy, v.npy");
  EXPECT_EQ(activations.files().size(), 3U);
  paths.pop_back();
  EXPECT_THAT(error_of([&] { Activations::open(paths); }),
              AllOf(StartsWith("q.npy, k.npy: "), HasSubstr("no query, key and value among")));
  EXPECT_THAT(error_of([] { Activations::open({}); }), HasSubstr("no file was given"));
}

TEST_F(ActivationsTest, ColumnMajorNpy) {
  // The same numbers with their axes turned round are column-major files of the original shapes.
  std::vector<std::filesystem::path> paths;
  for (int which = 0; which < 3; ++which) {
    const TensorBytes turned = tensor("t", which, "dnh");
    const std::string name = std::string(1, "qkv"[which]) + ".npy";
    const std::vector<std::int64_t> shape(turned.shape.rbegin(), turned.shape.rend());
    paths.push_back(folder_.write(name, test::npy_bytes("<f4", shape, turned.data, true)));
  }
  expect_heads(Activations::open(paths), 0, {});
}

TEST_F(ActivationsTest, APrefixOfTheTokens) {
  const Activations activations = open(trio("nhd"));
  const HeadTensors<double> all = activations.load<double>(0, 3);
  const HeadTensors<double> some = activations.load<double>(0, 3, 4);
  EXPECT_EQ(some.query, all.query.topRows(4));
  EXPECT_EQ(some.value, all.value.topRows(4));
}

TEST_F(ActivationsTest, WhatDoesNotExistIsListed) {
  const Activations activations = open(trio("hnd"));
  EXPECT_THROW((void)activations.layer(1), InvalidArgument);
  EXPECT_THAT(error_of([&] { (void)activations.layer(1); }), HasSubstr("layer 1 does not exist; a.safetensors has only layer 0"));
  EXPECT_THROW((void)activations.load<float>(0, 4), InvalidArgument);
  EXPECT_THAT(error_of([&] { (void)activations.load<float>(0, 4); }),
              HasSubstr("head 4 does not exist; a.safetensors layer 0 has heads 0 to 3"));
  EXPECT_THAT(error_of([&] { (void)activations.kv_head(0, -1); }), HasSubstr("head -1 does not exist"));
  EXPECT_THROW((void)activations.load<float>(0, 0, 5000), InvalidArgument);
  EXPECT_THAT(error_of([&] { (void)activations.load<float>(0, 0, 5000); }),
              HasSubstr("n is 5000; a.safetensors layer 0 has 7 tokens"));
  EXPECT_THAT(error_of([&] { (void)activations.load<float>(0, 0, -1); }), HasSubstr("n is -1"));
  std::vector<TensorBytes> tensors = trio("hnd", {}, "l1.q", "l1.k", "l1.v");
  for (TensorBytes& one : trio("hnd", {}, "l2.q", "l2.k", "l2.v")) tensors.push_back(std::move(one));
  EXPECT_THAT(error_of([&] { (void)open(tensors).layer(0); }), HasSubstr("has layers 1 to 2"));
  for (TensorBytes& one : trio("hnd", {}, "l7.q", "l7.k", "l7.v")) tensors.push_back(std::move(one));
  EXPECT_THAT(error_of([&] { (void)open(tensors).layer(0); }), HasSubstr("has layers 1, 2, 7"));
}

TEST_F(ActivationsTest, NumbersThatAreNotFiniteAreLocated) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<TensorBytes> tensors = trio("hnd");
    const Index position = (1 * 7 + 5) * 3 + 2;  // head 1, row 5, column 2 of K
    std::memcpy(tensors[1].data.data() + position * 4, &bad, sizeof(bad));
    const Activations activations = open(tensors);
    EXPECT_NO_THROW((void)activations.load<float>(0, 1));     // reads key head 0
    EXPECT_NO_THROW((void)activations.load<float>(0, 2, 5));  // stops before the row
    EXPECT_THROW((void)activations.load<float>(0, 2), FileError);
    EXPECT_THAT(
        error_of([&] { (void)activations.load<double>(0, 2); }),
        AllOf(HasSubstr("a.safetensors: tensor \"k\", head 1, row 5, column 2 is "), HasSubstr("expected a finite number")));
  }
}

TEST_F(ActivationsTest, NoHeads) {
  EXPECT_THAT(
      problem({zeros("a", {2}), zeros("b", {2})}),
      HasSubstr("a.safetensors: no query, key and value among its 2 tensors (\"a\", \"b\"); expected names such as layers.0.q"));
  EXPECT_THAT(problem({}), HasSubstr("among its 0 tensors ()"));
  EXPECT_THAT(problem({zeros("layers.0.q_proj.weight", {2, 2}), zeros("layers.0.k_proj.weight", {2, 2}),
                       zeros("layers.0.v_proj.weight", {2, 2})}),
              HasSubstr("these are a model's weights, expected activations"));
}

TEST_F(ActivationsTest, TwoClaimsForOneRole) {
  std::vector<TensorBytes> tensors = trio("hnd", {}, "encoder.layers.0.q", "encoder.layers.0.k", "encoder.layers.0.v");
  for (TensorBytes& one : trio("hnd", {}, "decoder.layers.0.q", "decoder.layers.0.k", "decoder.layers.0.v"))
    tensors.push_back(std::move(one));
  EXPECT_THAT(problem(tensors),
              HasSubstr("layer 0 has two queries, \"decoder.layers.0.q\" and \"encoder.layers.0.q\"; give the three names"));
  tensors = trio("hnd", {}, "a.q", "a.k", "a.v");
  tensors.push_back(tensor("a.Q", 0, "hnd"));
  EXPECT_THAT(problem(tensors), HasSubstr("are both taken for the query of one layer"));
}

TEST_F(ActivationsTest, ShapesThatDoNotFit) {
  const auto shapes = [&](const std::vector<std::int64_t>& q, const std::vector<std::int64_t>& k,
                          const std::vector<std::int64_t>& v) {
    const std::string message = problem({zeros("layers.0.q", q), zeros("layers.0.k", k), zeros("layers.0.v", v)});
    EXPECT_THAT(message, StartsWith((folder_.path() / "a.safetensors").string()));
    return message;
  };
  EXPECT_THAT(
      shapes({4, 8, 3}, {4, 7, 3}, {4, 7, 3}),
      HasSubstr(
          "tensors \"layers.0.q\" (4, 8, 3) and \"layers.0.k\" (4, 7, 3) do not fit each other as \"hnd\": 8 and 7 tokens"));
  EXPECT_THAT(shapes({4, 8, 3}, {4, 8, 2}, {4, 8, 3}), HasSubstr("widths 3 and 2"));
  EXPECT_THAT(shapes({4, 8, 3}, {2, 8, 3}, {4, 8, 3}), HasSubstr("2 and 4 heads"));
  EXPECT_THAT(shapes({4, 8, 3}, {3, 8, 3}, {3, 8, 3}), HasSubstr("4 query heads are no multiple of 3 key heads"));
  EXPECT_THAT(shapes({4, 8, 3}, {8, 3}, {4, 8, 3}), HasSubstr("expected the same number of axes"));
  EXPECT_THAT(shapes({4}, {4}, {4}), HasSubstr("has 1 axes; expected 2 to 4"));
  EXPECT_THAT(shapes({2, 4, 8, 3}, {2, 4, 8, 3}, {2, 4, 8, 3}), HasSubstr("holds 2 sequences; save one"));
  EXPECT_THAT(shapes({4, 0, 3}, {4, 0, 3}, {4, 0, 3}), HasSubstr("is empty; expected at least one token"));
  EXPECT_THAT(shapes({0, 8, 3}, {0, 8, 3}, {0, 8, 3}), HasSubstr("is empty"));
}

TEST_F(ActivationsTest, TypesAndMetadataThatAreWrong) {
  EXPECT_THAT(problem({zeros("q", {2, 2}), zeros("k", {2, 2}, "I32"), zeros("v", {2, 2})}),
              HasSubstr("tensor \"k\" (key) has dtype i32; expected f16, bf16, f32 or f64"));
  EXPECT_THAT(problem(trio("hnd"), {}, {{"scale", "half"}}),
              HasSubstr("metadata \"scale\" is \"half\"; expected a finite number"));
  EXPECT_THAT(problem(trio("hnd"), {}, {{"scale", "nan"}}), HasSubstr("expected a finite number"));
  EXPECT_THAT(problem(trio("hnd"), {}, {{"tokens", "a b c"}}), HasSubstr("metadata \"tokens\" is no JSON list of texts"));
  EXPECT_THAT(problem(trio("hnd"), {}, {{"tokens", "[1, 2]"}}), HasSubstr("no JSON list of texts"));
  EXPECT_THAT(problem(trio("hnd"), {}, {{"tokens", R"(["a","b"])"}}), HasSubstr("lists 2 tokens, but layer 0 has 7"));
  ActivationHints hints;
  hints.heads = 0;
  EXPECT_THAT(problem(trio("hnd"), hints), HasSubstr("the head count is 0; it must be at least 1"));
  hints.heads = 3;
  EXPECT_THAT(problem(trio("hnd"), hints), HasSubstr("has 4 heads, but 3 were given"));
}

RC_GTEST_PROP(ActivationsProperty, AnySizesAnyLayout, ()) {
  Sizes sizes;
  sizes.kv_heads = *rc::gen::inRange<Index>(1, 4);
  sizes.heads = sizes.kv_heads * *rc::gen::inRange<Index>(1, 4);
  sizes.n = *rc::gen::inRange<Index>(1, 20);
  sizes.d = *rc::gen::inRange<Index>(1, 9);
  sizes.value_width = *rc::gen::inRange<Index>(1, 9);
  ActivationHints hints;
  hints.layout = *rc::gen::element<std::string>("hnd", "1hnd", "nhd", "1nhd", "lhnd", "n(hd)", "1n(hd)");
  hints.heads = sizes.heads;
  const TemporaryFolder folder;
  const Activations activations =
      Activations::open({folder.write("a", test::safetensors_bytes(trio(*hints.layout, sizes)))}, hints);
  expect_heads(activations, 0, sizes);
  RC_ASSERT(!::testing::Test::HasFailure());
}

}  // namespace
}  // namespace convbasis
