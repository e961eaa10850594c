// npy: what is read, one test for each rule that a damaged or hostile file may break, and the writer.
#include "core/errors.h"
#include "data/npy_writer.h"
#include "data/opening.h"
#include "data/tensor_file.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace convbasis {
namespace {

using test::npy_bytes;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string problem_of(const std::string& bytes) { return test::problem_of_opening("bad.npy", bytes); }

std::string literal_problem(const std::string& literal) { return problem_of(npy_bytes(literal, std::string(8, '\0'))); }

std::string descr_problem(const std::string& descr) { return problem_of(npy_bytes(descr, {2}, std::string(8, '\0'))); }

std::string shape_problem(const std::string& shape, std::size_t data_bytes = 8) {
  return problem_of(npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}", std::string(data_bytes, '\0')));
}

TEST(Npy, ReadsAllVersionsAndByteOrders) {
  const TemporaryFolder folder;
  const std::vector<float> numbers{1.0F, -2.5F};
  const std::string literal = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }           \n";
  for (const int version : {1, 2, 3}) {
    const auto file = open_tensor_file(folder.write("queries.npy", npy_bytes(literal, test::bytes_of_numbers(numbers), version)));
    EXPECT_EQ(file->tensors()[0].name, "queries");
    std::vector<float> out(2);
    file->read<float>(file->tensors()[0], 0, out);
    EXPECT_EQ(out, numbers) << version;
  }
  std::string swapped = test::bytes_of_numbers(std::vector<double>{3.25, -7.0});
  std::reverse(swapped.begin(), swapped.end());
  const auto file = open_tensor_file(folder.write("big.npy", npy_bytes(">f8", {2}, swapped)));
  std::vector<double> out(2);
  file->read<double>(file->tensors()[0], 0, out);
  EXPECT_THAT(out, ElementsAre(-7.0, 3.25));
}

TEST(Npy, EveryDType) {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, DType>> known{{"<f2", DType::f16}, {"<f4", DType::f32}, {"<f8", DType::f64},
                                                         {"|i1", DType::i8},  {"<i2", DType::i16}, {"<i4", DType::i32},
                                                         {"<i8", DType::i64}, {"|u1", DType::u8},  {"<u2", DType::u16},
                                                         {"<u4", DType::u32}, {">u8", DType::u64}, {"|b1", DType::boolean}};
  for (const auto& [descr, dtype] : known) {
    const auto file = open_tensor_file(folder.write("t.npy", npy_bytes(descr, {3}, std::string(3 * bytes_of(dtype), '\0'))));
    EXPECT_EQ(file->tensors()[0].dtype, dtype) << descr;
  }
}

TEST(Npy, SpellingsOfTheLiteral) {
  EXPECT_EQ(literal_problem("{\"shape\":(2,),\"fortran_order\":True,\"descr\":\"<f4\"}"), "no error");
  EXPECT_EQ(literal_problem("  { 'shape' : ( 2 , 1 , ) , 'fortran_order' : False , 'descr' : '<f4' , } \n"), "no error");
  EXPECT_EQ(problem_of(npy_bytes("<f4", {}, std::string(4, '\0'))), "no error");
  EXPECT_EQ(problem_of(npy_bytes("<f4", {0, 5}, "")), "no error");
}

