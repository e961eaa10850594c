// Models in several safetensors files with an index, and what may be wrong with the index.
#include "core/errors.h"
#include "data/activations.h"
#include "data/tensor_file.h"
#include "support/expect_error.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace convbasis {
namespace {

using test::safetensors_bytes;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class ShardsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string data = test::bytes_of_numbers(std::vector<float>{1, 2, 3, 4});
    folder_.write("one.safetensors",
                  safetensors_bytes({{"q", "F32", {2, 2}, data}, {"k", "F32", {2, 2}, data}}, {{"scale", "0.5"}}));
    folder_.write("two.safetensors",
                  safetensors_bytes({{"v", "F32", {2, 2}, test::bytes_of_numbers(std::vector<float>{5, 6, 7, 8})}}));
  }
  std::filesystem::path index(const std::string& map) {
    return folder_.write("model.safetensors.index.json", "{\"metadata\": {\"q\": 48}, \"weight_map\": " + map + "}\n");
  }
  std::string problem(const std::string& map) {
    return testing_inputs::message_of<FileError>([&] { open_tensor_file(index(map)); });
  }
  test::TemporaryFolder folder_;
  const std::string good_ = R"({"q": "one.safetensors", "k": "one.safetensors", "v": "two.safetensors"})";
};

TEST_F(ShardsTest, TheIndexOpensAllFiles) {
  const auto path = index(good_);
  const auto file = open_tensor_file(path);
  EXPECT_EQ(file->format(), "safetensors shards");
  EXPECT_EQ(file->path(), path);
  ASSERT_EQ(file->tensors().size(), 3U);
  std::vector<float> out(4);
  file->read<float>(*file->find("v"), 0, out);
  EXPECT_THAT(out, ElementsAre(5, 6, 7, 8));
  EXPECT_THAT(file->source_name(*file->find("v")), EndsWith("two.safetensors"));
  const Activations activations = Activations::open({path});
  EXPECT_EQ(activations.scale(), 0.5);
  EXPECT_EQ(activations.load<float>(0, 0).value(1, 1), 8);
}

TEST_F(ShardsTest, FilesOutsideTheFolderAreNotOpened) {
  for (const char* name : {"/etc/passwd", "../one.safetensors", "a/../../one.safetensors", "", "a\\u0000b"}) {
    EXPECT_THAT(problem(std::string("{\"q\": \"") + name + "\"}"), HasSubstr("expected one in the folder of the index")) << name;
  }
}

TEST_F(ShardsTest, TheIndexAndTheFilesMustAgree) {
  EXPECT_THAT(problem(R"({"q": "three.safetensors"})"), AllOf(HasSubstr("three.safetensors: "), HasSubstr("does not exist")));
  EXPECT_THAT(problem(R"({"q": "one.safetensors", "v": "two.safetensors"})"),
              HasSubstr("file \"one.safetensors\" holds tensor \"k\", which the index does not place there"));
  EXPECT_THAT(problem(R"({"q": "one.safetensors", "k": "one.safetensors", "v": "two.safetensors", "w": "two.safetensors"})"),
              HasSubstr("places tensor \"w\" in file \"two.safetensors\", which does not hold it"));
  EXPECT_THAT(problem(R"({"q": "one.safetensors", "k": "two.safetensors", "v": "two.safetensors"})"),
              HasSubstr("does not place there"));
  folder_.write("text", "just a text, and no tensors");
  EXPECT_THAT(problem(R"({"q": "text"})"), HasSubstr("is no safetensors file, but"));
}

TEST_F(ShardsTest, BadIndices) {
  EXPECT_THAT(problem("{"), HasSubstr("is no valid JSON; expected the index of a safetensors model"));
  EXPECT_THAT(problem("3"), HasSubstr("is JSON without \"weight_map\""));
  EXPECT_THAT(problem("{\"q\": 3}"), HasSubstr("its weight_map names no file for tensor \"q\""));
  EXPECT_THAT(problem(R"({"q": "one.safetensors", "q": "two.safetensors"})"), HasSubstr("its index has two entries \"q\""));
  EXPECT_THAT(problem("{}, \"weight_map\": {}"), HasSubstr("its index has two entries \"weight_map\""));
  std::string many = "{";
  for (int i = 0; i < 1001; ++i) many += (i > 0 ? ", \"" : "\"") + std::to_string(i) + "\": \"f" + std::to_string(i) + "\"";
  EXPECT_THAT(problem(many + "}"), HasSubstr("its index names 1001 files; at most 1000 are read"));
  const auto big = index("{}");
  std::filesystem::resize_file(big, (std::uint64_t{16} << 20U) + 1);
  EXPECT_THAT(testing_inputs::message_of<FileError>([&] { open_tensor_file(big); }),
              HasSubstr("an index of at most 16777216 is read"));
  EXPECT_EQ(open_tensor_file(index("{}"))->tensors().size(), 0U);
}

TEST_F(ShardsTest, ALengthThatLooksLikeABraceIsNoIndex) {
  const std::string header = "{\"q\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  const auto path = folder_.write("t", safetensors_bytes(header + std::string(123 - header.size(), ' '), "1234"));
  ASSERT_EQ(test::read_all(path)[0], '{');
  EXPECT_EQ(open_tensor_file(path)->format(), "safetensors");
}

}  // namespace
}  // namespace convbasis
