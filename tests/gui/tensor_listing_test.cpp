// Who is query, key and value: the listing of the files' tensors, choosing roles, and what it takes to open them so.

#include "state/tensor_listing.h"

#include "core/errors.h"
#include "state/session.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace convscope {
namespace {

using convbasis::test::safetensors_bytes;
using convbasis::test::TemporaryFolder;
using convbasis::test::TensorBytes;
using testing::HasSubstr;

class Listing : public testing::Test {
 protected:
  /// A tensor of 4-byte zeros.
  static TensorBytes zeros(const std::string& name, const std::vector<Index>& shape, const std::string& dtype = "F32") {
    Index bytes = 4;
    for (const Index extent : shape) bytes *= extent;
    return {name, dtype, shape, std::string(static_cast<std::size_t>(bytes), '\0')};
  }
  FilesRecipe file(const std::vector<TensorBytes>& tensors, const std::map<std::string, std::string>& metadata = {}) {
    return {{folder_.write("file" + std::to_string(++files_) + ".safetensors", safetensors_bytes(tensors, metadata))}};
  }
  /// Names that say nothing: alpha is meant to be the query, beta the key, gamma the value; delta is an integer.
  FilesRecipe nameless() {
    std::vector<TensorBytes> tensors;
    for (const char* layer : {"0", "1"}) {
      const std::string prefix = std::string("block.") + layer + ".";
      tensors.push_back(zeros(prefix + "alpha", {4, 16, 8}));
      tensors.push_back(zeros(prefix + "beta", {2, 16, 8}));
      tensors.push_back(zeros(prefix + "gamma", {2, 16, 6}));
    }
    tensors.push_back(zeros("delta", {4, 4}, "I32"));
    return file(tensors);
  }

