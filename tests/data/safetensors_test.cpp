// safetensors: what is read, and one test for each rule that a damaged or hostile file may break.
#include "core/errors.h"
#include "data/opening.h"
#include "data/tensor_file.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace convbasis {
namespace {

using test::safetensors_bytes;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string problem_of(const std::string& bytes) { return test::problem_of_opening("bad.safetensors", bytes); }

std::string header_problem(const std::string& header, std::size_t data_bytes = 8) {
  return problem_of(safetensors_bytes(header, std::string(data_bytes, '\0')));
}

/// A header with one tensor "a" whose entries are given.
std::string tensor_problem(const std::string& entries, std::size_t data_bytes = 8) {
  return header_problem("{\"a\":{" + entries + "}}", data_bytes);
}

TEST(Safetensors, ReadsTensorsAndMetadata) {
  const TemporaryFolder folder;
  const std::vector<float> numbers{1.5F, -2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
  const auto file = open_tensor_file(folder.write(
      "t", safetensors_bytes({{"whole", "I64", {}, std::string(8, '\1')}, {"m", "F32", {2, 3}, test::bytes_of_numbers(numbers)}},
                             {{"scale", "0.125"}, {"model", "tiny"}})));
  EXPECT_EQ(file->format(), "safetensors");
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"model", "tiny"}, {"scale", "0.125"}}));
  ASSERT_EQ(file->tensors().size(), 2U);
  const TensorInfo& scalar = *file->find("whole");
  EXPECT_EQ(scalar.dtype, DType::i64);
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_EQ(scalar.element_count(), 1);
  const TensorInfo& matrix = *file->find("m");
  EXPECT_THAT(matrix.shape, ElementsAre(2, 3));
  EXPECT_EQ(matrix.bytes, 24U);
  std::vector<double> out(2);
  file->read<double>(matrix, 1, out);
  EXPECT_THAT(out, ElementsAre(-2.0, 3.0));
}

TEST(Safetensors, EveryDType) {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, DType>> known{
      {"F16", DType::f16}, {"BF16", DType::bf16}, {"F32", DType::f32},     {"F64", DType::f64}, {"I8", DType::i8},
      {"I16", DType::i16}, {"I32", DType::i32},   {"I64", DType::i64},     {"U8", DType::u8},   {"U16", DType::u16},
      {"U32", DType::u32}, {"U64", DType::u64},   {"BOOL", DType::boolean}};
  for (const auto& [name, dtype] : known) {
    const auto file =
        open_tensor_file(folder.write("t", safetensors_bytes({{"t", name, {3}, std::string(3 * bytes_of(dtype), '\0')}})));
    EXPECT_EQ(file->tensors()[0].dtype, dtype) << name;
  }
}

TEST(Safetensors, OrderOfHeaderNeedNotBeOrderOfDataAndSpacesMayPad) {
  const TemporaryFolder folder;
  const auto file =
      open_tensor_file(folder.write("t", safetensors_bytes("{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[2,5]},"
                                                           "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[2,2]},"
                                                           "\"a\":{\"data_offsets\":[0,2],\"shape\":[2],\"dtype\":\"U8\"}}      ",
                                                           "12345")));
  EXPECT_EQ(file->find("b")->offset, file->find("a")->offset + 2);
  EXPECT_EQ(file->find("empty")->element_count(), 0);
}