TEST(NpyBadInput, Beginning) {
  EXPECT_THAT(problem_of(std::string("\x93NUMPY\x01", 7)), HasSubstr("cut off inside its npy header"));
  EXPECT_THAT(problem_of(npy_bytes("{'descr'", "").substr(0, 12)), HasSubstr("cut off"));
  EXPECT_THAT(problem_of(npy_bytes("{}", "", 4)), HasSubstr("is npy version 4.0; expected 1.0, 2.0 or 3.0"));
  EXPECT_THAT(problem_of("\x93NUMPY" + test::little_endian(0x0901, 2) + std::string(20, ' ')), HasSubstr("npy version 1.9"));
  EXPECT_THAT(problem_of(npy_bytes(std::string(10'001, ' '), "", 2)),
              HasSubstr("header is 10001 bytes long; at most 10000 are read"));
  EXPECT_THAT(problem_of("\x93NUMPY" + test::little_endian(2, 2) + test::little_endian(0xffffffff, 4) + "{}"),
              HasSubstr("4294967295 bytes"));
}

TEST(NpyBadInput, Literal) {
  EXPECT_THAT(literal_problem("nothing of this"), HasSubstr("at character 0: found \"nothing of t\", expected '{'"));
  EXPECT_THAT(literal_problem("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)"),
              HasSubstr("found the end, expected '}'"));
  EXPECT_THAT(literal_problem("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x"),
              HasSubstr("nothing after the closing brace"));
  EXPECT_THAT(literal_problem("{'descr': '<f4', 'fortran_order': False}"),
              HasSubstr("lacks shape; expected descr, fortran_order and shape"));
  EXPECT_THAT(literal_problem("{}"), HasSubstr("lacks descr"));
  EXPECT_THAT(literal_problem("{'descr': '<f4', 'descr': '<f4'}"), HasSubstr("two keys \"descr\""));
  EXPECT_THAT(literal_problem("{'descr': '<f4', 'x': 3}"), HasSubstr("a key \"x\"; expected descr, fortran_order and shape"));
  EXPECT_THAT(literal_problem("{'fortran_order': 0}"), HasSubstr("expected True or False"));
  EXPECT_THAT(literal_problem("{'descr': '<f4"), HasSubstr("expected a closing quote"));
  EXPECT_THAT(literal_problem("{'descr': '\\x3cf4'}"), HasSubstr("expected a text without escapes"));
  EXPECT_THAT(literal_problem("{descr: 3}"), HasSubstr("expected a key in quotes"));
}

TEST(NpyBadInput, Shapes) {
  EXPECT_THAT(shape_problem("(2)"), HasSubstr("expected a comma: one axis is written (n,)"));
  EXPECT_THAT(shape_problem("(-2,)"), HasSubstr("a whole number, 0 or more"));
  EXPECT_THAT(shape_problem("(2.0,)"), HasSubstr("found \".0,)}\""));
  EXPECT_THAT(shape_problem("[2]"), HasSubstr("expected '('"));
  EXPECT_THAT(shape_problem("(9223372036854775808,)"), HasSubstr("below 2^63"));
  EXPECT_THAT(shape_problem("(4294967296, 4294967296)", 0), HasSubstr("is too large"));
  EXPECT_THAT(shape_problem("(0, 4294967296, 4294967296)", 0), HasSubstr("is too large"));
  EXPECT_THAT(shape_problem("(3,)"),
              HasSubstr("its shape (3) of f32 takes 12 bytes, but 8 follow the header; is the file cut off?"));
  EXPECT_THAT(shape_problem("(1,)"), HasSubstr("takes 4 bytes, but 8 follow the header"));
}

TEST(NpyBadInput, DTypes) {
  EXPECT_THAT(descr_problem("|O"),
              HasSubstr("Python objects (dtype object), which are never read; save it as float32 or float64"));
  EXPECT_THAT(literal_problem("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,)}"),
              HasSubstr("structured dtype (named fields); save each field as an array of its own"));
  for (const char* descr : {"<c8", "<U4", "<V2", "<f16", "=f4", "|f4", "f4", "<f44", ""}) {
    EXPECT_THAT(descr_problem(descr), HasSubstr("which is not read; save it as '<f2', '<f4' or '<f8'")) << descr;
  }
}

template <Real T>
void expect_written(const Matrix<T>& matrix) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m.npy";
  write_npy<T>(path, view(matrix));
  const std::string bytes = test::read_all(path);
  EXPECT_EQ(bytes.size() % 64, static_cast<std::size_t>(matrix.size()) * sizeof(T) % 64) << "data begin on a multiple of 64";
  const auto file = open_tensor_file(path);
  EXPECT_THAT(file->tensors()[0].shape, ElementsAre(matrix.rows(), matrix.cols()));
  Matrix<T> back(matrix.rows(), matrix.cols());
  file->read<T>(file->tensors()[0], 0, std::span(back.data(), static_cast<std::size_t>(back.size())));
  EXPECT_EQ(back, matrix);
}

TEST(NpyWriter, ReadsBack) {
  for (const Index rows : {0, 1, 3, 1000}) {
    for (const Index columns : {1, 64}) {
      expect_written<float>(Matrix<float>::Random(rows, columns));
      expect_written<double>(Matrix<double>::Random(rows, columns));
    }
  }
}

TEST(NpyWriter, BytesAreTheFormats) {
  const TemporaryFolder folder;
  Matrix<float> matrix(1, 2);
  matrix << 1.0F, 2.0F;
  write_npy<float>(folder.path() / "m.npy", view(matrix));
  const std::string literal = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
  EXPECT_EQ(test::read_all(folder.path() / "m.npy"), npy_bytes(literal + std::string(117 - literal.size(), ' ') + "\n",
                                                               test::bytes_of_numbers(std::vector<float>{1.0F, 2.0F})));
}

TEST(NpyWriter, RowsMayLieApart) {
  const TemporaryFolder folder;
  Matrix<double> wide(2, 3);
  wide << 1, 2, 3, 4, 5, 6;
  write_npy<double>(folder.path() / "m.npy", MatrixView<double>(wide.data() + 1, 2, 2, Eigen::OuterStride<>(3)));
  const auto file = open_tensor_file(folder.path() / "m.npy");
  std::vector<double> out(4);
  file->read<double>(file->tensors()[0], 0, out);
  EXPECT_THAT(out, ElementsAre(2, 3, 5, 6));
}

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

TEST(AtomicFile, ReplacesInOneStepAndLeavesNothingElse) {
  const TemporaryFolder folder;
  const auto path = folder.write("t.json", "old");
  write_file_atomically(path, "new contents");
  EXPECT_EQ(test::read_all(path), "new contents");
  write_file_atomically(path, "");
  EXPECT_EQ(test::read_all(path), "");
  EXPECT_EQ(files_in(folder.path()), 1U);
}

TEST(AtomicFile, FollowsALinkInsteadOfReplacingIt) {
  const TemporaryFolder folder;
  const auto path = folder.write("real", "old");
  std::filesystem::create_symlink(path, folder.path() / "link");
  write_file_atomically(folder.path() / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path() / "link"));
  EXPECT_EQ(test::read_all(path), "new");
}

TEST(AtomicFile, FailuresNameTheTargetAndLeaveIt) {
  const TemporaryFolder folder;
  const auto message = [](const std::filesystem::path& path) -> std::string {
    try {
      write_file_atomically(path, "x");
    } catch (const FileError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message(folder.path()), HasSubstr("is a directory"));
  EXPECT_THAT(message("/dev/null"), HasSubstr("is not a regular file"));
  EXPECT_THAT(message(folder.path() / "missing" / "t"), HasSubstr("cannot be written: "));
  EXPECT_EQ(files_in(folder.path()), 0U);
}

/// Runs in a process of its own: the limit on the size of files stands in for a full disk.
[[noreturn]] void write_with_a_full_disk(const std::filesystem::path& path) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1000, 1000};
  setrlimit(RLIMIT_FSIZE, &limit);
  try {
    const Matrix<double> matrix = Matrix<double>::Ones(500, 500);
    write_npy<double>(path, view(matrix));
  } catch (const FileError& error) {
    std::fputs(error.what(), stderr);
    std::_Exit(3);
  }
  std::_Exit(0);
}

TEST(AtomicFileDeathTest, AFullDiskLeavesTheTargetUntouched) {
  const TemporaryFolder folder;
  const auto path = folder.write("y.npy", "the old result");
  EXPECT_EXIT(write_with_a_full_disk(path), ::testing::ExitedWithCode(3), "y.npy: cannot be written: File too large");
  EXPECT_EQ(test::read_all(path), "the old result");
  EXPECT_EQ(files_in(folder.path()), 1U);
}

}  // namespace
}  // namespace convbasis