  TemporaryFolder folder_;
  int files_ = 0;
};

TEST(LayerSign, StandsForTheNumberAfterALayerWord) {
  EXPECT_EQ(with_layer_sign("model.layers.12.attn.a"), "model.layers.{L}.attn.a");
  EXPECT_EQ(with_layer_sign("Layer3_x2"), "Layer{L}_x2");
  EXPECT_EQ(with_layer_sign("2/h/7/x"), "2/h/{L}/x");
  EXPECT_EQ(with_layer_sign("blk-5"), "blk-{L}");
  // The reader takes the first number of a name that says a role for the layer.
  EXPECT_EQ(with_layer_sign("past_key_values.4.value"), "past_key_values.{L}.value");
  EXPECT_EQ(with_layer_sign("attn_9"), "attn_{L}");
}

TEST(LayerSign, StandsForNothingElse) {
  for (const char* name : {"arr_0", "x1", "", "query", "layers", "layers.q2", "layer1234567", "blocks.{L}.a", "already.3.{L}"}) {
    EXPECT_EQ(with_layer_sign(name), name);
  }
}

TEST_F(Listing, ShowsEveryTensorAndWhatItWasTakenFor) {
  const FilesRecipe recipe = file({zeros("layers.0.q", {2, 16, 8}), zeros("layers.0.k", {2, 16, 8}),
                                   zeros("layers.0.v", {2, 16, 8}), zeros("layers.1.q", {2, 16, 8}),
                                   zeros("layers.1.k", {2, 16, 8}), zeros("layers.1.v", {2, 16, 8}), zeros("ids", {16}, "I32")});
  const TensorListing listing = list_tensors(recipe);
  ASSERT_EQ(listing.tensors.size(), 7U);
  EXPECT_EQ(listing.why_not, "");
  EXPECT_EQ(finding_text(listing), "2 layers, heads 2, kv heads 2, n 16, d 8, query and key");
  EXPECT_EQ(found_name(listing, TensorRole::query), "layers.{L}.q");
  EXPECT_EQ(found_name(listing, TensorRole::attention), "");
  for (const ListedTensor& tensor : listing.tensors) {
    EXPECT_EQ(tensor.used, tensor.name != "ids") << tensor.name;
    EXPECT_FALSE(tensor.use.empty()) << tensor.name;
    EXPECT_EQ(tensor.file, recipe.paths.front().filename().string());
    if (tensor.name == "layers.1.k") {
      EXPECT_EQ(tensor.use, "key of layer 1");
      EXPECT_EQ(tensor.shape, "(2, 16, 8)");
      EXPECT_EQ(tensor.type, "f32");
    }
    EXPECT_EQ(tensor.choice.empty(), tensor.name == "ids") << "integers cannot be chosen";
  }
  ASSERT_GE(listing.choices.size(), 9U);
  EXPECT_EQ(listing.choices[0].name, "layers.{L}.q");
  EXPECT_EQ(listing.choices[0].count, 2);
}

TEST_F(Listing, SaysWhyNothingWasFoundAndStillListsAll) {
  const TensorListing listing = list_tensors(nameless());
  EXPECT_TRUE(listing.layers.empty());
  EXPECT_THAT(listing.why_not, HasSubstr("no query, key and value"));
  EXPECT_EQ(finding_text(listing), listing.why_not);
  EXPECT_EQ(listing.tensors.size(), 7U);
  EXPECT_EQ(listing.choices[0].name, "block.{L}.alpha");
}

TEST_F(Listing, RefusesWhatIsNoTensorFile) {
  EXPECT_THROW(list_tensors({{folder_.write("a.npy", "nothing")}}), convbasis::FileError);
}

TEST_F(Listing, StopsOnRequest) {
  std::stop_source stop;
  stop.request_stop();
  convbasis::RunContext context;
  context.stop = stop.get_token();
  EXPECT_THROW(list_tensors(nameless(), context), convbasis::Cancelled);
}

TEST_F(Listing, ChosenNamesFindTheHeads) {
  FilesRecipe recipe = nameless();
  const TensorListing nothing = list_tensors(recipe);
  EXPECT_EQ(still_to_choose(recipe.hints), "");
  choose(recipe.hints, nothing, TensorRole::query, "block.{L}.alpha");
  EXPECT_EQ(still_to_choose(recipe.hints), "key and value");
  choose(recipe.hints, nothing, TensorRole::key, "block.{L}.beta");
  choose(recipe.hints, nothing, TensorRole::value, "block.{L}.gamma");
  EXPECT_EQ(still_to_choose(recipe.hints), "");
  const TensorListing listing = list_tensors(recipe);
  EXPECT_EQ(finding_text(listing), "2 layers, heads 4, kv heads 2, n 16, d 8, query and key");
  EXPECT_TRUE(listing.tensors.front().used);
  const Source source(1, recipe);
  EXPECT_EQ(source.layers().size(), 2U);
  EXPECT_EQ(source.load(1, 3, 16).value.cols(), 6);
}

TEST_F(Listing, OneOtherNameKeepsTheRestThatWasFound) {
  FilesRecipe recipe = file({zeros("layers.3.q", {2, 16, 8}), zeros("layers.3.k", {2, 16, 8}), zeros("layers.3.v", {2, 16, 8}),
                             zeros("layers.3.other", {2, 16, 8})});
  choose(recipe.hints, list_tensors(recipe), TensorRole::key, "layers.3.other");
  EXPECT_EQ(recipe.hints.query_name, "layers.3.q");
  EXPECT_EQ(recipe.hints.value_name, "layers.3.v");
  const TensorListing listing = list_tensors(recipe);
  ASSERT_EQ(listing.layers.size(), 1U) << listing.why_not;
  EXPECT_EQ(listing.layers.front().key, "layers.3.other");
  EXPECT_EQ(listing.layers.front().layer, 3);
}

TEST_F(Listing, AttentionMatricesTakeThePlaceOfQueryAndKeyAndBack) {
  FilesRecipe recipe = file({zeros("q", {2, 16, 8}), zeros("k", {2, 16, 8}), zeros("v", {2, 16, 8}), zeros("w", {2, 16, 16})});
  choose(recipe.hints, list_tensors(recipe), TensorRole::attention, "w");
  recipe.hints.attention_kind = convbasis::AttentionKind::scores;
  EXPECT_FALSE(recipe.hints.query_name);
  TensorListing listing = list_tensors(recipe);
  ASSERT_EQ(listing.layers.size(), 1U) << listing.why_not;
  EXPECT_EQ(finding_text(listing), "1 layer, heads 2, kv heads 2, n 16, attention scores");
  // The value of these matrices is chosen beside them, and nothing else is asked for.
  choose(recipe.hints, listing, TensorRole::value, "v");
  EXPECT_EQ(recipe.hints.attention_name, "w");
  EXPECT_EQ(still_to_choose(recipe.hints), "");
  EXPECT_EQ(list_tensors(recipe).layers.front().value, "v");
  choose(recipe.hints, listing, TensorRole::query, "q");
  EXPECT_FALSE(recipe.hints.attention_name);
  EXPECT_FALSE(recipe.hints.attention_kind);
  EXPECT_EQ(still_to_choose(recipe.hints), "key");
}

TEST_F(Listing, MissingPartsOfTheModelAreToldByLayer) {
  const std::vector<TensorBytes> tensors{zeros("layers.0.q", {2, 16, 8}), zeros("layers.0.k", {2, 16, 8}),
                                         zeros("layers.0.v", {2, 16, 8})};
  EXPECT_EQ(Source(1, file(tensors, {{"missing", R"({"0": "a soft cap", "x": "no layer", "1": 3})"}})).missing(0), "a soft cap");
  EXPECT_EQ(Source(1, file(tensors, {{"missing", "no JSON"}})).missing(0), "");
  EXPECT_EQ(Source(1, file(tensors)).missing(0), "");
}

TEST_F(Listing, ARefusedFileIsKeptAndOpensWithNames) {
  Session session([] {});
  const auto settle = [&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    do {
      session.poll();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } while ((session.busy() || session.awaits_poll()) && std::chrono::steady_clock::now() < end);
  };
  const FilesRecipe recipe = nameless();
  session.open(recipe.paths);
  EXPECT_FALSE(session.refused()) << "not before it was tried";
  settle();
  ASSERT_TRUE(session.failure());
  ASSERT_TRUE(session.refused());
  EXPECT_EQ(*session.refused(), recipe);
  FilesRecipe named = *session.refused();
  named.hints.query_name = "block.{L}.alpha";
  named.hints.key_name = "block.{L}.beta";
  named.hints.value_name = "block.{L}.gamma";
  EXPECT_NE(named, recipe);
  session.open_as(named);
  settle();
  ASSERT_TRUE(session.source()) << (session.failure() ? session.failure()->text : "");
  EXPECT_FALSE(session.refused());
  EXPECT_EQ(std::get<FilesRecipe>(session.source()->recipe()), named);
}

}  // namespace
}  // namespace convscope
