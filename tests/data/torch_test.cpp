// PyTorch files: names, strides, shared storages, metadata, and one test for each rule that a hostile file may break.
#include "core/errors.h"
#include "data/opening.h"
#include "data/tensor_file.h"
#include "support/archive_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

namespace convbasis {
namespace {

using namespace test::pickle;
using test::TemporaryFolder;
using test::torch_bytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string floats(std::size_t count) {
  std::vector<float> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0.0F);
  return test::bytes_of_numbers(numbers);
}

std::string problem_of(const std::string& value, const std::vector<std::pair<std::string, std::string>>& storages) {
  return test::problem_of_opening("bad.pt", torch_bytes(value, storages));
}

/// What a tensor of these numbers over a storage of 6 floats is refused for.
std::string tensor_problem(std::int64_t offset, const std::vector<std::int64_t>& shape,
                           const std::vector<std::int64_t>& strides) {
  return problem_of(tensor(storage("FloatStorage", "0", 6), offset, shape, strides), {{"0", floats(6)}});
}

std::vector<float> elements(const TensorFile& file, std::string_view name) {
  const TensorInfo* tensor = file.find(name);
  if (tensor == nullptr) return {};
  std::vector<float> numbers(static_cast<std::size_t>(tensor->element_count()));
  file.read<float>(*tensor, 0, numbers);
  return numbers;
}

std::vector<std::string> names(const TensorFile& file) {
  std::vector<std::string> result;
  for (const TensorInfo& tensor : file.tensors()) result.push_back(tensor.name);
  return result;
}

TEST(Torch, NamesArePaths) {
  const TemporaryFolder folder;
  const std::string one = tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1});
  const std::string value = dict({text("a"), one, text("b"), list({one, tuple({one, "N"})}), text("c"), dict({integer(7), one})});
  const auto file = open_tensor_file(folder.write("q.pt", torch_bytes(value, {{"0", floats(6)}})));
  EXPECT_EQ(file->format(), "pytorch");
  EXPECT_THAT(names(*file), ElementsAre("a", "b.0", "b.1.0", "c.7"));
  const auto alone = open_tensor_file(folder.write("query.pt", torch_bytes(one, {{"0", floats(6)}})));
  EXPECT_THAT(names(*alone), ElementsAre("query"));
  EXPECT_THAT(elements(*alone, "query"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(names(*open_tensor_file(folder.write("e.pt", torch_bytes("N", {})))), ElementsAre());
}

TEST(Torch, StridesAndSharedStorages) {
  const TemporaryFolder folder;
  const std::string shared = storage("FloatStorage", "0", 12, "cuda:0");
  const std::string value =
      dict({text("whole"), tensor(shared, 0, {3, 4}, {4, 1}), text("turned"), tensor(shared, 0, {4, 3}, {1, 4}), text("part"),
            tensor(shared, 5, {2, 2}, {4, 2}), text("number"), tensor(shared, 7, {}, {}), text("empty"),
            tensor(shared, 99, {0, 3}, {-1, 0}), text("ones"), tensor(shared, 2, {1, 3, 1}, {77, 1, 0})});
  EXPECT_THAT(problem_of(value, {{"0", floats(12)}}), HasSubstr("tensor \"empty\" has an offset, length or stride below 0"));
  std::string mended = value;
  mended.replace(mended.find(integer(-1)), 5, integer(3));
  const auto file = open_tensor_file(folder.write("s.pt", torch_bytes(mended, {{"0", floats(12)}})));
  EXPECT_THAT(elements(*file, "whole"), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(elements(*file, "turned"), ElementsAre(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11));
  EXPECT_THAT(elements(*file, "part"), ElementsAre(5, 7, 9, 11));
  EXPECT_THAT(elements(*file, "number"), ElementsAre(7));
  EXPECT_THAT(elements(*file, "empty"), ElementsAre());
  EXPECT_THAT(elements(*file, "ones"), ElementsAre(2, 3, 4));
  EXPECT_EQ(file->find("turned")->order(), "column-major");
  EXPECT_EQ(file->find("part")->order(), "strided");
  EXPECT_EQ(file->find("ones")->order(), "row-major");
}

RC_GTEST_PROP(TorchProperty, AnyOrderOfAxesAnyGap, ()) {
  const auto rank = *rc::gen::inRange<std::size_t>(1, 5);
  std::vector<std::int64_t> shape;
  for (std::size_t i = 0; i < rank; ++i) shape.push_back(*rc::gen::inRange<std::int64_t>(1, 5));
  std::vector<std::size_t> order(rank);  // from the axis that runs fastest
  std::iota(order.begin(), order.end(), 0U);
  for (std::size_t i = rank; i-- > 1;) std::swap(order[i], order[*rc::gen::inRange<std::size_t>(0, i + 1)]);
  std::vector<std::int64_t> strides(rank);
  std::int64_t span = *rc::gen::inRange<std::int64_t>(1, 3);
  for (const std::size_t axis : order) {
    strides[axis] = span;
    span = span * shape[axis] + *rc::gen::inRange<std::int64_t>(0, 3);
  }
  const auto offset = *rc::gen::inRange<std::int64_t>(0, 4);
  const auto count = static_cast<std::size_t>(offset + span);
  const TemporaryFolder folder;
  const auto file = open_tensor_file(folder.write(
      "t.pt", torch_bytes(tensor(storage("FloatStorage", "0", static_cast<std::int64_t>(count)), offset, shape, strides),
                          {{"0", floats(count)}})));
  const std::vector<float> found = elements(*file, "t");
  for (std::size_t i = 0; i < found.size(); ++i) {
    std::int64_t rest = static_cast<std::int64_t>(i);
    std::int64_t place = offset;
    for (std::size_t axis = rank; axis-- > 0; rest /= shape[axis]) place += rest % shape[axis] * strides[axis];
    RC_ASSERT(found[i] == static_cast<float>(place));
  }
}

TEST(Torch, BigEndianAndCompressedStorages) {
  const TemporaryFolder folder;
  std::string swapped = test::bytes_of_numbers(std::vector<double>{3.25, -7.0});
  std::reverse(swapped.begin(), swapped.end());
  const auto file = open_tensor_file(
      folder.write("t.pt", torch_bytes(tensor(storage("DoubleStorage", "0", 2), 0, {2}, {1}), {{"0", swapped}}, "big")));
  EXPECT_THAT(elements(*file, "t"), ElementsAre(-7, 3.25));
  std::vector<test::ZipBytes> entries(2);
  entries[0].name = "archive/data.pkl";
  entries[0].data = whole(tensor(storage("FloatStorage", "0", 5000), 100, {4900}, {1}));
  entries[1].name = "archive/data/0";
  entries[1].data = floats(5000);
  for (test::ZipBytes& entry : entries) entry.deflate = true;
  const auto compressed = open_tensor_file(folder.write("t.pt", test::zip_bytes(entries)));
  EXPECT_EQ(elements(*compressed, "t")[4899], 4999.0F);
  EXPECT_THAT(test::problem_of_opening("t.pt", torch_bytes("N", {}, "middle")), HasSubstr("byteorder\": says \"middle\""));
}

TEST(Torch, ChecksumsMayBeLeftOutButNotBeWrong) {
  std::vector<test::ZipBytes> entries(1);
  entries[0].name = "archive/data.pkl";
  entries[0].data = whole("N");
  entries[0].crc = 0;
  EXPECT_EQ(test::problem_of_opening("t.pt", test::zip_bytes(entries)), "no error");
  entries[0].crc = 5;
  EXPECT_THAT(test::problem_of_opening("t.pt", test::zip_bytes(entries)), HasSubstr("is damaged: its CRC-32 is"));
}

TEST(Torch, ValuesBesideTheTensorsAreMetadata) {
  const TemporaryFolder folder;
  const std::string value = dict({text("scale"), std::string("G\x3f\xc0\x00\x00\x00\x00\x00\x00", 9), text("model"), text("tiny"),
                                  text("tokens"), list({text("a"), text("\"b\"")}), text("layers"), integer(3), text("mixed"),
                                  list({text("a"), "N"}), text("none"), "N"});
  const auto file = open_tensor_file(folder.write("t.pt", torch_bytes(value, {})));
  EXPECT_THAT(file->metadata(), ElementsAre(std::pair<const std::string, std::string>("layers", "3"), std::pair("model", "tiny"),
                                            std::pair("scale", "0.125"), std::pair("tokens", R"(["a","\"b\""])")));
}

TEST(TorchBadInput, StoragesAndTheirSizes) {
  const auto with = [](const std::string& named) { return problem_of(tensor(named, 0, {2}, {1}), {{"0", floats(6)}}); };
  EXPECT_EQ(with(storage("FloatStorage", "0", 6)), "no error");
  EXPECT_THAT(with(storage("FloatStorage", "1", 6)),
              HasSubstr("names a storage \"archive/data/1\", but the archive has no such entry"));
  EXPECT_THAT(with(storage("FloatStorage", "../x", 6)), HasSubstr("but the archive has no such entry"));
  EXPECT_THAT(with(storage("FloatStorage", "0", 7)),
              HasSubstr("says that storage \"archive/data/0\" holds 7 elements of f32, but the entry has 24 bytes"));
  EXPECT_THAT(with(storage("DoubleStorage", "0", 6)), HasSubstr("holds 6 elements of f64, but the entry has 24 bytes"));
  EXPECT_THAT(with(storage("FloatStorage", "0", -6)), HasSubstr("holds -6 elements"));
  EXPECT_THAT(with(storage("FloatStorage", "0", (std::int64_t{1} << 62U) + 6)), HasSubstr("but the entry has 24 bytes"));
}

TEST(TorchBadInput, TensorsThatLeaveTheirStorage) {
  EXPECT_EQ(tensor_problem(0, {6}, {1}), "no error");
  EXPECT_THAT(tensor_problem(1, {6}, {1}),
              HasSubstr("tensor \"bad\" (6) with strides (1) from element 1 on leaves its storage of 6 elements"));
  EXPECT_THAT(tensor_problem(6, {}, {}), HasSubstr("leaves its storage"));
  EXPECT_THAT(tensor_problem(0, {2, 4}, {3, 1}), HasSubstr("leaves its storage"));
  EXPECT_THAT(tensor_problem(0, {3}, {INT64_MAX}), HasSubstr("leaves its storage"));
  EXPECT_THAT(tensor_problem(INT64_MAX, {2, 2}, {INT64_MAX, INT64_MAX}), HasSubstr("leaves its storage"));
  EXPECT_THAT(tensor_problem(0, {1, INT64_MAX / 2, 16}, {0, 0, 0}), HasSubstr("which is too large"));
  EXPECT_THAT(tensor_problem(-1, {1}, {1}), HasSubstr("has an offset, length or stride below 0"));
  EXPECT_THAT(tensor_problem(0, {-1}, {1}), HasSubstr("below 0"));
  EXPECT_THAT(tensor_problem(5, {2}, {-1}), HasSubstr("below 0"));
}

TEST(TorchBadInput, TensorsWhoseElementsShareMemory) {
  for (const auto& [shape, strides] : std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{
           {{1'000'000}, {0}}, {{2, 3}, {0, 1}}, {{4, 2}, {1, 1}}, {{2, 2}, {2, 2}}, {{3, 2}, {1, 2}}}) {
    EXPECT_THAT(tensor_problem(0, shape, strides), HasSubstr("several elements share memory; save tensor.contiguous()"));
  }
  EXPECT_EQ(tensor_problem(0, {2, 3}, {1, 2}), "no error");
  EXPECT_EQ(tensor_problem(0, {1, 6}, {0, 1}), "no error");
}

TEST(TorchBadInput, TheTree) {
  const std::string one = tensor(storage("FloatStorage", "0", 6), 0, {6}, {1});
  EXPECT_THAT(problem_of(dict({text("a.b"), one, text("a"), dict({text("b"), one})}), {{"0", floats(6)}}),
              HasSubstr("has two tensors \"a.b\""));
  EXPECT_THAT(problem_of(dict({"N", one}), {{"0", floats(6)}}), HasSubstr("has a dict with a None as key"));
  EXPECT_THAT(problem_of(dict({text(std::string(5000, 'k')), one}), {{"0", floats(6)}}), HasSubstr("a key of 5000 characters"));
  EXPECT_THAT(problem_of("]q\x01h\x01"
                         "a",
                         {}),
              HasSubstr("nests dicts and lists more than 100 deep, or one holds itself"));
  std::string deep = "N";
  for (int i = 0; i < 102; ++i) deep += "\x85";
  EXPECT_THAT(problem_of(deep, {}), HasSubstr("nests dicts and lists more than 100 deep"));
  std::string laughs = ")q" + std::string(1, '\0');  // each holds the one before ten times
  for (char i = 0; i < 30; ++i) {
    laughs += "(";
    for (int copy = 0; copy < 10; ++copy) laughs += std::string("h") + i;
    laughs += std::string("tq") + static_cast<char>(i + 1);
  }
  std::string list_of_all = "](";
  list_of_all += laughs + "e";
  EXPECT_THAT(problem_of(list_of_all, {}), HasSubstr("has more than 2000000 values when shared ones are counted each time"));
}

TEST(TorchBadInput, Archives) {
  std::vector<test::ZipBytes> entries(2);
  entries[0].name = "a/data.pkl";
  entries[1].name = "b/data.pkl";
  EXPECT_THAT(test::problem_of_opening("t.pt", test::zip_bytes(entries)), HasSubstr("has two pickles"));
  EXPECT_THAT(problem_of(global("os", "system") + tuple({text("touch /tmp/executed")}) + "R", {}),
              HasSubstr("entry \"archive/data.pkl\": asks for the Python object \"os.system\""));
}

}  // namespace
}  // namespace convbasis
