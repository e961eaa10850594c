// Opening tensor files: what every format shares, and reading whole, partial and column-major tensors.
#include "data/tensor_file.h"

#include "core/errors.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <limits>
#include <numeric>
#include <thread>

namespace convbasis {
namespace {

using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string message_of_opening(const std::filesystem::path& path) {
  try {
    open_tensor_file(path);
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

/// 0, 1, 2, ... as many as the shape has elements.
std::vector<float> counting(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t axis : shape) count *= axis;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0.0F);
  return numbers;
}

std::vector<float> read_all_elements(const TensorFile& file, const TensorInfo& tensor) {
  std::vector<float> numbers(static_cast<std::size_t>(tensor.element_count()));
  file.read<float>(tensor, 0, numbers);
  return numbers;
}

/// The same tensor with its first axis running fastest.
std::vector<float> column_major(const std::vector<float>& numbers, const std::vector<std::int64_t>& shape) {
  std::vector<float> result(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::size_t rest = i;
    std::vector<std::size_t> place(shape.size());
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      place[axis] = rest % static_cast<std::size_t>(shape[axis]);
      rest /= static_cast<std::size_t>(shape[axis]);
    }
    std::size_t position = 0;
    for (std::size_t axis = shape.size(); axis-- > 0;) position = position * static_cast<std::size_t>(shape[axis]) + place[axis];
    result[position] = numbers[i];
  }
  return result;
}

TEST(TensorFile, WhatIsNoTensorFile) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "x").string();
  EXPECT_THAT(message_of_opening(path), AllOf(StartsWith(path + ": "), HasSubstr("does not exist")));
  EXPECT_THAT(message_of_opening(folder.path()), HasSubstr("is a directory"));
  EXPECT_THAT(message_of_opening(folder.write("empty", "")), HasSubstr("is empty (0 bytes)"));
  EXPECT_THAT(message_of_opening(folder.write("short", "x")),
              HasSubstr("expected safetensors or its index, npy, npz, or PyTorch's zip format (.pt)"));
  EXPECT_THAT(
      message_of_opening(folder.write("text", "just\na text file")),
      AllOf(HasSubstr("\"just?a text file\""),
            HasSubstr("expected safetensors or its index, npy, npz, or PyTorch's zip format (.pt)"), Not(HasSubstr("\n"))));
  EXPECT_THAT(message_of_opening(folder.write("a.npz", "PK\x03\x04 and more bytes here")),
              HasSubstr("is a zip archive without the list of its entries"));
  EXPECT_THAT(message_of_opening(folder.write("old.pt", std::string("\x80\x02\x8a\nl\xfc\x9c") + "F\xf9 j\xa8P\x19.\x80\x02M")),
              HasSubstr("is in PyTorch's old format, a program rather than data, which is never run; convert it in Python once: "
                        "torch.save(torch.load(f, weights_only=True), f2)"));
  EXPECT_THAT(message_of_opening(folder.write("a.pkl", "\x80\x04\x95 and a program")),
              HasSubstr("is a Python pickle, which is never read; save the tensors as safetensors, npz or by torch.save"));
  EXPECT_THAT(message_of_opening("/dev/null"), HasSubstr("is not a regular file"));
}

TEST(TensorFile, TheFormatIsToldByTheBytesNotTheName) {
  const TemporaryFolder folder;
  const auto npy = open_tensor_file(folder.write("a.safetensors", test::npy_bytes("<f4", {2}, std::string(8, '\0'))));
  EXPECT_EQ(npy->format(), "npy");
  const auto safetensors = open_tensor_file(folder.write("b.npy", test::safetensors_bytes({{"t", "F32", {1}, "1234"}})));
  EXPECT_EQ(safetensors->format(), "safetensors");
  EXPECT_NE(safetensors->find("t"), nullptr);
  EXPECT_EQ(safetensors->find("u"), nullptr);
}

TEST(TensorFile, AFileThatShrinksIsAnError) {
  const TemporaryFolder folder;
  const auto path = folder.write("t.npy", test::npy_bytes("<f4", {100}, std::string(400, '\0')));
  const auto file = open_tensor_file(path);
  std::filesystem::resize_file(path, 200);
  std::vector<float> out(100);
  EXPECT_THROW(file->read<float>(file->tensors()[0], 0, out), FileError);
}

