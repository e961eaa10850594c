// Files that numpy, PyTorch and safetensors wrote (make_golden.py) read back bit by bit.
#include "core/errors.h"
#include "data/activations.h"
#include "data/tensor_file.h"
#include "support/expect_error.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>
#include <map>
#include <set>

namespace convbasis {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::filesystem::path folder = std::filesystem::path(CONVSCOPE_SOURCE_DIR) / "tests/data/golden/tensors";

const json& golden() {
  static const json read = json::parse(test::read_all(folder / "golden.json"));
  return read;
}

/// Doubles from hex, 16 digits each, lowest byte first.
std::vector<double> doubles_from(const std::string& hex) {
  std::vector<double> numbers;
  for (std::size_t at = 0; at < hex.size(); at += 16) {
    std::uint64_t bits = 0;
    for (std::size_t byte = 0; byte < 8; ++byte) bits |= std::stoull(hex.substr(at + 2 * byte, 2), nullptr, 16) << (8 * byte);
    numbers.push_back(std::bit_cast<double>(bits));
  }
  return numbers;
}

template <Real T>
void expect_bits(const TensorFile& file, const TensorInfo& tensor, const std::vector<double>& expected) {
  std::vector<T> numbers(static_cast<std::size_t>(tensor.element_count()));
  file.read<T>(tensor, 0, numbers);
  ASSERT_EQ(numbers.size(), expected.size()) << tensor.name;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto wanted = static_cast<T>(expected[i]);
    EXPECT_EQ(std::memcmp(&numbers[i], &wanted, sizeof(T)), 0)
        << file.path() << " " << tensor.name << "[" << i << "]: " << numbers[i] << ", not " << wanted;
  }
}

TEST(Golden, EveryTensorOfEveryFileReadsBackBitByBit) {
  std::map<std::string, std::set<std::string>> names;
  for (const json& entry : golden()["tensors"]) {
    const auto file = open_tensor_file(folder / std::string(entry["file"]));
    const std::string name = entry["name"];
    names[entry["file"]].insert(name);
    const TensorInfo* tensor = file->find(name);
    ASSERT_NE(tensor, nullptr) << entry["file"] << " " << name;
    EXPECT_EQ(name_of(tensor->dtype), entry["dtype"]) << entry["file"] << " " << name;
    EXPECT_EQ(tensor->shape, entry["shape"].get<std::vector<Index>>()) << entry["file"] << " " << name;
    if (!entry.contains("f64")) continue;
    const std::vector<double> expected = doubles_from(entry["f64"]);
    expect_bits<double>(*file, *tensor, expected);
    expect_bits<float>(*file, *tensor, expected);
  }
  EXPECT_GE(names.size(), 20U);
  for (const auto& [file, listed] : names) {
    EXPECT_EQ(open_tensor_file(folder / file)->tensors().size(), listed.size()) << file << " holds tensors that are not listed";
  }
}

TEST(Golden, AllFloatingTypesAndFormatsAreThere) {
  std::set<std::string> seen;
  for (const json& entry : golden()["tensors"]) {
    seen.insert(std::filesystem::path(std::string(entry["file"])).extension().string() + " " + std::string(entry["dtype"]));
  }
  for (const char* format : {".safetensors", ".npz", ".pt"}) {
    for (const char* dtype : {"f16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "bool"}) {
      EXPECT_TRUE(seen.contains(std::string(format) + " " + dtype)) << format << " " << dtype;
    }
  }
  for (const char* other : {".safetensors bf16", ".pt bf16", ".npy f64", ".json f32", ".pth f32"})
    EXPECT_TRUE(seen.contains(other)) << other;
}

TEST(Golden, WhatMustBeRefusedIs) {
  EXPECT_GE(golden()["refused"].size(), 7U);
  for (const json& entry : golden()["refused"]) {
    const std::string message =
        testing_inputs::message_of<FileError>([&] { open_tensor_file(folder / std::string(entry["file"])); });
    for (const json& words : entry["words"]) EXPECT_THAT(message, HasSubstr(std::string(words)));
  }
}

TEST(Golden, ValuesBesideTensorsAreMetadata) {
  const auto file = open_tensor_file(folder / "nested.pt");
  EXPECT_EQ(file->metadata().at("scale"), "0.125");
  EXPECT_EQ(file->metadata().at("model"), "golden");
  EXPECT_EQ(json::parse(file->metadata().at("tokens")), (json{"a", "\"b\"", "\u00e9"}));
}

TEST(Golden, AttentionsOfATupleOpenAsHeads) {
  const Activations activations = Activations::open({folder / "attentions.pth"});
  ASSERT_EQ(activations.layers().size(), 2U);
  EXPECT_EQ(activations.layer(1).attention_kind, AttentionKind::probabilities);
  EXPECT_EQ(activations.layer(1).heads, 2);
  const HeadTensors<double> head = activations.load<double>(0, 1);
  for (const json& entry : golden()["tensors"]) {
    if (entry["file"] != "attentions.pth" || entry["name"] != "0") continue;
    const std::vector<double> expected = doubles_from(entry["f64"]);
    for (Index i = 0; i < 5; ++i) {
      for (Index j = 0; j <= i; ++j) {
        EXPECT_EQ(score(head.view(), i, j), std::log(expected[static_cast<std::size_t>((5 + i) * 5 + j)])) << i << " " << j;
      }
    }
  }
}

TEST(Golden, RolesFromSeveralFilesOfDifferentFormats) {
  const test::TemporaryFolder place;
  const auto copy = [&](const char* from, const char* to) {
    std::filesystem::copy(folder / from, place.path() / to);
    return place.path() / to;
  };
  // One tensor of (1, 2, 3, 4), turned and whole; a bare tensor is named like its file.
  const std::vector<std::filesystem::path> paths{
      copy("bare.pt", "q.pt"), copy("bare.pt", "k.pth"),
      place.write("v.npy", test::npy_bytes("<f4", {1, 2, 3, 5}, std::string(120, '\0')))};
  const Activations activations = Activations::open(paths);
  EXPECT_EQ(activations.display_name(), "q.pt, k.pth, v.npy");
  EXPECT_EQ(activations.layers().front().heads, 2);
  const HeadTensors<double> head = activations.load<double>(0, 1);
  EXPECT_EQ(head.query(2, 3), 2 * 8 + 4 + 3);  // token 2, head 1, column 3 of the storage's (3, 2, 4)
  EXPECT_EQ(head.key, head.query);
  EXPECT_EQ(head.value.cols(), 5);
}

}  // namespace
}  // namespace convbasis
