// npz: stored and compressed arrays in every order, and what is refused or left out.
#include "core/errors.h"
#include "data/opening.h"
#include "data/tensor_file.h"
#include "support/archive_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>
#include <thread>

namespace convbasis {
namespace {

using test::npy_bytes;
using test::TemporaryFolder;
using test::ZipBytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ZipBytes array(const std::string& name, const std::string& npy, bool deflate = false) {
  ZipBytes made;
  made.name = name + ".npy";
  made.data = npy;
  made.deflate = deflate;
  made.zip64_local = true;  // numpy writes ZIP64 markers in front of every array
  return made;
}

std::string problem_of(const std::vector<ZipBytes>& entries) {
  return test::problem_of_opening("bad.npz", test::zip_bytes(entries));
}

std::vector<float> counting(std::size_t count) {
  std::vector<float> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0.5F);
  return numbers;
}

template <class T>
std::vector<T> elements(const TensorFile& file, std::string_view name) {
  const TensorInfo* tensor = file.find(name);
  std::vector<T> numbers(static_cast<std::size_t>(tensor->element_count()));
  file.read<T>(*tensor, 0, numbers);
  return numbers;
}

TEST(Npz, StoredAndCompressedArraysOfAllOrders) {
  const TemporaryFolder folder;
  std::string swapped = test::bytes_of_numbers(std::vector<double>{3.25, -7.0});
  std::reverse(swapped.begin(), swapped.end());
  for (const bool deflate : {false, true}) {
    const auto file = open_tensor_file(folder.write(
        "a.npz",
        test::zip_bytes({array("q", npy_bytes("<f4", {2, 3}, test::bytes_of_numbers(counting(6))), deflate),
                         array("layers.0.k", npy_bytes("<f4", {2, 3}, test::bytes_of_numbers(counting(6)), true), deflate),
                         array("big", npy_bytes(">f8", {2}, swapped), deflate),
                         array("empty", npy_bytes("<f4", {0, 4}, ""), deflate)})));
    EXPECT_EQ(file->format(), "npz");
    ASSERT_EQ(file->tensors().size(), 4U);
    EXPECT_THAT(elements<float>(*file, "q"), ElementsAre(0.5F, 1.5F, 2.5F, 3.5F, 4.5F, 5.5F));
    EXPECT_THAT(elements<float>(*file, "layers.0.k"), ElementsAre(0.5F, 2.5F, 4.5F, 1.5F, 3.5F, 5.5F));
    EXPECT_THAT(elements<double>(*file, "big"), ElementsAre(-7.0, 3.25));
    EXPECT_THAT(elements<double>(*file, "empty"), ElementsAre());
    EXPECT_EQ(file->find("layers.0.k")->order(), "column-major");
    EXPECT_EQ(file->find("q")->order(), "row-major");
    EXPECT_THAT(file->source_name(*file->find("q")), ::testing::EndsWith("a.npz: entry \"q.npy\""));
  }
}

RC_GTEST_PROP(NpzProperty, AnyRangeOfCompressedArrays, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(0, 10'000);
  const std::vector<float> numbers = counting(count);
  const TemporaryFolder folder;
  const auto file = open_tensor_file(folder.write(
      "a.npz", test::zip_bytes(
                   {array("t", npy_bytes("<f4", {static_cast<std::int64_t>(count)}, test::bytes_of_numbers(numbers)), true)})));
  const auto first = *rc::gen::inRange<std::size_t>(0, count + 1);
  std::vector<float> out(*rc::gen::inRange<std::size_t>(0, count - first + 1));
  file->read<float>(*file->find("t"), static_cast<Index>(first), out);
  RC_ASSERT(std::equal(out.begin(), out.end(), numbers.begin() + static_cast<std::ptrdiff_t>(first)));
}

TEST(Npz, SeveralThreadsReadCompressedArrays) {
  const TemporaryFolder folder;
  const std::vector<float> numbers = counting(50'000);
  const std::string npy = npy_bytes("<f4", {50'000}, test::bytes_of_numbers(numbers));
  const auto file = open_tensor_file(folder.write("a.npz", test::zip_bytes({array("a", npy, true), array("b", npy, true)})));
  std::array<bool, 4> right{};
  {
    std::vector<std::jthread> threads;
    for (std::size_t worker = 0; worker < right.size(); ++worker) {
      threads.emplace_back([&, worker] { right[worker] = elements<float>(*file, worker % 2 == 0 ? "a" : "b") == numbers; });
    }
  }
  EXPECT_THAT(right, ::testing::Each(true));
}

TEST(Npz, ArraysThatAreNoNumbersAreLeftOut) {
  const TemporaryFolder folder;
  const auto file =
      open_tensor_file(folder.write("a.npz", test::zip_bytes({array("q", npy_bytes("<f4", {1}, "1234")),
                                                              array("tokens", npy_bytes("<U4", {1}, std::string(16, 'x'))),
                                                              array("things", npy_bytes("|O", {1}, "pickled"))})));
  EXPECT_EQ(file->tensors().size(), 1U);
  ASSERT_EQ(file->skipped().size(), 2U);
  EXPECT_EQ(file->skipped()[0].name, "tokens");
  EXPECT_THAT(file->skipped()[0].reason, HasSubstr("has dtype \"<U4\", which is not read"));
  EXPECT_THAT(file->skipped()[1].reason, HasSubstr("Python objects"));
}

TEST(NpzBadInput, Entries) {
  ZipBytes other = array("q", "no npy at all");
  EXPECT_THAT(problem_of({other}),
              HasSubstr("entry \"q.npy\": is no npy array; expected an archive of numpy.savez or of torch.save"));
  other.name = "readme.txt";
  EXPECT_THAT(problem_of({other}), HasSubstr("entry \"readme.txt\": is no npy array"));
  EXPECT_THAT(problem_of({array("q", "")}), HasSubstr("is no npy array"));
  EXPECT_THAT(problem_of({array("q", npy_bytes("<f4", {3}, "12345678"))}),
              HasSubstr("entry \"q.npy\": its shape (3) of f32 takes 12 bytes, but 8 follow the header"));
  EXPECT_THAT(problem_of({array("q", npy_bytes("<f4", {2}, "12345678").substr(0, 40), true)}),
              HasSubstr("entry \"q.npy\": is cut off inside its npy header"));
  EXPECT_THAT(problem_of({array("q", npy_bytes("<f4", {2}, "12345678")), array("q", npy_bytes("<f4", {2}, "12345678"))}),
              HasSubstr("has two entries \"q.npy\""));
  EXPECT_EQ(problem_of({}), "no error");
}

TEST(NpzBadInput, DamagedDataAreToldWhenTheyAreRead) {
  const TemporaryFolder folder;
  ZipBytes damaged = array("q", npy_bytes("<f4", {50'000}, test::bytes_of_numbers(counting(50'000))), true);
  damaged.crc = 1;
  const auto file = open_tensor_file(folder.write("a.npz", test::zip_bytes({damaged})));
  EXPECT_THROW(elements<float>(*file, "q"), FileError);
}

}  // namespace
}  // namespace convbasis