TEST(TensorFile, RangesMustLieInsideAndTypesMustBeFloating) {
  const TemporaryFolder folder;
  const auto file = open_tensor_file(
      folder.write("t", test::safetensors_bytes({{"a", "F32", {2, 2}, std::string(16, '\0')}, {"b", "I32", {1}, "1234"}})));
  std::vector<float> out(3);
  EXPECT_NO_THROW(file->read<float>(*file->find("a"), 1, out));
  EXPECT_THROW(file->read<float>(*file->find("a"), 2, out), FileError);
  EXPECT_THROW(file->read<float>(*file->find("a"), -1, out), FileError);
  EXPECT_THROW(file->read<float>(*file->find("a"), std::numeric_limits<Index>::max(), out), FileError);
  try {
    file->read<float>(*file->find("b"), 0, std::span(out).first(1));
    FAIL();
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tensor \"b\" has dtype i32; expected f16, bf16, f32 or f64"));
  }
}

RC_GTEST_PROP(TensorFileProperty, AnyShapeAnyOrderAnyRange, ()) {
  const auto shape = *rc::gen::resize(4, rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 6)));
  const bool fortran_order = *rc::gen::arbitrary<bool>();
  const std::vector<float> numbers = counting(shape);
  const std::string data = test::bytes_of_numbers(fortran_order ? column_major(numbers, shape) : numbers);
  const TemporaryFolder folder;
  const auto file = open_tensor_file(folder.write("t.npy", test::npy_bytes("<f4", shape, data, fortran_order)));
  const TensorInfo& tensor = file->tensors()[0];
  RC_ASSERT(std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end()));
  const auto first = *rc::gen::inRange<std::size_t>(0, numbers.size() + 1);
  const auto count = *rc::gen::inRange<std::size_t>(0, numbers.size() - first + 1);
  std::vector<double> out(count);
  file->read<double>(tensor, static_cast<Index>(first), out);
  for (std::size_t i = 0; i < count; ++i) RC_ASSERT(out[i] == static_cast<double>(numbers[first + i]));
}

TEST(TensorFile, MatricesAlongAnyAxes) {
  const TemporaryFolder folder;
  const std::vector<std::int64_t> shape{3, 4, 5};
  for (const bool fortran_order : {false, true}) {
    const std::vector<float> numbers = fortran_order ? column_major(counting(shape), shape) : counting(shape);
    const auto file =
        open_tensor_file(folder.write("t.npy", test::npy_bytes("<f4", shape, test::bytes_of_numbers(numbers), fortran_order)));
    const TensorInfo& tensor = file->tensors()[0];
    const std::vector<Index> strides = tensor.strides();
    for (const auto& [row_axis, column_axis] : {std::pair(1, 2), std::pair(0, 2), std::pair(2, 1)}) {
      Matrix<float> out(shape[static_cast<std::size_t>(row_axis)], shape[static_cast<std::size_t>(column_axis)]);
      const int fixed = 3 - row_axis - column_axis;
      const auto stride = [&](int axis) { return strides[static_cast<std::size_t>(axis)]; };
      file->read<float>(tensor, {2 * stride(fixed), stride(row_axis), stride(column_axis)}, mutable_view(out));
      for (Index i = 0; i < out.rows(); ++i) {
        for (Index j = 0; j < out.cols(); ++j) {
          std::array<Index, 3> place{};
          place[static_cast<std::size_t>(fixed)] = 2;
          place[static_cast<std::size_t>(row_axis)] = i;
          place[static_cast<std::size_t>(column_axis)] = j;
          EXPECT_EQ(out(i, j), static_cast<float>((place[0] * 4 + place[1]) * 5 + place[2]));
        }
      }
    }
  }
}

TEST(TensorFile, SeveralThreadsRead) {
  const TemporaryFolder folder;
  const std::vector<float> numbers = counting({4, 1000});
  const auto file =
      open_tensor_file(folder.write("t", test::safetensors_bytes({{"t", "F32", {4, 1000}, test::bytes_of_numbers(numbers)}})));
  std::array<bool, 4> right{};
  {
    std::vector<std::jthread> threads;
    for (std::size_t worker = 0; worker < right.size(); ++worker) {
      threads.emplace_back([&, worker] {
        bool all = true;
        for (int repeat = 0; repeat < 50; ++repeat) {
          std::vector<float> out(1000);
          file->read<float>(file->tensors()[0], static_cast<Index>(worker) * 1000, out);
          all = all && std::equal(out.begin(), out.end(), numbers.begin() + static_cast<std::ptrdiff_t>(worker) * 1000);
        }
        right[worker] = all;
      });
    }
  }
  EXPECT_THAT(right, ::testing::Each(true));
}

TEST(TensorFile, WholeTensorsReadBack) {
  const TemporaryFolder folder;
  const std::vector<float> numbers = counting({2, 3});
  const auto file =
      open_tensor_file(folder.write("t", test::safetensors_bytes({{"t", "F32", {2, 3}, test::bytes_of_numbers(numbers)}})));
  EXPECT_EQ(read_all_elements(*file, file->tensors()[0]), numbers);
}

}  // namespace
}  // namespace convbasis