RC_GTEST_PROP(SafetensorsProperty, RoundTrip, ()) {
  const TemporaryFolder folder;
  std::vector<test::TensorBytes> tensors;
  std::vector<std::vector<double>> expected;
  const auto count = *rc::gen::inRange<std::size_t>(0, 5);
  for (std::size_t i = 0; i < count; ++i) {
    const auto shape = *rc::gen::resize(3, rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 5)));
    std::size_t size = 1;
    for (const std::int64_t axis : shape) size *= static_cast<std::size_t>(axis);
    const auto numbers = *rc::gen::container<std::vector<double>>(size, rc::gen::arbitrary<double>());
    tensors.push_back({std::to_string(i), "F64", shape, test::bytes_of_numbers(numbers)});
    expected.push_back(numbers);
  }
  const auto file = open_tensor_file(folder.write("t", safetensors_bytes(tensors)));
  RC_ASSERT(file->tensors().size() == count);
  for (std::size_t i = 0; i < count; ++i) {
    const TensorInfo* tensor = file->find(tensors[i].name);
    RC_ASSERT(tensor != nullptr);
    RC_ASSERT(std::equal(tensor->shape.begin(), tensor->shape.end(), tensors[i].shape.begin(), tensors[i].shape.end()));
    std::vector<double> out(expected[i].size());
    file->read<double>(*tensor, 0, out);
    RC_ASSERT(out == expected[i]);
  }
}

TEST(SafetensorsBadInput, HeaderLength) {
  EXPECT_THAT(problem_of(test::little_endian(1000, 8) + "{}"),
              HasSubstr("header should be 1000 bytes long, but only 2 bytes follow; is the file cut off?"));
  EXPECT_THAT(problem_of(test::little_endian(~0ULL, 8) + "{}"), HasSubstr("18446744073709551615 bytes long, but only 2"));
  EXPECT_THAT(problem_of(test::little_endian(0, 8) + "{}"), HasSubstr("header is 0 bytes long"));
}

TEST(SafetensorsBadInput, HeaderAboveItsLimit) {
  const TemporaryFolder folder;
  const auto path = folder.write("huge", test::little_endian(100'000'001, 8) + "{");
  std::filesystem::resize_file(path, 100'000'100);  // sparse
  try {
    open_tensor_file(path);
    FAIL();
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("header is 100000001 bytes long; at most 100000000 are read"));
  }
}

TEST(SafetensorsBadInput, Json) {
  EXPECT_THAT(header_problem("{\"a\":"), HasSubstr("no valid JSON at byte"));
  EXPECT_THAT(header_problem("{} {}"), HasSubstr("no valid JSON"));
  EXPECT_THAT(header_problem("{\"\xff\":1}"), HasSubstr("no valid JSON"));
  EXPECT_THAT(header_problem("{\"a\":[]}"), HasSubstr("tensor \"a\" is a list; expected an object"));
  EXPECT_THAT(header_problem("{\"a\":null}"), HasSubstr("tensor \"a\" is null"));
  EXPECT_THAT(header_problem("{\"a\":" + std::string(100'000, '[')), HasSubstr("expected an object"));
}

TEST(SafetensorsBadInput, Metadata) {
  EXPECT_THAT(header_problem("{\"__metadata__\":{\"a\":1}}"), HasSubstr("__metadata__ holds a number"));
  EXPECT_THAT(header_problem("{\"__metadata__\":[]}"), HasSubstr("__metadata__ holds a list; expected texts under names"));
  EXPECT_THAT(header_problem("{\"__metadata__\":{\"a\":{}}}"), HasSubstr("__metadata__ holds an object"));
  EXPECT_THAT(header_problem("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"), HasSubstr("__metadata__ has two entries \"a\""));
}

TEST(SafetensorsBadInput, DuplicateKeys) {
  const std::string a = "\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}";
  EXPECT_THAT(header_problem("{" + a + "," + a + "}"), HasSubstr("header has two entries \"a\""));
  EXPECT_THAT(header_problem("{\"__metadata__\":{}," + a + ",\"__metadata__\":{}}"), HasSubstr("two entries \"__metadata__\""));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]"),
              HasSubstr("two entries \"dtype\""));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8],\"shape\":[8],\"data_offsets\":[0,8]"),
              HasSubstr("two entries \"shape\""));
}

TEST(SafetensorsBadInput, DTypes) {
  EXPECT_THAT(tensor_problem("\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]"),
              HasSubstr("tensor \"a\" has dtype \"F8_E4M3\", which is not read; save it as F16, BF16, F32 or F64"));
  EXPECT_THAT(tensor_problem("\"dtype\":32,\"shape\":[8],\"data_offsets\":[0,8]"),
              HasSubstr("tensor \"a\" has a number as dtype"));
}

TEST(SafetensorsBadInput, Entries) {
  EXPECT_THAT(tensor_problem("\"shape\":[8],\"data_offsets\":[0,8]"), HasSubstr("tensor \"a\" lacks dtype"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"data_offsets\":[0,8]"), HasSubstr("lacks shape"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8]"), HasSubstr("lacks data_offsets"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8],\"x\":1"),
              HasSubstr("an entry \"x\"; expected dtype"));
}

TEST(SafetensorsBadInput, Shapes) {
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[-8],\"data_offsets\":[0,8]"), HasSubstr("the number -8 in shape"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8.0],\"data_offsets\":[0,8]"),
              HasSubstr("the number \"8.0\" in shape"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":8,\"data_offsets\":[0,8]"), HasSubstr("a number in shape"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[[8]],\"data_offsets\":[0,8]"), HasSubstr("a list in shape"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,8]"),
              HasSubstr("in shape is too large"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[36893488147419103232],\"data_offsets\":[0,8]"), HasSubstr("in shape"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[0,8]"),
              HasSubstr("shape (7) of u8, which is 7 bytes, but its data_offsets (0, 8) hold 8"));
}

TEST(SafetensorsBadInput, LongShapesAreCut) {
  std::string shape = "[1";
  for (int i = 0; i < 1000; ++i) shape += ",1";
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":" + shape + "],\"data_offsets\":[0,8]"),
              HasSubstr("shape (1, 1, 1, 1, 1, 1, 1, 1, ...) of u8, which is 1 bytes"));
}

TEST(SafetensorsBadInput, ProductsThatOverflow) {
  // 2^32 * 2^32 is 0 in 64 bits, and a zero axis must not hide an overflow of the others.
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]", 0),
              HasSubstr("which is too large"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]", 0),
              HasSubstr("which is too large"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]", 0),
              HasSubstr("which is too large"));
}

TEST(SafetensorsBadInput, Offsets) {
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,0]"),
              HasSubstr("data_offsets (8, 0); expected a begin and an end"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8,16]"), HasSubstr("data_offsets (0, 8, 16)"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]", 6),
              HasSubstr("tensors take 8 bytes of data, up to tensor \"a\", but only 6 are there; is the file cut off?"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]", 12),
              HasSubstr("4 bytes follow after its last tensor"));
  EXPECT_THAT(tensor_problem("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[9223372036854775806,9223372036854775807]"),
              HasSubstr("belong to no tensor"));
}

TEST(SafetensorsBadInput, HolesAndOverlaps) {
  const auto two = [](const std::string& first, const std::string& second) {
    return header_problem("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" + first +
                          "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" + second + "}}");
  };
  EXPECT_EQ(two("[0,4]", "[4,8]"), "no error");
  EXPECT_EQ(two("[4,8]", "[0,4]"), "no error");
  EXPECT_THAT(two("[0,4]", "[3,7]"), HasSubstr("tensor \"b\" begins at data byte 3, inside tensor \"a\" (they overlap)"));
  EXPECT_THAT(two("[0,4]", "[0,4]"), HasSubstr("they overlap"));
  EXPECT_THAT(two("[0,4]", "[5,9]"), HasSubstr("data bytes 4 to 4, before tensor \"b\", belong to no tensor"));
  EXPECT_THAT(two("[1,5]", "[5,9]"), HasSubstr("data bytes 0 to 0, before tensor \"a\", belong to no tensor"));
}

TEST(SafetensorsBadInput, NamesCannotBreakTheLine) {
  EXPECT_THAT(header_problem("{\"a\\nb\\u001b[31m\":3}"), HasSubstr("tensor \"a?b?[31m\" is a number"));
  EXPECT_THAT(header_problem("{\"" + std::string(5000, 'x') + "\":3}"),
              AllOf(HasSubstr("xxx...\""), ::testing::SizeIs(::testing::Lt(200U))));
}

}  // namespace
}  // namespace convbasis
